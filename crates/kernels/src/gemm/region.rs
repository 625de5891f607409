//! The part of a result that one thread computes, tile by tile.

use super::epilogue::{First, Output, Write, activate, copy, finish, prepare};
use super::kernel::Kernel;
use super::micro::{Start, Tile};
use super::tile::TileMut;
use crate::activation::Activation;
use crate::element::Element;
use crate::simd::LANES;

/// Elements of the largest tile.
const TILE_MAX: usize = 12 * 32;

/// One pass over a region: the products of one block of `k`.
#[derive(Clone, Copy)]
pub struct Pass {
    /// What multiplies.
    pub kernel: Kernel,
    /// Units of a packed panel.
    pub n_units: usize,
    /// Where the next strip is, in tiles.
    pub after: [usize; 2],
    /// Whether sums start in this pass.
    pub first: bool,
    /// Whether they end in it.
    pub last: bool,
}

/// A rectangle of a result.
pub struct Region<'a, C> {
    /// The whole result.
    pub out: &'a Output<'a, C>,
    /// The first row and column.
    pub origin: [usize; 2],
    /// Rows and columns.
    pub dims: [usize; 2],
    /// The rectangle.
    pub c: TileMut<'a, C>,
    /// The same of the activated result.
    pub activated: Option<(Activation, TileMut<'a, C>)>,
    /// The sums between passes, where `c` cannot hold them: contiguous.
    pub partial: Option<&'a mut [f32]>,
}

impl<C: Element> Region<'_, C> {
    /// Adds the products of the packed panels in `a` and in `b`, at a row and a column. `size` is
    /// how many rows and columns the panels have: of no units, they do not say so themselves.
    pub fn strip(&mut self, pass: Pass, at: [usize; 2], size: [usize; 2], [a, b]: [&[u32]; 2]) {
        let Pass { kernel, n_units, .. } = pass;
        let [rows, cols] = [kernel.rows(), kernel.cols()];
        let [a_len, b_len] = [n_units * rows, n_units * cols];
        let mut whole = [size[0] / rows * rows, size[1] / cols * cols];
        if !self.is_direct(pass) || whole.contains(&0) {
            whole = [0, 0];
        } else {
            self.direct(pass, at, whole, [a, b]);
            self.activate(pass, at, whole);
        }
        for row in (0..size[0]).step_by(rows) {
            let from = if row < whole[0] { whole[1] } else { 0 };
            for col in (from..size[1]).step_by(cols) {
                let a = &a[row * n_units..][..a_len];
                let b = &b[col * n_units..][..b_len];
                self.buffered(pass, [at[0] + row, at[1] + col], [a, b]);
            }
        }
    }

    /// Whether whole tiles go from registers to their place.
    fn is_direct(&self, pass: Pass) -> bool {
        let first = self.out.first;
        let adds = pass.first && first.write == Write::Add;
        let adds_two = adds && (first.residual.is_some() || self.partial.is_some());
        !adds_two
    }

    /// Activates whole tiles whose sums are done, while they are near.
    fn activate(&mut self, pass: Pass, at: [usize; 2], size: [usize; 2]) {
        let Some((act, y)) = self.activated.as_mut().filter(|_| pass.last) else { return };
        let (y, c) = (y.part(at, size[0], size[1]), self.c.part(at, size[0], size[1]));
        let [rows, cols] = [pass.kernel.rows(), pass.kernel.cols()];
        activate(pass.kernel, *act, y, c, [pass.after[0] * rows, pass.after[1] * cols]);
    }

    /// Whole tiles, as many as `size` says.
    fn direct(&mut self, pass: Pass, at: [usize; 2], size: [usize; 2], [a, b]: [&[u32]; 2]) {
        let Pass { kernel, n_units, after, .. } = pass;
        let stride = self.dims[1];
        let First { write, bias, residual, stride: residual_stride } =
            self.out.first.at([self.origin[0] + at[0], self.origin[1] + at[1]]);
        let bias = bias.filter(|_| pass.first);
        let initial = match residual.filter(|_| pass.first) {
            Some(data) => Start::From { data, stride: residual_stride },
            None if pass.first && write == Write::Overwrite => Start::Zero,
            None => Start::Out,
        };
        let place = at[0] * stride + at[1];
        match self.partial.as_deref_mut() {
            Some(partial) if !pass.last => {
                let out = TileMut::strided(&mut partial[place..], size[0], size[1], stride);
                kernel.grid(n_units, after, Tile { a, b, start: initial, bias, out });
            }
            Some(partial) if !pass.first => {
                let start = Start::From { data: &partial[place..], stride };
                let out = self.c.part(at, size[0], size[1]);
                kernel.grid(n_units, after, Tile { a, b, start, bias, out });
            }
            _ => {
                let out = self.c.part(at, size[0], size[1]);
                kernel.grid(n_units, after, Tile { a, b, start: initial, bias, out });
            }
        }
    }

    /// A tile at an edge, or with more to it: through a buffer.
    fn buffered(&mut self, pass: Pass, at: [usize; 2], [a, b]: [&[u32]; 2]) {
        let kernel = pass.kernel;
        let [rows, cols] =
            [0, 1].map(|i| (self.dims[i] - at[i]).min([kernel.rows(), kernel.cols()][i]));
        let mut sums = [0.0; TILE_MAX];
        let mut sums = TileMut::new(&mut sums, kernel.rows_for(rows), cols.next_multiple_of(LANES));
        self.load(pass, at, sums.part([0, 0], rows, cols));
        kernel.tile(Tile { a, b, start: Start::Out, bias: None, out: sums.reborrow() });
        self.store(pass, at, sums.part([0, 0], rows, cols));
    }

    /// The sums of a tile before this pass.
    fn load(&mut self, pass: Pass, at: [usize; 2], sums: TileMut<'_, f32>) {
        let [rows, cols] = sums.dims();
        if pass.first {
            let first = self.out.first.at([self.origin[0] + at[0], self.origin[1] + at[1]]);
            prepare(pass.kernel, sums, first, self.c.part(at, rows, cols));
        } else if let Some(partial) = self.partial_at(at, [rows, cols]) {
            copy(pass.kernel, sums, partial);
        } else {
            copy(pass.kernel, sums, self.c.part(at, rows, cols));
        }
    }

    /// Writes the sums of a tile after this pass.
    fn store(&mut self, pass: Pass, at: [usize; 2], sums: TileMut<'_, f32>) {
        let [rows, cols] = sums.dims();
        if !pass.last
            && let Some(partial) = self.partial_at(at, [rows, cols])
        {
            return copy(pass.kernel, partial, sums);
        }
        let activated = self.activated.as_mut().filter(|_| pass.last);
        let activated = activated.map(|(act, y)| (*act, y.part(at, rows, cols)));
        finish(pass.kernel, sums, self.c.part(at, rows, cols), activated);
    }

    fn partial_at(&mut self, at: [usize; 2], [rows, cols]: [usize; 2]) -> Option<TileMut<'_, f32>> {
        let stride = self.dims[1];
        let partial = &mut self.partial.as_deref_mut()?[at[0] * stride + at[1]..];
        Some(TileMut::strided(partial, rows, cols, stride))
    }
}
