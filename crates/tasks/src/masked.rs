//! Masked language modelling: some tokens are hidden, and asked for.
//!
//! Devlin et al., "BERT", arXiv:1810.04805, section 3.1; hidden anew in every epoch, as Liu et al.,
//! "`RoBERTa`", arXiv:1907.11692, section 4.1, have it.

use data::{Batch, IGNORED, marks};
use models::{Model, Stack};
use nn::Context;
use tensor::{CrossEntropyArgs, LogitsWatch, Loss, Tape, Var};

use crate::draws::Draws;
use crate::example::{Example, Label, Row, pieces};
use crate::losses::{Losses, Part};
use crate::matching;
use crate::micro_batch::MicroBatch;
use crate::next_token::NextToken;
use crate::objective::{Objective, TextObjective};
pub use crate::pairs::Pair;
use crate::pairs::Run;
use crate::select::{Replacement, Unit};
use crate::vocabulary::Vocabulary;

/// Masked tokens and, perhaps, a question about two texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// What text there is.
    pub vocabulary: Vocabulary,
    /// The share of tokens that is hidden.
    pub rate: f64,
    /// What is hidden together.
    pub unit: Unit,
    /// What is shown instead.
    pub replacement: Replacement,
    /// Stands for a hidden token.
    pub mask: u32,
    /// Begins a row, or a document.
    pub begin: u32,
    /// Ends it.
    pub end: u32,
    /// What is asked of two texts.
    pub pair: Option<Pair>,
}

/// A row before anything is hidden.
#[derive(Default)]
struct Draft {
    row: Row,
    /// One mark a token; empty where the store has none.
    marks: Vec<u8>,
    label: Option<u32>,
}

impl Draft {
    fn push(&mut self, ids: &[u32], marks: &[u8], (type_, segment): (u32, u32)) {
        self.row.ids.extend_from_slice(ids);
        let n = self.row.ids.len();
        self.marks.extend_from_slice(marks);
        self.row.types.iter_mut().for_each(|types| types.resize(n, type_));
        self.row.segments.iter_mut().for_each(|segments| segments.resize(n, segment));
    }
}

impl Masked {
    /// Tokens around a text.
    pub const AROUND: usize = 2;
    /// Tokens around two.
    pub const AROUND_PAIR: usize = 3;

    /// A row of its own, or documents side by side.
    fn plain(&self, batch: &Batch, row: usize) -> Draft {
        let mut draft = Draft::default();
        if batch.segments.is_some() {
            (draft.row.segments, draft.row.positions) = (Some(Vec::new()), Some(Vec::new()));
        }
        let special = special(batch);
        for (segment, piece) in (1..).zip(pieces(batch, row)) {
            let at = (0, segment);
            // Its own end is put there again.
            let n = piece.ids.len() - usize::from(piece.ids.last() == Some(&self.end));
            draft.push(&[self.begin], special, at);
            draft.push(&piece.ids[..n], piece.marks.get(..n).unwrap_or_default(), at);
            draft.push(&[self.end], special, at);
            if let Some(positions) = &mut draft.row.positions {
                positions.extend(0..n as u32 + 2);
            }
        }
        draft
    }

    fn paired(&self, runs: &[Run], i: usize, batch: &Batch, pair: Pair, d: &mut Draws) -> Draft {
        let mut draft = Draft::default();
        draft.row.types = Some(Vec::new());
        let special = special(batch);
        draft.push(&[self.begin], special, (0, 1));
        let (texts, label) = match pair.of(runs, i, d) {
            Some((texts, label)) => (texts.to_vec(), Some(label)),
            None => (vec![runs[i]], None),
        };
        draft.label = label;
        for (type_, text) in (0..).zip(texts) {
            draft.push(text.ids, text.marks, (type_, 1));
            draft.push(&[self.end], special, (type_, 1));
        }
        draft
    }

