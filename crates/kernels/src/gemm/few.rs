//! Products of a few rows, as in decoding: packing the right operand would cost more than the
//! product, so its lines are read once, as they lie in memory, and dotted with every row.
//!
//! A column is one stream through memory, as hardware likes to read it ahead; it is summed in four
//! times sixteen lanes, which are added at the end. The bits of a row depend on no other row,
//! and differ from those of a product of more than [`ROWS_MAX`] rows by rounding only.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use std::iter;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::epilogue::{Output, finish, prepare};
use super::kernel::{Kernel, kernel_fn};
use super::product::{Product, Units, prefetch};
use super::scratch::{Purpose, with_buffer};
use super::tile::TileMut;
use super::view::Lines;
use crate::element::Element;
use crate::simd::{LANES, Simd};

/// Products of more rows are packed.
pub const ROWS_MAX: usize = 8;
/// Columns of one piece of work, at most.
const COLS_MAX: usize = 128;
/// Elements of the right operand that one piece of work reads, about.
const PIECE: usize = 1 << 16;
/// Sums of a column that do not wait for each other.
const CHAINS: usize = 4;
/// Elements from what is read to what is asked for.
const AHEAD: usize = 2048;

/// Whether lines are few and contiguous.
pub fn applies<A: Element, B: Element>(a: Lines<'_, A>, b: Lines<'_, B>) -> bool {
    (1..=ROWS_MAX).contains(&a.count) && a.along_k && b.along_k && a.k > 0
}

/// Computes the product.
pub fn run<A: Element, B: Element, C: Element>(
    kernel: Kernel,
    a: Lines<'_, A>,
    b: Lines<'_, B>,
    out: &Output<'_, C>,
) {
    let n_units = kernel.units(a.k).next_multiple_of(LANES);
    with_buffer(Purpose::Shared, |buffer| {
        let units: &mut [u32] = buffer.sized(n_units * a.count);
        widen_rows(kernel, a, units);
        let units = &*units;
        let n_cols = (PIECE / b.k).next_multiple_of(LANES).clamp(LANES, COLS_MAX);
        let piece = |i: usize| {
            let cols = i * n_cols..b.count.min((i + 1) * n_cols);
            // SAFETY: pieces of work have different columns.
            unsafe { columns(kernel, units, b, out, cols) };
        };
        let n_pieces = b.count.div_ceil(n_cols);
        if b.count * b.k <= PIECE {
            (0..n_pieces).for_each(piece);
        } else {
            let next = AtomicUsize::new(0);
            let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n_pieces);
            let work = |_| iter::from_fn(take).for_each(piece);
            (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(work);
        }
    });
}

kernel_fn! {
    fn widen_rows<A: Element>(a: Lines<'_, A>, units: &mut [u32]) = widen_rows_body;
}

/// Rows as units in the order of `k`, zeros after them.
#[inline(always)]
fn widen_rows_body<P: Product, A: Element>(p: P, a: Lines<'_, A>, units: &mut [u32]) {
    let block = LANES * P::PER_UNIT;
    let rows = units.chunks_exact_mut(a.k.div_ceil(block) * LANES);
    for (i, row) in rows.enumerate() {
        for (to, k) in row.as_chunks_mut().0.iter_mut().zip((0..a.k).step_by(block)) {
            p.store(to, p.along(a.line(i, k, a.k.min(k + block))));
        }
    }
}

/// Some columns of the result.
///
/// # Safety
/// Nobody else may read or write these columns of the result meanwhile.
unsafe fn columns<B: Element, C: Element>(
    kernel: Kernel,
    units: &[u32],
    b: Lines<'_, B>,
    out: &Output<'_, C>,
    cols: Range<usize>,
) {
    let m = out.dims[0];
    // SAFETY: the columns are the caller's alone, by this function's contract.
    let mut c = unsafe { out.c.tile(0..m, cols.clone()) };
    let activated = out.activated.as_ref().map(|(act, y)| {
        // SAFETY: as for `c`.
        (*act, unsafe { y.tile(0..m, cols.clone()) })
    });
    let mut sums = [0.0; ROWS_MAX * COLS_MAX];
    let mut sums = TileMut::new(&mut sums, m, cols.len());
    prepare(kernel, sums.reborrow(), out.first.at([0, cols.start]), c.reborrow());
    add_dots(kernel, units, b, cols.start, sums.reborrow());
    finish(kernel, sums, c, activated);
}

kernel_fn! {
    fn add_dots<B: Element>(
        units: &[u32],
        b: Lines<'_, B>,
        first: usize,
        sums: TileMut<'_, f32>,
    ) = add_dots_body;
}

/// Adds the product of every row and the columns from `first`.
#[inline(always)]
fn add_dots_body<P: Product, B: Element>(
    p: P,
    units: &[u32],
    b: Lines<'_, B>,
    first: usize,
    mut sums: TileMut<'_, f32>,
) {
    let [m, n] = sums.dims();
    let (rows, _) = units.as_chunks::<LANES>();
    let n_blocks = rows.len() / m;
    for j in 0..n {
        let line = b.line(first + j, 0, b.k);
        let mut i = 0;
        while i < m {
            let rows = &rows[i * n_blocks..];
            let at = [i, j];
            i += match m - i {
                1 => dots::<P, B, 1>(p, rows, n_blocks, line, at, &mut sums),
                2 | 3 => dots::<P, B, 2>(p, rows, n_blocks, line, at, &mut sums),
                _ => dots::<P, B, 4>(p, rows, n_blocks, line, at, &mut sums),
            };
        }
    }
}

/// Adds the dot products of `M` rows and a column; returns `M`.
#[inline(always)]
fn dots<P: Product, B: Element, const M: usize>(
    p: P,
    rows: &[Units],
    n_blocks: usize,
    line: &[B],
    [row, col]: [usize; 2],
    sums: &mut TileMut<'_, f32>,
) -> usize {
    let s = p.simd();
    let block = LANES * P::PER_UNIT;
    let rows: [&[Units]; M] = std::array::from_fn(|i| &rows[i * n_blocks..][..n_blocks]);
    let mut acc = [[s.splat(0.0); M]; CHAINS];
    let step = |acc: &mut [_; M], u: usize, part: &[B]| {
        prefetch(part.as_ptr().wrapping_add(AHEAD));
        let column = p.along(part);
        for (acc, row) in acc.iter_mut().zip(rows) {
            *acc = p.step(*acc, p.left(p.load(&row[u])), column);
        }
    };
    let whole = line.chunks_exact(CHAINS * block);
    let rest = whole.remainder();
    let n_whole = line.len() - rest.len();
    for (u, part) in whole.enumerate() {
        for c in 0..CHAINS {
            step(&mut acc[c], u * CHAINS + c, &part[c * block..(c + 1) * block]);
        }
    }
    for (c, part) in rest.chunks(block).enumerate() {
        step(&mut acc[c], n_whole / block + c, part);
    }
    for i in 0..M {
        let acc = acc.map(|acc| acc[i]);
        sums.row(row + i)[col] += s.reduce_add(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])));
    }
    M
}
