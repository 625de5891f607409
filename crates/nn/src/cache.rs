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
        Self { layers, batch, len: 0 }
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

    /// What the first row holds, in each of `batch` rows with room for `capacity` positions.
    ///
    /// # Panics
    /// When there is no room for what it holds.
    #[must_use]
    #[track_caller]
    pub fn repeat(&self, device: &Device, [batch, capacity]: [usize; 2]) -> Self {
        assert!(self.len <= capacity, "repeat: {} positions, room for {capacity}", self.len);
        let copy = |from: &Tensor| {
            let &[_, n_heads, room, d_head] = from.shape() else { panic!("{:?}", from.shape()) };
            let mut to = device.zeros(&[batch, n_heads, capacity, d_head], from.dtype());
            for at in 0..batch * n_heads {
                let first = at % n_heads * room * d_head;
                to.copy_range(at * capacity * d_head, from, first..first + self.len * d_head);
            }
            to
        };
        let layers = self.layers.iter();
        let layers = layers
            .map(|l| Layer { key: copy(&l.key), value: copy(&l.value), memory: None })
            .collect();
        Self { layers, batch, len: self.len }
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
