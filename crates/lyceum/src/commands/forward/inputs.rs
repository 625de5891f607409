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
        let (inputs, known): (_, &[&str]) = match loaded.model.config {
            ModelConfig::Seed(_) => (Self::of_seed(weights, loaded)?, &["src"]),
            ModelConfig::Gpt2(_) => {
                let known = &["input_ids", "attention_mask", "position_ids"];
                (Self::of_decoder(weights, loaded)?, known)
            }
        };
        let n_unread = weights.names().filter(|name| !known.contains(name)).count();
        Ok((inputs, n_unread))
    }

    fn of_seed(weights: &Weights, loaded: &Loaded) -> Result<Self, Failure> {
        let src = Matrix::read(weights, "src", "[T, B]")?;
        let [len, batch] = src.shape;
        refuse_shape(&src, [batch, len], loaded)?;
        let ids = src.below(loaded.vocab_size(), "the model knows")?;
        let row = |b: usize| ids.iter().skip(b).step_by(batch).copied();
        let ids = (0..batch).flat_map(row).collect();
        Ok(Self { ids, shape: [batch, len], mask: None, positions: None })
    }

    fn of_decoder(weights: &Weights, loaded: &Loaded) -> Result<Self, Failure> {
        let ids = Matrix::read(weights, "input_ids", "[B, T]")?;
        let shape = ids.shape;
        refuse_shape(&ids, shape, loaded)?;
        let mask = Matrix::optional(weights, "attention_mask", shape)?;
        let mask = mask.map(|mask| mask.below(2, "a mask is of 0 and 1, of")).transpose()?;
        let positions = Matrix::optional(weights, "position_ids", shape)?;
        let positions =
            positions.map(|p| p.below(loaded.max_len(), "the model knows positions of"));
        Ok(Self {
            ids: ids.below(loaded.vocab_size(), "the model knows")?.into(),
            shape,
            mask: mask.map(Into::into),
            positions: positions.transpose()?.map(Into::into),
        })
    }
}

fn refuse_shape(ids: &Matrix, [batch, len]: [usize; 2], loaded: &Loaded) -> Result<(), Failure> {
    let Matrix { name, shape, .. } = ids;
    if batch == 0 || len == 0 {
        return Err(Failure::new(format!("`{name}` has shape {shape:?}: there is no token in it")));
    }
    let max_len = loaded.max_len();
    if len > max_len {
        let problem = format!("`{name}` has {len} positions, the model knows {max_len}");
        return Err(Failure::new(problem).hint("cut the sequences"));
    }
    Ok(())
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

    /// A tensor that may be there; a single row stands for all.
    fn optional(
        weights: &Weights,
        name: &'static str,
        shape: [usize; 2],
    ) -> Result<Option<Self>, Failure> {
        if !weights.contains(name) {
            return Ok(None);
        }
        let mut found = Self::read(weights, name, "[B, T]")?;
        if found.shape == [1, shape[1]] {
            found.values = found.values.repeat(shape[0]);
            found.shape = shape;
        }
        if found.shape != shape {
            let problem = format!("`{name}` has shape {:?}, `input_ids` {shape:?}", found.shape);
            return Err(Failure::new(problem));
        }
        Ok(Some(found))
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
