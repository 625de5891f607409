//! The inputs of a forward pass, each claim of the file held against the model.

use std::sync::Arc;

use ::checkpoint::{CheckpointError, Weights};
use nn::{NO_POSITION, TokenEmbedConfig, TokenPositions};

use crate::failure::Failure;

/// What models of tokens read, as `transformers` calls it; types last.
pub const TOKENS: [&str; 5] =
    ["input_ids", "attention_mask", "position_ids", "token_type_ids", "task_type_ids"];

/// What decoders that follow an encoder read.
pub const DECODER_TOKENS: [&str; 2] = ["decoder_input_ids", "decoder_attention_mask"];

/// The axes of tokens.
pub const ROWS: &str = "[B, T]";
/// Those of tokens of some choices for each row.
pub const ALL: &str = "[B, C, T]";

/// What a model is shown.
pub struct Inputs {
    /// `[B, T]`.
    pub ids: Arc<[u32]>,
    /// `[B, T]`'s sizes.
    pub shape: [usize; 2],
    /// How many rows are choices for one.
    pub n_choices: usize,
    /// `[B, T]`: 1 where there is a token, 0 for padding.
    pub mask: Option<Arc<[u32]>>,
    /// `[B, T]`; none is `0..T`.
    pub positions: Option<Arc<[u32]>>,
    /// `[B, T]` each: rows of the embedding's further tables.
    pub types: Vec<Option<Arc<[u32]>>>,
}

/// An integer tensor of rank 2.
struct Matrix {
    name: &'static str,
    shape: [usize; 2],
    n_choices: usize,
    values: Vec<i64>,
}

