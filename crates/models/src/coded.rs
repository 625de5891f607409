//! Forms in fewer bits that weights which do not learn are kept in: decoded when they are
//! multiplied.
//!
//! Dettmers et al., "QLoRA", arXiv:2305.14314, section 3.

use std::sync::Arc;

use checkpoint::gguf::{Block, to_q8_0};
use half::f16;
use serde::{Deserialize, Serialize};
use tensor::{Code, Params};

/// What weights are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantised {
    /// Eight bits, 32 values of a row with one scale in f16: GGUF's `Q8_0`, 8.5 bits a value.
    Int8,
    /// Four bits that are the quantiles of a normal distribution, 64 values with their largest
    /// magnitude in f16: 4.25 bits a value. `bitsandbytes` keeps that in 8 bits and f32 instead.
    Nf4,
}

/// How the frozen weights of linear maps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As plain numbers.
    Plain,
    /// As they are stored, in blocks or plain.
    AsStored,
    /// The same, but rounded to this where they are plain.
    Rounded(Quantised),
}

impl Coding {
    /// The frozen parameters, of those that `is_map` names, that cannot be rounded to it.
    pub fn misfits(self, params: &Params, is_map: impl Fn(&str) -> bool) -> Vec<String> {
        let Self::Rounded(quantised) = self else { return Vec::new() };
        let maps = params.entries().iter().filter(|e| e.param.is_frozen() && is_map(&e.name));
        let misfits = maps.filter(|e| !e.param.shape().last().is_some_and(|n| quantised.fits(*n)));
        misfits.map(|e| e.name.clone()).collect()
    }
}

impl Quantised {
    /// The one of that name, as a recipe has it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Int8, Self::Nf4].into_iter().find(|form| form.name() == name)
    }

    /// What a recipe calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
        }
    }

    /// Whether rows of so many values are a whole number of blocks.
    pub(crate) fn fits(self, n: usize) -> bool {
        match self {
            Self::Int8 => n.is_multiple_of(32),
            Self::Nf4 => n.is_multiple_of(NF4_BLOCK),
        }
    }

    pub(crate) fn code(self) -> Arc<dyn Code> {
        match self {
            Self::Int8 => Arc::new(Blocks(Block::Q8_0)),
            Self::Nf4 => Arc::new(Nf4),
        }
    }

    /// Rows that fit, rounded to the nearest.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Int8 => values.as_chunks().0.iter().flat_map(to_q8_0).collect(),
            Self::Nf4 => values.chunks_exact(NF4_BLOCK).flat_map(to_nf4).collect(),
        }
    }
}

/// Blocks of GGUF.
#[derive(Debug)]
pub(crate) struct Blocks(pub Block);

impl Code for Blocks {
    fn row_bytes(&self, n: usize) -> usize {
        n / self.0.n_values() * self.0.n_bytes()
    }

    fn decode(&self, row: &[u8], into: &mut [f32]) {
        self.0.dequantise(row, into);
    }
}

/// Values a block.
const NF4_BLOCK: usize = 64;

/// The quantiles: Dettmers et al., appendix E.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_04,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The largest magnitude in f16, then two values a byte, the first in the high half.
#[derive(Debug)]
struct Nf4;

impl Code for Nf4 {
    fn row_bytes(&self, n: usize) -> usize {
        n / NF4_BLOCK * (2 + NF4_BLOCK / 2)
    }

    fn decode(&self, row: &[u8], into: &mut [f32]) {
        let blocks = row.chunks_exact(2 + NF4_BLOCK / 2);
        for (block, to) in blocks.zip(into.chunks_exact_mut(NF4_BLOCK)) {
            let largest = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let table = NF4.map(|x| x * largest);
            for (pair, to) in block[2..].iter().zip(to.chunks_exact_mut(2)) {
                to[0] = table[usize::from(pair >> 4)];
                to[1] = table[usize::from(pair & 15)];
            }
        }
    }
}

fn to_nf4(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let largest = f16::from_f32(largest);
    let inverse = if largest.to_f32() > 0.0 { largest.to_f32().recip() } else { 0.0 };
    let nearest =
        |x: f32| NF4.windows(2).filter(|w| x * inverse > f32::midpoint(w[0], w[1])).count();
    let pair = |pair: &[f32]| (nearest(pair[0]) << 4 | nearest(pair[1])) as u8;
    let mut block = largest.to_le_bytes().to_vec();
    block.extend(values.chunks_exact(2).map(pair));
    block
}

#[cfg(test)]
mod tests {
    use testing::Numbers;

    use super::*;

    #[test]
    fn what_is_coded_is_near_and_what_is_in_the_table_is_exact() {
        let values = Numbers::new(1).normal(3 * 128);
        for (quantised, bound) in [(Quantised::Int8, 0.01), (Quantised::Nf4, 0.1)] {
            let code = quantised.code();
            let coded = quantised.encode(&values);
            assert_eq!(coded.len(), 3 * code.row_bytes(128));
            let mut decoded = vec![0.0; values.len()];
            let rows = coded.chunks_exact(code.row_bytes(128)).zip(decoded.chunks_exact_mut(128));
            rows.for_each(|(row, to)| code.decode(row, to));
            let square = |x: f32| f64::from(x * x);
            let error: f64 = values.iter().zip(&decoded).map(|(a, b)| square(a - b)).sum();
            let norm: f64 = values.iter().copied().map(square).sum();
            assert!((error / norm).sqrt() < bound, "{quantised:?}: {}", (error / norm).sqrt());
            assert_eq!(quantised.encode(&decoded), coded, "{quantised:?}");
        }
        let zeros = Quantised::Nf4.encode(&[0.0; 64]);
        let mut decoded = [1.0; 64];
        Nf4.decode(&zeros, &mut decoded);
        assert_eq!(decoded, [0.0; 64]);
    }
}
