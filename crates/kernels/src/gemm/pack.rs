//! Packing: an operand is copied into panels in the order in which a micro-kernel reads it.
//!
//! A panel holds `width` lines (the rows or columns of one tile): for each unit of `k`, one unit of
//! each line. Lines past the last and elements past the end of `k` are zero.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use std::ops::Range;

use super::kernel::{Kernel, kernel_fn};
use super::product::{Product, prefetch};
use super::view::{CACHE_LINE, Lines};
use crate::element::Element;
use crate::simd::LANES;

/// Elements beyond which prefetching does not reach: a wrong address is harmless, and wasted.
const PREFETCH_MAX: usize = 1 << 20;

/// How many units ahead rows of lines that lie side by side are asked for.
const PREFETCH_UNITS: usize = 8;

/// Which part of an operand, and how wide its panels are.
#[derive(Clone, Debug)]
pub struct Part {
    /// Lines of a panel.
    pub width: usize,
    /// Panels, counted from line 0.
    pub panels: Range<usize>,
    /// Elements of `k`; the first is a multiple of what a unit holds.
    pub ks: Range<usize>,
}

impl Part {
    /// Units of one packed panel.
    pub fn panel_len(&self, kernel: Kernel) -> usize {
        kernel.units(self.ks.len()) * self.width
    }
}

/// Packs a part of an operand; `to` holds exactly its panels, one after the other.
///
/// # Panics
/// When `to` has another length.
pub fn pack<T: Element>(kernel: Kernel, lines: Lines<'_, T>, part: &Part, to: &mut [u32]) {
    let panel_len = part.panel_len(kernel);
    assert_eq!(to.len(), panel_len * part.panels.len(), "gemm: pack {part:?}");
    if panel_len > 0 {
        pack_panels(kernel, lines, part, to);
    }
}

kernel_fn! {
    fn pack_panels<T: Element>(lines: Lines<'_, T>, part: &Part, to: &mut [u32]) = pack_body;
}

#[inline(always)]
fn pack_body<P: Product, T: Element>(p: P, lines: Lines<'_, T>, part: &Part, to: &mut [u32]) {
    if lines.along_k {
        let panel_len = part.ks.len().div_ceil(P::PER_UNIT) * part.width;
        for (i, panel) in part.panels.clone().zip(to.chunks_exact_mut(panel_len)) {
            pack_along(p, lines, [i * part.width, part.width], part.ks.clone(), panel);
        }
    } else {
        pack_across(p, lines, part, to);
    }
}

/// Packs one panel of contiguous lines: blocks of 16 lines by 16 units are transposed.
#[inline(always)]
fn pack_along<P: Product, T: Element>(
    p: P,
    lines: Lines<'_, T>,
    [first, width]: [usize; 2],
    ks: Range<usize>,
    panel: &mut [u32],
) {
    for column in (0..width).step_by(LANES) {
        let n_lines = LANES.min(width - column);
        let mut block: [&[T]; LANES] = [&[]; LANES];
        for (l, line) in block.iter_mut().enumerate().take(n_lines) {
            *line = lines.line(first + column + l, ks.start, ks.end);
        }
        let place = Place { panel_len: panel.len(), panels: &mut *panel, width, at: 0, column };
        // Lines of the next panel follow those of this one.
        let ahead = (width * lines.stride()).min(PREFETCH_MAX);
        match n_lines {
            LANES => transpose_lines::<P, T, LANES>(p, block, ks.len(), ahead, place),
            12 => transpose_lines::<P, T, 12>(p, block, ks.len(), ahead, place),
            _ => transpose_lines::<P, T, 6>(p, block, ks.len(), ahead, place),
        }
    }
}

/// Asks for what lies `ahead` elements from `x`, as much of it.
#[inline(always)]
fn prefetch_all<T>(x: &[T], ahead: usize) {
    for at in (0..x.len()).step_by(CACHE_LINE / size_of::<T>()) {
        prefetch(x.as_ptr().wrapping_add(ahead + at));
    }
}

/// Where the vectors of a unit go: sixteen lines of a panel, the next sixteen, the next panel.
struct Place<'a> {
    panels: &'a mut [u32],
    panel_len: usize,
    width: usize,
    /// Where the panel starts.
    at: usize,
    /// The first line.
    column: usize,
}

