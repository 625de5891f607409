//! Where in a slice sixteen lanes are loaded from and stored to.

use super::{LANES, Simd};
use crate::element::Element;

/// A position in a slice, in blocks of sixteen. Two types, so that the code of a whole block has
/// no masks and no length checks in it.
pub trait Block: Copy {
    /// The block of `x`, widened to f32. Lanes past the end are zero.
    fn load<S: Simd, X: Element>(self, s: S, x: &[X]) -> S::F;
    /// Rounds and stores the block of `y`. Lanes past the end are dropped.
    fn store<S: Simd, Y: Element>(self, s: S, y: &mut [Y], v: S::F);
    /// `v`, with `fill` in the lanes past the end.
    fn or<S: Simd>(self, s: S, v: S::F, fill: f32) -> S::F;
}

/// The block `x[16 * i..][..16]`.
#[derive(Clone, Copy)]
pub struct Whole(pub usize);

/// The last `len < 16` elements, after `i` whole blocks.
#[derive(Clone, Copy)]
pub struct Tail {
    /// Whole blocks before this one.
    pub i: usize,
    /// Elements in this one.
    pub len: usize,
}

impl Block for Whole {
    #[inline(always)]
    fn load<S: Simd, X: Element>(self, s: S, x: &[X]) -> S::F {
        X::load(s, &x.as_chunks::<LANES>().0[self.0])
    }

    #[inline(always)]
    fn store<S: Simd, Y: Element>(self, s: S, y: &mut [Y], v: S::F) {
        Y::store(s, &mut y.as_chunks_mut::<LANES>().0[self.0], v);
    }

    #[inline(always)]
    fn or<S: Simd>(self, _: S, v: S::F, _: f32) -> S::F {
        v
    }
}

impl Block for Tail {
    #[inline(always)]
    fn load<S: Simd, X: Element>(self, s: S, x: &[X]) -> S::F {
        X::load_part(s, &x[self.i * LANES..][..self.len])
    }

    #[inline(always)]
    fn store<S: Simd, Y: Element>(self, s: S, y: &mut [Y], v: S::F) {
        Y::store_part(s, &mut y[self.i * LANES..][..self.len], v);
    }

    #[inline(always)]
    fn or<S: Simd>(self, s: S, v: S::F, fill: f32) -> S::F {
        s.select(s.first(self.len), v, s.splat(fill))
    }
}

/// Runs a body for every block of `n` elements: `for_blocks!(n, |at| { .. })`, where `at` is a
/// [`Block`]. The body is written once and compiled twice, for [`Whole`] and for [`Tail`]; it is
/// no closure, so it may assign to locals around it.
macro_rules! for_blocks {
    ($n:expr, |$at:ident| $body:block) => {{
        let n: usize = $n;
        for i in 0..n / $crate::simd::LANES {
            let $at = $crate::simd::Whole(i);
            $body
        }
        if n % $crate::simd::LANES != 0 {
            let (i, len) = (n / $crate::simd::LANES, n % $crate::simd::LANES);
            let $at = $crate::simd::Tail { i, len };
            $body
        }
    }};
}
pub(crate) use for_blocks;
