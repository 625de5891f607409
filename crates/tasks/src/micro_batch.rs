//! The examples that go through the model at once.

use std::ops::Range;
use std::sync::Arc;

use models::Stack;
use nn::{Call, Mask};
use tensor::{NO_TARGET, Rng};

use crate::example::{Example, Label, Row};

// Targets go from one to the other as they are.
const _: () = assert!(data::IGNORED == NO_TARGET);

/// Rows of tokens for a trunk, all of one length.
pub struct Shown {
    /// `[B, T]`.
    pub ids: Arc<[u32]>,
    /// `[B, T]`'s sizes.
    pub shape: [usize; 2],
    /// Mask, positions, types, randomness.
    pub call: Call,
}

/// How much there is in a whole batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Targets.
    pub n_targets: u64,
    /// Rows with a class.
    pub n_labels: u64,
    /// Tokens that are read, by encoder and decoder together; padding is none.
    pub n_tokens: u64,
}

/// Some examples of a batch, in rows of one length.
pub struct MicroBatch {
    /// What a stack, or an encoder, reads.
    pub input: Shown,
    /// What a decoder reads, where there is one.
    pub output: Option<Shown>,
    /// `[B, T]` of the output, else of the input; [`NO_TARGET`] where nothing is asked.
    pub targets: Vec<u32>,
    /// As many: log-probabilities of the targets where learning began, 0 where nobody asks.
    pub reference: Vec<f32>,
    /// What is to be said of each example.
    pub labels: Vec<Label>,
    /// Which rows of the input's `[B * T]` each text has; what is padded with is of none.
    pub texts: Vec<Range<usize>>,
    /// Which of the texts each example has.
    pub of_example: Vec<Range<usize>>,
    /// Of the whole batch it is of.
    pub counts: Counts,
    /// Which samples these are, for messages.
    pub sample_ids: Vec<u64>,
}

impl Counts {
    /// Of `examples`.
    pub fn of(examples: &[Example]) -> Self {
        let mut counts = Self::default();
        for example in examples {
            let is_one = |target: &&u32| **target != NO_TARGET;
            counts.n_targets += example.targets.iter().filter(is_one).count() as u64;
            counts.n_labels += u64::from(example.label != Label::None);
            let rows = [Some(&example.input), example.output.as_ref()];
            counts.n_tokens += rows.into_iter().flatten().map(Row::n_tokens).sum::<u64>();
        }
        counts
    }
}

impl Row {
    fn n_texts(&self) -> usize {
        let own = self.segments.as_ref();
        own.map_or(1, |own| own.chunk_by(|a, b| a == b).count())
    }

    fn n_tokens(&self) -> u64 {
        match &self.segments {
            Some(segments) => segments.iter().filter(|&&segment| segment != 0).count() as u64,
            None => self.ids.len() as u64,
        }
    }
}

impl MicroBatch {
    /// The rows `rows` of a batch of `examples`, padded to the longest of all. `rng` is that of the
    /// whole batch.
    pub fn new(examples: &[Example], rows: Range<usize>, rng: Option<Rng>) -> Self {
        let counts = Counts::of(examples);
        let rng = rng.map(|rng| Rng { first_sample: rng.first_sample + rows.start as u64, ..rng });
        let longest = |len: fn(&Example) -> usize| examples.iter().map(len).max().unwrap_or(0);
        let input_len = longest(|example| example.input.ids.len());
        let output_len = longest(|example| example.output.as_ref().map_or(0, |row| row.ids.len()));
        let some = &examples[rows];
        let inputs: Vec<&Row> = some.iter().map(|example| &example.input).collect();
        let outputs: Vec<&Row> = some.iter().filter_map(|e| e.output.as_ref()).collect();
        let output = (output_len > 0).then(|| Shown::new(&outputs, output_len, rng));
        let len = if output.is_some() { output_len } else { input_len };
        let targets = some.iter().map(|example| &example.targets[..]);
        let reference = some.iter().map(|example| &example.reference[..]);
        let mut input = Shown::new(&inputs, input_len, rng);
        let text = |(i, row): (usize, &&Row)| i * input_len..i * input_len + row.ids.len();
        input.call.mask.prefix = some.first().map_or(0, |example| example.prefix);
        Self {
            input,
            output,
            targets: padded(targets, len, NO_TARGET),
            reference: padded(reference, len, 0.0),
            labels: some.iter().map(|example| example.label).collect(),
            counts,
            texts: inputs.iter().enumerate().map(text).collect(),
            of_example: (0..some.len()).map(|i| i..i + 1).collect(),
            sample_ids: some.iter().map(|example| example.sample_id).collect(),
        }
    }