    fn hide(&self, draft: Draft, sample_id: u64, draws: &mut Draws) -> Example {
        let Draft { mut row, marks, label } = draft;
        let text: Vec<bool> = row.ids.iter().map(|&id| self.vocabulary.is_text(id)).collect();
        let mut targets = vec![IGNORED; row.ids.len()];
        if text.iter().any(|&is_text| is_text) {
            for range in self.unit.select((&text, &marks), self.rate, draws) {
                let mut how = draws.unit();
                for at in range {
                    targets[at] = row.ids[at];
                    row.ids[at] = self.shown(row.ids[at], how, draws);
                    if !self.unit.is_shown_alike() {
                        how = draws.unit();
                    }
                }
            }
        }
        let label = label.map_or(Label::None, Label::Class);
        Example { input: row, targets, label, ..Example::of(sample_id) }
    }

    fn shown(&self, id: u32, how: f64, draws: &mut Draws) -> u32 {
        let Replacement { mask, random } = self.replacement;
        if how < mask {
            self.mask
        } else if how < mask + random {
            self.vocabulary.ordinary[draws.below(self.vocabulary.ordinary.len())]
        } else {
            id
        }
    }
}

impl Objective for Masked {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let stack = model.stack();
        let mut ctx = Context { call: batch.input.call.clone(), cache: None };
        ctx.call.balance = NextToken::balance(stack, batch).filter(|_| tape.is_recording());
        let hidden = stack.forward(tape, &batch.input.ids, batch.input.shape, &mut ctx);
        let (rows, targets) = hidden_rows(batch);
        let asked = (&rows[..], &targets[..]);
        let masked = tape.scope("head", None, || find_hidden(tape, stack, asked, &hidden, None));
        let mut losses = Losses::one("masked", masked);
        if self.pair.is_some() {
            let head = stack.class_head().expect("a head over classes");
            let loss = tape.scope("pair_head", None, || matching::loss(tape, head, batch, &hidden));
            losses.0.push(Part { name: "pair", weight: 1.0, loss });
        }
        losses
    }
}

impl TextObjective for Masked {
    fn examples(&self, batch: &Batch, seed: u64) -> Vec<Example> {
        let rows = 0..batch.n_rows();
        let runs: Vec<Run> = match self.pair {
            None => Vec::new(),
            Some(_) => rows.clone().map(|row| longest_run(batch, row, self.end)).collect(),
        };
        rows.map(|row| {
            let sample_id = batch.sample_ids[row];
            let draws = &mut Draws::new(seed, sample_id);
            let draft = match self.pair {
                None => self.plain(batch, row),
                Some(pair) => self.paired(&runs, row, batch, pair, draws),
            };
            self.hide(draft, sample_id, draws)
        })
        .collect()
    }
}

/// The marks of a token that is put around text.
fn special(batch: &Batch) -> &'static [u8] {
    if batch.marks.is_some() { &[marks::ALONE] } else { &[] }
}

/// The longest text of a row that is of one document.
fn longest_run(batch: &Batch, row: usize, end: u32) -> Run<'_> {
    let start = row * batch.seq_len;
    let all = &batch.targets[start..start + batch.seq_len];
    let n = all.iter().position(|&id| id == IGNORED).unwrap_or(all.len());
    let marks = batch.marks.as_ref().expect("a store with marks, where sentences are");
    Run::longest(&all[..n], &marks[start..start + n], end)
}

/// Rows of `[B, T]` where something is asked, and what.
pub(crate) fn hidden_rows(batch: &MicroBatch) -> (Vec<u32>, Vec<u32>) {
    let is_hidden = |(_, target): &(u32, &u32)| **target != IGNORED;
    (0..).zip(&batch.targets).filter(is_hidden).map(|(row, &target)| (row, target)).unzip()
}

/// The cross entropy of hidden tokens. Only their rows go through the head; `watch` is that of
/// [`CrossEntropyArgs`], of these rows.
pub(crate) fn find_hidden<'a>(
    tape: &Tape<'a>,
    stack: &'a Stack,
    (rows, targets): (&[u32], &[u32]),
    hidden: &Var,
    watch: Option<&LogitsWatch>,
) -> Loss {
    if rows.is_empty() {
        return Loss::default();
    }
    let head = stack.token_head().expect("a head over the vocabulary");
    let hidden = head.hidden(tape, &tape.select_rows(hidden, &rows.into()));
    let args = head.cross_entropy(targets);
    tape.linear_cross_entropy(&hidden, CrossEntropyArgs { watch, ..args })
}
