//! Small products as attention needs them: a strip of rows on the left, panels of columns on the
//! right, results in f32 scratch memory.
//!
//! The right operand is packed by the packers of `gemm`, once for many strips. The left one is used
//! once or twice, so packing it would cost a third of the whole: the micro-kernel here takes its
//! units in place instead. They are written either along `k` ([`Lhs::fill`]: `q`, `p`,
//! `ds`) or across it ([`fill_across`]: `p^T` and `ds^T`), without a transposition.

use std::ops::Range;

use crate::Element;
use crate::gemm::Mat;
use crate::gemm::geometry::Geometry;
use crate::gemm::kernel::{Kernel, kernel_fn};
use crate::gemm::pack::{Part, pack};
use crate::gemm::product::Product;
use crate::gemm::scratch::Buffer;
use crate::simd::portable::Portable;
use crate::simd::{LANES, Simd};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::Avx2, avx512::Avx512};

/// Rows of a left operand, in blocks of [`LANES`] units, `[blocks, rows of a strip, LANES]`: a
/// micro-kernel finds the rows of a unit at constant distances.
#[derive(Default)]
pub(super) struct Lhs {
    units: Buffer,
    n_units: usize,
}

impl Lhs {
    /// Takes the rows of `x`, `[rows, k]` with rows `stride` apart; at most a strip.
    pub fn fill<T: Element>(&mut self, kernel: Kernel, x: &[T], stride: usize, dims: [usize; 2]) {
        self.n_units = kernel.units(dims[1]);
        let len = self.n_units.next_multiple_of(LANES) * kernel.rows();
        fill_rows(kernel, x, stride, dims, self.units.sized(len));
    }

    /// All of it.
    pub fn view(&self) -> LhsView<'_> {
        LhsView { units: self.units.units(), n_units: self.n_units, across: None }
    }
}

kernel_fn! {
    fn fill_rows<T: Element>(x: &[T], stride: usize, dims: [usize; 2], to: &mut [u32])
        = fill_rows_body;
}

#[inline(always)]
fn fill_rows_body<P: Product, T: Element>(
    p: P,
    x: &[T],
    stride: usize,
    [rows, k]: [usize; 2],
    to: &mut [u32],
) {
    let to = to.as_chunks_mut::<LANES>().0;
    for i in 0..rows {
        let x = x[i * stride..][..k].chunks(LANES * P::PER_UNIT);
        for (to, x) in to[i..].iter_mut().step_by(P::S::ROWS).zip(x) {
            p.store(to, p.along(x));
        }
    }
}

/// Writes a strip `[rows, width]` of f32 as units that follow each other down the rows: `to` has
/// one row of units, `to_stride` apart, for as many rows as one unit holds.
pub(super) fn fill_across(
    kernel: Kernel,
    x: &[f32],
    stride: usize,
    dims: [usize; 2],
    to: &mut [u32],
    to_stride: usize,
) {
    across(kernel, x, stride, dims, to, to_stride);
}

kernel_fn! {
    fn across<T: Element>(
        x: &[T],
        stride: usize,
        dims: [usize; 2],
        to: &mut [u32],
        to_stride: usize,
    ) = across_body;
}

#[inline(always)]
fn across_body<P: Product, T: Element>(
    p: P,
    x: &[T],
    stride: usize,
    [rows, width]: [usize; 2],
    to: &mut [u32],
    to_stride: usize,
) {
    for (unit, i) in (0..rows).step_by(P::PER_UNIT).enumerate() {
        let row = x[i * stride..][..width].as_chunks::<LANES>().0;
        let has_next = P::PER_UNIT == 2 && i + 1 < rows;
        let next = if has_next { &x[(i + 1) * stride..][..width] } else { &[] };
        let next = next.as_chunks::<LANES>().0;
        let to = to[unit * to_stride..][..width].as_chunks_mut().0;
        for (j, (to, x)) in to.iter_mut().zip(row).enumerate() {
            let next: &[T] = if has_next { &next[j] } else { &[] };
            p.store(to, p.across(x, next));
        }
    }
}

/// Zeroes up to `margin` columns on both sides of `range` in every row, `stride` long.
///
/// A panel of keys reads the columns of all strips it meets. By position alone, the columns of
/// strips move on together, and such a panel passes the end of a strip by less than its own width;
/// segments may leave any gap.
pub(super) fn clear_around(units: &mut [u32], stride: usize, range: Range<usize>, margin: usize) {
    for row in units.chunks_exact_mut(stride) {
        row[range.start.saturating_sub(margin)..range.start].fill(0);
        row[range.end..stride.min(range.end + margin)].fill(0);
    }
}

/// A left operand in place.
#[derive(Clone, Copy)]
pub(super) struct LhsView<'a> {
    pub units: &'a [u32],
    pub n_units: usize,
    /// `None` for the blocks of [`Lhs`]. Else the rows of a unit are neighbours, and this is the
    /// distance from unit to unit.
    pub across: Option<usize>,
}

/// The packed right operand: panels of [`Kernel::cols`] columns.
#[derive(Default)]
pub(super) struct Rhs {
    units: Buffer,
    panel_len: usize,
}

impl Rhs {
    /// Packs the columns of `x`.
    pub fn pack<T: Element>(&mut self, kernel: Kernel, x: Mat<'_, T>) {
        let [k, cols] = x.dims();
        let panels = 0..cols.div_ceil(kernel.cols());
        let part = Part { width: kernel.cols(), panels: panels.clone(), ks: 0..k };
        self.panel_len = part.panel_len(kernel);
        let to = self.units.sized(self.panel_len * panels.len());
        pack(kernel, x.col_lines(), &part, to);
    }
}

