//! The driver: one operand is packed whole and shared, the other is cut into blocks.
//!
//! A block is a few panels of the larger operand, packed by the thread that computes it and small
//! enough for its L2 cache, against all panels of the other. A thread takes its next block before
//! it needs it and asks for that memory while it multiplies, so that packing seldom waits. Blocks
//! get smaller towards the end, so that threads end together; their sizes follow from the sizes of
//! the matrices alone. Sums run in the order of `k` wherever a tile is cut, so an element has the
//! same bits whatever the other rows and columns are and however many threads there are.

use std::any::TypeId;
use std::ops::Range;

use rayon::prelude::*;

use super::blocks::Blocks;
use super::epilogue::Output;
use super::kernel::Kernel;
use super::pack::{Part, pack};
use super::packed::{Packing, Panels};
use super::region::{Pass, Region};
use super::scratch::{Purpose, with_buffer};
use super::view::{Lines, Soon};
use crate::element::Element;

/// Units of the rows that are multiplied with one panel of columns after the other: a part of an
/// L2 cache of 1 MiB.
const STRIP_UNITS: usize = 1 << 15;
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
        run_packing(&Job::new(Local::Cols, b, shared, out), a);
    } else {
        let shared = Panels { kernel, width: kernel.cols(), count: b.count, k: b.k };
        run_packing(&Job::new(Local::Rows, a, shared, out), b);
    }
}

/// Computes a product of which the right operand is packed.
pub fn run_packed<A: Element, C: Element>(
    a: Lines<'_, A>,
    shared: Panels,
    units: &[u32],
    out: &Output<'_, C>,
) {
    let job = Job::new(Local::Rows, a, shared, out);
    let blocks = Blocks::new(job.local, a.along_k);
    job.on_threads(|| job.blocks(units, &blocks));
}

/// Packs the shared operand into memory of this thread, and computes all blocks. Threads go on from
/// one to the other without coming together in between.
fn run_packing<S: Element, T: Element, C: Element>(job: &Job<'_, T, C>, lines: Lines<'_, S>) {
    let blocks = Blocks::new(job.local, job.lines.along_k);
    with_buffer(Purpose::Shared, |buffer| {
        let packing = Packing::new(job.shared, lines, buffer.sized(job.shared.len()));
        job.on_threads(|| {
            while packing.take() {}
            job.blocks(packing.units(), &blocks);
        });
    });
}

/// A product: what is cut, and what every block reads.
struct Job<'a, T, C> {
    cut: Local,
    lines: Lines<'a, T>,
    local: Panels,
    shared: Panels,
    out: &'a Output<'a, C>,
}

impl<'a, T: Element, C: Element> Job<'a, T, C> {
    fn new(cut: Local, lines: Lines<'a, T>, shared: Panels, out: &'a Output<'a, C>) -> Self {
        let kernel = shared.kernel;
        let width = if cut == Local::Rows { kernel.rows() } else { kernel.cols() };
        let local = Panels { width, count: lines.count, ..shared };
        Self { cut, lines, local, shared, out }
    }

    /// Calls `work` on every thread, or on this one alone where that is not worth it. It takes from
    /// what is left until nothing is: which thread does what is left to chance.
    fn on_threads(&self, work: impl Fn() + Sync) {
        let [m, n] = self.out.dims;
        if m * n * self.local.k <= ALONE {
            work();
        } else {
            let n_threads = rayon::current_num_threads();
            (0..n_threads).into_par_iter().with_max_len(1).for_each(|_| work());
        }
    }

    /// Computes blocks while there are any.
    fn blocks(&self, units: &[u32], blocks: &Blocks) {
        let mut at_hand = blocks.take();
        while let Some(panels) = at_hand {
            let next = blocks.take_early();
            self.block(units, panels, next.as_ref());
            at_hand = next.or_else(|| blocks.take());
        }
    }

    /// Computes the part of the result that belongs to some panels of the local operand. Each
    /// panel is given to one block only.
    fn block(&self, units: &[u32], panels: Range<usize>, next: Option<&Range<usize>>) {
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
            let mut region = Region { out: self.out, origin, dims, c, activated, partial };
            self.run(units, panels, next, &mut region);
        });
    }

    /// Packs the local panels, one block of `k` after the other, and multiplies. What is packed
    /// next is asked for meanwhile: reading it then would wait for memory.
    fn run(
        &self,
        units: &[u32],
        panels: Range<usize>,
        next: Option<&Range<usize>>,
        region: &mut Region<'_, C>,
    ) {
        let local = self.local;
        with_buffer(Purpose::Local, |buffer| {
            for block in 0..local.k_blocks() {
                let part = Part { width: local.width, panels: panels.clone(), ks: local.ks(block) };
                let packed = buffer.sized(local.panel_len(block) * panels.len());
                pack(local.kernel, self.lines, &part, packed);
                let soon = match block + 1 {
                    block if block < local.k_blocks() => Some((panels.clone(), block)),
                    _ => next.map(|panels| (panels.clone(), 0)),
                };
                self.multiply(units, block, packed, soon, region);
            }
        });
    }

    /// Multiplies what is packed of one block of `k`, strip by strip, and asks for the memory of
    /// some panels in another one.
    fn multiply(
        &self,
        units: &[u32],
        block: usize,
        packed: &[u32],
        soon: Option<(Range<usize>, usize)>,
        region: &mut Region<'_, C>,
    ) {
        let (local, shared) = (self.local, self.shared);
        // A panel of columns is the larger one, and stays near while rows go by.
        let at_once = match self.cut {
            Local::Rows => 1,
            Local::Cols => (STRIP_UNITS / shared.panel_len(block).max(1)).max(1),
        };
        let pass = Pass {
            kernel: local.kernel,
            n_units: local.panel_len(block) / local.width,
            after: if self.cut == Local::Rows { [0, 1] } else { [at_once, 0] },
            first: block == 0,
            last: block + 1 == local.k_blocks(),
        };
        let n_strips = shared.n_panels().div_ceil(at_once);
        let mut soon = soon.map(|(panels, block)| {
            let lines = panels.start * local.width..local.count.min(panels.end * local.width);
            self.lines.ask_for(lines, local.ks(block), n_strips)
        });
        for first in (0..shared.n_panels()).step_by(at_once) {
            soon.iter_mut().for_each(Soon::go_on);
            let end = shared.n_panels().min(first + at_once);
            let range = shared.panel(block, first).start..shared.panel(block, end).start;
            let (strip, line) = (&units[range], first * shared.width);
            let n_lines = shared.count.min(end * shared.width) - line;
            let [rows, cols] = region.dims;
            match self.cut {
                Local::Rows => region.strip(pass, [0, line], [rows, n_lines], [packed, strip]),
                Local::Cols => region.strip(pass, [line, 0], [n_lines, cols], [strip, packed]),
            }
        }
    }
}
