//! Storage types, and which of them a computation uses.

use std::fmt;

use kernels::gemm::Multiply;

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit IEEE float.
    F32,
    /// 16 bits with the exponent range of `F32`.
    Bf16,
    /// 16-bit IEEE float.
    F16,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// One policy for a whole computation: weights, sums, softmax, norms, losses and the residual
/// stream are f32 always; what flows inside a block is stored as `compute`, and products are formed
/// in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Storage of activations between the ops of a block.
    pub compute: DType,
}

impl Precision {
    /// Everything in f32.
    pub const F32: Self = Self { compute: DType::F32 };
    /// bf16 products and activations, f32 weights and sums.
    pub const BF16: Self = Self { compute: DType::Bf16 };
    /// f16 activations, f32 products; needs loss scaling in training.
    pub const F16: Self = Self { compute: DType::F16 };

    /// The precision in which matrix products multiply; they always add in f32.
    pub fn multiply(self) -> Multiply {
        match self.compute {
            DType::Bf16 => Multiply::Bf16,
            DType::F32 | DType::F16 => Multiply::F32,
        }
    }
}

/// Runs `$body` with `$T` standing for the Rust type of `$dtype`.
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::Bf16 => {
                type $T = kernels::bf16;
                $body
            }
            $crate::DType::F16 => {
                type $T = kernels::f16;
                $body
            }
        }
    };
}

/// The same for two types of which at least one is f32, or both are equal: the pairs a policy can
/// form.
macro_rules! by_dtypes {
    ($a:expr, $A:ident, $b:expr, $B:ident => $body:expr) => {{
        use $crate::DType::{Bf16, F16, F32};
        macro_rules! run {
            ($ta:ty, $tb:ty) => {{
                type $A = $ta;
                type $B = $tb;
                $body
            }};
        }
        match ($a, $b) {
            (F32, F32) => run!(f32, f32),
            (F32, Bf16) => run!(f32, kernels::bf16),
            (Bf16, F32) => run!(kernels::bf16, f32),
            (Bf16, Bf16) => run!(kernels::bf16, kernels::bf16),
            (F32, F16) => run!(f32, kernels::f16),
            (F16, F32) => run!(kernels::f16, f32),
            (F16, F16) => run!(kernels::f16, kernels::f16),
            (a, b) => panic!("{a} with {b}: a policy mixes f32 with one 16-bit type"),
        }
    }};
}

pub(crate) use {by_dtype, by_dtypes};
