//! The micro-kernel: one tile of sums, kept in registers while `k` runs.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use super::product::{Product, Units, prefetch};
use super::tile::TileMut;
use crate::element::Element;
use crate::simd::{LANES, Simd};

/// Cache lines that a row of a tile of 32 f32 may lie in.
const AHEAD_LINES: usize = 3;

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
    /// Where the row and column of another tile is, and from row to row in bytes.
    #[inline(always)]
    fn address(self, [row, col]: [usize; 2]) -> Option<(*const u8, usize)> {
        let Start::From { data, stride } = self else { return None };
        let at = data.as_ptr().wrapping_add(row * stride + col);
        Some((at.cast(), stride * size_of::<f32>()))
    }

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
///
/// While a tile is computed, the memory of the next one is asked for: results are read late and
/// stores wait for their cache lines one after the other. `after` is the tile after the grid,
/// counted in tiles from its first.
#[inline(always)]
pub fn accumulate_grid<P: Product, C: Element, const ROWS: usize, const VECTORS: usize>(
    p: P,
    n_units: usize,
    after: [usize; 2],
    mut grid: Tile<'_, C>,
) {
    let [rows, cols] = grid.out.dims();
    let [n_rows, n_cols] = [rows / ROWS, cols / (VECTORS * LANES)];
    let (a_len, b_len) = (n_units * ROWS, n_units * VECTORS * LANES);
    for j in 0..n_cols {
        for i in 0..n_rows {
            let next = match [i + 1 < n_rows, j + 1 < n_cols] {
                [true, _] => [i + 1, j],
                [_, true] => [0, j + 1],
                _ => after,
            };
            let next = [next[0] * ROWS, next[1] * VECTORS * LANES];
            let ahead = Ahead {
                next: grid.out.address(next).cast(),
                stride: grid.out.stride() * size_of::<C>(),
                from: grid.start.address(next),
            };
            let at @ [_, col] = [i * ROWS, j * VECTORS * LANES];
            let tile = Tile {
                a: &grid.a[i * a_len..][..a_len],
                b: &grid.b[j * b_len..][..b_len],
                start: grid.start.at(at),
                bias: grid.bias.map(|bias| &bias[col..]),
                out: grid.out.part(at, ROWS, VECTORS * LANES),
            };
            accumulate_and::<P, C, ROWS, VECTORS, ROWS, VECTORS>(p, tile, Some(ahead));
        }
    }
}

/// Where the next tile is, and from row to row in bytes; the same of what it starts from.
#[derive(Clone, Copy)]
struct Ahead {
    next: *const u8,
    stride: usize,
    from: Option<(*const u8, usize)>,
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
    tile: Tile<'_, C>,
) {
    accumulate_and::<P, C, ROWS, VECTORS, M, V>(p, tile, None);
}

/// As [`accumulate`], asking for the memory of another tile meanwhile.
#[inline(always)]
fn accumulate_and<
    P: Product,
    C: Element,
    const ROWS: usize,
    const VECTORS: usize,
    const M: usize,
    const V: usize,
>(
    p: P,
    mut tile: Tile<'_, C>,
    ahead: Option<Ahead>,
) {
    assert_eq!(tile.out.dims(), [M, V * LANES], "gemm: tile");
    let mut sums = start::<P, C, M, V>(p, &mut tile);
    let mut a = tile.a.as_chunks::<ROWS>().0;
    let mut b = tile.b.as_chunks::<LANES>().0.as_chunks::<VECTORS>().0;
    assert_eq!(a.len(), b.len(), "gemm: panels");
    if let Some(Ahead { next, stride, from }) = ahead {
        // A line for a unit, so that they do not get in the way of the units. One unit a turn:
        // more of them would not fit the registers.
        for (next, stride) in [Some((next, stride)), from].into_iter().flatten() {
            let n = a.len().min(M * AHEAD_LINES);
            for (i, (a, b)) in a[..n].iter().zip(&b[..n]).enumerate() {
                let row = next.wrapping_add(i / AHEAD_LINES * stride);
                prefetch(row.wrapping_add(i % AHEAD_LINES * 64));
                step(p, &mut sums, a, b);
            }
            (a, b) = (&a[n..], &b[n..]);
        }
    }
    for (a, b) in a.iter().zip(b) {
        step(p, &mut sums, a, b);
    }
    for (i, sums) in sums.into_iter().enumerate() {
        let out = tile.out.row(i).as_chunks_mut().0;
        for v in 0..V {
            C::store(p.simd(), &mut out[v], sums[v]);
        }
    }
}

/// Adds the products of one unit of `k`.
#[inline(always)]
fn step<P: Product, const ROWS: usize, const VECTORS: usize, const M: usize, const V: usize>(
    p: P,
    sums: &mut [[<P::S as Simd>::F; V]; M],
    a: &[u32; ROWS],
    b: &[Units; VECTORS],
) {
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
