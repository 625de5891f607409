//! Some columns of a value: the part of a packed projection that is asked for.
//!
//! ```text
//! y[r, c] = x[r, first + c],    dx[r, first + c] = dy[r, c], and 0 elsewhere
//! ```

use std::ops::Range;

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// `[.., D] -> [.., n]`: the columns `columns`, which are n.
    ///
    /// # Panics
    /// When a column is not there.
    #[track_caller]
    pub fn columns(&self, x: &Var, columns: Range<usize>) -> Var {
        let (_, d) = x.value.rows();
        assert!(columns.end <= d, "columns: {columns:?} of x {:?}", x.value.shape());
        let (mut shape, dtype) = (x.value.shape().to_vec(), x.value.dtype());
        *shape.last_mut().expect("rank >= 1") = columns.len();
        let mut y = self.device().empty(&shape, dtype);
        by_dtype!(dtype, T => {
            let rows = y.as_mut_slice::<T>().chunks_exact_mut(columns.len().max(1));
            for (y, x) in rows.zip(x.value.as_slice::<T>().chunks_exact(d)) {
                y.copy_from_slice(&x[columns.clone()]);
            }
        });
        let (slot, shape) = (x.slot, x.value.shape().to_vec());
        self.finish("columns", slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().zeros(&shape, dtype);
            by_dtype!(dtype, T => {
                let rows = dy.as_slice::<T>().chunks_exact(columns.len().max(1));
                for (dx, dy) in dx.as_mut_slice::<T>().chunks_exact_mut(d).zip(rows) {
                    dx[columns.clone()].copy_from_slice(dy);
                }
            });
            sweep.give(slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[2, 3, 7]]), |tape, _, x| tape.columns(&x[0], 2..6));
    }
}
