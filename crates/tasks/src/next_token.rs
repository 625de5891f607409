//! Autoregressive language modelling: each position predicts the next token.

use data::{Batch, IGNORED};
use models::{Architecture, Model, Stack};
use nn::Context;
use tensor::{Balance, CrossEntropyArgs, Tape};

use crate::corruption::read_and_write;
use crate::draws::Draws;
use crate::example::{Example, Row, pieces};
use crate::losses::Losses;
use crate::masked::hidden_rows;
use crate::micro_batch::MicroBatch;
use crate::objective::{Objective, TextObjective};

/// Cross entropy of the next token, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NextToken {
    /// Label smoothing, in `[0, 1)`.
    pub smoothing: f32,
    /// Shows some documents with their middle at the end.
    pub infilling: Option<Infilling>,
    /// Asks for the second part of each row alone.
    pub prefix: Option<Prefix>,
}

/// How the first part of a row is shown: prefix language modelling, Raffel et al.,
/// arXiv:1910.10683, section 3.2. Where it ends is drawn once a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// All of it is seen from everywhere.
    Seen,
    /// An encoder reads it, and a decoder writes the rest.
    Read {
        /// What the decoder begins with.
        start: u32,
        /// Ends what the encoder reads.
        end: u32,
    },
}

/// How a document becomes prefix, suffix and middle: Bavarian et al., "Efficient Training of
/// Language Models to Fill in the Middle", arXiv:2207.14255. Cut between tokens; of a stream's row,
/// its longest piece of one document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Infilling {
    /// Come before prefix, suffix and middle.
    pub marks: [u32; 3],
    /// Ends documents in a stream.
    pub end: Option<u32>,
    /// The share of documents.
    pub rate: f64,
    /// Of those, the share whose suffix comes first.
    pub suffix_first: f64,
}

impl Infilling {
    /// Tokens that a document has more.
    pub const AROUND: usize = 3;

    fn rearrange(&self, ids: &[u32], draws: &mut Draws) -> Vec<u32> {
        // What ends the document stays there.
        let (text, end) = match ids.split_last() {
            Some((last, text)) if Some(*last) == self.end => (text, Some(*last)),
            _ => (ids, None),
        };
        if text.is_empty() || draws.unit() >= self.rate {
            return ids.to_vec();
        }
        let mut cuts = [draws.below(text.len() + 1), draws.below(text.len() + 1)];
        cuts.sort_unstable();
        let [prefix, middle, suffix] =
            [&text[..cuts[0]], &text[cuts[0]..cuts[1]], &text[cuts[1]..]];
        let [p, s, m] = self.marks.each_ref().map(std::slice::from_ref);
        let parts = if draws.unit() < self.suffix_first {
            [p, s, suffix, m, prefix, middle]
        } else {
            [p, prefix, s, suffix, m, middle]
        };
        parts.into_iter().flatten().copied().chain(end).collect()
    }

    /// A row of a stream.
    fn rearrange_longest(&self, ids: &[u32], draws: &mut Draws) -> Vec<u32> {
        let documents = || ids.split_inclusive(|&id| Some(id) == self.end);
        let longest = documents().map(<[u32]>::len).enumerate().max_by_key(|&(_, len)| len);
        let mut all = Vec::with_capacity(ids.len() + Self::AROUND);
        for (i, document) in documents().enumerate() {
            if longest.is_some_and(|(longest, _)| i == longest) {
                all.extend(self.rearrange(document, draws));
            } else {
                all.extend_from_slice(document);
            }
        }
        all
    }

    fn example(&self, batch: &Batch, row: usize, seed: u64) -> Example {
        let sample_id = batch.sample_ids[row];
        let draws = &mut Draws::new(seed, sample_id);
        let (mut input, mut targets) = (Row::default(), Vec::new());
        let mut segments = Vec::new();
        let mut positions = Vec::new();
        for (segment, piece) in (1..).zip(pieces(batch, row)) {
            let ids = match batch.segments {
                Some(_) => self.rearrange(piece.ids, draws),
                None => self.rearrange_longest(piece.ids, draws),
            };
            segments.resize(segments.len() + ids.len(), segment);
            positions.extend(0..ids.len() as u32);
            input.ids.push(piece.before);
            input.ids.extend(&ids[..ids.len() - 1]);
            targets.extend(ids);
        }
        if batch.segments.is_some() {
            (input.segments, input.positions) = (Some(segments), Some(positions));
        }
        Example { input, targets, ..Example::of(sample_id) }
    }
}

