//! The inputs of a forward pass, each claim of the file held against the model.

use std::sync::Arc;

use ::checkpoint::{CheckpointError, Weights};
use models::ModelConfig;
use nn::NO_POSITION;

use crate::commands::load::Loaded;
use crate::failure::Failure;

/// What models of tokens read, as `transformers` calls it; types last.
const NAMES: [&str; 5] =
    ["input_ids", "attention_mask", "position_ids", "token_type_ids", "task_type_ids"];

/// What a model is shown.
pub struct Inputs {
    /// `[B, T]`.
    pub ids: Arc<[u32]>,
    /// `[B, T]`'s sizes.
    pub shape: [usize; 2],
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
    values: Vec<i64>,
}

impl Inputs {
    /// Reads what `loaded` takes; also returns the names of what it takes.
    ///
    /// # Errors
    /// Where one is missing, of another type or shape, or out of range.
    pub fn read(
        weights: &Weights,
        loaded: &Loaded,
    ) -> Result<(Self, &'static [&'static str]), Failure> {
        let is_seed = matches!(loaded.model.config, ModelConfig::Seed(_));
        let embed = &loaded.model.stack.config().embed;
        let (known, axes): (&'static [&'static str], _) = if is_seed {
            (&["src"], "[T, B]")
        } else {
            (&NAMES[..3 + embed.types.len()], "[B, T]")
        };
        let ids = Matrix::read(weights, known[0], axes)?;
        let [batch, len] = if is_seed { [ids.shape[1], ids.shape[0]] } else { ids.shape };
        let (name, max_len) = (ids.name, loaded.max_len());
        if batch == 0 || len == 0 {
            let problem = format!("`{name}` has shape {:?}: there is no token in it", ids.shape);
            return Err(Failure::new(problem));
        }
        if len > max_len {
            let problem = format!("`{name}` has {len} positions, the model knows {max_len}");
            return Err(Failure::new(problem).hint("cut the sequences"));
        }
        let mut ids = ids.below(loaded.vocab_size(), "the model knows")?;
        if is_seed {
            let row = |b: usize| ids.iter().skip(b).step_by(batch).copied();
            ids = (0..batch).flat_map(row).collect();
        }
        let optional = |name, limit, what| -> Result<Option<Arc<[u32]>>, Failure> {
            if !known.contains(&name) || !weights.contains(name) {
                return Ok(None);
            }
            let found = Matrix::beside(weights, name, [batch, len])?;
            Ok(Some(found.below(limit, what)?.into()))
        };
        let types = NAMES[3..].iter().zip(&embed.types);
        let types: Result<_, _> =
            types.map(|(name, &n)| optional(name, n, "the model knows types of")).collect();
        let first = embed.first_position;
        let positions = optional(
            "position_ids",
            max_len.saturating_add(first),
            "the model knows positions of",
        )?
        .map(|given| given.iter().map(|at| at.wrapping_sub(first as u32)).collect())
        .or_else(|| embed.padding.map(|padding| past_padding(&ids, len, padding)));
        let inputs = Self {
            types: types?,
            ids: ids.into(),
            shape: [batch, len],
            mask: optional("attention_mask", 2, "a mask is of 0 and 1, of")?,
            positions,
        };
        Ok((inputs, known))
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
        let &[rows, cols] = view.shape else {
            let problem = format!("`{name}` has shape {:?}, expected {axes}", view.shape);
            return Err(Failure::new(problem));
        };
        let values = weights.to_i64(name)?;
        Ok(Self { name, shape: [rows, cols], values })
    }

    /// A tensor of as many rows as the ids have; a single one stands for all.
    fn beside(weights: &Weights, name: &'static str, shape: [usize; 2]) -> Result<Self, Failure> {
        let mut found = Self::read(weights, name, "[B, T]")?;
        if found.shape == [1, shape[1]] {
            found.values = found.values.repeat(shape[0]);
            found.shape = shape;
        }
        if found.shape != shape {
            let problem = format!("`{name}` has shape {:?}, `input_ids` {shape:?}", found.shape);
            return Err(Failure::new(problem));
        }
        Ok(found)
    }

    /// The values, each in `0..limit`.
    fn below(&self, limit: usize, what: &str) -> Result<Vec<u32>, Failure> {
        let in_range = |x: &i64| usize::try_from(*x).is_ok_and(|x| x < limit);
        if let Some(at) = self.values.iter().position(|x| !in_range(x)) {
            let (name, cols) = (self.name, self.shape[1]);
            let (row, col, value) = (at / cols, at % cols, self.values[at]);
            let problem = format!("`{name}`[{row}, {col}] is {value}, {what} 0 to {}", limit - 1);
            return Err(Failure::new(problem));
        }
        Ok(self.values.iter().map(|&x| x as u32).collect())
    }
}
