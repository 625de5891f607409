//! A run that learns from samples with labels, which are in memory.

use std::sync::Arc;

use data::{Cursor, Cursors, Permutation};
use tasks::Example;

use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::feed::Feed;
use crate::state::DataHashes;
use crate::trainer::{At, Trainer};

/// How much a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// So many samples.
    Samples(usize),
    /// As many as have so many tokens together, one at least: they lie side by side in one row, so
    /// nothing is lost to padding.
    Tokens(usize),
}

/// The order of the samples, epoch by epoch: a function of the seed.
#[derive(Clone, Debug)]
pub struct SamplePlan {
    /// Tokens of each.
    pub lengths: Vec<u32>,
    /// What a step reads; the last of an epoch may be smaller.
    pub portion: Portion,
    /// Whether another order comes with each epoch; else that in which they are.
    pub shuffled: bool,
    /// Decides the order, together with the epoch.
    pub seed: u64,
}

impl SamplePlan {
    /// The samples of the step that begins at `cursor`, and where the next one does.
    ///
    /// # Panics
    /// When there is no sample, or the cursor is behind the last.
    pub fn step(&self, cursor: Cursor) -> (Vec<usize>, Cursor) {
        let n = self.lengths.len() as u64;
        assert!(cursor.window < n, "samples: {} of {n}", cursor.window);
        let order = Permutation::new(n, self.seed, cursor.epoch);
        let at = |i: u64| if self.shuffled { order.at(i) as usize } else { i as usize };
        let mut n_tokens = 0;
        let fits = |&(taken, sample): &(usize, usize)| match self.portion {
            Portion::Samples(most) => taken < most.max(1),
            Portion::Tokens(most) => {
                n_tokens += self.lengths[sample] as usize;
                taken == 0 || n_tokens <= most
            }
        };
        let rest = (cursor.window..n).map(at).enumerate();
        let taken: Vec<usize> = rest.take_while(fits).map(|(_, sample)| sample).collect();
        let window = cursor.window + taken.len() as u64;
        let next = Cursor { window, ..cursor };
        let is_over = window == n;
        (taken, if is_over { Cursor { epoch: cursor.epoch + 1, window: 0 } } else { next })
    }

    /// Steps of epoch `epoch`.
    pub fn n_steps(&self, epoch: u64) -> u64 {
        let (mut cursor, mut n) = (Cursor { epoch, window: 0 }, 0);
        while cursor.epoch == epoch {
            (_, cursor) = self.step(cursor);
            n += 1;
        }
        n
    }
}

/// How good a model is.
pub type Judge<'o> = dyn Fn(At<'_>) -> Result<Option<Evaluation>, TrainError> + 'o;

/// Samples, and who judges what was learned of them.
pub struct SampleFeed<'o> {
    samples: Arc<[Example]>,
    plan: SamplePlan,
    copies: usize,
    hashes: DataHashes,
    judge: Box<Judge<'o>>,
    cursor: Cursor,
}

impl<'o> SampleFeed<'o> {
    /// Of `samples` as `plan` says, each `copies` times in a row. `hashes` are of everything that
    /// they were made of, and of what `judge` knows.
    pub fn new(
        samples: Arc<[Example]>,
        (plan, copies): (SamplePlan, usize),
        hashes: DataHashes,
        judge: Box<Judge<'o>>,
    ) -> Self {
        Self { samples, plan, copies, hashes, judge, cursor: Cursor::default() }
    }
}

impl Feed for SampleFeed<'_> {
    fn seek(&mut self, cursors: &Cursors) -> Result<(), TrainError> {
        self.cursor = cursors.0.first().copied().unwrap_or_default();
        let (window, n_windows) = (self.cursor.window, self.samples.len() as u64);
        if window >= n_windows {
            return Err(data::DataError::Cursor { window, n_windows }.into());
        }
        Ok(())
    }

    fn next(&mut self, _: &Trainer) -> Result<Vec<Example>, TrainError> {
        let epoch = self.cursor.epoch;
        let (step, cursor) = self.plan.step(self.cursor);
        self.cursor = cursor;
        let example = |sample: &usize| {
            let sample_id = epoch << 40 | *sample as u64;
            Example { sample_id, ..self.samples[*sample].clone() }
        };
        let copied = |sample| std::iter::repeat_n(example(sample), self.copies);
        Ok(step.iter().flat_map(copied).collect())
    }

    fn cursors(&self) -> Cursors {
        self.cursor.into()
    }

    fn read(&self) -> Vec<(&str, u64, u64)> {
        let n = self.samples.len() as u64;
        vec![("", self.cursor.epoch * n + self.cursor.window, n)]
    }

    fn hashes(&self) -> DataHashes {
        self.hashes.clone()
    }

    fn judge(&self, trainer: &Trainer) -> Result<Option<Evaluation>, TrainError> {
        (self.judge)(trainer.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(portion: Portion, shuffled: bool) -> SamplePlan {
        let lengths = (0..100).map(|i| 1 + i * 7 % 13).collect();
        SamplePlan { lengths, portion, shuffled, seed: 3 }
    }

    fn epoch(plan: &SamplePlan, epoch: u64) -> Vec<Vec<usize>> {
        let (mut cursor, mut steps) = (Cursor { epoch, window: 0 }, Vec::new());
        while cursor.epoch == epoch {
            let (step, next) = plan.step(cursor);
            steps.push(step);
            cursor = next;
        }
        steps
    }

    #[test]
    fn an_epoch_has_every_sample_once_and_another_order_than_the_next() {
        for portion in [Portion::Samples(7), Portion::Tokens(40), Portion::Tokens(1)] {
            let plan = plan(portion, true);
            let [first, second] = [0, 1].map(|i| epoch(&plan, i));
            assert_eq!(plan.n_steps(0), first.len() as u64);
            let mut all = first.concat();
            assert_ne!(all, second.concat());
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<_>>(), "{portion:?}");
        }
        assert_eq!(epoch(&plan(Portion::Samples(30), false), 5)[0], (0..30).collect::<Vec<_>>());
        assert_eq!(epoch(&plan(Portion::Samples(30), false), 5)[3].len(), 10);
    }

    #[test]
    fn a_portion_of_tokens_is_filled_and_never_overfull() {
        let plan = plan(Portion::Tokens(40), true);
        let length = |step: &[usize]| step.iter().map(|i| plan.lengths[*i]).sum::<u32>();
        let steps = epoch(&plan, 2);
        assert!(steps.iter().all(|step| length(step) <= 40));
        for two in steps.windows(2) {
            assert!(length(&two[0]) + plan.lengths[two[1][0]] > 40);
        }
    }
}