impl Place<'_> {
    /// Stores one unit of some lines. Where there is room, all sixteen lanes: what goes too far is
    /// written again by the next unit, for units are stored in order.
    #[inline(always)]
    fn put<P: Product>(&mut self, p: P, unit: usize, x: P::B) {
        let start = self.at + unit * self.width + self.column;
        if start + LANES <= self.at + self.panel_len {
            p.store_part(&mut self.panels[start..start + LANES], x);
        } else {
            let n_lines = LANES.min(self.width - self.column);
            p.store_part(&mut self.panels[start..start + n_lines], x);
        }
    }

    /// Goes on to the next lines.
    #[inline(always)]
    fn advance(&mut self) {
        self.column += LANES;
        if self.column >= self.width {
            (self.at, self.column) = (self.at + self.panel_len, 0);
        }
    }
}

/// Transposes up to `N` lines of `k` elements into units.
#[inline(always)]
fn transpose_lines<P: Product, T: Element, const N: usize>(
    p: P,
    lines: [&[T]; LANES],
    k: usize,
    ahead: usize,
    mut to: Place<'_>,
) {
    let block = LANES * P::PER_UNIT;
    let n_full = if lines[N - 1].len() == k { k / block } else { 0 };
    for i in 0..n_full {
        let mut x = [p.along::<T>(&[]); LANES];
        for l in 0..N {
            let from = &lines[l][i * block..][..block];
            prefetch_all(from, ahead);
            x[l] = p.along(from);
        }
        p.transpose(&mut x);
        for (j, x) in x.into_iter().enumerate() {
            to.put(p, i * LANES + j, x);
        }
    }
    let n_units = k.div_ceil(P::PER_UNIT);
    for i in n_full..n_units.div_ceil(LANES) {
        let mut x = [p.along::<T>(&[]); LANES];
        for l in 0..N {
            let start = lines[l].len().min(i * block);
            let end = lines[l].len().min(start + block);
            x[l] = p.along(&lines[l][start..end]);
        }
        p.transpose(&mut x);
        for (unit, x) in (i * LANES..n_units).zip(x) {
            to.put(p, unit, x);
        }
    }
}

/// Packs panels of lines that lie side by side: memory is read in its own order.
#[inline(always)]
fn pack_across<P: Product, T: Element>(p: P, lines: Lines<'_, T>, part: &Part, to: &mut [u32]) {
    let Part { width, panels, ks } = part;
    let panel_len = ks.len().div_ceil(P::PER_UNIT) * width;
    // Lines from one vector to the next.
    let step = LANES.min(*width);
    let n_lines = panels.len() * width;
    let start = (panels.start * width).min(lines.count);
    let end = (panels.end * width + LANES).min(lines.count);
    let ahead = (PREFETCH_UNITS * P::PER_UNIT * lines.stride()).min(PREFETCH_MAX);
    for (unit, k) in ks.clone().step_by(P::PER_UNIT).enumerate() {
        let k_next = if k + 1 < ks.end { k + 1 } else { lines.k };
        let (x, next) = (lines.across(k, start, end), lines.across(k_next, start, end));
        let mut place = Place { panels: &mut *to, panel_len, width: *width, at: 0, column: 0 };
        let mut from = 0;
        while from < n_lines {
            let both = x.len() == next.len() && from + 2 * LANES <= x.len();
            if both && from + step < n_lines {
                let (x, next) = (&x[from..][..2 * LANES], &next[from..][..2 * LANES]);
                prefetch_all(x, ahead);
                if P::PER_UNIT > 1 {
                    prefetch_all(next, ahead);
                }
                let [one, two] = p.across_two(x, next, step);
                place.put(p, unit, one);
                place.advance();
                place.put(p, unit, two);
                from += 2 * step;
            } else {
                let [a, b] = [from, from + LANES].map(|i| i.min(x.len()));
                let next = if next.is_empty() { next } else { &next[a..b] };
                place.put(p, unit, p.across(&x[a..b], next));
                from += step;
            }
            place.advance();
        }
    }
}
