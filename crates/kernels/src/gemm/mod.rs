//! Matrix products: one driver, and one micro-kernel for each instruction set.
//!
//! ```text
//! c = a * b + bias + residual (+ c),    activated = act(c)
//! ```
//!
//! Shapes: `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`, all of f32, bf16 or f16, `a` and `b` in either
//! layout. With x `[R, K]` and a weight W `[M, K]`, the three products of a linear layer are
//!
//! ```text
//! y  = x * W^T       gemm(y,  x,      w.t())
//! dx = dy * W        gemm(dx, dy,     w)
//! dW += dy^T * x     gemm(dw, dy.t(), x)       with Write::Add
//! ```
//!
//! - `view`: matrices of the caller. `tile`: disjoint rectangles of a result.
//! - `kernel`: a micro-kernel and the proof that the CPU can run it. `geometry`: tile sizes.
//!   `product`, `dot_bf16`: how one step multiplies. `micro`: the loop over `k`.
//! - `pack`: one operand into panels. `packed`: a whole operand. `scratch`: where panels live.
//! - `driver`, `blocks`: cutting, threads. `region`: the tiles of a block. `epilogue`: bias,
//!   residual, activation. `few`: products of a few rows, bound by reading `b`.
//!
//! An element of the result is a sum in the order of `k`: it has the same bits whatever the other
//! rows and columns are, and for any number of threads. Products of a few rows (see `few`) sum in
//! another order, theirs.
//!
//! Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008;
//! Van Zee, van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality",
//! ACM TOMS 41(3), 2015.

mod blocks;
#[cfg(target_arch = "x86_64")]
pub(crate) mod dot_bf16;
mod driver;
mod epilogue;
mod few;
pub(crate) mod geometry;
pub(crate) mod kernel;
pub(crate) mod micro;
pub(crate) mod pack;
mod packed;
pub(crate) mod product;
mod region;
pub(crate) mod scratch;
pub(crate) mod tile;
mod view;

#[cfg(test)]
mod tests;

pub use epilogue::{Epilogue, Write};
pub use few::ROWS_MAX as FEW_ROWS;
pub use kernel::Multiply;
pub use packed::{PackedB, pack_b};
pub use view::{Layout, Mat, MatMut};

use epilogue::Output;
use kernel::Kernel;

use crate::Isa;
use crate::element::Element;

/// `c[m, n] = a[m, k] * b[k, n]`, and what the epilogue says.
///
/// # Panics
/// When shapes disagree, or this CPU cannot run `isa`.
#[track_caller]
pub fn gemm<A: Element, B: Element, C: Element>(
    isa: Isa,
    multiply: Multiply,
    c: MatMut<'_, C>,
    a: Mat<'_, A>,
    b: Mat<'_, B>,
    epilogue: Epilogue<'_, C>,
) {
    let rows = c.dims()[0];
    gemm_among(isa, multiply, rows, c, a, b, epilogue);
}

/// As [`gemm`], for some of `rows` rows: a row has the bits that it has in any other part of them.
///
/// # Panics
/// When shapes disagree, or this CPU cannot run `isa`.
#[track_caller]
pub fn gemm_among<A: Element, B: Element, C: Element>(
    isa: Isa,
    multiply: Multiply,
    rows: usize,
    c: MatMut<'_, C>,
    a: Mat<'_, A>,
    b: Mat<'_, B>,
    epilogue: Epilogue<'_, C>,
) {
    let ([m, n], a_dims, b_dims) = (c.dims(), a.dims(), b.dims());
    assert!(
        a_dims == [m, b_dims[0]] && b_dims[1] == n && m <= rows,
        "gemm: [{m}, {n}] = {a_dims:?} x {b_dims:?}, of {rows} rows"
    );
    let kernel = Kernel::new(isa, multiply);
    let out = Output::new(c, epilogue);
    let (a, b) = (a.row_lines(), b.col_lines());
    if rows <= few::ROWS_MAX && few::applies(a, b) {
        few::run(kernel, a, b, &out);
    } else {
        driver::run(kernel, a, b, &out);
    }
}

/// As [`gemm`], with a right operand that [`pack_b`] has packed.
///
/// # Panics
/// When shapes disagree, or `b` was packed for other instructions than `isa`.
#[track_caller]
pub fn gemm_packed<A: Element, C: Element>(
    isa: Isa,
    c: MatMut<'_, C>,
    a: Mat<'_, A>,
    b: &PackedB,
    epilogue: Epilogue<'_, C>,
) {
    let (panels, units) = b.panels();
    let ([m, n], a_dims, b_dims) = (c.dims(), a.dims(), b.dims());
    assert!(
        a_dims == [m, b_dims[0]] && b_dims[1] == n,
        "gemm: [{m}, {n}] = {a_dims:?} x {b_dims:?}, packed"
    );
    let multiply = if panels.kernel.rounds() { Multiply::Bf16 } else { Multiply::F32 };
    assert_eq!(panels.kernel, Kernel::new(isa, multiply), "gemm: packed for another than {isa}");
    let out = Output::new(c, epilogue);
    driver::run_packed(a.row_lines(), panels, units, &out);
}
