//! Element types of slices.
#![allow(clippy::inline_always)] // Called from code compiled for more than the baseline.

use crate::simd::{LANES, Simd};

pub use half::{bf16, f16};

/// A number that kernels load as f32 and store from f32: f32, `bf16` or `f16`.
///
/// The hooks on vectors name a trait of this crate alone, so nothing else can implement it.
pub trait Element: bytemuck::Pod + Default + Send + Sync + 'static {
    /// The name, as a checkpoint spells it.
    const NAME: &'static str;
    /// Widens.
    fn to_f32(self) -> f32;
    /// Rounds to nearest, ties to even.
    fn from_f32(x: f32) -> Self;

    #[doc(hidden)]
    fn load<S: Simd>(s: S, x: &[Self; LANES]) -> S::F;
    #[doc(hidden)]
    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::F;
    #[doc(hidden)]
    fn store<S: Simd>(s: S, y: &mut [Self; LANES], v: S::F);
    #[doc(hidden)]
    fn store_part<S: Simd>(s: S, y: &mut [Self], v: S::F);
}

macro_rules! element {
    (
        $t:ty, $name:literal, $to:expr, $from:expr,
        $load:ident, $part:ident, $store:ident, $last:ident
    ) => {
        impl Element for $t {
            const NAME: &'static str = $name;
            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                $from(x)
            }
            #[inline(always)]
            fn load<S: Simd>(s: S, x: &[Self; LANES]) -> S::F {
                s.$load(x)
            }
            #[inline(always)]
            fn load_part<S: Simd>(s: S, x: &[Self]) -> S::F {
                s.$part(x)
            }
            #[inline(always)]
            fn store<S: Simd>(s: S, y: &mut [Self; LANES], v: S::F) {
                s.$store(y, v);
            }
            #[inline(always)]
            fn store_part<S: Simd>(s: S, y: &mut [Self], v: S::F) {
                s.$last(y, v);
            }
        }
    };
}

element!(f32, "F32", |x| x, |x| x, load_f32, load_part_f32, store_f32, store_part_f32);
element!(
    bf16,
    "BF16",
    bf16::to_f32,
    bf16::from_f32,
    load_bf16,
    load_part_bf16,
    store_bf16,
    store_part_bf16
);
element!(
    f16,
    "F16",
    f16::to_f32,
    f16::from_f32,
    load_f16,
    load_part_f16,
    store_f16,
    store_part_f16
);
