//! Rows of a parameter in the place of columns of some rows: learned tokens, keys and values.
//!
//! ```text
//! y[rows[i], to..to + n] = table[i % k, from..from + n],    elsewhere y = x
//! ```
//!
//! Shapes: `x`, `y` `[.., D]`, `table` `[k, ..]`.

use std::sync::Arc;

use kernels::Element;

use crate::dtype::by_dtype;
use crate::params::Param;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// Puts `n` columns of `table` from `from` on over those of `x` from `to` on, in `rows`.
    ///
    /// # Panics
    /// When such rows or columns are not there.
    #[track_caller]
    pub fn overlay(
        &self,
        x: Var,
        table: &Param,
        rows: &Arc<[u32]>,
        [from, to, n]: [usize; 3],
    ) -> Var {
        let (n_rows, d) = x.value.rows();
        let &[k, width] = table.shape() else { panic!("overlay: {:?}", table.shape()) };
        let fits = from + n <= width && to + n <= d && rows.iter().all(|&r| (r as usize) < n_rows);
        assert!(fits, "overlay: {n} of {width} columns from {from} at {to} of {n_rows} x {d}");
        let (slot, device, values) = (x.slot, self.device(), self.params().get(table));
        let mut y = device.unshared(x.value);
        by_dtype!(y.dtype(), T => {
            let y = y.as_mut_slice::<T>();
            for (i, &row) in rows.iter().enumerate() {
                let values = &values[i % k * width + from..][..n];
                let y = &mut y[row as usize * d + to..][..n];
                y.iter_mut().zip(values).for_each(|(y, value)| *y = T::from_f32(*value));
            }
        });
        let (table, rows) = (table.clone(), rows.clone());
        self.finish("overlay", table.is_trained() || slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().unshared(dy);
            {
                let mut grads = sweep.grads();
                let slope = grads.zeroed(&table);
                by_dtype!(dx.dtype(), T => {
                    let dx = dx.as_mut_slice::<T>();
                    for (i, &row) in rows.iter().enumerate() {
                        let slope = &mut slope[i % k * width + from..][..n];
                        let dx = &mut dx[row as usize * d + to..][..n];
                        slope.iter_mut().zip(&*dx).for_each(|(s, dx)| *s += dx.to_f32());
                        dx.fill(T::from_f32(0.0));
                    }
                });
            }
            sweep.wrote(&table);
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
        let rows: Arc<[u32]> = [1, 2, 4, 5].into();
        check(&Fixture::new(&[("t", &[2, 5])], &[&[2, 3, 4]]), |tape, p, x| {
            let once = tape.overlay(x[0].clone(), &p[0], &rows, [0, 1, 2]);
            tape.overlay(once, &p[0], &rows, [3, 2, 2])
        });
    }
}
