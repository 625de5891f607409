//! Activation functions, element by element, and their gated form.
//!
//! ```text
//! forward         y  = act(x)
//! backward        dx = dy * act'(x)
//! gated_forward   y  = act(gate) * up
//! ```
//!
//! Hendrycks, Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415 (both GELUs and `SiLU`);
//! Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, eq. 5 (the gated form).
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::{PIECE, rows_per_piece};
use crate::simd::{Block, Simd, for_blocks, math, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;
use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

#[cfg(test)]
mod tests;

/// An element-wise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x * Phi(x)` with the exact error function.
    GeluErf,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * sigmoid(1.702 x)`: the sigmoid approximation of GELU.
    QuickGelu,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 6] =
        [Self::Relu, Self::GeluErf, Self::GeluTanh, Self::Silu, Self::QuickGelu, Self::Tanh];
}

/// Runs an expression with the type of an activation, so that the choice is outside its loop.
macro_rules! by_kind {
    ($act:expr, $kind:ident => $run:expr) => {
        match $act {
            Activation::Relu => {
                type $kind = Relu;
                $run
            }
            Activation::GeluErf => {
                type $kind = GeluErf;
                $run
            }
            Activation::GeluTanh => {
                type $kind = GeluTanh;
                $run
            }
            Activation::Silu => {
                type $kind = Silu;
                $run
            }
            Activation::QuickGelu => {
                type $kind = QuickGelu;
                $run
            }
            Activation::Tanh => {
                type $kind = Tanh;
                $run
            }
        }
    };
}

/// `act(x)` on sixteen lanes; the epilogue of a matrix product uses it too.
#[inline(always)]
pub(crate) fn apply<S: Simd>(s: S, act: Activation, x: S::F) -> S::F {
    by_kind!(act, A => A::apply(s, x))
}

/// An activation as a type.
trait Kind {
    /// `act(x)`.
    fn apply<S: Simd>(s: S, x: S::F) -> S::F;
    /// `(act(x), act'(x))`: what they share is computed once.
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F);
}

struct Relu;
struct GeluErf;
struct GeluTanh;
struct Silu;
struct QuickGelu;
struct Tanh;

impl Kind for Relu {
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        s.max(s.splat(0.0), x)
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        let zero = s.splat(0.0);
        (Self::apply(s, x), s.select(s.lt(zero, x), s.splat(1.0), zero))
    }
}

impl Kind for GeluErf {
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        s.mul(x, math::normal(s, x).0)
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        let (phi, density) = math::normal(s, x);
        (s.mul(x, phi), s.fma(x, density, phi))
    }
}

impl Kind for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        s.mul(x, math::sigmoid(s, gelu_argument(s, x).0))
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        let (argument, slope) = gelu_argument(s, x);
        times_sigmoid(s, x, argument, slope)
    }
}

impl Kind for Silu {
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        s.mul(x, math::sigmoid(s, x))
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        times_sigmoid(s, x, x, s.splat(1.0))
    }
}

impl Kind for QuickGelu {
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        s.mul(x, math::sigmoid(s, s.mul(x, s.splat(QUICK))))
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        let slope = s.splat(QUICK);
        times_sigmoid(s, x, s.mul(x, slope), slope)
    }
}

impl Kind for Tanh {
    /// `2 sigmoid(2x) - 1`: near zero it is right to 1e-7, not to so many digits.
    #[inline(always)]
    fn apply<S: Simd>(s: S, x: S::F) -> S::F {
        let gate = math::sigmoid(s, s.add(x, x));
        s.sub(s.add(gate, gate), s.splat(1.0))
    }
    #[inline(always)]
    fn both<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
        let y = Self::apply(s, x);
        (y, s.fnma(y, y, s.splat(1.0)))
    }
}

/// Slope of the argument in the sigmoid approximation of GELU.
const QUICK: f32 = 1.702;

