//! RMS normalization of the query and key heads of a packed projection, in their own width.
//!
//! ```text
//! y[.., n] = x[.., n] * rstd(x[.., n]) * (offset + w),    rstd(x) = 1 / sqrt(mean(x^2) + eps)
//! ```
//!
//! Shapes: `x`, `y` `[.., (heads) * H]`; `w` `[H]` for queries, another for keys; what is neither
//! is copied. Henry et al., "Query-Key Normalization for Transformers", arXiv:2010.04245.

use kernels::{HeadRows, head_norm};

use super::rms_norm::{RmsNormArgs, shifted};
use crate::dtype::{DType, by_dtype};
use crate::params::Param;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// Normalizes runs of heads, each run with its weight: a run is how many heads, and the weight.
    /// The first run starts a row, the next follows it.
    ///
    /// # Panics
    /// When the heads are wider than a row.
    #[track_caller]
    pub fn head_norm<const N: usize>(
        &self,
        x: &Var,
        runs: [(usize, &Param); N],
        RmsNormArgs { eps, offset }: RmsNormArgs,
    ) -> Var {
        let (device, params) = (self.device(), self.params());
        let (n_rows, row_stride) = x.value.rows();
        let mut at = 0;
        let runs = runs.map(|(n_heads, w)| {
            let rows = HeadRows { row_stride, offset: at, n_heads, d_head: w.len() };
            at += rows.width();
            (rows, w.clone(), device.empty(&[n_rows, n_heads], DType::F32))
        });
        let mut y = device.empty(x.value.shape(), x.value.dtype());
        let mut runs = runs;
        by_dtype!(x.value.dtype(), T => {
            let (x, y) = (x.value.as_slice::<T>(), y.as_mut_slice::<T>());
            for (x, y) in x.chunks_exact(row_stride).zip(y.chunks_exact_mut(row_stride)) {
                y[at..].copy_from_slice(&x[at..]);
            }
            for (rows, w, rstd) in &mut runs {
                let weight = (&*shifted(params, w, offset), eps);
                head_norm::forward(device.isa, y, rstd.as_mut_slice::<f32>(), x, *rows, weight);
            }
        });
        let x = x.clone();
        let flows = x.flows() || runs.iter().any(|(_, w, _)| w.is_trained());
        self.finish("head_norm", flows, y, move |sweep, dy| {
            let (device, params) = (sweep.device(), sweep.params());
            let mut dx = device.empty(x.value.shape(), x.value.dtype());
            by_dtype!(x.value.dtype(), T => {
                let (dx, dy) = (dx.as_mut_slice::<T>(), dy.as_slice::<T>());
                for (dx, dy) in dx.chunks_exact_mut(row_stride).zip(dy.chunks_exact(row_stride)) {
                    dx[at..].copy_from_slice(&dy[at..]);
                }
                for (rows, w, rstd) in &runs {
                    let weight = shifted(params, w, offset);
                    let saved = (*rows, &*weight, rstd.as_slice::<f32>());
                    let x = x.value.as_slice::<T>();
                    head_norm::backward(device.isa, dx, sweep.grads().zeroed(w), dy, x, saved);
                }
            });
            for (_, w, _) in &runs {
                sweep.wrote(w);
            }
            sweep.give(x.slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let fixture = Fixture::new(&[("q", &[3]), ("k", &[3])], &[&[2, 3, 12]]);
        let args = RmsNormArgs { eps: 1e-5, offset: 1.0 };
        check(&fixture, |tape, p, x| tape.head_norm(&x[0], [(2, &p[0]), (1, &p[1])], args));
    }
}
