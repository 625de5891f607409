//! Rows of a table by their ids, and the gradient of the table.
//!
//! Shapes: `table` `[V, D]`, `ids` `[R]`, `y`, `dy` `[R, D]`. V is the vocabulary, D is `d_model`.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::rows_per_piece;
use crate::gemm::Write;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;
use std::cell::Cell;

/// Writes `y[r] = scale * table[ids[r]]`.
///
/// # Panics
/// When lengths disagree or an id is outside the table.
pub fn gather<W: Element>(isa: Isa, y: &mut [f32], table: &[W], ids: &[u32], scale: f32) {
    each_piece(y, table, ids, |y, ids, d| {
        gather_piece(isa, y, table, ids, d, (scale, Write::Overwrite));
    });
}

/// Writes `y[r] = y[r] + table[ids[r]]`: positions onto tokens.
///
/// # Panics
/// When lengths disagree or an id is outside the table.
pub fn gather_add<W: Element>(isa: Isa, y: &mut [f32], table: &[W], ids: &[u32]) {
    each_piece(y, table, ids, |y, ids, d| {
        gather_piece(isa, y, table, ids, d, (1.0, Write::Add));
    });
}

/// Cuts `y` and `ids` into pieces, after checking that they fit; also tells the width.
fn each_piece<W: Element>(
    y: &mut [f32],
    table: &[W],
    ids: &[u32],
    f: impl Fn(&mut [f32], &[u32], usize) + Sync,
) {
    let Some(d) = width(y.len(), table.len(), ids) else { return };
    let n_rows = rows_per_piece(d);
    if ids.len() <= n_rows {
        return f(y, ids, d);
    }
    let pieces = y.par_chunks_mut(n_rows * d).zip(ids.par_chunks(n_rows));
    pieces.for_each(|(y, ids)| f(y, ids, d));
}

/// The width of a row; `None` when there is none.
fn width(n: usize, table: usize, ids: &[u32]) -> Option<usize> {
    assert!(n.is_multiple_of(ids.len().max(1)), "embedding: {n} is no {} x D", ids.len());
    assert!(!ids.is_empty() || n == 0, "embedding: rows without ids");
    if n == 0 {
        return None;
    }
    let d = n / ids.len();
    assert!(table.is_multiple_of(d), "embedding: the table of {table} is no V x {d}");
    let (n_ids, largest) = (table / d, ids.iter().copied().max().unwrap_or(0));
    assert!((largest as usize) < n_ids, "embedding: id {largest} in a table of {n_ids}");
    Some(d)
}

simd_fn! {
    fn gather_piece<W: Element>(
        y: &mut [f32], table: &[W], ids: &[u32], d: usize, how: (f32, Write),
    ) = gather_body;
}

#[inline(always)]
fn gather_body<S: Simd, W: Element>(
    s: S,
    y: &mut [f32],
    table: &[W],
    ids: &[u32],
    d: usize,
    (scale, write): (f32, Write),
) {
    let scale = s.splat(scale);
    for (y, &id) in y.chunks_exact_mut(d).zip(ids) {
        let row = &table[id as usize * d..][..d];
        match write {
            Write::Overwrite => for_blocks!(d, |at| {
                at.store(s, y, s.mul(at.load(s, row), scale));
            }),
            Write::Add => for_blocks!(d, |at| {
                at.store(s, y, s.fma(at.load(s, row), scale, at.load(s, y)));
            }),
        }
    }
}

/// Adds `scale * dy[r]` to `dtable[ids[r]]` for every r, in the order of r.
///
/// Rows are sorted by id, and the table is cut between ids: every row of it is written by one
/// thread, in a fixed order.
///
/// # Panics
/// When lengths disagree or an id is outside the table.
pub fn scatter_add<G: Element>(isa: Isa, dtable: &mut [f32], ids: &[u32], dy: &[G], scale: f32) {
    let Some(d) = width(dy.len(), dtable.len(), ids) else { return };
    with_sorted(ids, |sorted| {
        let n_ids = rows_per_piece(d);
        dtable.par_chunks_mut(n_ids * d).enumerate().for_each(|(piece, dtable)| {
            let first = piece * n_ids;
            let start = sorted.partition_point(|row| id_of(*row) < first);
            let len = sorted[start..].partition_point(|row| id_of(*row) < first + n_ids);
            if len > 0 {
                add_rows(isa, dtable, &sorted[start..][..len], first, dy, (d, scale));
            }
        });
    });
}

