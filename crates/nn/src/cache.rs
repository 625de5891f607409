//! Keys and values of what was seen, so that a decoding step computes only the new position.

use tensor::{DType, Device, Tensor};

use crate::config::{Checked, TransformerConfig};

/// The cache of one layer: head-major, so that a head's keys are read in one run.
pub(crate) struct Layer {
    /// `[B, K, S, H]`.
    pub key: Tensor,
    /// `[B, K, S, H]`.
    pub value: Tensor,
    /// Keys and values of the memory, `[B, S, 2K H]`, from when it was first read.
    pub memory: Option<Tensor>,
}

/// The cache of a trunk.
pub struct KvCache {
    pub(crate) layers: Vec<Layer>,
    batch: usize,
    capacity: usize,
    len: usize,
}

impl KvCache {
    /// Room for `capacity` positions in each of `batch` rows.
    pub fn new(
        device: &Device,
        config: &Checked<TransformerConfig>,
        dtype: DType,
        [batch, capacity]: [usize; 2],
    ) -> Self {
        let c = config.get();
        let room = || device.zeros(&[batch, c.n_kv_heads, capacity, c.d_head], dtype);
        let layer = |_| Layer { key: room(), value: room(), memory: None };
        let layers = (0..c.n_layers).map(layer).collect();
        Self { layers, batch, capacity, len: 0 }
    }

    /// Positions held in every row.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Positions there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes held.
    pub fn cache_bytes(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|l| [&l.key, &l.value].into_iter().chain(&l.memory))
            .map(|t| t.n_elements() * t.dtype().bytes())
            .sum()
    }

    /// Forgets all but the first `len` positions; at 0 the memory, too.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if self.len == 0 {
            self.layers.iter_mut().for_each(|layer| layer.memory = None);
        }
    }

    /// After every layer has stored `n` new positions.
    pub(crate) fn advance(&mut self, n: usize) {
        self.len += n;
    }
}
