//! The inputs of a forward pass, each claim of the file held against the model.

use std::sync::Arc;

use ::checkpoint::{CheckpointError, Weights};
use models::ModelConfig;

use crate::commands::load::Loaded;
use crate::failure::Failure;

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
}

/// An integer tensor of rank 2.
struct Matrix {
    name: &'static str,
    shape: [usize; 2],
    values: Vec<i64>,
}

impl Inputs {
    /// Reads what `loaded` takes; also returns how many tensors it does not take.
    ///
    /// # Errors
    /// Where one is missing, of another type or shape, or out of range.
    pub fn read(weights: &Weights, loaded: &Loaded) -> Result<(Self, usize), Failure> {
        let is_seed = matches!(loaded.model.config, ModelConfig::Seed(_));
        let (known, axes): (&[&'static str], _) = match loaded.model.config {
            ModelConfig::Seed(_) => (&["src"], "[T, B]"),
            ModelConfig::Gpt2(_) => (&["input_ids", "attention_mask", "position_ids"], "[B, T]"),
        };
        let n_unread = weights.names().filter(|name| !known.contains(name)).count();
        let ids = Matrix::read(weights, known[0], axes)?;
        let [batch, len] = if is_seed { [ids.shape[1], ids.shape[0]] } else { ids.shape };
        let (name, max_len) = (ids.name, loaded.max_len());
        if batch == 0 || len == 0 {
            let problem = format!("`{name}` has shape {:?}: there is no token in it", ids.shape);
            return Err(Failure::new(problem).hint("give one token at least"));
        }
        if len > max_len {
            let problem = format!("`{name}` has {len} positions, the model knows {max_len}");
            return Err(Failure::new(problem).hint("cut the sequences"));
        }
        let (knows, vocab_size) = ("the model knows", loaded.vocab_size());
        let mut ids = ids.below(vocab_size, &format!("{knows} 0 to {}", vocab_size - 1))?;
        if is_seed {
            let row = |b: usize| ids.iter().skip(b).step_by(batch).copied();
            ids = (0..batch).flat_map(row).collect();
        }
        let optional = |name, limit, what: &str| -> Result<Option<Arc<[u32]>>, Failure> {
            if !known.contains(&name) || !weights.contains(name) {
                return Ok(None);
            }
            let found = Matrix::beside(weights, name, [batch, len])?;
            Ok(Some(found.below(limit, what)?.into()))
        };
        let positions = format!("{knows} positions of 0 to {}", max_len - 1);
        let inputs = Self {
            ids: ids.into(),
            shape: [batch, len],
            mask: optional("attention_mask", 2, "a mask is of 0 and 1")?,
            positions: optional("position_ids", max_len, &positions)?,
        };
        Ok((inputs, n_unread))
    }
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
            return Err(Failure::new(problem).hint("a single sequence has a batch of 1"));
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