impl Prefix {
    /// Shows the first `n` tokens of a row.
    fn cut(self, example: &mut Example, n: usize) {
        match self {
            Self::Seen => {
                example.prefix = n;
                // The last of them is asked for the first of the rest.
                example.targets[..n - 1].fill(IGNORED);
            }
            Self::Read { start, end } => {
                let rest = example.targets.split_off(n);
                let read = std::mem::replace(&mut example.targets, rest);
                example.input = Row::plain(read.into_iter().chain([end]).collect());
                let written =
                    example.targets.iter().map(|&id| if id == IGNORED { end } else { id });
                let shifted = [start].into_iter().chain(written).take(example.targets.len());
                example.output = Some(Row::plain(shifted.collect()));
            }
        }
    }
}

impl NextToken {
    /// What keeps tokens spread over experts, where there are any: its gradient is that of a mean
    /// times the targets, as that of the sum beside it; the loss that is told is without it.
    pub(crate) fn balance(stack: &Stack, batch: &MicroBatch) -> Option<Balance> {
        let experts = stack.config().trunk.experts.as_ref()?;
        let n_targets = batch.targets.iter().filter(|&&target| target != IGNORED).count();
        let kept = batch.input.call.mask.segments.clone();
        Some(Balance::new(experts.balance * n_targets as f32, kept))
    }

    /// Rows as they are.
    fn plain(batch: &Batch, row: usize) -> Example {
        let at = row * batch.seq_len..(row + 1) * batch.seq_len;
        let some = |values: &Option<Vec<u32>>| values.as_ref().map(|v| v[at.clone()].to_vec());
        let input = Row {
            ids: batch.inputs[at.clone()].to_vec(),
            types: None,
            segments: some(&batch.segments),
            positions: some(&batch.positions),
        };
        Example { input, targets: batch.targets[at].to_vec(), ..Example::of(batch.sample_ids[row]) }
    }
}

impl Objective for NextToken {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let smoothing = if tape.is_recording() { self.smoothing } else { 0.0 };
        let stack = match &model.architecture {
            Architecture::EncoderDecoder(pair) => {
                return Losses::one("next", read_and_write(tape, pair, batch, smoothing));
            }
            _ => model.stack(),
        };
        let mut ctx = Context { call: batch.input.call.clone(), cache: None };
        ctx.call.balance = Self::balance(stack, batch).filter(|_| tape.is_recording());
        let hidden = stack.forward(tape, &batch.input.ids, batch.input.shape, &mut ctx);
        let head = stack.token_head().expect("a head over the vocabulary");
        // Of a conversation, a part is learned: only its rows go through the head.
        let (rows, asked) = hidden_rows(batch);
        let is_part = !rows.is_empty() && rows.len() < batch.targets.len();
        let targets = if is_part { &asked } else { &batch.targets };
        let loss = tape.scope("head", None, || {
            let hidden = if is_part { tape.select_rows(&hidden, &rows.into()) } else { hidden };
            let hidden = head.hidden(tape, &hidden);
            let args = head.cross_entropy(targets);
            tape.linear_cross_entropy(&hidden, CrossEntropyArgs { smoothing, ..args })
        });
        Losses::one("next", loss)
    }
}

impl TextObjective for NextToken {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        let rows = 0..batch.n_rows();
        let mut examples: Vec<Example> = match self.infilling {
            Some(infilling) => rows.map(|row| infilling.example(batch, row, seed)).collect(),
            None => rows.map(|row| Self::plain(batch, row)).collect(),
        };
        // What a row is padded with is not read.
        let text = |targets: &[u32]| targets.iter().take_while(|&&id| id != IGNORED).count();
        let shortest = examples.iter().map(|example| text(&example.targets)).min().unwrap_or(0);
        if let Some(prefix) = self.prefix.filter(|_| batch.seq_len > 1) {
            let n = 1 + Draws::new(seed, batch.sample_ids[0]).below(shortest.max(2) - 1);
            for example in &mut examples {
                prefix.cut(example, n);
            }
        }
        examples
    }

    fn counts_text(&self) -> bool {
        self.prefix.is_none() && self.infilling.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_never_read() {
        let (seq_len, n_text) = (8, [8, 3, 1]);
        let row = |&n: &usize| (0..seq_len).map(move |at| if at < n { 7 } else { IGNORED });
        let targets: Vec<u32> = n_text.iter().flat_map(row).collect();
        let prefix = Some(Prefix::Read { start: 1, end: 2 });
        let objective = NextToken { prefix, ..NextToken::default() };
        for seed in 0..50 {
            for first in 0..n_text.len() {
                let batch = Batch {
                    seq_len,
                    inputs: vec![7; targets.len()],
                    targets: targets.clone(),
                    segments: None,
                    positions: None,
                    marks: None,
                    sample_ids: (first as u64..3).collect(),
                    n_targets: 12,
                };
                for example in objective.examples(&batch, seed) {
                    let output = example.output.expect("a decoder's");
                    assert!(!example.input.ids.contains(&IGNORED), "{:?}", example.input);
                    assert!(!output.ids.contains(&IGNORED) && !output.ids.is_empty());
                }
            }
        }
    }
}
