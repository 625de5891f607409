//! How the local operand of a product is cut into blocks.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::packed::Panels;

/// Units of a block's packed panels: half of an L2 cache of 1 MiB.
const UNITS_MAX: usize = 1 << 17;
/// Blocks take this part of what is left.
const SHARE: usize = 8;
/// Lines of the smallest blocks: every block reads all of the shared operand.
const LINES_MIN: usize = 24;
/// The same where lines lie side by side, so that memory is read in pieces that long.
const SIDE_BY_SIDE_MIN: usize = 48;
/// As many blocks there are where that makes them smaller.
const BLOCKS_MIN: usize = 8;

/// Of the smallest blocks, so many a thread are left when none is taken early any more.
const EARLY: usize = 3;

/// Hands out ranges of panels, each smaller than the one before or as large.
pub struct Blocks {
    n_panels: usize,
    largest: usize,
    smallest: usize,
    next: AtomicUsize,
}

impl Blocks {
    /// Blocks of an operand whose lines run along `k`, or side by side.
    pub fn new(local: Panels, along_k: bool) -> Self {
        let largest = (UNITS_MAX / local.panel_len(0).max(1)).max(1);
        let n_panels = local.n_panels();
        let n_lines = if along_k { LINES_MIN } else { SIDE_BY_SIDE_MIN };
        let smallest = (n_lines / local.width).min(n_panels / BLOCKS_MIN).max(1);
        let smallest = smallest.min(largest);
        Self { n_panels, largest, smallest, next: AtomicUsize::new(0) }
    }

    fn end(&self, start: usize) -> usize {
        let left = self.n_panels - start;
        start + (left / SHARE).clamp(self.smallest, self.largest).min(left)
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        let next = |start: &usize| Some(self.end(*start)).filter(|end| *end < self.n_panels);
        std::iter::successors((self.n_panels > 0).then_some(0), next).count()
    }

    /// The next one, while there are so many that taking it before it is needed keeps no other
    /// thread from it.
    pub fn take_early(&self) -> Option<Range<usize>> {
        let left = self.n_panels.saturating_sub(self.next.load(Ordering::Relaxed));
        let needed = EARLY * self.smallest * rayon::current_num_threads();
        (left > needed).then(|| self.take()).flatten()
    }

    /// The next one.
    pub fn take(&self) -> Option<Range<usize>> {
        let more = |start| (start < self.n_panels).then(|| self.end(start));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(start..self.end(start))
    }
}

#[cfg(test)]
mod tests {
    use super::Blocks;
    use crate::Isa;
    use crate::gemm::kernel::{Kernel, Multiply};
    use crate::gemm::packed::Panels;

    #[test]
    fn blocks_cover_every_panel_once() {
        for count in [0, 1, 5, 64, 2048, 50_257] {
            for (k, along_k) in [(0, true), (1, false), (513, true), (5000, false)] {
                let kernel = Kernel::new(Isa::Portable, Multiply::F32);
                let blocks = Blocks::new(Panels { kernel, width: 12, count, k }, along_k);
                let taken: Vec<_> = std::iter::from_fn(|| blocks.take()).collect();
                assert_eq!(taken.len(), blocks.count());
                let ends = taken.iter().map(|range| range.end);
                let starts: Vec<_> = std::iter::once(0).chain(ends).collect();
                assert_eq!(starts.last(), Some(&count.div_ceil(12)));
                assert!(taken.iter().zip(starts).all(|(range, start)| range.start == start));
            }
        }
    }
}
