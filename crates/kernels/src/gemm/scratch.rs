//! Packed panels live in memory of the thread that packs them, grown once and kept.

use std::cell::Cell;

use bytemuck::{Pod, Zeroable};

/// One cache line: buffers of these are aligned to 64 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct CacheLine([u32; 16]);

/// A buffer aligned to cache lines that only grows.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Vec<CacheLine>);

impl Buffer {
    /// The first `len` elements (of four bytes), whatever they hold.
    pub fn sized<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<CacheLine>());
        if self.0.len() < lines {
            // Replaced, not resized: what it held need not be copied.
            self.0 = vec![CacheLine::zeroed(); lines];
        }
        &mut bytemuck::cast_slice_mut(&mut self.0[..lines])[..len]
    }

    /// What is there, as units of a packed panel.
    pub fn units(&self) -> &[u32] {
        bytemuck::cast_slice(&self.0)
    }
}

/// What a buffer is for; a thread has one of each.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// The operand that every block reads.
    Shared,
    /// The panels of the block at hand.
    Local,
    /// Sums of the block at hand over the `k` so far.
    Partial,
}

thread_local! {
    static BUFFERS: [Cell<Buffer>; 3] = const {
        [const { Cell::new(Buffer(Vec::new())) }; 3]
    };
}

/// Runs `f` with a buffer of this thread. The buffer is taken out meanwhile: a thread that waits
/// inside `f` for others may be given another product to compute, which then starts with none.
pub fn with_buffer<R>(purpose: Purpose, f: impl FnOnce(&mut Buffer) -> R) -> R {
    let mut buffer = BUFFERS.with(|buffers| buffers[purpose as usize].take());
    let result = f(&mut buffer);
    BUFFERS.with(|buffers| buffers[purpose as usize].set(buffer));
    result
}