/// Twice the argument of the tanh in GELU's approximation, and its derivative.
///
/// ```text
/// 2u = 2 sqrt(2 / pi) (x + 0.044715 x^3);    (1 + tanh u) / 2 = sigmoid(2u)
/// ```
#[inline(always)]
fn gelu_argument<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    const TWICE_ROOT: f32 = FRAC_2_SQRT_PI * SQRT_2;
    const CUBIC: f32 = 0.044_715;
    // Beyond 100 the sigmoid is 0 or 1, and an infinite slope would meet the zero there.
    let square = s.min(s.splat(1e4), s.mul(x, x));
    let scale = s.fma(square, s.splat(TWICE_ROOT * CUBIC), s.splat(TWICE_ROOT));
    let slope = s.fma(square, s.splat(3.0 * TWICE_ROOT * CUBIC), s.splat(TWICE_ROOT));
    (s.mul(x, scale), slope)
}

/// `x * sigmoid(v)` and its derivative, where `slope` is `dv / dx`.
#[inline(always)]
fn times_sigmoid<S: Simd>(s: S, x: S::F, v: S::F, slope: S::F) -> (S::F, S::F) {
    let gate = math::sigmoid(s, v);
    let y = s.mul(x, gate);
    let bend = s.mul(s.sub(s.splat(1.0), gate), slope);
    (y, s.fma(y, bend, gate))
}

/// Writes `y = act(x)`.
///
/// NaN goes through; at minus infinity the result is NaN, as `-inf * 0` is.
///
/// # Panics
/// When `x` and `y` differ in length.
pub fn forward<X: Element, Y: Element>(isa: Isa, act: Activation, y: &mut [Y], x: &[X]) {
    assert_eq!(x.len(), y.len(), "activation: x and y");
    if y.len() <= PIECE {
        return forward_piece(isa, act, y, x);
    }
    let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
    pieces.for_each(|(y, x)| forward_piece(isa, act, y, x));
}

/// Writes `dx = dy * act'(x)`.
///
/// # Panics
/// When the three differ in length.
pub fn backward<X: Element, G: Element, Y: Element>(
    isa: Isa,
    act: Activation,
    dx: &mut [Y],
    dy: &[G],
    x: &[X],
) {
    assert_eq!(x.len(), dx.len(), "activation backward: x and dx");
    assert_eq!(x.len(), dy.len(), "activation backward: x and dy");
    if dx.len() <= PIECE {
        return backward_piece(isa, act, dx, dy, x);
    }
    let pieces = dx.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).zip(x.par_chunks(PIECE));
    pieces.for_each(|((dx, dy), x)| backward_piece(isa, act, dx, dy, x));
}

/// Writes `y = act(gate) * up`.
///
/// Shapes: `x` `[R, 2F]`, a row holding the gate and then the up projection; `y` `[R, F]`.
///
/// # Panics
/// When they are not of these, or F is 0.
pub fn gated_forward<X: Element, Y: Element>(
    isa: Isa,
    act: Activation,
    y: &mut [Y],
    x: &[X],
    d_ff: usize,
) {
    assert_eq!(x.len(), 2 * y.len(), "gated activation: x and y");
    assert!(d_ff > 0 && y.len().is_multiple_of(d_ff), "gated activation: y is R x {d_ff}");
    let piece = rows_per_piece(d_ff) * d_ff;
    if y.len() <= piece {
        return gated_forward_piece(isa, act, y, x, d_ff);
    }
    let pieces = y.par_chunks_mut(piece).zip(x.par_chunks(2 * piece));
    pieces.for_each(|(y, x)| gated_forward_piece(isa, act, y, x, d_ff));
}

