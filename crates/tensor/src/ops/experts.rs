//! Rows to their experts and back.
//!
//! ```text
//! dispatch   y[pair] = x[row of pair],                     dx[r] = sum over j of dy[pair of r, j]
//! combine    y[r] = sum over j of w[r, j] x[pair of r, j]
//!            dx[pair] = w[pair] dy[row of pair],           dw[r, j] = dy[r] . x[pair of r, j]
//! ```
//!
//! Shapes: rows `[.., D]`, pairs `[P, D]`, `w` `[R, k]`; P is `R * k`. Sums are in the order of
//! `j`, so a row depends on no other. Shazeer et al., "Outrageously Large Neural Networks",
//! arXiv:1701.06538, eq. 1.

use std::sync::Arc;

use kernels::Element;
use rayon::prelude::*;

use super::route::Routing;
use crate::dtype::{DType, by_dtype};
use crate::tape::{Tape, Var};

/// Rows that a thread takes at least.
const ROWS: usize = 16;

/// `y[r] = sum over j of w[r, j] x[pair of r, j]`; without weights, each counts once.
fn gather<X: Element, Y: Element>(y: &mut [Y], x: &[X], w: Option<&[f32]>, routing: &Routing) {
    let (k, n_rows) = (routing.per_token, routing.n_rows().max(1));
    let d = y.len() / n_rows;
    let rows = y.par_chunks_exact_mut(d).with_min_len(ROWS).enumerate();
    rows.for_each_init(
        || vec![0.0_f32; d],
        |sum, (r, y)| {
            sum.fill(0.0);
            for choice in r * k..(r + 1) * k {
                let by = w.map_or(1.0, |w| w[choice]);
                let x = &x[routing.pairs[choice] as usize * d..][..d];
                sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += by * x.to_f32());
            }
            y.iter_mut().zip(&*sum).for_each(|(y, &sum)| *y = Y::from_f32(sum));
        },
    );
}

impl Tape<'_> {
    /// `[.., D] -> [P, D]`: each row once for each of its experts, sorted by expert.
    ///
    /// # Panics
    /// When `routing` is of another number of rows.
    #[track_caller]
    pub fn dispatch(&self, x: &Var, routing: &Arc<Routing>) -> Var {
        let (n_rows, d) = x.value.rows();
        assert_eq!(n_rows, routing.n_rows(), "dispatch: x {:?}", x.value.shape());
        let (dtype, k) = (x.value.dtype(), routing.per_token);
        let mut y = self.device().empty(&[routing.choices.len(), d], dtype);
        by_dtype!(dtype, T => {
            let x = x.value.as_slice::<T>();
            let pairs = y.as_mut_slice::<T>().par_chunks_exact_mut(d).with_min_len(ROWS);
            pairs.zip(&routing.choices).for_each(|(y, &choice)| {
                y.copy_from_slice(&x[choice as usize / k * d..][..d]);
            });
        });
        let (routing, slot, shape) = (routing.clone(), x.slot, x.value.shape().to_vec());
        self.finish("dispatch", slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().empty(&shape, dtype);
            by_dtype!(dtype, T => {
                gather(dx.as_mut_slice::<T>(), dy.as_slice::<T>(), None, &routing);
            });
            sweep.give(slot, dx);
        })
    }

    /// `[P, D]` and weights `[R, k]` to `shape` `[.., D]` in f32.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn combine(&self, x: &Var, w: &Var, routing: &Arc<Routing>, shape: &[usize]) -> Var {
        let ((n_pairs, d), k) = (x.value.rows(), routing.per_token);
        assert_eq!(n_pairs, routing.choices.len(), "combine: x {:?}", x.value.shape());
        assert_eq!(w.value.shape(), [routing.n_rows(), k], "combine: weights");
        let mut y = self.device().empty(shape, DType::F32);
        assert_eq!(y.rows(), (routing.n_rows(), d), "combine: {shape:?}");
        by_dtype!(x.value.dtype(), T => {
            let (y, w) = (y.as_mut_slice::<f32>(), w.value.as_slice::<f32>());
            gather(y, x.value.as_slice::<T>(), Some(w), routing);
        });
        let (x, w, routing) = (x.clone(), w.clone(), routing.clone());
        self.finish("combine", x.flows() || w.flows(), y, move |sweep, dy| {
            let device = sweep.device();
            let mut dx = device.empty(x.value.shape(), x.value.dtype());
            let mut dw = device.empty(w.value.shape(), DType::F32);
            let dy = dy.as_slice::<f32>();
            let row_of = |choice: usize| &dy[choice / k * d..][..d];
            by_dtype!(x.value.dtype(), T => {
                let (x, w) = (x.value.as_slice::<T>(), w.value.as_slice::<f32>());
                let pairs = dx.as_mut_slice::<T>().par_chunks_exact_mut(d).with_min_len(ROWS);
                pairs.zip(&routing.choices).for_each(|(dx, &choice)| {
                    let by = w[choice as usize];
                    let row = row_of(choice as usize);
                    dx.iter_mut().zip(row).for_each(|(dx, dy)| *dx = T::from_f32(by * dy));
                });
                let weights = dw.as_mut_slice::<f32>().par_iter_mut().with_min_len(ROWS);
                weights.zip(&routing.pairs).enumerate().for_each(|(choice, (dw, &pair))| {
                    let x = &x[pair as usize * d..][..d];
                    *dw = row_of(choice).iter().zip(x).map(|(dy, x)| dy * x.to_f32()).sum();
                });
            });
            sweep.give(x.slot, dx);
            sweep.give(w.slot, dw);
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::RouteArgs;
    use crate::ops::testing::{Fixture, check};

    /// Six rows and two of four experts each; nobody chooses expert 1.
    pub fn routing(tape: &Tape) -> Arc<Routing> {
        let row = |r: usize| [0.0, -9.0, r as f32 - 2.5, 1.0];
        let logits: Vec<f32> = (0..6).flat_map(row).collect();
        let logits = Var::constant(tape.device().tensor(&[6, 4], &logits));
        tape.route(&logits, &RouteArgs { per_token: 2, normalise: false, balance: None }).1
    }

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[2, 3, 5]]), |tape, _, x| tape.dispatch(&x[0], &routing(tape)));
        check(&Fixture::new(&[], &[&[12, 5], &[6, 2]]), |tape, _, x| {
            tape.combine(&x[0], &x[1], &routing(tape), &[2, 3, 5])
        });
    }
}
