//! Windows over time, each a row: a convolution is a linear map of them.
//!
//! ```text
//! y[b, t, c W + w] = x[b, t stride + w - padding, c], 0 outside of it
//! dx[b, s, c] = sum of dy[b, t, c W + w] over every t and w that read s
//! ```
//!
//! Shapes: `x` `[B, S, C]`, `y` `[B, T, C W]` with `T = (S + 2 padding - W) / stride + 1`; a weight
//! of a convolution `[O, C, W]` is, as it lies, a linear map `[O, C W]`.

use std::ops::Range;

use kernels::Element;

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

/// The windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfoldArgs {
    /// Positions of a window, `W`.
    pub width: usize,
    /// From one to the next.
    pub stride: usize,
    /// Zeros before the first position and behind the last.
    pub padding: usize,
}

impl UnfoldArgs {
    /// Windows of a sequence of `len` positions, `T`.
    pub fn n_windows(&self, len: usize) -> usize {
        (len + 2 * self.padding).checked_sub(self.width).map_or(0, |rest| rest / self.stride + 1)
    }

    /// The places of a window that are in a sequence of `len` positions.
    fn inside(&self, window: usize, len: usize) -> Range<usize> {
        let start = window * self.stride;
        let first = self.padding.saturating_sub(start);
        first..self.width.min((len + self.padding).saturating_sub(start)).max(first)
    }
}

impl Tape<'_> {
    /// `[B, S, C] -> [B, T, C W]`.
    ///
    /// # Panics
    /// When `x` has another rank, or a window is wider than the padded sequence.
    #[track_caller]
    pub fn unfold(&self, x: &Var, args: UnfoldArgs) -> Var {
        let &[batch, len, n] = x.value.shape() else { panic!("unfold: x {:?}", x.value.shape()) };
        let n_windows = args.n_windows(len);
        assert!(n_windows > 0, "unfold: windows of {} over {len} positions", args.width);
        let (dtype, slot) = (x.value.dtype(), x.slot);
        let mut y = self.device().zeros(&[batch, n_windows, n * args.width], dtype);
        by_dtype!(dtype, T => {
            let (x, y) = (x.value.as_slice::<T>(), y.as_mut_slice::<T>());
            each([batch, len, n], args, |from, to| y[to] = x[from]);
        });
        self.finish("unfold", slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().zeros(&[batch, len, n], dtype);
            by_dtype!(dtype, T => {
                let (dx, dy) = (dx.as_mut_slice::<T>(), dy.as_slice::<T>());
                each([batch, len, n], args, |from, to| {
                    dx[from] = T::from_f32(dx[from].to_f32() + dy[to].to_f32());
                });
            });
            sweep.give(slot, dx);
        })
    }
}

/// Every element of `x` with every place of `y` it is copied to.
fn each([batch, len, n]: [usize; 3], args: UnfoldArgs, mut f: impl FnMut(usize, usize)) {
    let n_windows = args.n_windows(len);
    for row in 0..batch * n_windows {
        let (b, t) = (row / n_windows, row % n_windows);
        for w in args.inside(t, len) {
            let from = (b * len + t * args.stride + w - args.padding) * n;
            for c in 0..n {
                f(from + c, (row * n + c) * args.width + w);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::{DType, Precision};
    use crate::ops::LinearArgs;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients_of_a_convolution() {
        for (stride, padding) in [(1, 1), (2, 1), (3, 0)] {
            let fixture = Fixture::new(&[("w", &[4, 2 * 3]), ("b", &[4])], &[&[2, 5, 2]]);
            check(&fixture, |tape, p, x| {
                let rows = tape.unfold(&x[0], UnfoldArgs { width: 3, stride, padding });
                tape.linear(&rows, LinearArgs::new(&p[0], Some(&p[1]), DType::F32))
            });
        }
    }

    #[test]
    fn windows_begin_in_the_padding_and_end_there() {
        let fixture = Fixture::new(&[], &[&[1, 3, 1]]);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let x = Var::constant(fixture.device.tensor(&[1, 3, 1], &[1.0, 2.0, 3.0]));
        let at = |stride| tape.unfold(&x, UnfoldArgs { width: 3, stride, padding: 1 });
        assert_eq!(at(1).value().to_vec(), [0., 1., 2., 1., 2., 3., 2., 3., 0.]);
        assert_eq!(at(2).value().to_vec(), [0., 1., 2., 2., 3., 0.]);
    }
}
