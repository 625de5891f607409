//! Some rows of a value: the last position in prefill, the masked ones in masked language
//! modelling.
//!
//! ```text
//! y[i] = x[rows[i]],    dx[rows[i]] += dy[i]
//! ```

use std::sync::Arc;

use kernels::Element;

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// `[.., D] -> [n, D]`: the rows `rows` of `x`, in that order.
    ///
    /// # Panics
    /// When a row is not there.
    #[track_caller]
    pub fn select_rows(&self, x: &Var, rows: &Arc<[u32]>) -> Var {
        let device = self.device();
        let (n, d) = x.value.rows();
        assert!(rows.iter().all(|&r| (r as usize) < n), "select_rows: x {:?}", x.value.shape());
        let mut y = device.empty(&[rows.len(), d], x.value.dtype());
        by_dtype!(x.value.dtype(), T => {
            let (y, x) = (y.as_mut_slice::<T>(), x.value.as_slice::<T>());
            for (y, &r) in y.chunks_exact_mut(d).zip(&**rows) {
                y.copy_from_slice(&x[r as usize * d..][..d]);
            }
        });
        let (slot, rows) = (x.slot, rows.clone());
        let (shape, dtype) = (x.value.shape().to_vec(), x.value.dtype());
        self.finish("select_rows", slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().zeros(&shape, dtype);
            by_dtype!(dtype, T => {
                let (dx, dy) = (dx.as_mut_slice::<T>(), dy.as_slice::<T>());
                for (dy, &r) in dy.chunks_exact(d).zip(&*rows) {
                    for (to, from) in dx[r as usize * d..][..d].iter_mut().zip(dy) {
                        *to = T::from_f32(to.to_f32() + from.to_f32());
                    }
                }
            });
            sweep.give(slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let rows: Arc<[u32]> = [4, 0, 4].into();
        check(&Fixture::new(&[], &[&[2, 3, 4]]), |tape, _, x| tape.select_rows(&x[0], &rows));
    }
}
