//! Span corruption: an encoder reads a text with holes, a decoder writes what was in them.
//!
//! Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
//! Transformer", arXiv:1910.10683, sections 3.1.4 and 3.3.4.

use data::Batch;
use models::{EncoderDecoder, Model};
use nn::{Context, Input};
use tensor::{CrossEntropyArgs, Loss, Tape};

use crate::draws::Draws;
use crate::example::{Example, Row, pieces};
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;
use crate::objective::{Objective, TextObjective};

/// Spans of a text are replaced by sentinels, and asked for after them.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanCorruption {
    /// The share of tokens that is taken out.
    pub rate: f64,
    /// How long a span is, on average.
    pub mean_span: f64,
    /// What stands for the spans, in their order.
    pub sentinels: Vec<u32>,
    /// Ends what is read, and what is written.
    pub end: u32,
    /// What the decoder begins with.
    pub start: u32,
}

impl SpanCorruption {
    /// How many tokens of `len` are taken out, and in how many spans.
    fn counts(&self, len: usize) -> (usize, usize) {
        let noise = ((len as f64 * self.rate).round() as usize).clamp(1, len.max(2) - 1);
        let spans = ((noise as f64 / self.mean_span).round() as usize).clamp(1, noise);
        // What is kept lies before each span.
        (noise, spans.min(len.max(2) - noise))
    }

    /// Tokens that are read and written of a text of `len` tokens.
    pub fn lengths(&self, len: usize) -> [usize; 2] {
        let (noise, spans) = self.counts(len);
        [len - noise + spans + 1, noise + spans + 1]
    }

    /// The longest text of which at most `seq_len` tokens are read and written; none where there
    /// are too few sentinels for it, or no text would be left.
    pub fn window(&self, seq_len: usize) -> Option<usize> {
        let fits = |len: &usize| self.lengths(*len).iter().all(|&n| n <= seq_len);
        let len = (2..=seq_len.checked_mul(8)?).take_while(fits).last()?;
        (self.counts(len).1 <= self.sentinels.len()).then_some(len)
    }

    fn example(&self, ids: &[u32], seed: u64, sample_id: u64) -> Example {
        let mut example = Example::of(sample_id);
        if ids.len() < 2 {
            // Nothing can be taken out and something be left.
            example.input = Row::plain(ids.iter().copied().chain([self.end]).collect());
            example.output = Some(Row::plain(vec![self.start]));
            example.targets = vec![data::IGNORED];
            return example;
        }
        let draws = &mut Draws::new(seed, sample_id);
        let (noise, spans) = self.counts(ids.len());
        let taken = draws.parts(noise, spans);
        let kept = draws.parts(ids.len() - noise, spans);
        let (mut read, mut written, mut rest) = (Vec::new(), Vec::new(), ids);
        for ((kept, taken), &sentinel) in kept.into_iter().zip(taken).zip(&self.sentinels) {
            let (seen, after) = rest.split_at(kept);
            let (asked, after) = after.split_at(taken);
            read.extend(seen.iter().chain([&sentinel]));
            written.extend([&sentinel].into_iter().chain(asked));
            rest = after;
        }
        read.push(self.end);
        written.push(self.end);
        example.input = Row::plain(read);
        example.output = Some(Row::plain(shifted(self.start, &written)));
        example.targets = written;
        example
    }
}

/// What a decoder reads that is to write `targets`.
pub(crate) fn shifted(start: u32, targets: &[u32]) -> Vec<u32> {
    [start].into_iter().chain(targets.iter().copied().take(targets.len() - 1)).collect()
}

impl Objective for SpanCorruption {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        Losses::one("spans", read_and_write(tape, model.pair(), batch, 0.0))
    }
}

impl TextObjective for SpanCorruption {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        let rows = 0..batch.n_rows();
        rows.flat_map(|row| {
            let id = batch.sample_ids[row];
            pieces(batch, row).into_iter().map(move |piece| self.example(piece.ids, seed, id))
        })
        .collect()
    }
}

/// The cross entropy of what a decoder is to write of what an encoder reads.
pub(crate) fn read_and_write<'a>(
    tape: &Tape<'a>,
    pair: &'a EncoderDecoder,
    batch: &MicroBatch,
    smoothing: f32,
) -> Loss {
    let (read, written) = (&batch.input, batch.output.as_ref().expect("what a decoder reads"));
    let memory = pair.encode(tape, Input::Tokens(&read.ids, read.shape), read.call.clone());
    let mut ctx = Context { call: written.call.clone(), cache: None };
    ctx.call.memory = Some(memory);
    let hidden = pair.decode(tape, &written.ids, written.shape, &mut ctx);
    let head = pair.decoder.token_head().expect("a head over the vocabulary");
    tape.scope("head", None, || {
        let hidden = head.hidden(tape, &hidden);
        let args = head.cross_entropy(&batch.targets);
        tape.linear_cross_entropy(&hidden, CrossEntropyArgs { smoothing, ..args })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective() -> SpanCorruption {
        let sentinels = (900..1000).rev().collect();
        SpanCorruption { rate: 0.15, mean_span: 3.0, sentinels, end: 1, start: 0 }
    }

    /// The numbers of T5's own `random_spans_helper`.
    #[test]
    fn windows_are_those_of_t5() {
        assert_eq!(objective().window(512), Some(568));
        assert_eq!(objective().lengths(568), [512, 114]);
        assert_eq!(objective().window(2), None);
        let few = SpanCorruption { sentinels: vec![9, 8], ..objective() };
        assert_eq!(few.window(512), None);
    }

    #[test]
    fn what_was_taken_out_is_asked_for() {
        let (objective, ids) = (objective(), (100..220).collect::<Vec<u32>>());
        for sample in 0..200 {
            let example = objective.example(&ids, 1, sample);
            let (read, written) = (&example.input.ids, &example.targets);
            assert_eq!([read.len(), written.len()], objective.lengths(ids.len()));
            assert_eq!((read.last(), written.last()), (Some(&1), Some(&1)));
            assert_eq!(example.output.as_ref().unwrap().ids[1..], written[..written.len() - 1]);
            // Each sentinel is replaced by what follows it in what is written.
            let mut whole = Vec::new();
            for &id in &read[..read.len() - 1] {
                let at = written.iter().position(|&other| other == id && id >= 900);
                match at {
                    None => whole.push(id),
                    Some(at) => {
                        let span = written[at + 1..written.len() - 1].iter();
                        whole.extend(span.take_while(|&&id| id < 900));
                    }
                }
            }
            assert_eq!(whole, ids);
        }
        assert_ne!(objective.example(&ids, 1, 1).input, objective.example(&ids, 1, 2).input);
    }

    #[test]
    fn a_short_text_is_taken_as_it_is() {
        let objective = objective();
        assert_eq!(objective.example(&[5], 1, 1).targets, [data::IGNORED]);
        let two = objective.example(&[5, 6], 1, 1);
        assert_eq!((two.input.ids, two.targets), (vec![5, 999, 1], vec![999, 6, 1]));
    }
}