impl Inputs {
    /// Reads what a model of tokens takes, under the names `known`, in the order of [`TOKENS`]; of
    /// [`ALL`] axes, the first two become one.
    ///
    /// # Errors
    /// Where one is missing, of another type or shape, or out of range.
    pub fn read(
        weights: &Weights,
        known: &[&'static str],
        embed: &TokenEmbedConfig,
        axes: &str,
    ) -> Result<Self, Failure> {
        let ids = Matrix::tokens(weights, known[0], axes)?;
        let (shape, n_choices) = (ids.shape, ids.n_choices);
        let ids = ids.known_to(embed, shape[1])?;
        let optional = |at: usize, limit, what: &str| -> Result<Option<Arc<[u32]>>, Failure> {
            let Some(name) = known.get(at).filter(|name| weights.contains(name)) else {
                return Ok(None);
            };
            let found = Matrix::beside(weights, name, (known[0], shape), axes)?;
            Ok(Some(found.below(limit, what)?.into()))
        };
        let types = embed.types.iter().enumerate();
        let type_of = |n: usize| format!("the model knows types of 0 to {}", n - 1);
        let types: Result<_, _> = types.map(|(i, &n)| optional(3 + i, n, &type_of(n))).collect();
        let first = embed.first_position;
        let n_positions = embed.max_len.saturating_add(first);
        let of = format!("the model knows positions of 0 to {}", n_positions - 1);
        let positions = optional(2, n_positions, &of)?
            .map(|given| given.iter().map(|at| at.wrapping_sub(first as u32)).collect())
            .or_else(|| embed.padding.map(|padding| past_padding(&ids, shape[1], padding)));
        Ok(Self {
            types: types?,
            ids: ids.into(),
            shape,
            n_choices,
            mask: optional(1, 2, "a mask is of 0 and 1")?,
            positions,
        })
    }

    /// Reads tokens `[T, B]`, alone.
    ///
    /// # Errors
    /// As [`Inputs::read`].
    pub fn time_first(
        weights: &Weights,
        known: &[&'static str],
        embed: &TokenEmbedConfig,
    ) -> Result<Self, Failure> {
        let ids = Matrix::tokens(weights, known[0], "[T, B]")?;
        let [len, batch] = ids.shape;
        let ids = ids.known_to(embed, len)?;
        let row = |b: usize| ids.iter().skip(b).step_by(batch).copied();
        let ids = (0..batch).flat_map(row).collect();
        Ok(Self::plain(ids, [batch, len]))
    }

    /// Tokens alone.
    pub fn plain(ids: Arc<[u32]>, shape: [usize; 2]) -> Self {
        Self { ids, shape, n_choices: 1, mask: None, positions: None, types: Vec::new() }
    }

    /// The last token of every row that is not `padding`, numbered as rows of `[B * T]`, as
    /// `transformers` finds it; without such an id, the last that is not masked.
    pub fn last_rows(&self, padding: Option<u32>) -> Arc<[u32]> {
        let is_text = |at: usize| match (padding, &self.mask) {
            (Some(padding), _) => self.ids[at] != padding,
            (None, Some(mask)) => mask[at] != 0,
            (None, None) => true,
        };
        let [batch, len] = self.shape;
        let last = |row: usize| (row * len..(row + 1) * len).rfind(|&at| is_text(at));
        (0..batch).map(|row| last(row).unwrap_or(row * len) as u32).collect()
    }

    /// Where each row has its last `end`.
    ///
    /// # Errors
    /// Where one has none.
    pub fn end_rows(&self, end: u32) -> Result<Arc<[u32]>, Failure> {
        let [batch, len] = self.shape;
        let row = |row: usize| {
            let found = (row * len..(row + 1) * len).rfind(|&at| self.ids[at] == end);
            let problem = || Failure::new(format!("`input_ids`[{row}] has no token {end}"));
            let hint = "a class is read where a text ends: put `eos_token_id` there";
            found.map(|at| at as u32).ok_or_else(|| problem().hint(hint))
        };
        (0..batch).map(row).collect()
    }
}

/// Positions that do not count padding, `[B, T]` as the ids are.
fn past_padding(ids: &[u32], len: usize, padding: u32) -> Arc<[u32]> {
    let row = |row: &[u32]| {
        let mut next = 0..;
        let at = |&id: &u32| if id == padding { NO_POSITION } else { next.next().unwrap_or(0) };
        row.iter().map(at).collect::<Vec<_>>()
    };
    ids.chunks_exact(len).flat_map(row).collect()
}

impl Matrix {
    fn read(weights: &Weights, name: &'static str, axes: &str) -> Result<Self, Failure> {
        let view = weights.get(name).map_err(|error| match error {
            CheckpointError::MissingTensor { .. } => {
                let names: Vec<_> = weights.names().take(8).map(|n| format!("`{n}`")).collect();
                let has = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                Failure::from(error).hint(format!("this model reads `{name}`; the file has {has}"))
            }
            _ => error.into(),
        })?;
        let (rows, n_choices, cols) = match *view.shape {
            [rows, cols] if axes != ALL => (rows, 1, cols),
            [rows, n_choices, cols] if axes == ALL => (rows * n_choices, n_choices, cols),
            _ => {
                let problem = format!("`{name}` has shape {:?}, expected {axes}", view.shape);
                return Err(Failure::new(problem).hint("a single sequence has a batch of 1"));
            }
        };
        let values = weights.to_i64(name)?;
        Ok(Self { name, shape: [rows, cols], n_choices, values })
    }

    /// Ids of tokens, of which there is one.
    fn tokens(weights: &Weights, name: &'static str, axes: &str) -> Result<Self, Failure> {
        let found = Self::read(weights, name, axes)?;
        if found.shape.contains(&0) {
            let problem = format!("`{name}` has shape {:?}: there is no token in it", found.shape);
            return Err(Failure::new(problem).hint("give one token at least"));
        }
        Ok(found)
    }

    /// The values, which are tokens of sequences of this length.
    fn known_to(&self, embed: &TokenEmbedConfig, len: usize) -> Result<Vec<u32>, Failure> {
        // Rotary positions go on beyond the context that was trained.
        if len > embed.max_len && embed.positions != TokenPositions::None {
            let (name, max_len) = (self.name, embed.max_len);
            let problem = format!("`{name}` has {len} positions, the model knows {max_len}");
            return Err(Failure::new(problem).hint("cut the sequences"));
        }
        self.below(embed.vocab_size, &format!("the model knows 0 to {}", embed.vocab_size - 1))
    }

    /// A tensor of as many rows as the ids have; a single one stands for all.
    fn beside(
        weights: &Weights,
        name: &'static str,
        (ids, shape): (&str, [usize; 2]),
        axes: &str,
    ) -> Result<Self, Failure> {
        let mut found = Self::read(weights, name, axes)?;
        if found.shape == [1, shape[1]] {
            found.values = found.values.repeat(shape[0]);
            found.shape = shape;
        }
        if found.shape != shape {
            let problem = format!("`{name}` has shape {:?}, `{ids}` {shape:?}", found.shape);
            return Err(
                Failure::new(problem).hint("give as many rows and columns as there are ids")
            );
        }
        Ok(found)
    }

    /// The values, each in `0..limit`, which is what `expected` says.
    fn below(&self, limit: usize, expected: &str) -> Result<Vec<u32>, Failure> {
        let in_range = |x: &i64| usize::try_from(*x).is_ok_and(|x| x < limit);
        if let Some(at) = self.values.iter().position(|x| !in_range(x)) {
            let (name, cols) = (self.name, self.shape[1]);
            let (row, col, value) = (at / cols, at % cols, self.values[at]);
            let problem = format!("`{name}`[{row}, {col}] is {value}, {expected}");
            return Err(Failure::new(problem).hint("were the inputs made for another model?"));
        }
        Ok(self.values.iter().map(|&x| x as u32).collect())
    }
}
