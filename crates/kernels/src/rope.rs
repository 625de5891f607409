//! Rotary position embedding, in place on the heads of queries and keys.
//!
//! ```text
//! (a, b) -> (a cos - b sin, b cos + a sin),    angle = position * frequency[i]
//! ```
//!
//! Su et al., "`RoFormer`: Enhanced Transformer with Rotary Position Embedding", arXiv:2104.09864,
//! eq. 34. The gradient of a rotation is the inverse rotation.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::rows_per_piece;
use crate::heads::HeadRows;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

/// Which two channels of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// Channel `i` with `i + d_rot / 2`: GPT-NeoX, and `LLaMA` as Hugging Face stores it.
    Halves,
    /// Channel `2 i` with `2 i + 1`: the paper, GPT-J.
    Interleaved,
}

/// Which way to rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// By the angle of the position.
    Forward,
    /// Back: of gradients.
    Inverse,
}

/// Sines and cosines of every position; `[max_len, d_rot / 2]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
    pairing: Pairing,
}

impl RopeTable {
    /// `frequency[i] = theta^(-2 i / d_rot)`, the paper's.
    pub fn new(max_len: usize, d_rot: usize, theta: f64, pairing: Pairing) -> Self {
        assert!(d_rot.is_multiple_of(2), "rope: d_rot {d_rot} is odd");
        let frequency = |i| theta.powf(-2.0 * i as f64 / d_rot as f64);
        let frequencies: Vec<f64> = (0..d_rot / 2).map(frequency).collect();
        Self::from_frequencies(max_len, &frequencies, pairing)
    }

    /// Any frequencies, in radians a position: stretched ones, for instance. Angles are f64, as
    /// an f32 has no digits left for the fraction of a turn at far positions.
    pub fn from_frequencies(max_len: usize, frequencies: &[f64], pairing: Pairing) -> Self {
        let angles = (0..max_len).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Self { cos, sin, half: frequencies.len(), pairing }
    }

    /// Multiplies all sines and cosines: what turns is scaled as well, and so is the gradient.
    pub fn scale(&mut self, factor: f32) {
        self.cos.iter_mut().chain(&mut self.sin).for_each(|x| *x *= factor);
    }

