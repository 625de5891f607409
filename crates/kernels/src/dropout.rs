//! Dropout, with masks that are computed and never stored.
//!
//! ```text
//! y[i] = x[i] * keep(i) / (1 - p),    keep(i) = 1 with probability 1 - p
//! ```
//!
//! `keep(i)` depends on the key and the index alone: the backward pass, a recomputed block and a
//! micro-batch see the same mask. Srivastava et al., "Dropout: A Simple Way to Prevent Neural
//! Networks from Overfitting", JMLR 15 (2014).
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::PIECE;
use crate::philox::{self, GROUP, Key};
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

/// Names the random numbers of one dropout layer at one step.
pub type DropKey = Key;

/// One dropout layer at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element becomes zero, in `[0, 1)`.
    pub p: f32,
    /// Which random numbers.
    pub key: DropKey,
    /// The index of the first element: where a micro-batch starts in its batch.
    pub offset: u64,
}

impl Dropout {
    /// Whether the element with this index, `offset` included, is kept.
    pub fn keep(&self, index: u64) -> bool {
        // Element 64 g + 16 w + b is word w of block 16 g + b: the order of `philox::group`.
        let (group, word, lane) = (index / 64, index % 64 / 16, index % 16);
        self.key.words(16 * group + lane)[word as usize] >= self.threshold()
    }

    /// What a kept element is multiplied with.
    pub fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    /// Words below it drop.
    ///
    /// # Panics
    /// When `p` is outside `[0, 1)`.
    pub(crate) fn threshold(&self) -> u32 {
        assert!((0.0..1.0).contains(&self.p), "dropout: p is {}", self.p);
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }
}

/// Writes `y = x * mask / (1 - p)`; the backward pass is the same with the gradient as `x`.
///
/// # Panics
/// When `x` and `y` differ in length, or `p` is outside `[0, 1)`.
pub fn forward<X: Element, Y: Element>(isa: Isa, y: &mut [Y], x: &[X], dropout: Dropout) {
    assert_eq!(x.len(), y.len(), "dropout: x and y");
    let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).enumerate();
    pieces.for_each(|(i, (y, x))| {
        let first = dropout.offset + (i * PIECE) as u64;
        over_groups(first, y.len(), |group, at, part| {
            let mask = multipliers(isa, dropout, group);
            multiply(isa, &mut y[part.clone()], &x[part], &mask[at..]);
        });
    });
}

/// Calls `f(group, start in the group, range)` for the groups of random numbers under `n` elements
/// of which the first has the index `first`.
fn over_groups(first: u64, n: usize, mut f: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < n {
        let index = first + done as u64;
        let at = (index % GROUP as u64) as usize;
        let len = (GROUP - at).min(n - done);
        f(index / GROUP as u64, at, done..done + len);
        done += len;
    }
}

/// Zero or `1 / (1 - p)` for the 64 elements of a group.
fn multipliers(isa: Isa, dropout: Dropout, group: u64) -> [f32; GROUP] {
    multipliers_of(isa, dropout.key, group, dropout.threshold(), dropout.scale())
}

simd_fn! {
    fn multipliers_of(key: Key, group: u64, threshold: u32, scale: f32) -> [f32; GROUP]
        = multipliers_body;
}

#[inline(always)]
fn multipliers_body<S: Simd>(
    _: S,
    key: Key,
    group: u64,
    threshold: u32,
    scale: f32,
) -> [f32; GROUP] {
    let words = philox::group(key, group);
    let mut out = [0.0; GROUP];
    for (out, word) in out.iter_mut().zip(words) {
        *out = if word >= threshold { scale } else { 0.0 };
    }
    out
}

simd_fn! {
    fn multiply<X: Element, Y: Element>(y: &mut [Y], x: &[X], mask: &[f32]) = multiply_body;
}

#[inline(always)]
fn multiply_body<S: Simd, X: Element, Y: Element>(s: S, y: &mut [Y], x: &[X], mask: &[f32]) {
    for_blocks!(x.len(), |at| {
        at.store(s, y, s.mul(at.load(s, x), at.load(s, mask)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{EDGE_SIZES, Numbers, same_for_any_threads};

    fn dropout(p: f32, offset: u64) -> Dropout {
        Dropout { p, key: Key::new(3).fold(1), offset }
    }

    #[test]
    fn equals_its_definition_at_any_offset() {
        for isa in Isa::supported() {
            for n in EDGE_SIZES {
                for offset in [0, 1, 63, 64, 1 << 40] {
                    let (x, rule) = (Numbers::new(1).normal(n), dropout(0.3, offset));
                    let mask = |i: usize| rule.keep(offset + i as u64);
                    let scaled = |i: usize| if mask(i) { x[i] * rule.scale() } else { x[i] * 0.0 };
                    let mut y = vec![7.0_f32; n];
                    forward(isa, &mut y, &x, rule);
                    let expected: Vec<f32> = (0..n).map(scaled).collect();
                    assert_eq!(y, expected, "{isa} {n} {offset}");
                }
            }
        }
    }

    #[test]
    fn a_micro_batch_sees_its_part_of_the_mask() {
        let x = vec![1.0_f32; 5000];
        let (mut whole, mut part) = (x.clone(), x.clone());
        forward(Isa::detect(), &mut whole, &x, dropout(0.5, 0));
        forward(Isa::detect(), &mut part[..1234], &x[..1234], dropout(0.5, 777));
        assert_eq!(part[..1234], whole[777..][..1234]);
    }

    #[test]
    fn drops_with_its_probability() {
        let x = vec![1.0_f32; 100_000];
        for p in [0.0, 0.1, 0.5, 0.9] {
            let mut y = x.clone();
            forward(Isa::detect(), &mut y, &x, dropout(p, 0));
            let dropped = y.iter().filter(|&&y| y == 0.0).count() as f32 / 1e5;
            assert!((dropped - p).abs() < 0.006, "{p}: {dropped}");
            let mean = y.iter().sum::<f32>() / 1e5;
            assert!((mean - 1.0).abs() < 0.04, "{p}: {mean}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = Numbers::new(1).normal(100_003);
        same_for_any_threads(|| {
            let mut y = x.clone();
            forward(Isa::detect(), &mut y, &x, dropout(0.2, 5));
            y
        });
    }
}
