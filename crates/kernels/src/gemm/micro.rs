//! The micro-kernel: one tile of sums, kept in registers while `k` runs.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use super::product::{Product, prefetch};
use super::tile::TileMut;
use crate::element::Element;
use crate::simd::{LANES, Simd};

/// What the sums of a tile start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Zero.
    Zero,
    /// What the tile to be written holds.
    Out,
    /// A tile elsewhere: rows that start `stride` apart.
    From {
        /// The first row, and what follows it.
        data: &'a [f32],
        /// From row to row.
        stride: usize,
    },
}

/// One tile to compute: `out = start + bias + a * b`, summed in the order of `k`.
pub struct Tile<'a, C> {
    /// A packed panel of the left operand: for each unit of `k`, one for each row.
    pub a: &'a [u32],
    /// A packed panel of the right operand: for each unit of `k`, one for each column.
    pub b: &'a [u32],
    /// What the sums start from.
    pub start: Start<'a>,
    /// Added to every row; as wide as the tile.
    pub bias: Option<&'a [f32]>,
    /// Where the sums go.
    pub out: TileMut<'a, C>,
}

impl Start<'_> {
    /// The same for the tile that starts at a row and a column of this one.
    #[inline(always)]
    fn at(self, [row, col]: [usize; 2]) -> Self {
        match self {
            Start::From { data, stride } => {
                Start::From { data: &data[row * stride + col..], stride }
            }
            other => other,
        }
    }
}

/// Computes a grid of whole tiles: `a` and `b` hold panels of `n_units` units.
#[inline(always)]
pub fn accumulate_grid<P: Product, C: Element, const ROWS: usize, const VECTORS: usize>(
    p: P,
    n_units: usize,
    mut grid: Tile<'_, C>,
) {
    let [rows, cols] = grid.out.dims();
    let (a_len, b_len) = (n_units * ROWS, n_units * VECTORS * LANES);
    for j in 0..cols / (VECTORS * LANES) {
        for i in 0..rows / ROWS {
            let at @ [_, col] = [i * ROWS, j * VECTORS * LANES];
            let mut out = grid.out.part(at, ROWS, VECTORS * LANES);
            ask_for(&mut out);
            let tile = Tile {
                a: &grid.a[i * a_len..][..a_len],
                b: &grid.b[j * b_len..][..b_len],
                start: grid.start.at(at),
                bias: grid.bias.map(|bias| &bias[col..]),
                out,
            };
            accumulate::<P, C, ROWS, VECTORS, ROWS, VECTORS>(p, tile);
        }
    }
}

/// Asks for the memory of a tile, long before it is written: stores wait for their cache lines one
/// after the other.
#[inline(always)]
fn ask_for<C: Element>(out: &mut TileMut<'_, C>) {
    const LINE: usize = 64;
    for i in 0..out.dims()[0] {
        let row = out.row(i);
        for part in row.chunks(LINE / size_of::<C>()) {
            prefetch(part.as_ptr());
        }
        prefetch(row.as_ptr_range().end.wrapping_sub(1));
    }
}

/// Computes the first `M` rows and `V` vectors of a tile whose panels are for `ROWS` rows and
/// `VECTORS` vectors. The tile to be written is as large as what is computed.
#[inline(always)]
pub fn accumulate<
    P: Product,
    C: Element,
    const ROWS: usize,
    const VECTORS: usize,
    const M: usize,
    const V: usize,
>(
    p: P,
    mut tile: Tile<'_, C>,
) {
    assert_eq!(tile.out.dims(), [M, V * LANES], "gemm: tile");
    let mut sums = start::<P, C, M, V>(p, &mut tile);
    let a = tile.a.as_chunks::<ROWS>().0;
    let b = tile.b.as_chunks::<LANES>().0.as_chunks::<VECTORS>().0;
    debug_assert_eq!(a.len(), b.len(), "gemm: panels");
    for (a, b) in a.iter().zip(b) {
        let mut columns = [p.load(&b[0]); V];
        for v in 1..V {
            columns[v] = p.load(&b[v]);
        }
        for i in 0..M {
            let row = p.splat(a[i]);
            for v in 0..V {
                sums[i][v] = p.step(sums[i][v], row, columns[v]);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        let out = tile.out.row(i).as_chunks_mut().0;
        for v in 0..V {
            C::store(p.simd(), &mut out[v], sums[v]);
        }
    }
}

/// The sums before the first product.
#[inline(always)]
fn start<P: Product, C: Element, const M: usize, const V: usize>(
    p: P,
    tile: &mut Tile<'_, C>,
) -> [[<P::S as Simd>::F; V]; M] {
    let s = p.simd();
    let mut bias = [s.splat(0.0); V];
    if let Some(from) = tile.bias {
        for (bias, from) in bias.iter_mut().zip(from.as_chunks().0) {
            *bias = s.load_f32(from);
        }
    }
    let mut sums = [bias; M];
    match tile.start {
        Start::Zero => {}
        Start::Out => {
            for (i, sums) in sums.iter_mut().enumerate() {
                let from = tile.out.row(i).as_chunks().0;
                for v in 0..V {
                    sums[v] = s.add(C::load(s, &from[v]), sums[v]);
                }
            }
        }
        Start::From { data, stride } => {
            for (i, sums) in sums.iter_mut().enumerate() {
                let from = data[i * stride..].as_chunks().0;
                for v in 0..V {
                    sums[v] = s.add(s.load_f32(&from[v]), sums[v]);
                }
            }
        }
    }
    sums
}