    /// How many positions there are.
    pub fn max_len(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// How many channels of a head are rotated.
    pub fn d_rot(&self) -> usize {
        2 * self.half
    }

    /// Cosines and sines of a position.
    pub fn at(&self, position: u32) -> (&[f32], &[f32]) {
        let start = position as usize * self.half;
        (&self.cos[start..][..self.half], &self.sin[start..][..self.half])
    }
}

/// Rotates the heads of every row of `x` by the row's position.
///
/// # Panics
/// When lengths disagree or a position is outside the table.
pub fn rotate<X: Element>(
    isa: Isa,
    x: &mut [X],
    rows: HeadRows,
    table: &RopeTable,
    positions: &[u32],
    direction: Direction,
) {
    let HeadRows { row_stride, offset, n_heads, d_head } = rows;
    assert_eq!(x.len(), positions.len() * row_stride, "rope: rows of {row_stride}");
    assert!(offset + n_heads * d_head <= row_stride, "rope: {rows:?}");
    assert!(table.d_rot() <= d_head, "rope: d_rot {} in heads of {d_head}", table.d_rot());
    if x.is_empty() || table.half == 0 {
        return;
    }
    let (largest, max_len) = (positions.iter().copied().max().unwrap_or(0), table.max_len());
    assert!((largest as usize) < max_len, "rope: position {largest} in a table of {max_len}");
    let n_rows = rows_per_piece(n_heads * d_head);
    if positions.len() <= n_rows {
        return rotate_piece(isa, x, rows, table, positions, direction);
    }
    let pieces = x.par_chunks_mut(n_rows * row_stride).zip(positions.par_chunks(n_rows));
    pieces.for_each(|(x, positions)| rotate_piece(isa, x, rows, table, positions, direction));
}

simd_fn! {
    fn rotate_piece<X: Element>(
        x: &mut [X], rows: HeadRows, table: &RopeTable, positions: &[u32], direction: Direction,
    ) = rotate_body;
}

#[inline(always)]
fn rotate_body<S: Simd, X: Element>(
    s: S,
    x: &mut [X],
    rows: HeadRows,
    table: &RopeTable,
    positions: &[u32],
    direction: Direction,
) {
    let HeadRows { row_stride, offset, n_heads, d_head } = rows;
    let sign = if direction == Direction::Forward { 1.0 } else { -1.0 };
    for (row, &position) in x.chunks_exact_mut(row_stride).zip(positions) {
        let turn = table.at(position);
        for head in row[offset..][..n_heads * d_head].chunks_exact_mut(d_head) {
            let head = &mut head[..2 * table.half];
            match table.pairing {
                Pairing::Halves => rotate_halves(s, head, turn, sign),
                Pairing::Interleaved => rotate_interleaved(head, turn, sign),
            }
        }
    }
}

#[inline(always)]
fn rotate_halves<S: Simd, X: Element>(s: S, head: &mut [X], turn: (&[f32], &[f32]), sign: f32) {
    let (cos, sin) = turn;
    let (first, second) = head.split_at_mut(cos.len());
    let sign = s.splat(sign);
    for_blocks!(cos.len(), |at| {
        let (a, b) = (at.load(s, first), at.load(s, second));
        let (cos, sin) = (at.load(s, cos), s.mul(sign, at.load(s, sin)));
        at.store(s, first, s.fnma(b, sin, s.mul(a, cos)));
        at.store(s, second, s.fma(a, sin, s.mul(b, cos)));
    });
}

#[inline(always)]
fn rotate_interleaved<X: Element>(head: &mut [X], turn: (&[f32], &[f32]), sign: f32) {
    for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turn.0.iter().zip(turn.1))
    {
        let (a, b, sin) = (pair[0].to_f32(), pair[1].to_f32(), sign * sin);
        *pair = [X::from_f32(a * cos - b * sin), X::from_f32(b * cos + a * sin)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::reference::cast::{round, widen};
    use crate::reference::rope as reference;
    use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

    const THETA: f64 = 10_000.0;

    fn case<X: Element>(isa: Isa, rows: HeadRows, d_rot: usize, n_rows: usize, tol: f64) {
        let mut numbers = Numbers::new(d_rot as u64);
        let x: Vec<X> = round(&numbers.normal(n_rows * rows.row_stride));
        let positions: Vec<u32> = (0..n_rows).map(|_| numbers.below(5000) as u32).collect();
        for pairing in [Pairing::Halves, Pairing::Interleaved] {
            let table = RopeTable::new(5000, d_rot, THETA, pairing);
            let turned = || {
                let mut y = x.clone();
                rotate(isa, &mut y, rows, &table, &positions, Direction::Forward);
                y
            };
            let mut y = turned();
            same_for_any_threads(|| widen(&turned()));
            let mut expected = widen(&x);
            for (row, &p) in expected.chunks_exact_mut(rows.row_stride).zip(&positions) {
                let heads = &mut row[rows.offset..][..rows.n_heads * rows.d_head];
                for head in heads.chunks_exact_mut(rows.d_head) {
                    reference::rotate(&mut head[..d_rot], p, THETA, pairing);
                }
            }
            let what = format!("{isa} {rows:?} {d_rot} {pairing:?}");
            assert_close(&what, &widen(&y), &expected, Tolerance::both(tol));
            rotate(isa, &mut y, rows, &table, &positions, Direction::Inverse);
            assert_close(&what, &widen(&y), &widen(&x), Tolerance::both(2.0 * tol));
        }
    }

    #[test]
    fn equals_the_reference_and_turns_back() {
        for isa in Isa::supported() {
            let rows = |n_heads, d_head| HeadRows {
                row_stride: 3 * n_heads * d_head + 5,
                offset: n_heads * d_head,
                n_heads,
                d_head,
            };
            for (d_head, d_rot) in [(2, 2), (8, 0), (30, 30), (64, 64), (80, 32), (128, 66)] {
                case::<f32>(isa, rows(3, d_head), d_rot, 7, 1e-6);
                case::<bf16>(isa, rows(2, d_head), d_rot, 7, 1e-2);
            }
            case::<f32>(isa, rows(2, 64), 64, 0, 1e-6);
            case::<f32>(isa, rows(2, 64), 64, 400, 1e-6);
        }
    }

    #[test]
    fn products_depend_on_the_distance_alone() {
        let rows = HeadRows { row_stride: 64, offset: 0, n_heads: 1, d_head: 64 };
        let table = RopeTable::new(1000, 64, THETA, Pairing::Halves);
        let x = Numbers::new(1).normal(128);
        let dot = |at: u32| {
            let mut x = x.clone();
            rotate(Isa::detect(), &mut x, rows, &table, &[at, at + 9], Direction::Forward);
            x[..64].iter().zip(&x[64..]).map(|(a, b)| a * b).sum::<f32>()
        };
        assert!((dot(0) - dot(990)).abs() < 1e-4, "{} {}", dot(0), dot(990));
    }

    #[test]
    #[should_panic(expected = "position 4 in a table of 4")]
    fn a_position_outside_the_table_panics() {
        let rows = HeadRows { row_stride: 2, offset: 0, n_heads: 1, d_head: 2 };
        let table = RopeTable::new(4, 2, THETA, Pairing::Halves);
        rotate(Isa::Portable, &mut [0.0_f32; 2], rows, &table, &[4], Direction::Forward);
    }
}
