//! Import tables: a bijection between a family's external names and this project's own, used both
//! ways.

use checkpoint::{CheckpointError, Entry, Values, Weights};
use tensor::Entry as Registered;
use tensor::{Param, Params};

use crate::error::ModelError;

/// Where an external tensor comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A parameter of that name, as it is.
    Param(String),
    /// A parameter of that name, whose external form is its transpose.
    Transposed(String),
    /// The fixed table of positions: checked on reading, and then taken as it is stored.
    Waves,
}

/// One external tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name on disk.
    pub name: String,
    /// What it is here.
    pub source: Source,
}

impl Import {
    /// `name` is the parameter `own`.
    pub fn param(name: impl Into<String>, own: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Param(own.into()) }
    }

    /// `name` is the transpose of the parameter `own`.
    pub fn transposed(name: impl Into<String>, own: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Transposed(own.into()) }
    }
}

fn find<'p>(params: &'p Params, own: &str) -> &'p Param {
    &params.find(own).unwrap_or_else(|| panic!("import table: no parameter `{own}`")).param
}

/// The transpose of a row-major `[rows, cols]`.
fn transpose(x: &[f32], [rows, cols]: [usize; 2]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for (r, row) in x.chunks_exact(cols.max(1)).enumerate() {
        for (c, &value) in row.iter().enumerate() {
            y[c * rows + r] = value;
        }
    }
    y
}

fn matrix(param: &Param) -> [usize; 2] {
    match *param.shape() {
        [rows, cols] => [rows, cols],
        ref other => panic!("import table: {other:?} is no matrix"),
    }
}

/// Holds every shape of `table` against what is stored, before any memory is taken for it.
pub(crate) fn check(
    table: &[Import],
    weights: &Weights,
    registered: &[Registered],
) -> Result<(), ModelError> {
    for Import { name, source } in table {
        let found = weights.get(name)?.shape;
        let (own, transposed) = match source {
            Source::Param(own) => (own, false),
            Source::Transposed(own) => (own, true),
            Source::Waves => continue,
        };
        let entry = registered.iter().find(|e| e.name == *own);
        let mut expected = entry.expect("a registered parameter").param.shape().to_vec();
        if transposed {
            expected.reverse();
        }
        if found != expected {
            let (name, found) = (name.clone(), found.to_vec());
            return Err(CheckpointError::Shape { name, expected, found }.into());
        }
    }
    Ok(())
}

/// A sine of 5000 times an f32, in any mathematics library and stored in any floating-point type;
/// another arrangement of sines and cosines is off by ones.
const WAVES_TOLERANCE: f32 = 0.01;

/// Reads every tensor of `table` from `weights`.
pub(crate) fn read(
    table: &[Import],
    weights: &Weights,
    (params, mut waves): (&mut Params, Option<&mut [f32]>),
) -> Result<(), ModelError> {
    for import in table {
        let name = import.name.clone();
        match &import.source {
            Source::Param(own) => {
                let param = find(params, own).clone();
                weights.read_f32(&name, param.shape(), params.get_mut(&param))?;
            }
            Source::Transposed(own) => {
                let param = find(params, own).clone();
                let [rows, cols] = matrix(&param);
                let mut external = vec![0.0; param.len()];
                weights.read_f32(&name, &[cols, rows], &mut external)?;
                params.get_mut(&param).copy_from_slice(&transpose(&external, [cols, rows]));
            }
            Source::Waves => {
                let stored = weights.to_f32(&name)?;
                let close = |(a, b): (&f32, &f32)| (a - b).abs() < WAVES_TOLERANCE;
                let waves = waves.as_deref_mut().expect("a table with waves has a model with them");
                if stored.len() != waves.len() || !stored.iter().zip(&*waves).all(close) {
                    return Err(ModelError::Constant { name });
                }
                waves.copy_from_slice(&stored);
            }
        }
    }
    Ok(())
}

/// Every tensor of `table`, to be written in the order of the table. `waves` comes with its shape.
pub(crate) fn entries<'a>(
    table: &[Import],
    params: &'a Params,
    waves: Option<(&'a [f32], [usize; 3])>,
) -> Vec<Entry<'a>> {
    let entry = |import: &Import| {
        let name = import.name.clone();
        match &import.source {
            Source::Param(own) => {
                let param = find(params, own);
                Entry::new(name, param.shape(), Values::F32(params.get(param)))
            }
            Source::Transposed(own) => {
                let param = find(params, own);
                let [rows, cols] = matrix(param);
                Entry::made(name, &[cols, rows], move || transpose(params.get(param), [rows, cols]))
            }
            Source::Waves => {
                let (values, shape) = waves.expect("a table with waves has a model with waves");
                Entry::new(name, &shape, Values::F32(values))
            }
        }
    };
    table.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn transposing_twice_changes_nothing() {
        let x = [1., 2., 3., 4., 5., 6.];
        assert_eq!(transpose(&x, [2, 3]), [1., 4., 2., 5., 3., 6.]);
        assert_eq!(transpose(&transpose(&x, [2, 3]), [3, 2]), x);
    }
}
