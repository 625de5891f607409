//! Layer normalization over the last axis.
//!
//! ```text
//! y = (x - mean(x)) * rstd(x) * w + b,    rstd(x) = 1 / sqrt(var(x) + eps)
//! ```
//!
//! Shapes: `x`, `y` `[R, D]`; `w`, `b` `[D]`; `mean`, `rstd` `[R]`. R is rows, D is `d_model`.
//! Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3-4.

use crate::gemm::Write;
use crate::norm::{self, Params, Rule};
use crate::{Element, Isa};

pub use crate::norm::NormGrads;

/// What the backward pass needs again; one entry a row.
pub struct RowStats<'a> {
    /// The mean of the row.
    pub mean: &'a mut [f32],
    /// One over its standard deviation.
    pub rstd: &'a mut [f32],
}

/// Writes `y` and the statistics of every row.
///
/// The variance is summed about the mean, in a second pass: rows far from zero lose nothing.
///
/// # Panics
/// When the lengths disagree: that is a bug in the caller, not an input error.
pub fn forward<X: Element, Y: Element>(
    isa: Isa,
    y: &mut [Y],
    RowStats { mean, rstd }: RowStats,
    x: &[X],
    w: &[f32],
    b: Option<&[f32]>,
    eps: f32,
) {
    let (d, n_rows) = (w.len(), mean.len());
    assert!(d > 0, "layer_norm: width 0");
    assert!(b.is_none_or(|b| b.len() == d), "layer_norm: bias is not {d} long");
    assert_eq!(rstd.len(), n_rows, "layer_norm: mean and rstd");
    assert_eq!((x.len(), y.len()), (n_rows * d, n_rows * d), "layer_norm: x, y are {n_rows} x {d}");
    let params = Params { w, b, eps, centered: true };
    norm::forward(isa, y, (mean, rstd), x, params);
}

/// Writes `dx` or adds to it, and adds to the gradients of the parameters.
///
/// ```text
/// u = (x - mean) * rstd,    g = dy * w
/// dx = rstd * (g - mean(g) - u * mean(g * u)),    dw += sum_r dy * u,    db += sum_r dy
/// ```
///
/// `stats` are the `(mean, rstd)` that [`forward`] wrote.
pub fn backward<G: Element, X: Element>(
    isa: Isa,
    dx: &mut [f32],
    grads: NormGrads,
    dy: &[G],
    x: &[X],
    w: &[f32],
    stats: (&[f32], &[f32]),
    write: Write,
) {
    let (d, n_rows) = (w.len(), stats.0.len());
    assert!(d > 0, "layer_norm backward: width 0");
    assert_eq!(grads.dw.len(), d, "layer_norm backward: dw");
    assert!(grads.db.as_ref().is_none_or(|db| db.len() == d), "layer_norm backward: db");
    assert_eq!(stats.1.len(), n_rows, "layer_norm backward: mean and rstd");
    let lens = [dx.len(), dy.len(), x.len()];
    assert_eq!(lens, [n_rows * d; 3], "layer_norm backward: dx, dy, x are {n_rows} x {d}");
    norm::backward(isa, dx, grads, dy, x, stats, Rule { w, write, centered: true });
}
