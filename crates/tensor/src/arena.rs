//! One aligned f32 allocation: all weights, all gradients, or one moment of an optimizer.

use crate::pool::{LINE, Line};

/// f32 values a cache line: every parameter starts at a multiple of it.
pub(crate) const ALIGN: usize = LINE / size_of::<f32>();

/// An aligned, zero-initialised run of f32.
pub struct Arena {
    lines: Vec<Line>,
    len: usize,
}

impl Arena {
    /// `len` zeros. Memory is touched at its first write.
    pub fn zeros(len: usize) -> Self {
        Self { lines: bytemuck::allocation::zeroed_vec(len.div_ceil(ALIGN)), len }
    }

    /// The values.
    pub fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The values, writable.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}