/// Writes `dx`, the gradient of [`gated_forward`].
///
/// Shapes: `dx`, `x` `[R, 2F]`, `dy` `[R, F]`.
///
/// # Panics
/// When they are not of these, or F is 0.
pub fn gated_backward<X: Element, G: Element, Y: Element>(
    isa: Isa,
    act: Activation,
    dx: &mut [Y],
    dy: &[G],
    x: &[X],
    d_ff: usize,
) {
    assert_eq!(x.len(), dx.len(), "gated activation backward: x and dx");
    assert_eq!(x.len(), 2 * dy.len(), "gated activation backward: x and dy");
    assert!(d_ff > 0 && dy.len().is_multiple_of(d_ff), "gated activation: dy is R x {d_ff}");
    let piece = rows_per_piece(d_ff) * d_ff;
    if dy.len() <= piece {
        return gated_backward_piece(isa, act, dx, dy, x, d_ff);
    }
    let pieces =
        dx.par_chunks_mut(2 * piece).zip(dy.par_chunks(piece)).zip(x.par_chunks(2 * piece));
    pieces.for_each(|((dx, dy), x)| gated_backward_piece(isa, act, dx, dy, x, d_ff));
}

simd_fn! {
    fn forward_piece<X: Element, Y: Element>(act: Activation, y: &mut [Y], x: &[X])
        = forward_body;
}

#[inline(always)]
fn forward_body<S: Simd, X: Element, Y: Element>(s: S, act: Activation, y: &mut [Y], x: &[X]) {
    by_kind!(act, A => for_blocks!(x.len(), |at| {
        at.store(s, y, A::apply(s, at.load(s, x)));
    }));
}

simd_fn! {
    fn backward_piece<X: Element, G: Element, Y: Element>(
        act: Activation, dx: &mut [Y], dy: &[G], x: &[X],
    ) = backward_body;
}

#[inline(always)]
fn backward_body<S: Simd, X: Element, G: Element, Y: Element>(
    s: S,
    act: Activation,
    dx: &mut [Y],
    dy: &[G],
    x: &[X],
) {
    by_kind!(act, A => for_blocks!(x.len(), |at| {
        let slope = A::both(s, at.load(s, x)).1;
        at.store(s, dx, s.mul(slope, at.load(s, dy)));
    }));
}

simd_fn! {
    fn gated_forward_piece<X: Element, Y: Element>(
        act: Activation, y: &mut [Y], x: &[X], d_ff: usize,
    ) = gated_forward_body;
}

#[inline(always)]
fn gated_forward_body<S: Simd, X: Element, Y: Element>(
    s: S,
    act: Activation,
    y: &mut [Y],
    x: &[X],
    d_ff: usize,
) {
    by_kind!(act, A => for (y, x) in y.chunks_exact_mut(d_ff).zip(x.chunks_exact(2 * d_ff)) {
        let (gate, up) = x.split_at(d_ff);
        for_blocks!(d_ff, |at| {
            at.store(s, y, s.mul(A::apply(s, at.load(s, gate)), at.load(s, up)));
        });
    });
}

simd_fn! {
    fn gated_backward_piece<X: Element, G: Element, Y: Element>(
        act: Activation, dx: &mut [Y], dy: &[G], x: &[X], d_ff: usize,
    ) = gated_backward_body;
}

#[inline(always)]
fn gated_backward_body<S: Simd, X: Element, G: Element, Y: Element>(
    s: S,
    act: Activation,
    dx: &mut [Y],
    dy: &[G],
    x: &[X],
    d_ff: usize,
) {
    let rows = dx.chunks_exact_mut(2 * d_ff).zip(dy.chunks_exact(d_ff));
    let rows = rows.zip(x.chunks_exact(2 * d_ff));
    by_kind!(act, A => for ((dx, dy), x) in rows {
        let ((gate, up), (d_gate, d_up)) = (x.split_at(d_ff), dx.split_at_mut(d_ff));
        for_blocks!(d_ff, |at| {
            let (y, slope) = A::both(s, at.load(s, gate));
            let dy = at.load(s, dy);
            at.store(s, d_gate, s.mul(s.mul(dy, at.load(s, up)), slope));
            at.store(s, d_up, s.mul(dy, y));
        });
    });
}
