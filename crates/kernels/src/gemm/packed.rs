//! An operand packed as a whole: shared by every block of a product, or kept for the next.

use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{Kernel, Multiply};
use super::pack::{Part, pack};
use super::scratch::Buffer;
use super::view::{Lines, Mat};
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

    /// Packs everything, in parallel.
    pub fn pack<T: Element>(&self, lines: Lines<'_, T>, to: &mut [u32]) {
        let block_len = UNITS_MAX * self.width * self.n_panels();
        if self.len() <= PACK_ALONE {
            for (block, to) in to.chunks_mut(block_len.max(1)).enumerate() {
                self.pack_panels(lines, block, 0, to);
            }
            return;
        }
        to.par_chunks_mut(block_len).enumerate().for_each(|(block, to)| {
            let panel_len = self.panel_len(block);
            let n_panels = (PACK_AT_ONCE / panel_len).clamp(4, 64);
            to.par_chunks_mut(n_panels * panel_len).enumerate().for_each(|(i, to)| {
                self.pack_panels(lines, block, i * n_panels, to);
            });
        });
    }

    /// Packs the panels from `first` that `to` has room for.
    fn pack_panels<T: Element>(
        &self,
        lines: Lines<'_, T>,
        block: usize,
        first: usize,
        to: &mut [u32],
    ) {
        let n_panels = to.len() / self.panel_len(block);
        let panels = first..first + n_panels;
        pack(self.kernel, lines, &Part { width: self.width, panels, ks: self.ks(block) }, to);
    }
}

/// Units of `k` in one block.
const UNITS_MAX: usize = 1024;
/// Units packed by one thread without asking for others.
const PACK_ALONE: usize = 1 << 14;
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
    panels.pack(b.col_lines(), into.units.sized(panels.len()));
    into.panels = Some(panels);
}