/// The id of a sorted row, in the upper half.
fn id_of(row: u64) -> usize {
    (row >> 32) as usize
}

/// Calls `f` with `id << 32 | r` for every row, in increasing order.
fn with_sorted(ids: &[u32], f: impl FnOnce(&[u64])) {
    thread_local! {
        static SORTED: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    }
    let mut sorted = SORTED.take();
    sorted.clear();
    sorted.extend(ids.iter().zip(0_u64..).map(|(&id, r)| u64::from(id) << 32 | r));
    sorted.sort_unstable();
    f(&sorted);
    SORTED.set(sorted);
}

simd_fn! {
    fn add_rows<G: Element>(
        dtable: &mut [f32], sorted: &[u64], first: usize, dy: &[G], how: (usize, f32),
    ) = add_rows_body;
}

#[inline(always)]
fn add_rows_body<S: Simd, G: Element>(
    s: S,
    dtable: &mut [f32],
    sorted: &[u64],
    first: usize,
    dy: &[G],
    (d, scale): (usize, f32),
) {
    let scale = s.splat(scale);
    for &row in sorted {
        let into = &mut dtable[(id_of(row) - first) * d..][..d];
        let dy = &dy[(row as u32) as usize * d..][..d];
        for_blocks!(d, |at| {
            at.store(s, into, s.fma(at.load(s, dy), scale, at.load(s, into)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::reference::cast::round;
    use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

    const SHAPES: [(usize, usize, usize); 7] =
        [(0, 3, 4), (1, 1, 1), (5, 3, 15), (7, 9, 16), (7, 9, 17), (40, 11, 257), (900, 2000, 48)];

    fn ids(numbers: &mut Numbers, n_rows: usize, n_ids: usize) -> Vec<u32> {
        (0..n_rows).map(|_| numbers.below(n_ids) as u32).collect()
    }

    fn gather_case<W: Element>(isa: Isa, (n_rows, n_ids, d): (usize, usize, usize)) {
        let mut numbers = Numbers::new(d as u64);
        let (table, ids) = (numbers.normal(n_ids * d), ids(&mut numbers, n_rows, n_ids));
        let table: Vec<W> = round(&table);
        let mut y = vec![7.0; n_rows * d];
        gather(isa, &mut y, &table, &ids, 0.5);
        gather_add(isa, &mut y, &table, &ids);
        let rows = ids.iter().flat_map(|&id| &table[id as usize * d..][..d]);
        let expected: Vec<f64> = rows.map(|x| 1.5 * f64::from(x.to_f32())).collect();
        let what = format!("{isa} {n_rows} of {n_ids} x {d}");
        assert_close(&what, &y, &expected, Tolerance::both(1e-6));
    }

    fn scatter_case<G: Element>(isa: Isa, (n_rows, n_ids, d): (usize, usize, usize)) -> Vec<f32> {
        let mut numbers = Numbers::new(d as u64);
        let (dy, ids) = (numbers.normal(n_rows * d), ids(&mut numbers, n_rows, n_ids));
        let dy: Vec<G> = round(&dy);
        let mut dtable = vec![1.0; n_ids * d];
        scatter_add(isa, &mut dtable, &ids, &dy, 0.5);
        let mut expected = vec![1.0; n_ids * d];
        for (r, &id) in ids.iter().enumerate() {
            for i in 0..d {
                expected[id as usize * d + i] += 0.5 * f64::from(dy[r * d + i].to_f32());
            }
        }
        assert_close(&format!("{isa} {n_rows}"), &dtable, &expected, Tolerance::both(1e-5));
        dtable
    }

    #[test]
    fn gathers_rows() {
        for isa in Isa::supported() {
            for shape in SHAPES {
                gather_case::<f32>(isa, shape);
                gather_case::<bf16>(isa, shape);
            }
        }
    }

    #[test]
    fn scatters_gradients() {
        for isa in Isa::supported() {
            for shape in SHAPES {
                scatter_case::<f32>(isa, shape);
                scatter_case::<bf16>(isa, shape);
            }
            same_for_any_threads(|| scatter_case::<f32>(isa, (900, 2000, 48)));
            // One id for all rows, as padding has.
            scatter_case::<f32>(isa, (900, 1, 48));
        }
    }

    #[test]
    #[should_panic(expected = "id 3 in a table of 3")]
    fn an_id_outside_the_table_panics() {
        gather(Isa::Portable, &mut [0.0; 4], &[0.0_f32; 6], &[0, 3], 1.0);
    }
}
