//! The driver: one operand is packed whole and shared, the other is cut into blocks.
//!
//! A block is a few panels of the larger operand, packed by the thread that computes it and small
//! enough for its L2 cache, against all panels of the other. Blocks get smaller towards the end,
//! so that threads end together; their sizes follow from the sizes of the matrices alone. Sums
//! run in the order of `k` wherever a tile is cut, so an element has the same bits whatever the
//! other rows and columns are and however many threads there are.

use std::any::TypeId;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::epilogue::Output;
use super::kernel::Kernel;
use super::pack::{Part, pack};
use super::packed::Panels;
use super::region::{Pass, Region};
use super::scratch::{Purpose, with_buffer};
use super::view::Lines;
use crate::element::Element;

/// Units of a block's packed panels: half of an L2 cache of 1 MiB.
const LOCAL_UNITS: usize = 1 << 17;
/// Blocks take this part of what is left.
const SHARE: usize = 16;
/// Multiplications that are done before another thread would have woken up.
const ALONE: usize = 1 << 18;

/// Which operand is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// The left one: blocks are rows of the result.
    Rows,
    /// The right one: blocks are columns of the result.
    Cols,
}

/// Computes the product of two operands, neither packed.
pub fn run<A: Element, B: Element, C: Element>(
    kernel: Kernel,
    a: Lines<'_, A>,
    b: Lines<'_, B>,
    out: &Output<'_, C>,
) {
    if b.count > a.count {
        let shared = Panels { kernel, width: kernel.rows(), count: a.count, k: a.k };
        with_packed(shared, a, |units| run_blocks(Local::Cols, b, shared, units, out));
    } else {
        let shared = Panels { kernel, width: kernel.cols(), count: b.count, k: b.k };
        with_packed(shared, b, |units| run_blocks(Local::Rows, a, shared, units, out));
    }
}

/// Packs an operand into memory of this thread.
fn with_packed<T: Element>(panels: Panels, lines: Lines<'_, T>, f: impl FnOnce(&[u32])) {
    with_buffer(Purpose::Shared, |buffer| {
        let units = buffer.sized(panels.len());
        panels.pack(lines, units);
        f(units);
    });
}

/// Computes all blocks of the operand that is not packed yet.
pub fn run_blocks<T: Element, C: Element>(
    cut: Local,
    lines: Lines<'_, T>,
    shared: Panels,
    units: &[u32],
    out: &Output<'_, C>,
) {
    let kernel = shared.kernel;
    let width = if cut == Local::Rows { kernel.rows() } else { kernel.cols() };
    let local = Panels { width, count: lines.count, ..shared };
    let job = Job { cut, lines, local, shared, units, out };
    let blocks = Blocks::new(local);
    let [m, n] = out.dims;
    if m * n * shared.k <= ALONE {
        while let Some(panels) = blocks.take() {
            job.block(panels);
        }
        return;
    }
    // Which thread takes which block is left to chance; they are taken in order, large ones first.
    (0..blocks.count()).into_par_iter().with_max_len(1).for_each(|_| {
        if let Some(panels) = blocks.take() {
            job.block(panels);
        }
    });
}

/// Hands out ranges of panels, each smaller than the one before or as large.
struct Blocks {
    n_panels: usize,
    largest: usize,
    next: AtomicUsize,
}

impl Blocks {
    fn new(local: Panels) -> Self {
        let largest = (LOCAL_UNITS / local.panel_len(0).max(1)).max(1);
        Self { n_panels: local.n_panels(), largest, next: AtomicUsize::new(0) }
    }

    fn end(&self, start: usize) -> usize {
        start + ((self.n_panels - start) / SHARE).clamp(1, self.largest)
    }

    fn count(&self) -> usize {
        let next = |start: &usize| Some(self.end(*start)).filter(|end| *end < self.n_panels);
        std::iter::successors((self.n_panels > 0).then_some(0), next).count()
    }

    fn take(&self) -> Option<Range<usize>> {
        let more = |start| (start < self.n_panels).then(|| self.end(start));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(start..self.end(start))
    }
}

/// A product whose shared operand is packed.
struct Job<'a, T, C> {
    cut: Local,
    lines: Lines<'a, T>,
    local: Panels,
    shared: Panels,
    units: &'a [u32],
    out: &'a Output<'a, C>,
}

impl<T: Element, C: Element> Job<'_, T, C> {
    /// Computes the part of the result that belongs to some panels of the local operand. Each
    /// panel is given to one block only.
    fn block(&self, panels: Range<usize>) {
        let local = self.local;
        let lines = panels.start * local.width..local.count.min(panels.end * local.width);
        let [m, n] = self.out.dims;
        let (rows, cols) = match self.cut {
            Local::Rows => (lines, 0..n),
            Local::Cols => (0..m, lines),
        };
        let origin = [rows.start, cols.start];
        let dims = [rows.len(), cols.len()];
        // SAFETY: blocks have different panels, so different rows or columns of the result.
        let c = unsafe { self.out.c.tile(rows.clone(), cols.clone()) };
        let activated = self.out.activated.as_ref().map(|(act, y)| {
            // SAFETY: as for `c`.
            (*act, unsafe { y.tile(rows, cols) })
        });
        let is_f32 = TypeId::of::<C>() == TypeId::of::<f32>();
        let apart = local.k_blocks() > 1 && !is_f32;
        with_buffer(Purpose::Partial, |buffer| {
            let partial = apart.then(|| buffer.sized(dims[0] * dims[1]));
            self.run(panels, &mut Region { out: self.out, origin, dims, c, activated, partial });
        });
    }

    /// Packs the local panels, one block of `k` after the other, and multiplies.
    fn run(&self, panels: Range<usize>, region: &mut Region<'_, C>) {
        let local = self.local;
        with_buffer(Purpose::Local, |buffer| {
            for block in 0..local.k_blocks() {
                let panel_len = local.panel_len(block);
                let packed = buffer.sized(panel_len * panels.len());
                let (width, ks) = (local.width, local.ks(block));
                pack(local.kernel, self.lines, &Part { width, panels: panels.clone(), ks }, packed);
                let first = block == 0;
                let pass = Pass {
                    kernel: local.kernel,
                    n_units: panel_len / width,
                    first,
                    last: block + 1 == local.k_blocks(),
                };
                for i in 0..self.shared.n_panels() {
                    let line = i * self.shared.width;
                    let shared = &self.units[self.shared.panel(block, i)];
                    match self.cut {
                        Local::Rows => region.strip(pass, [0, line], [packed, shared]),
                        Local::Cols => region.strip(pass, [line, 0], [shared, packed]),
                    }
                }
            }
        });
    }
}
