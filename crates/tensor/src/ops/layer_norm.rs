//! Layer normalization over the last axis.
//!
//! ```text
//! y = (x - mean(x)) * rstd(x) * w + b
//! ```
//!
//! Shapes: `x`, `y` `[.., D]`; `w`, `b` `[D]`.
//! Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3-4.

use kernels::gemm::Write;
use kernels::layer_norm::{self, NormGrads, RowStats};

use crate::dtype::{DType, by_dtype};
use crate::params::Param;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// `x` is the residual stream, in f32; the result is stored as `out`.
    ///
    /// # Panics
    /// When `x` is not f32, or the widths disagree.
    #[track_caller]
    pub fn layer_norm(&self, x: &Var, w: &Param, b: Option<&Param>, eps: f32, out: DType) -> Var {
        let (device, params) = (self.device(), self.params());
        let (rows, d_model) = x.value.rows();
        assert_eq!(w.shape(), [d_model], "layer_norm: x {:?}", x.value.shape());
        let mut y = device.empty(x.value.shape(), out);
        let mut stats = device.empty(&[2, rows], DType::F32);
        by_dtype!(out, Y => {
            let (mean, rstd) = stats.as_mut_slice::<f32>().split_at_mut(rows);
            let (weight, bias) = (params.get(w), b.map(|b| params.get(b)));
            let (y, x) = (y.as_mut_slice::<Y>(), x.value.as_slice::<f32>());
            layer_norm::forward(device.isa, y, RowStats { mean, rstd }, x, weight, bias, eps);
        });
        let (x, w, b) = (x.clone(), w.clone(), b.cloned());
        let trained = w.is_trained() || b.as_ref().is_some_and(Param::is_trained);
        self.finish("layer_norm", trained || x.flows(), y, move |sweep, dy| {
            let (device, params) = (sweep.device(), sweep.params());
            let held = sweep.take_for_adding(x.slot);
            let write = if held.is_some() { Write::Add } else { Write::Overwrite };
            let mut dx = held.unwrap_or_else(|| device.empty(x.value.shape(), DType::F32));
            {
                let mut grads = sweep.grads();
                let (dw, db) = grads.zeroed_pair(&w, b.as_ref());
                let stats = stats.as_slice::<f32>().split_at(rows);
                by_dtype!(dy.dtype(), G => layer_norm::backward(
                    device.isa, dx.as_mut_slice::<f32>(), NormGrads { dw, db }, dy.as_slice::<G>(),
                    x.value.as_slice::<f32>(), params.get(&w), stats, write,
                ));
            }
            sweep.wrote(&w);
            b.inspect(|b| sweep.wrote(b));
            sweep.put(x.slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let fixture = Fixture::new(&[("w", &[7]), ("b", &[7])], &[&[2, 3, 7]]);
        check(&fixture, |tape, p, x| tape.layer_norm(&x[0], &p[0], Some(&p[1]), 1e-5, DType::F32));
    }

    #[test]
    fn the_gradient_is_added_to_the_residual_stream() {
        let fixture = Fixture::new(&[("w", &[7])], &[&[5, 7]]);
        check(&fixture, |tape, p, x| {
            let y = tape.layer_norm(&x[0], &p[0], None, 1e-5, DType::F32);
            tape.add(&x[0], &y)
        });
    }
}
