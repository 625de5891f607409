//! One sample as a model is shown it: plain ids.

use data::{Batch, IGNORED};

/// Tokens that go through a trunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The tokens, T.
    pub ids: Vec<u32>,
    /// `[T]`: which of two texts a token is of; none is the first.
    pub types: Option<Vec<u32>>,
    /// `[T]`: which document, from 1, 0 for padding; none is one.
    pub segments: Option<Vec<u32>>,
    /// `[T]`: the place in its document; none is that in the row.
    pub positions: Option<Vec<u32>>,
}

/// One sample as a model is shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Unique in a run.
    pub sample_id: u64,
    /// What a stack, or an encoder, reads.
    pub input: Row,
    /// What a decoder reads, where there is one.
    pub output: Option<Row>,
    /// One a token of `output`, else of `input`: what is to be said there, or [`IGNORED`]; of
    /// documents that are ranked, at the first token of each, the bits of how good it is.
    pub targets: Vec<u32>,
    /// One a target's place: the log-probability of it where learning began, as a loss may be
    /// anchored to it; empty where nobody asks.
    pub reference: Vec<f32>,
    /// What is to be said of all of it.
    pub label: Label,
    /// So many positions at the start are seen by all, where a trunk looks back alone.
    pub prefix: usize,
}

/// What is to be said of a whole sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Label {
    /// Nothing.
    #[default]
    None,
    /// A class; where a sample has several texts to choose from, which of them.
    Class(u32),
    /// A number.
    Value(f32),
    /// The first and the last token of an answer; a model that sees none says the first of all
    /// twice.
    Span([u32; 2]),
}

impl Label {
    /// The class, or [`IGNORED`].
    pub fn class(self) -> u32 {
        if let Self::Class(class) = self { class } else { IGNORED }
    }
}

impl Row {
    /// Plain tokens.
    pub fn plain(ids: Vec<u32>) -> Self {
        Self { ids, ..Self::default() }
    }
}

/// A part of a row of a batch: tokens of one document, or of a stream.
pub(crate) struct Piece<'b> {
    pub ids: &'b [u32],
    /// What begins with each; empty where nobody says.
    pub marks: &'b [u8],
    /// What came before the first.
    pub before: u32,
}

/// The text of row `row`, in the pieces that see each other.
pub(crate) fn pieces(batch: &Batch, row: usize) -> Vec<Piece<'_>> {
    let start = row * batch.seq_len;
    let all = &batch.targets[start..start + batch.seq_len];
    let n = all.iter().position(|&id| id == IGNORED).unwrap_or(all.len());
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < n {
        let to = match &batch.segments {
            None => n,
            Some(segments) => {
                let segments = &segments[start + from..start + n];
                from + segments.iter().take_while(|&s| *s == segments[0]).count()
            }
        };
        let marks = batch.marks.as_ref().map_or(&[][..], |m| &m[start + from..start + to]);
        pieces.push(Piece { ids: &all[from..to], marks, before: batch.inputs[start + from] });
        from = to;
    }
    pieces
}

impl Example {
    /// Tokens that are read, and read to be gone on with.
    pub fn n_tokens(&self) -> usize {
        self.input.ids.len() + self.output.as_ref().map_or(0, |row| row.ids.len())
    }

    /// Whether anything is to be said of it.
    pub fn is_asked(&self) -> bool {
        self.label != Label::None || self.targets.iter().any(|target| *target != IGNORED)
    }

    /// What comes before the last stretch that is to be said; where an encoder reads, all of that.
    pub fn given(&self) -> &[u32] {
        if self.output.is_some() {
            return &self.input.ids;
        }
        let is_asked = |target: &u32| *target != IGNORED;
        let last = self.targets.iter().rposition(is_asked).unwrap_or(0);
        let before = self.targets[..last].iter().rposition(|target| !is_asked(target));
        &self.input.ids[..=before.map_or(0, |at| at + 1)]
    }

    /// One of which only the name is known.
    pub fn of(sample_id: u64) -> Self {
        let (input, output, targets) = (Row::default(), None, Vec::new());
        let (reference, label, prefix) = (Vec::new(), Label::None, 0);
        Self { sample_id, input, output, targets, reference, label, prefix }
    }
}
