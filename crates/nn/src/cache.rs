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

    /// Positions that there is room for in every row.
    pub fn capacity(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.key.shape()[2])
    }

    /// What each of `rows` holds, in this order, with room for `capacity` positions.
    ///
    /// # Panics
    /// When there is no room for what it holds, or no such row.
    #[must_use]
    #[track_caller]
    pub fn select(&self, device: &Device, rows: &[usize], capacity: usize) -> Self {
        assert!(self.len <= capacity, "select: {} positions, room for {capacity}", self.len);
        let layer = |layer: &Layer| Layer {
            key: self.positions(device, &layer.key, rows, capacity),
            value: self.positions(device, &layer.value, rows, capacity),
            memory: layer.memory.as_ref().map(|memory| select_rows(device, memory, rows)),
        };
        let layers = self.layers.iter().map(layer).collect();
        Self { layers, batch: rows.len(), len: self.len }
    }

    /// Row `i` becomes what `rows[i]` was, of rows that read one memory: that stays as it is.
    ///
    /// # Panics
    /// When the number of rows differs.
    #[track_caller]
    pub fn reorder(&mut self, device: &Device, rows: &[usize]) {
        assert_eq!(rows.len(), self.batch, "reorder: rows");
        if rows.iter().enumerate().all(|(to, from)| to == *from) {
            return;
        }
        for i in 0..self.layers.len() {
            let capacity = self.layers[i].key.shape()[2];
            let [key, value] = [&self.layers[i].key, &self.layers[i].value]
                .map(|from| self.positions(device, from, rows, capacity));
            (self.layers[i].key, self.layers[i].value) = (key, value);
        }
    }

    /// The positions held by some rows of `[B, K, S, H]`; those beyond are unspecified.
    fn positions(&self, device: &Device, from: &Tensor, rows: &[usize], capacity: usize) -> Tensor {
        let &[_, n_heads, room, d_head] = from.shape() else { panic!("{:?}", from.shape()) };
        let mut to = device.empty(&[rows.len(), n_heads, capacity, d_head], from.dtype());
        for (at, row) in rows.iter().enumerate() {
            for head in 0..n_heads {
                let first = (row * n_heads + head) * room * d_head;
                let at = (at * n_heads + head) * capacity * d_head;
                to.copy_range(at, from, first..first + self.len * d_head);
            }
        }
        to
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

/// Some rows of `[B, ..]`, in this order.
pub(crate) fn select_rows(device: &Device, from: &Tensor, rows: &[usize]) -> Tensor {
    let width: usize = from.shape()[1..].iter().product();
    let shape = [&[rows.len()], &from.shape()[1..]].concat();
    let mut to = device.empty(&shape, from.dtype());
    for (at, row) in rows.iter().enumerate() {
        to.copy_range(at * width, from, row * width..(row + 1) * width);
    }
    to
}
