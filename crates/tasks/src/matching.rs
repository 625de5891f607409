//! Whether two things belong together: two sentences, or, where a model sees both, an image and its
//! caption.
//!
//! The class of a row is [`OWN`] or [`OTHER`], its loss a part beside that of tokens. Devlin et
//! al., "BERT", arXiv:1810.04805, section 3.1, ask it of sentences; Li et al., "ALBEF",
//! arXiv:2107.07651, section 3.2, of images and texts.

use nn::PooledHead;
use tensor::{CrossEntropyArgs, Loss, Tape, Var};

use crate::draws::Draws;
use crate::micro_batch::MicroBatch;

/// The class of two things that came together.
pub const OWN: u32 = 0;
/// That of two of which the second came with another first.
pub const OTHER: u32 = 1;

/// Whose second the `i`-th of `n` firsts of a batch gets in a pair that is none: each other is
/// equally likely. None where there is no other.
pub(crate) fn another(i: usize, n: usize, draws: &mut Draws) -> Option<usize> {
    (n > 1).then(|| (i + 1 + draws.below(n - 1)) % n)
}

/// The cross entropy of the classes of rows, each worth as many targets as the batch has for one:
/// the gradient is that of the mean, times the targets of the first part, as
/// [`Objective::loss`](crate::Objective::loss) wants it of a later one.
///
/// `hidden` is `[B, T, D]`, of whatever `head` looks at: positions of a text, patches, or both.
///
/// # Panics
/// When `head` has no classes, or `batch` other rows.
pub fn loss<'a>(tape: &Tape<'a>, head: &'a PooledHead, batch: &MicroBatch, hidden: &Var) -> Loss {
    let counts = batch.counts;
    if counts.n_labels == 0 {
        return Loss::default();
    }
    let &[n, len, _] = hidden.value().shape() else { panic!("{:?}", hidden.value().shape()) };
    let hidden = head.hidden(tape, hidden, &head.rows(None, [n, len]), &batch.input.call);
    let weight = counts.n_targets.max(1) as f32 / counts.n_labels as f32;
    let weights = vec![weight; batch.labels.len()];
    let classes: Vec<u32> = batch.labels.iter().map(|label| label.class()).collect();
    let args = head.cross_entropy(&classes).expect("a head over classes");
    let args = CrossEntropyArgs { row_weights: Some(&weights), ..args };
    let mut loss = tape.linear_cross_entropy(&hidden, args);
    loss.sum /= f64::from(weight);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_is_drawn_as_often_and_never_itself() {
        let mut counts = [0; 5];
        for sample in 0..4000 {
            let other = another(3, 5, &mut Draws::new(1, sample)).expect("there are others");
            counts[other] += 1;
        }
        assert_eq!(counts[3], 0);
        assert!(counts.iter().enumerate().all(|(i, &n)| i == 3 || n > 900), "{counts:?}");
        assert_eq!(another(0, 1, &mut Draws::new(1, 1)), None);
    }
}
