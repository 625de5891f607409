//! Root mean square normalization over the last axis.
//!
//! ```text
//! y = x * rstd(x) * w,    rstd(x) = 1 / sqrt(mean(x^2) + eps)
//! ```
//!
//! Shapes: `x`, `y` `[R, D]`; `w` `[D]`; `rstd` `[R]`. R is rows, D is `d_model`.
//! Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4.

use crate::cut::with_zeros;
use crate::gemm::Write;
use crate::norm::{self, NormGrads, Params, Rule};
use crate::{Element, Isa};

/// Writes `y` and `rstd`, which the backward pass needs again.
///
/// # Panics
/// When the lengths disagree: that is a bug in the caller, not an input error.
pub fn forward<X: Element, Y: Element>(
    isa: Isa,
    y: &mut [Y],
    rstd: &mut [f32],
    x: &[X],
    w: &[f32],
    eps: f32,
) {
    let (d, n_rows) = (w.len(), rstd.len());
    assert!(d > 0, "rms_norm: width 0");
    assert_eq!((x.len(), y.len()), (n_rows * d, n_rows * d), "rms_norm: x, y are {n_rows} x {d}");
    let params = Params { w, b: None, eps, centered: false };
    with_zeros(n_rows, |mean| norm::forward(isa, y, (mean, rstd), x, params));
}

/// Writes `dx` or adds to it, and adds to the gradient of the weight.
///
/// ```text
/// u = x * rstd,    g = dy * w
/// dx = rstd * (g - u * mean(g * u)),    dw += sum_r dy * u
/// ```
///
/// `rstd` is what [`forward`] wrote.
pub fn backward<G: Element, X: Element>(
    isa: Isa,
    dx: &mut [f32],
    dw: &mut [f32],
    dy: &[G],
    x: &[X],
    w: &[f32],
    rstd: &[f32],
    write: Write,
) {
    let (d, n_rows) = (w.len(), rstd.len());
    assert!(d > 0, "rms_norm backward: width 0");
    assert_eq!(dw.len(), d, "rms_norm backward: dw");
    let lens = [dx.len(), dy.len(), x.len()];
    assert_eq!(lens, [n_rows * d; 3], "rms_norm backward: dx, dy, x are {n_rows} x {d}");
    let (grads, rule) = (NormGrads { dw, db: None }, Rule { w, write, centered: false });
    with_zeros(n_rows, |mean| norm::backward(isa, dx, grads, dy, x, (mean, rstd), rule));
}
