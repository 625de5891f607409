//! The quantised types of GGML: so many values of a row share their scales.
//!
//! ```text
//! Q4_0  Q5_0  Q8_0   x = d * q                         32 values; q signed
//! Q4_1  Q5_1         x = d * q + m                     32 values
//! Q4_K  Q5_K         x = (d * scale) * q - dmin * min  256 values; scale and min of 6 bits for 32
//! Q6_K               x = (d * scale) * q               256 values; scale of 8 bits for 16
//! ```
//!
//! `d`, `m` and `dmin` are f16. Source: ggml, `ggml-common.h` (layouts) and `ggml-quants.c`
//! (`dequantize_row_*`, whose order of operations this keeps, so that the bits are the same).

use std::fmt;

use half::f16;

/// A quantised type, as GGML calls it.
#[allow(missing_docs, non_camel_case_types)] // The names are GGML's, and tell all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Block {
    /// Values a block; a row has a whole number of blocks.
    pub const fn n_values(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes a block.
    pub const fn n_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The values of some blocks.
    ///
    /// # Panics
    /// When `bytes` are not the blocks of as many values as `into` has.
    pub fn dequantise(self, bytes: &[u8], into: &mut [f32]) {
        let n_blocks = into.len() / self.n_values();
        assert_eq!(bytes.len(), n_blocks * self.n_bytes(), "dequantise: {} values", into.len());
        let blocks = bytes.chunks_exact(self.n_bytes());
        for (block, x) in blocks.zip(into.chunks_exact_mut(self.n_values())) {
            match self {
                Self::Q4_0 => signed(block, x, nibbles(&block[2..]), 8),
                Self::Q4_1 => affine(block, x, nibbles(&block[4..])),
                Self::Q5_0 => signed(block, x, fifths(&block[2..]), 16),
                Self::Q5_1 => affine(block, x, fifths(&block[4..])),
                Self::Q8_0 => q8_0(block, x),
                Self::Q4_K => super_affine(block, x, |i, low| low(&block[16..], i)),
                Self::Q5_K => super_affine(block, x, |i, low| {
                    low(&block[48..], i) | ((block[16 + i % 32] >> (i / 32)) & 1) << 4
                }),
                Self::Q6_K => q6_k(block, x),
            }
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 32 numbers of four bits: the low halves of sixteen bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15)
}

/// As [`nibbles`], with a fifth bit each from the four bytes before.
fn fifths(bytes: &[u8]) -> [u8; 32] {
    let low = nibbles(&bytes[4..]);
    std::array::from_fn(|i| low[i] | (bytes[i / 8] >> (i % 8) & 1) << 4)
}

fn signed(block: &[u8], into: &mut [f32], quants: [u8; 32], zero: i16) {
    let d = half_at(block, 0);
    into.iter_mut().zip(quants).for_each(|(x, q)| *x = f32::from(i16::from(q) - zero) * d);
}

fn affine(block: &[u8], into: &mut [f32], quants: [u8; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    into.iter_mut().zip(quants).for_each(|(x, q)| *x = f32::from(q) * d + m);
}

fn q8_0(block: &[u8], into: &mut [f32]) {
    let d = half_at(block, 0);
    into.iter_mut().zip(&block[2..]).for_each(|(x, &q)| *x = f32::from(q as i8) * d);
}

/// Four bits of value `i` of 256: each 32 bytes hold 64 values, the low halves first.
fn nibble_of_64(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15
}

type Nibble = fn(&[u8], usize) -> u8;

/// `d`, `dmin` and twelve bytes of scales and minima, eight of each.
fn super_affine(block: &[u8], into: &mut [f32], quant: impl Fn(usize, Nibble) -> u8) {
    let (d, dmin, packed) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    for (j, values) in into.chunks_exact_mut(32).enumerate() {
        let (scale, min) = match j {
            0..4 => (packed[j] & 63, packed[j + 4] & 63),
            _ => (
                packed[j + 4] & 15 | packed[j - 4] >> 6 << 4,
                packed[j + 4] >> 4 | packed[j] >> 6 << 4,
            ),
        };
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        for (l, x) in values.iter_mut().enumerate() {
            *x = d * f32::from(quant(32 * j + l, nibble_of_64)) - m;
        }
    }
}

/// Of each 128 values: 64 bytes of low halves, 32 bytes of two high bits, eight scales.
fn q6_k(block: &[u8], into: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (i, x) in into.iter_mut().enumerate() {
        let (part, j) = (i / 128, i % 128);
        let low = low[64 * part + j % 64] >> (j / 64 * 4) & 15;
        let high = high[32 * part + j % 32] >> (j / 32 * 2) & 3;
        let quant = i16::from(low | high << 4) - 32;
        *x = d * f32::from(scales[i / 16] as i8) * f32::from(quant);
    }
}

/// Rounds a block of 32 values to `Q8_0`: `d` is the largest magnitude in 127 parts.
pub fn to_q8_0(values: &[f32; 32]) -> [u8; 34] {
    let d = values.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let scale = f16::from_f32(d).to_le_bytes();
    std::array::from_fn(|i| match i {
        0 | 1 => scale[i],
        _ => (values[i - 2] * inverse).round() as i8 as u8,
    })
}
