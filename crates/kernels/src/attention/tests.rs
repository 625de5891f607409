//! The fast paths against the reference in f64, over a table of shapes and masks.
//!
//! Tolerances are relative to the largest entry of what is compared. With f32 products the error is
//! that of f32 sums. With bf16 products, probabilities and score gradients are rounded to bf16
//! (2^-9 relative each) before they multiply, and results stored as bf16 are rounded once more; the
//! operands themselves are exact, as the reference reads the same rounded values.

mod case;
mod laws;

use case::{Case, Segments};

use super::Pattern;
use crate::gemm::Multiply;
use crate::{Element, Isa, bf16, f16};

const CAUSAL: Case = Case {
    shape: [2, 17, 17, 2, 2, 8],
    pattern: Pattern::Causal,
    q_start: 0,
    segments: Segments::None,
    bias: false,
    dropout: 0.0,
};

/// Every entry of the table differs from another in one or two ways.
fn cases() -> Vec<Case> {
    let full = Case { pattern: Pattern::Full, ..CAUSAL };
    let window = |size| Case { pattern: Pattern::Window { size }, ..CAUSAL };
    let prefix = |len| Case { pattern: Pattern::Prefix { len }, ..CAUSAL };
    let mut cases = vec![
        Case { shape: [1, 1, 1, 1, 1, 8], ..CAUSAL },
        Case { shape: [0, 3, 3, 1, 1, 8], ..CAUSAL },
        Case { shape: [2, 0, 3, 1, 1, 8], ..full },
        Case { shape: [2, 3, 0, 1, 1, 8], ..full },
        Case { shape: [1, 1, 0, 2, 1, 8], ..full },
        Case { shape: [2, 1, 17, 4, 2, 15], ..full },
        Case { shape: [1, 1, 1100, 4, 1, 64], q_start: 1099, ..CAUSAL },
        Case { shape: [1, 1, 1300, 2, 2, 80], q_start: 1299, ..window(700) },
        Case { shape: [1, 15, 15, 1, 1, 15], ..CAUSAL },
        Case { shape: [2, 16, 16, 2, 1, 64], ..CAUSAL },
        Case { shape: [1, 31, 31, 3, 3, 80], ..CAUSAL },
        Case { shape: [1, 33, 33, 4, 2, 128], ..CAUSAL },
        Case { shape: [1, 257, 257, 2, 1, 64], ..CAUSAL },
        Case { shape: [1, 257, 257, 1, 1, 15], ..full },
        Case { shape: [1, 3, 259, 6, 2, 8], q_start: 256, ..CAUSAL },
        Case { shape: [1, 23, 601, 2, 2, 16], q_start: 578, ..CAUSAL },
        Case { shape: [1, 601, 601, 1, 1, 16], ..CAUSAL },
        Case { shape: [1, 17, 600, 2, 1, 16], ..full },
        Case { shape: [1, 300, 7, 2, 2, 16], ..full },
        Case { shape: [2, 67, 67, 2, 2, 8], ..window(1) },
        Case { shape: [1, 331, 331, 2, 2, 8], ..window(40) },
        Case { shape: [1, 67, 67, 2, 2, 8], ..window(100) },
        Case { shape: [2, 67, 67, 2, 2, 8], ..prefix(30) },
        Case { shape: [1, 67, 67, 2, 2, 8], ..prefix(100) },
        Case { shape: [1, 290, 290, 1, 1, 8], ..prefix(0) },
        Case { shape: [2, 31, 47, 2, 1, 8], bias: true, ..full },
        Case { shape: [2, 301, 301, 2, 2, 16], bias: true, ..CAUSAL },
        Case { shape: [1, 1, 530, 2, 2, 16], bias: true, q_start: 529, ..CAUSAL },
        Case { shape: [2, 37, 37, 2, 2, 16], dropout: 0.25, ..CAUSAL },
        Case { shape: [2, 1, 530, 2, 1, 16], dropout: 0.25, q_start: 529, ..CAUSAL },
        Case { shape: [1, 270, 270, 2, 1, 16], dropout: 0.5, bias: true, ..window(90) },
    ];
    let segments = [Segments::Left, Segments::Right, Segments::Holes, Segments::Packed];
    for segments in segments.into_iter().chain([Segments::Branches, Segments::AllPadding]) {
        cases.push(Case { shape: [3, 41, 41, 2, 1, 8], segments, ..CAUSAL });
        cases.push(Case { shape: [3, 41, 41, 2, 2, 8], segments, bias: true, ..full });
        cases.push(Case { shape: [3, 290, 290, 1, 1, 16], segments, dropout: 0.1, ..CAUSAL });
        cases.push(Case { shape: [3, 1, 530, 2, 1, 16], segments, q_start: 529, ..CAUSAL });
        cases.push(Case { shape: [3, 19, 37, 2, 1, 8], segments: segments.keys_only(), ..full });
    }
    cases
}

/// What the largest error may be, forward and backward, relative to the largest entry.
fn bounds<T: Element>(multiply: Multiply) -> [f64; 2] {
    let stored = match T::NAME {
        "F32" => 0.0,
        "F16" => 6e-4,
        _ => 5e-3,
    };
    match multiply {
        Multiply::F32 => [3e-6 + stored, 2e-5 + 2.0 * stored],
        Multiply::Bf16 => [8e-3 + stored, 1.6e-2 + 2.0 * stored],
    }
}

fn all_cases<T: Element>(multiply: Multiply) {
    for isa in Isa::supported() {
        for case in cases() {
            let [forward, backward] = bounds::<T>(multiply);
            let what = format!("{isa} {multiply:?} {} {case:?}", T::NAME);
            case.compare::<T>(isa, multiply, [forward, backward], &what);
        }
    }
}

#[test]
fn equals_the_reference_in_f32() {
    all_cases::<f32>(Multiply::F32);
}

#[test]
fn equals_the_reference_in_bf16() {
    all_cases::<bf16>(Multiply::Bf16);
}

#[test]
fn equals_the_reference_on_f16_storage() {
    all_cases::<f16>(Multiply::F32);
}

#[test]
fn equals_the_reference_on_bf16_storage_with_f32_products() {
    all_cases::<bf16>(Multiply::F32);
}

#[test]
fn equals_the_reference_on_f32_storage_with_bf16_products() {
    all_cases::<f32>(Multiply::Bf16);
}
