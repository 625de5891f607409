//! Root mean square normalization over the last axis.
//!
//! ```text
//! y = x * rstd(x) * (offset + w),    rstd(x) = 1 / sqrt(mean(x^2) + eps)
//! ```
//!
//! `offset` is 0, or 1 for weights that are stored about zero.
//! Shapes: `x`, `y` `[.., D]`; `w` `[D]`.
//! Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4.

use std::borrow::Cow;

use kernels::gemm::Write;
use kernels::rms_norm;

use crate::dtype::{DType, by_dtype};
use crate::params::{Param, Params};
use crate::tape::{Tape, Var};

/// How a root mean square is normalized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormArgs {
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weight.
    pub offset: f32,
}

/// `offset + w`.
pub(super) fn shifted<'p>(params: &'p Params, w: &Param, offset: f32) -> Cow<'p, [f32]> {
    match params.get(w) {
        w if offset == 0.0 => w.into(),
        w => w.iter().map(|w| offset + w).collect(),
    }
}

impl Tape<'_> {
    /// `x` is the residual stream, in f32; the result is stored as `out`.
    ///
    /// # Panics
    /// When `x` is not f32, or the widths disagree.
    #[track_caller]
    pub fn rms_norm(&self, x: &Var, w: &Param, args: RmsNormArgs, out: DType) -> Var {
        let RmsNormArgs { eps, offset } = args;
        let (device, params) = (self.device(), self.params());
        let (rows, d_model) = x.value.rows();
        assert_eq!(w.shape(), [d_model], "rms_norm: x {:?}", x.value.shape());
        let mut y = device.empty(x.value.shape(), out);
        let mut rstd = device.empty(&[rows], DType::F32);
        by_dtype!(out, Y => {
            let (y, rstd) = (y.as_mut_slice::<Y>(), rstd.as_mut_slice::<f32>());
            let x = x.value.as_slice::<f32>();
            rms_norm::forward(device.isa, y, rstd, x, &shifted(params, w, offset), eps);
        });
        let (x, w) = (x.clone(), w.clone());
        self.finish("rms_norm", x.flows() || w.is_trained(), y, move |sweep, dy| {
            let (device, params) = (sweep.device(), sweep.params());
            let held = sweep.take_for_adding(x.slot);
            let write = if held.is_some() { Write::Add } else { Write::Overwrite };
            let mut dx = held.unwrap_or_else(|| device.empty(x.value.shape(), DType::F32));
            {
                let mut grads = sweep.grads();
                let dw = grads.zeroed(&w);
                let weight = shifted(params, &w, offset);
                by_dtype!(dy.dtype(), G => rms_norm::backward(
                    device.isa, dx.as_mut_slice::<f32>(), dw, dy.as_slice::<G>(),
                    x.value.as_slice::<f32>(), &weight, rstd.as_slice::<f32>(), write,
                ));
            }
            sweep.wrote(&w);
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
        let fixture = Fixture::new(&[("w", &[7])], &[&[2, 3, 7]]);
        for offset in [0.0, 1.0] {
            let args = RmsNormArgs { eps: 1e-5, offset };
            check(&fixture, |tape, p, x| tape.rms_norm(&x[0], &p[0], args, DType::F32));
        }
    }
}
