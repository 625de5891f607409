//! Rows of heads written from several threads, and the rounding of finished rows.

use std::marker::PhantomData;

use crate::simd::{Block, Simd, for_blocks, simd_fn};
use crate::{Element, Isa};

/// [`Heads`](super::Heads) to write: rows of several heads interleave in one buffer, so no split
/// into disjoint slices exists that gives each thread its own.
pub(super) struct HeadsMut<'a, T> {
    start: *mut T,
    len: usize,
    /// `[offset, batch, row, head]`, as in [`Heads`](super::Heads).
    strides: [usize; 4],
    width: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a `&mut [T]` in disguise, and `T` may be sent; who calls `row` keeps rows apart.
unsafe impl<T: Send> Send for HeadsMut<'_, T> {}
// SAFETY: as above; a shared reference gives access only through `row`, which is unsafe.
unsafe impl<T: Send> Sync for HeadsMut<'_, T> {}

impl<'a, T> HeadsMut<'a, T> {
    /// Rows of `width`; `strides` are `[offset, batch, row, head]`.
    pub fn new(data: &'a mut [T], strides: [usize; 4], width: usize) -> Self {
        let (start, len) = (data.as_mut_ptr(), data.len());
        Self { start, len, strides, width, lifetime: PhantomData }
    }

    /// The same rows of the same buffer, `by` elements later.
    pub fn shifted(&self, by: usize) -> Self {
        let mut strides = self.strides;
        strides[0] += by;
        Self { strides, ..*self }
    }

    /// Row `t` of head `n` of sequence `b`.
    ///
    /// # Safety
    /// No two rows that live at the same time may be the same one, on any thread.
    #[allow(clippy::mut_from_ref)] // The whole point; see the type.
    pub unsafe fn row(&self, b: usize, t: usize, n: usize) -> &'a mut [T] {
        let [offset, batch, row, head] = self.strides;
        let at = offset + b * batch + t * row + n * head;
        assert!(at + self.width <= self.len, "attention: row {at} of {}", self.len);
        // SAFETY: inside the buffer by the assertion, and unaliased by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), self.width) }
    }
}

/// Writes the rows `[b, t.., n]` of `out`: rows of `acc`, `stride` apart, each times its entry of
/// `by` and rounded; zeros where that is zero, whatever `acc` has.
///
/// # Safety
/// Nobody else may hold any of these rows meanwhile, on any thread.
pub(super) unsafe fn store_rows<T: Element>(
    isa: Isa,
    out: &HeadsMut<'_, T>,
    [b, t, n]: [usize; 3],
    acc: &[f32],
    stride: usize,
    by: &[f32],
) {
    for (i, &by) in by.iter().enumerate() {
        // SAFETY: the rows are the caller's alone, and one lives at a time.
        let out = unsafe { out.row(b, t + i, n) };
        if by == 0.0 {
            out.fill(T::zeroed());
        } else {
            store_row(isa, out, &acc[i * stride..], by);
        }
    }
}

simd_fn! {
    fn store_row<T: Element>(out: &mut [T], acc: &[f32], by: f32) = store_row_body;
}

#[inline(always)]
fn store_row_body<S: Simd, T: Element>(s: S, out: &mut [T], acc: &[f32], by: f32) {
    let (acc, factor) = (&acc[..out.len()], s.splat(by));
    for_blocks!(out.len(), |at| {
        let v = s.mul(at.load(s, acc), factor);
        at.store(s, out, v);
    });
}