    /// The same without padding: one row, in which the texts of the examples follow one another and
    /// do not see each other; of those with an output a second one, in which each reads its own
    /// input. What is asked of a text is the same as in a row of its own.
    ///
    /// # Panics
    /// When some have an output and others not, one has several texts and an output, or some have
    /// targets and one has not as many as tokens.
    pub fn flat(examples: &[Example], rows: Range<usize>, rng: Option<Rng>) -> Self {
        let inputs: Vec<&Row> = examples.iter().map(|example| &example.input).collect();
        let (input, texts, of_example) = Shown::flat(&inputs, &rows, rng);
        let outputs: Vec<&Row> = examples.iter().filter_map(|e| e.output.as_ref()).collect();
        let output = (!outputs.is_empty()).then(|| {
            let is_each = outputs.len() == inputs.len() && texts.len() == rows.len();
            assert!(is_each, "flat: {} outputs of {}", outputs.len(), inputs.len());
            Shown::flat(&outputs, &rows, rng).0
        });
        let some = &examples[rows];
        let is_asked = some.iter().any(|example| !example.targets.is_empty());
        for Example { sample_id, input, output, targets, .. } in some {
            let n = if is_asked { output.as_ref().unwrap_or(input).ids.len() } else { 0 };
            let n_targets = targets.len();
            assert!(n_targets == n, "flat: {n_targets} targets of {n}, sample {sample_id}");
        }
        let mut reference = Vec::new();
        for Example { targets, reference: own, .. } in some {
            let end = reference.len() + targets.len();
            reference.extend_from_slice(own);
            reference.resize(end, 0.0);
        }
        Self {
            input,
            output,
            targets: some.iter().flat_map(|example| &example.targets).copied().collect(),
            reference,
            labels: some.iter().map(|example| example.label).collect(),
            counts: Counts::of(examples),
            texts,
            of_example,
            sample_ids: some.iter().map(|example| example.sample_id).collect(),
        }
    }
}

impl Shown {
    /// Rows `some` of `all`, one after another in one; where the texts of it are, and which of them
    /// are of each row.
    fn flat(
        all: &[&Row],
        some: &Range<usize>,
        rng: Option<Rng>,
    ) -> (Self, Vec<Range<usize>>, Vec<Range<usize>>) {
        let earlier = &all[..some.start];
        let before: usize = earlier.iter().map(|row| row.ids.len()).sum();
        let n_texts_before: usize = earlier.iter().map(|row| row.n_texts()).sum();
        let (mut row, mut texts, mut of_row) = (Row::default(), Vec::new(), Vec::new());
        let (mut segments, mut positions, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for input in &all[some.clone()] {
            let first_text = texts.len();
            let own = input.segments.as_deref();
            let mut at = 0;
            while at < input.ids.len() {
                let is_same = |to: &usize| own.is_none_or(|own| own[*to] == own[at]);
                let n = (at..input.ids.len()).take_while(is_same).count();
                let start = row.ids.len();
                row.ids.extend_from_slice(&input.ids[at..at + n]);
                segments.resize(start + n, texts.len() as u32 + 1);
                match &input.positions {
                    Some(own) => positions.extend_from_slice(&own[at..at + n]),
                    None => positions.extend(0..n as u32),
                }
                match &input.types {
                    Some(own) => types.extend_from_slice(&own[at..at + n]),
                    None => types.resize(start + n, 0),
                }
                texts.push(start..start + n);
                at += n;
            }
            of_row.push(first_text..texts.len());
        }
        row.types = all[some.clone()].iter().any(|row| row.types.is_some()).then_some(types);
        (row.segments, row.positions) = (Some(segments), Some(positions));
        let rng = rng.map(|rng| Rng { first_token: rng.first_token + before as u64, ..rng });
        let mut shown = Self::new(&[&row], row.ids.len(), rng);
        shown.call.n_texts_before = n_texts_before as u64;
        (shown, texts, of_row)
    }

    fn new(rows: &[&Row], len: usize, rng: Option<Rng>) -> Self {
        let shape = [rows.len(), len];
        let mut call = Stack::plain_call(shape);
        // No mask lets anybody see what a row is padded with.
        let ids = padded(rows.iter().map(|row| &row.ids[..]), len, 0);
        // What one row says, the others are asked for too.
        let given = |of: fn(&Row) -> Option<&Vec<u32>>, otherwise: fn(usize) -> u32| {
            let is_said = rows.iter().any(|row| of(row).is_some());
            is_said.then(|| -> Arc<[u32]> {
                let said = |row: &&Row| -> Vec<u32> {
                    let own = || (0..row.ids.len()).map(otherwise).collect();
                    of(row).cloned().unwrap_or_else(own)
                };
                let said: Vec<Vec<u32>> = rows.iter().map(said).collect();
                padded(said.iter().map(|row| &row[..]), len, 0).into()
            })
        };
        if let Some(positions) = given(|row| row.positions.as_ref(), |at| at as u32) {
            call.positions = positions;
        }
        if let Some(types) = given(|row| row.types.as_ref(), |_| 0) {
            call.types = vec![Some(types)];
        }
        let mut segments = given(|row| row.segments.as_ref(), |_| 1);
        if segments.is_none() && rows.iter().any(|row| row.ids.len() < len) {
            let ones: Vec<Vec<u32>> = rows.iter().map(|row| vec![1; row.ids.len()]).collect();
            segments = Some(padded(ones.iter().map(|row| &row[..]), len, 0).into());
        }
        call.mask = Mask { segments, ..Mask::default() };
        call.rng = rng;
        Self { ids: ids.into(), shape, call }
    }
}

/// `rows` one after the other, each `len` long.
fn padded<'r, T: Copy + 'r>(rows: impl Iterator<Item = &'r [T]>, len: usize, pad: T) -> Vec<T> {
    let mut all = Vec::new();
    for row in rows {
        all.extend_from_slice(row);
        all.resize(all.len() + len - row.len(), pad);
    }
    all
}
