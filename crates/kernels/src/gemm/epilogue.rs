//! What happens to a tile besides the product: where sums start, and what is done when they end.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.

use super::kernel::{Kernel, kernel_fn};
use super::product::{Product, prefetch};
use super::tile::{Disjoint, TileMut};
use super::view::MatMut;
use crate::activation::{self, Activation};
use crate::element::Element;
use crate::simd::{Block, Simd, for_blocks};

/// Whether a result replaces what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Write {
    /// It does, and what is there is never read.
    #[default]
    Overwrite,
    /// It is added to it.
    Add,
}

/// What is applied as a tile of `c` is finished.
///
/// ```text
/// pre       = a * b + bias + residual (+ c, when adding)
/// c         = pre, rounded to its type
/// activated = act(c)
/// ```
///
/// The activation sees `c` as rounded, as a separate pass over it would.
#[derive(Debug)]
pub struct Epilogue<'a, C> {
    /// Whether the result is added to what `c` holds.
    pub write: Write,
    /// `[cols]`, added to every row.
    pub bias: Option<&'a [f32]>,
    /// `[rows, cols]`, contiguous, added.
    pub residual: Option<&'a [f32]>,
    /// Gets the activated value, `[rows, cols]`.
    pub activated: Option<(Activation, MatMut<'a, C>)>,
}

impl<C> Default for Epilogue<'_, C> {
    fn default() -> Self {
        Self { write: Write::Overwrite, bias: None, residual: None, activated: None }
    }
}

/// The result and its epilogue, shared by the threads that compute it.
pub struct Output<'a, C> {
    /// Rows and columns.
    pub dims: [usize; 2],
    /// The result.
    pub c: Disjoint<'a, C>,
    /// The activated result.
    pub activated: Option<(Activation, Disjoint<'a, C>)>,
    /// What the sums start from.
    pub first: First<'a>,
}

/// What is added to a product, besides what `c` holds.
#[derive(Clone, Copy, Debug)]
pub struct First<'a> {
    /// Whether `c` is added too.
    pub write: Write,
    /// `[cols]`.
    pub bias: Option<&'a [f32]>,
    /// `[rows, cols]`, rows `stride` apart.
    pub residual: Option<&'a [f32]>,
    /// Columns of a row of `residual`.
    pub stride: usize,
}

impl<'a, C> Output<'a, C> {
    /// Checks the shapes.
    #[track_caller]
    pub fn new(c: MatMut<'a, C>, epilogue: Epilogue<'a, C>) -> Self {
        let Epilogue { write, bias, residual, activated } = epilogue;
        let dims @ [m, n] = c.dims();
        let len = |x: Option<&[f32]>| x.map(<[f32]>::len);
        assert!(len(bias).is_none_or(|len| len == n), "gemm: bias {:?}, n = {n}", len(bias));
        assert!(
            len(residual).is_none_or(|len| len == m * n),
            "gemm: residual {:?}, result [{m}, {n}]",
            len(residual)
        );
        let activated = activated.map(|(activation, y)| {
            assert_eq!(y.dims(), dims, "gemm: activated");
            (activation, Disjoint::new(y))
        });
        let first = First { write, bias, residual, stride: n };
        Self { dims, c: Disjoint::new(c), activated, first }
    }
}

impl First<'_> {
    /// The part that starts at a row and a column.
    #[inline]
    pub fn at(self, [row, col]: [usize; 2]) -> Self {
        Self {
            bias: self.bias.map(|bias| &bias[col..]),
            residual: self.residual.map(|residual| &residual[row * self.stride + col..]),
            ..self
        }
    }
}

kernel_fn! {
    /// Fills a tile with what its sums start from; `c`, of the same size, is what it adds to.
    pub fn prepare<C: Element>(sums: TileMut<'_, f32>, first: First<'_>, c: TileMut<'_, C>)
        = prepare_body;
}

#[inline(always)]
fn prepare_body<P: Product, C: Element>(
    p: P,
    mut sums: TileMut<'_, f32>,
    first: First<'_>,
    mut c: TileMut<'_, C>,
) {
    let s = p.simd();
    let [rows, cols] = sums.dims();
    for i in 0..rows {
        let sums = sums.row(i);
        match first.bias {
            Some(bias) => sums.copy_from_slice(&bias[..cols]),
            None => sums.fill(0.0),
        }
        if let Some(residual) = first.residual {
            add(s, sums, &residual[i * first.stride..][..cols]);
        }
        if first.write == Write::Add {
            add(s, sums, c.row(i));
        }
    }
}

#[inline(always)]
fn add<S: Simd, X: Element>(s: S, sums: &mut [f32], x: &[X]) {
    for_blocks!(sums.len(), |at| {
        let sum = s.add(at.load(s, x), at.load(s, sums));
        at.store(s, sums, sum);
    });
}

kernel_fn! {
    /// Copies a tile.
    pub fn copy<X: Element, Y: Element>(to: TileMut<'_, Y>, from: TileMut<'_, X>) = copy_body;
}

#[inline(always)]
fn copy_body<P: Product, X: Element, Y: Element>(
    p: P,
    mut to: TileMut<'_, Y>,
    mut from: TileMut<'_, X>,
) {
    let [rows, cols] = to.dims();
    for i in 0..rows {
        let (to, from) = (to.row(i), from.row(i));
        for_blocks!(cols, |at| {
            let x = at.load(p.simd(), from);
            at.store(p.simd(), to, x);
        });
    }
}

kernel_fn! {
    /// Applies an activation to a tile, and asks for the memory of the next one, `after` rows and
    /// columns from it: stores would wait for it.
    pub fn activate<C: Element>(
        act: Activation,
        to: TileMut<'_, C>,
        from: TileMut<'_, C>,
        after: [usize; 2],
    ) = activate_body;
}

#[inline(always)]
fn activate_body<P: Product, C: Element>(
    p: P,
    act: Activation,
    mut to: TileMut<'_, C>,
    mut from: TileMut<'_, C>,
    after: [usize; 2],
) {
    let [rows, cols] = to.dims();
    for i in 0..rows {
        prefetch(to.address([i + after[0], after[1]]));
        let (to, from) = (to.row(i), from.row(i));
        for_blocks!(cols, |at| {
            let y = activation::apply(p.simd(), act, at.load(p.simd(), from));
            at.store(p.simd(), to, y);
        });
    }
}

/// Stores finished sums, rounded, and their activation.
#[inline]
pub fn finish<C: Element>(
    kernel: Kernel,
    sums: TileMut<'_, f32>,
    mut c: TileMut<'_, C>,
    activated: Option<(Activation, TileMut<'_, C>)>,
) {
    copy(kernel, c.reborrow(), sums);
    if let Some((act, y)) = activated {
        activate(kernel, act, y, c, [0, 0]);
    }
}