/// `out = lhs * rhs`, or added to it: the rows of one strip, some columns, a part of `k`.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub lhs: LhsView<'a>,
    pub rhs: &'a Rhs,
    /// Rows wanted; up to [`Kernel::rows`] are read and written.
    pub rows: usize,
    /// Where in the right operand's `k` the left operand's starts; the start of a unit.
    pub depth: usize,
    pub add: bool,
    /// From row to row of the result.
    pub stride: usize,
}

impl Job<'_> {
    /// Computes the columns `cols`, of which the first starts a panel; up to a whole panel is
    /// written. `out` starts at the first row and column.
    #[inline]
    pub fn run(self, kernel: Kernel, cols: Range<usize>, out: &mut [f32]) {
        run_job(kernel, self, cols, out);
    }
}

kernel_fn! {
    fn run_job<C: Element>(job: Job<'_>, cols: Range<usize>, out: &mut [C]) = job_body;
}

#[inline(always)]
fn job_body<P: Product<S: Shape>, C: Element>(
    p: P,
    job: Job<'_>,
    cols: Range<usize>,
    out: &mut [C],
) {
    let panel_cols = P::S::VECTORS * LANES;
    let rows = job.rows.next_multiple_of(P::S::ROW_STEP);
    let b_len = job.lhs.n_units * panel_cols;
    let first_panel = cols.start / panel_cols;
    for (i, col) in (0..cols.len()).step_by(panel_cols).enumerate() {
        let start = (first_panel + i) * job.rhs.panel_len + job.depth / P::PER_UNIT * panel_cols;
        let vectors = (cols.len() - col).min(panel_cols).div_ceil(LANES);
        let b = &job.rhs.units.units()[start..][..b_len];
        P::S::product(p, [rows, vectors], job, b, &mut out[col..]);
    }
}

/// Picks the micro-kernel for a tile size.
trait Shape: Geometry {
    /// Computes `[rows, vectors]` of a tile; rows are a multiple of `ROW_STEP`.
    fn product<P: Product<S = Self>, C: Element>(
        p: P,
        used: [usize; 2],
        job: Job<'_>,
        b: &[u32],
        out: &mut [C],
    );
}

macro_rules! shape {
    ($vectors:literal: $([$r:literal, $v:literal]),+) => {
        #[inline(always)]
        fn product<P: Product<S = Self>, C: Element>(
            p: P,
            used: [usize; 2],
            job: Job<'_>,
            b: &[u32],
            out: &mut [C],
        ) {
            match used {
                $([$r, $v] => tile::<P, C, $vectors, $r, $v>(p, job, b, out),)+
                _ => unreachable!("attention: no micro-kernel for {used:?}"),
            }
        }
    };
}

impl Shape for Portable {
    shape!(1: [3, 1], [2, 1], [1, 1]);
}

#[cfg(target_arch = "x86_64")]
impl Shape for Avx2 {
    shape!(1: [6, 1], [4, 1], [2, 1]);
}

#[cfg(target_arch = "x86_64")]
impl<const BF16: bool> Shape for Avx512<BF16> {
    shape!(2: [12, 2], [8, 2], [4, 2], [12, 1], [8, 1], [4, 1]);
}

/// The micro-kernel: `M` rows by `V` of the panel's vectors.
#[inline(always)]
fn tile<P: Product, C: Element, const VECTORS: usize, const M: usize, const V: usize>(
    p: P,
    job: Job<'_>,
    b: &[u32],
    out: &mut [C],
) {
    let s = p.simd();
    let mut sums = [[s.splat(0.0); V]; M];
    if job.add {
        for (i, sums) in sums.iter_mut().enumerate() {
            let from = out[i * job.stride..].as_chunks().0;
            for v in 0..V {
                sums[v] = C::load(s, &from[v]);
            }
        }
    }
    let LhsView { units, n_units, across } = job.lhs;
    let panel = &b.as_chunks::<LANES>().0.as_chunks::<VECTORS>().0[..n_units];
    if let Some(stride) = across {
        for (u, columns) in panel.iter().enumerate() {
            let rows = units[u * stride..].first_chunk::<M>().expect("attention: left operand");
            let b = load_columns::<P, VECTORS, V>(p, columns);
            for i in 0..M {
                sums[i] = step(p, sums[i], rows[i], b);
            }
        }
    } else {
        let blocks = units.as_chunks::<LANES>().0.chunks_exact(P::S::ROWS);
        for (rows, panel) in blocks.zip(panel.chunks(LANES)) {
            let rows = rows.first_chunk::<M>().expect("attention: left operand");
            for (u, columns) in panel.iter().enumerate() {
                let b = load_columns::<P, VECTORS, V>(p, columns);
                for i in 0..M {
                    sums[i] = step(p, sums[i], rows[i][u], b);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let out = out[i * job.stride..].as_chunks_mut().0;
        for v in 0..V {
            C::store(s, &mut out[v], sums[v]);
        }
    }
}

#[inline(always)]
fn load_columns<P: Product, const VECTORS: usize, const V: usize>(
    p: P,
    columns: &[[u32; LANES]; VECTORS],
) -> [P::B; V] {
    let mut b = [p.load(&columns[0]); V];
    for v in 1..V {
        b[v] = p.load(&columns[v]);
    }
    b
}

/// One unit of one row times `V` vectors of units.
#[inline(always)]
fn step<P: Product, const V: usize>(
    p: P,
    mut sums: [<P::S as Simd>::F; V],
    unit: u32,
    b: [P::B; V],
) -> [<P::S as Simd>::F; V] {
    let a = p.splat(unit);
    for v in 0..V {
        sums[v] = p.step(sums[v], a, b[v]);
    }
    sums
}
