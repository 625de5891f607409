//! Denoising: an encoder reads a text whose sentences are out of order and parts of which are gone,
//! and a decoder writes it as it was.
//!
//! Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", arXiv:1910.13461,
//! section 2.2.

use data::{Batch, marks};
use models::Model;
use tensor::Tape;

use crate::corruption::{read_and_write, shifted};
use crate::draws::Draws;
use crate::example::{Example, Piece, Row, pieces};
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;
use crate::objective::{Objective, TextObjective};

/// Text infilling and sentence permutation.
#[derive(Clone, Debug, PartialEq)]
pub struct Denoising {
    /// The share of tokens that is hidden.
    pub rate: f64,
    /// How many words a mask stands for, on average: of a Poisson distribution, so that some stand
    /// for none.
    pub mean_span: f64,
    /// Whether sentences are put in another order.
    pub permute: bool,
    /// Stands for what is hidden.
    pub mask: u32,
    /// Begins a text.
    pub begin: u32,
    /// Ends it.
    pub end: u32,
    /// What the decoder begins with.
    pub start: u32,
}

impl Denoising {
    /// Tokens around a text.
    pub const AROUND: usize = 2;

    fn example(&self, piece: &Piece, seed: u64, sample_id: u64) -> Example {
        let draws = &mut Draws::new(seed, sample_id);
        let mut order: Vec<usize> = (0..piece.ids.len()).collect();
        if self.permute {
            let begins = |&at: &usize| at == 0 || piece.marks[at] & marks::SENTENCE != 0;
            let starts: Vec<usize> = (0..piece.ids.len()).filter(begins).collect();
            let ends = starts.iter().skip(1).copied().chain([piece.ids.len()]);
            let mut sentences: Vec<_> = starts.iter().copied().zip(ends).collect();
            draws.shuffle(&mut sentences);
            order = sentences.into_iter().flat_map(|(start, end)| start..end).collect();
        }
        let read = self.hide(piece, &order, draws);
        let around = |ids: Vec<u32>| [vec![self.begin], ids, vec![self.end]].concat();
        let targets = around(piece.ids.to_vec());
        Example {
            input: Row::plain(around(read)),
            output: Some(Row::plain(shifted(self.start, &targets))),
            targets,
            ..Example::of(sample_id)
        }
    }

    /// The tokens in `order`, some words of them as masks.
    fn hide(&self, piece: &Piece, order: &[usize], draws: &mut Draws) -> Vec<u32> {
        let begins_word =
            |&at: &usize| piece.marks.is_empty() || piece.marks[at] & marks::WORD != 0;
        let starts: Vec<usize> = (0..order.len()).filter(|&i| begins_word(&order[i])).collect();
        let mut budget = (self.rate * order.len() as f64).round() as usize;
        let mut hidden = vec![false; order.len()];
        // Before a token, a mask that stands for nothing.
        let mut inserted = vec![0_u32; order.len()];
        let mut tries = 0;
        while budget > 0 && !starts.is_empty() && tries < 4 * order.len() {
            tries += 1;
            let first = draws.below(starts.len());
            let n_words = self.span(draws);
            let (from, to) = (starts[first], starts.get(first + n_words).copied());
            let to = to.unwrap_or(order.len());
            if n_words == 0 {
                (inserted[from], budget) = (inserted[from] + 1, budget - 1);
                continue;
            }
            // Masks stay apart, as each stands for one span.
            let near = from.saturating_sub(1)..order.len().min(to + 1);
            if hidden[near].iter().all(|&hidden| !hidden) {
                hidden[from..to].fill(true);
                budget = budget.saturating_sub(to - from);
            }
        }
        let mut read = Vec::with_capacity(order.len());
        for (i, &at) in order.iter().enumerate() {
            read.resize(read.len() + inserted[i] as usize, self.mask);
            if !hidden[i] {
                read.push(piece.ids[at]);
            } else if i == 0 || !hidden[i - 1] {
                read.push(self.mask);
            }
        }
        // Masks for nothing do not make it longer than it was.
        read.truncate(order.len());
        read
    }

    /// A draw of the Poisson distribution: Knuth, "Seminumerical Algorithms", section 3.4.1.
    fn span(&self, draws: &mut Draws) -> usize {
        let (limit, mut product, mut n) = ((-self.mean_span).exp(), draws.unit(), 0);
        while product > limit {
            (product, n) = (product * draws.unit(), n + 1);
        }
        n
    }
}

impl Objective for Denoising {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        Losses::one("text", read_and_write(tape, model.pair(), batch, 0.0))
    }
}

impl TextObjective for Denoising {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        let rows = 0..batch.n_rows();
        rows.flat_map(|row| {
            let id = batch.sample_ids[row];
            pieces(batch, row).into_iter().map(move |piece| self.example(&piece, seed, id))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marks::{SENTENCE, WORD};

    const MASK: u32 = 4;

    fn objective() -> Denoising {
        let (mask, begin, end) = (MASK, 0, 2);
        Denoising { rate: 0.3, mean_span: 3.0, permute: true, mask, begin, end, start: 2 }
    }

    #[test]
    fn the_whole_text_is_asked_for() {
        let ids: Vec<u32> = (10..110).collect();
        // Ten sentences of ten words.
        let marks: Vec<u8> =
            (0..100).map(|i| if i % 10 == 0 { WORD | SENTENCE } else { WORD }).collect();
        let piece = Piece { ids: &ids, marks: &marks, before: 0 };
        let (objective, mut n_hidden, mut n_first) = (objective(), 0, 0);
        for sample in 0..300 {
            let example = objective.example(&piece, 1, sample);
            assert_eq!(example.targets[1..101], ids);
            assert_eq!((example.targets[0], example.targets[101]), (0, 2));
            assert_eq!(example.output.unwrap().ids[..2], [2, 0]);
            let read = &example.input.ids;
            assert!(read.len() <= 102 && read[0] == 0 && read[read.len() - 1] == 2);
            let seen: Vec<u32> = read.iter().copied().filter(|id| *id >= 10).collect();
            n_hidden += 100 - seen.len();
            // Inside of a sentence the order stays.
            assert!(seen.windows(2).all(|w| (w[0] - 10) / 10 != (w[1] - 10) / 10 || w[0] < w[1]));
            n_first += usize::from(seen.first().is_some_and(|&id| id < 20));
        }
        let mean = n_hidden as f64 / 300.0;
        assert!((26.0..=34.0).contains(&mean), "{mean} of 100 are hidden");
        assert!((10..=70).contains(&n_first), "{n_first} of 300 begin with the first sentence");
    }

    #[test]
    fn spans_are_of_a_poisson_distribution() {
        let (objective, mut draws) = (objective(), Draws::new(3, 3));
        let spans: Vec<f64> = (0..20_000).map(|_| objective.span(&mut draws) as f64).collect();
        let mean = spans.iter().sum::<f64>() / 20_000.0;
        let variance = spans.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 3.0).abs() < 0.08 && (variance - 3.0).abs() < 0.25, "{mean} {variance}");
    }
}
