//! An operand packed as a whole: shared by every block of a product, or kept for the next.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::kernel::{Kernel, Multiply};
use super::pack::{Part, pack};
use super::scratch::Buffer;
use super::tile::Disjoint;
use super::view::{Lines, Mat, MatMut};
use crate::Isa;
use crate::element::Element;

/// How an operand of `count` lines is cut: blocks of `k`, each holding all panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// The micro-kernel it is packed for.
    pub kernel: Kernel,
    /// Lines of a panel.
    pub width: usize,
    /// Lines.
    pub count: usize,
    /// Elements a line.
    pub k: usize,
}

impl Panels {
    /// Elements of `k` in one block: what keeps a panel of each operand near the core.
    pub fn k_block(&self) -> usize {
        UNITS_MAX * self.kernel.per_unit()
    }

    /// Blocks of `k`: one at least, so that an empty product is written as well.
    pub fn k_blocks(&self) -> usize {
        self.k.div_ceil(self.k_block()).max(1)
    }

    /// The elements of one block.
    pub fn ks(&self, block: usize) -> Range<usize> {
        let start = block * self.k_block();
        start..self.k.min(start + self.k_block())
    }

    /// How many panels.
    pub fn n_panels(&self) -> usize {
        self.count.div_ceil(self.width)
    }

    /// Units of the whole operand, packed.
    pub fn len(&self) -> usize {
        self.kernel.units(self.k) * self.width * self.n_panels()
    }

    /// Units of one panel in one block of `k`.
    pub fn panel_len(&self, block: usize) -> usize {
        self.kernel.units(self.ks(block).len()) * self.width
    }

    /// Where a panel lies among the packed units.
    #[inline]
    pub fn panel(&self, block: usize, i: usize) -> Range<usize> {
        let len = self.panel_len(block);
        let start = block * UNITS_MAX * self.width * self.n_panels() + i * len;
        start..start + len
    }
}

/// An operand that is being packed, piece by piece, by whoever takes one.
pub struct Packing<'a, T> {
    panels: Panels,
    lines: Lines<'a, T>,
    units: Disjoint<'a, u32>,
    /// Panels of a piece.
    at_once: usize,
    next: AtomicUsize,
    done: AtomicUsize,
}

impl<'a, T: Element> Packing<'a, T> {
    /// Nothing is packed yet; `units` is as long as `panels` says.
    pub fn new(panels: Panels, lines: Lines<'a, T>, units: &'a mut [u32]) -> Self {
        let len = units.len();
        assert_eq!(len, panels.len(), "gemm: packing {panels:?}");
        let at_once = (PACK_AT_ONCE / panels.panel_len(0).max(1)).clamp(4, 64);
        let units = Disjoint::new(MatMut::new(units, 1, len));
        Self { panels, lines, units, at_once, next: 0.into(), done: 0.into() }
    }

    /// How many pieces there are.
    pub fn n_pieces(&self) -> usize {
        if self.panels.len() == 0 { 0 } else { self.per_block() * self.panels.k_blocks() }
    }

    fn per_block(&self) -> usize {
        self.panels.n_panels().div_ceil(self.at_once)
    }

    /// Packs the next piece; false when all are taken.
    pub fn take(&self) -> bool {
        let piece = self.next.fetch_add(1, Ordering::Relaxed);
        let taken = piece < self.n_pieces();
        if taken {
            let _done = Done(&self.done);
            self.pack(piece / self.per_block(), piece % self.per_block() * self.at_once);
        }
        taken
    }

    /// Packs the panels of one piece.
    fn pack(&self, block: usize, first: usize) {
        let Panels { kernel, width, .. } = self.panels;
        let panels = first..self.panels.n_panels().min(first + self.at_once);
        let range = |i| self.panels.panel(block, i);
        let range = range(panels.start).start..range(panels.end).start;
        // SAFETY: pieces are taken once, and have different panels.
        let mut to = unsafe { self.units.tile(0..1, range) };
        let part = Part { width, panels, ks: self.panels.ks(block) };
        pack(kernel, self.lines, &part, to.row(0));
    }

    /// What is packed, when all of it is. Nobody waits who packs, so the wait ends.
    pub fn units(&self) -> &[u32] {
        let mut n_spins = 0;
        while self.done.load(Ordering::Acquire) < self.n_pieces() {
            n_spins += 1;
            if n_spins % 64 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        // SAFETY: every piece has been written, before `done` said so, and none is taken again.
        unsafe { self.units.whole() }
    }
}

/// Counts a piece, also when packing it panics: others wait for it.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Units of `k` in one block.
const UNITS_MAX: usize = 1024;
/// Units packed as one piece of work.
const PACK_AT_ONCE: usize = 1 << 15;

/// The right operand of a product, packed once for many.
#[derive(Clone, Debug, Default)]
pub struct PackedB {
    panels: Option<Panels>,
    units: Buffer,
}

impl PackedB {
    /// Nothing yet; see [`pack_b`].
    pub fn new() -> Self {
        Self::default()
    }

    /// `[k, n]` of what is packed.
    pub fn dims(&self) -> [usize; 2] {
        self.panels.map_or([0, 0], |panels| [panels.k, panels.count])
    }

    /// The panels and their units.
    ///
    /// # Panics
    /// When nothing has been packed.
    #[track_caller]
    pub(super) fn panels(&self) -> (Panels, &[u32]) {
        (self.panels.expect("gemm: nothing has been packed"), self.units.units())
    }
}

/// Packs `b` `[k, n]` for [`gemm_packed`](super::gemm_packed) with the same `isa`. The memory of
/// `into` is used again where it is large enough.
///
/// # Panics
/// When this CPU cannot run `isa`.
pub fn pack_b<B: Element>(isa: Isa, multiply: Multiply, b: Mat<'_, B>, into: &mut PackedB) {
    let kernel = Kernel::new(isa, multiply);
    let [k, count] = b.dims();
    let panels = Panels { kernel, width: kernel.cols(), count, k };
    let packing = Packing::new(panels, b.col_lines(), into.units.sized(panels.len()));
    (0..packing.n_pieces()).into_par_iter().for_each(|_| {
        packing.take();
    });
    into.panels = Some(panels);
}
