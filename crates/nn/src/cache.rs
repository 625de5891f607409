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

/// The rows of one layer's cache that are in work.
pub(crate) struct Rows<'c> {
    pub layer: &'c mut Layer,
    /// The first of them.
    pub first: usize,
    /// Positions held by that and those behind it.
    pub held: &'c [usize],
}

/// The cache of a trunk: rows, each as long as it is. All are in work, or those that came last.
pub struct KvCache {
    layers: Vec<Layer>,
    /// Of each row, how many positions it holds.
    held: Vec<usize>,
    /// The first row in work.
    first: usize,
}

impl Rows<'_> {
    /// The same, for as long as they are borrowed.
    pub fn again(&mut self) -> Rows<'_> {
        Rows { layer: self.layer, first: self.first, held: self.held }
    }

    /// Positions of the longest.
    pub fn len(&self) -> usize {
        longest(self.held)
    }
}

fn longest(held: &[usize]) -> usize {
    held.iter().copied().max().unwrap_or(0)
}

impl KvCache {
    /// Room for `capacity` positions in each of `batch` rows, which are empty.
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
        Self { layers, held: vec![0; batch], first: 0 }
    }

    /// Positions held by each row in work.
    pub fn held(&self) -> &[usize] {
        &self.held[self.first..]
    }

    /// Positions held by the longest row in work.
    pub fn len(&self) -> usize {
        longest(self.held())
    }

    /// Whether rows in work have seen nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows in work.
    pub fn batch(&self) -> usize {
        self.held().len()
    }

    /// Positions that there is room for in every row.
    pub fn capacity(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.key.shape()[2])
    }

    /// Lets rows go; there is room for as many again.
    pub fn clear(&mut self) {
        (self.held, self.first) = (Vec::new(), 0);
    }

    /// Rows more, which are empty, and the only ones in work until [`KvCache::join`].
    ///
    /// # Panics
    /// When there is no room for them, or rows read a memory.
    #[track_caller]
    pub fn begin(&mut self, n: usize) {
        let all = self.held.len() + n;
        for layer in &self.layers {
            let room = layer.key.shape()[0];
            assert!(all <= room && layer.memory.is_none(), "begin: {all} rows of {room}");
        }
        self.first = self.held.len();
        self.held.resize(all, 0);
    }

    /// Of the rows in work each forgets so many of its last positions; then all rows are in work.
    ///
    /// # Panics
    /// When there are not so many rows or positions.
    #[track_caller]
    pub fn join(&mut self, forgotten: &[usize]) {
        assert_eq!(forgotten.len(), self.batch(), "join: rows");
        for (held, forgotten) in self.held[self.first..].iter_mut().zip(forgotten) {
            *held = held.checked_sub(*forgotten).expect("join: positions");
        }
        self.first = 0;
    }

    /// A row more, which holds what `row` does.
    ///
    /// # Panics
    /// As [`KvCache::begin`], and when there is no such row.
    #[track_caller]
    pub fn repeat(&mut self, row: usize) {
        self.begin(1);
        self.join(&[0]);
        self.copy_row(row, self.held.len() - 1);
    }

    /// A row goes, and the last takes its number.
    ///
    /// # Panics
    /// When there is no such row.
    #[track_caller]
    pub fn swap_remove(&mut self, row: usize) {
        let last = self.held.len() - 1;
        if row != last {
            self.copy_row(last, row);
        }
        self.held.pop();
    }

    fn copy_row(&mut self, from: usize, to: usize) {
        self.held[to] = self.held[from];
        for layer in &mut self.layers {
            for part in [&mut layer.key, &mut layer.value] {
                let &[_, n_heads, room, d_head] = part.shape() else { unreachable!("made above") };
                for head in 0..n_heads {
                    let at = |row: usize| (row * n_heads + head) * room * d_head;
                    let n = self.held[from] * d_head;
                    part.copy_within(at(to), at(from)..at(from) + n);
                }
            }
        }
    }

    /// What each of `rows` holds, in this order, with room for `capacity` positions.
    ///
    /// # Panics
    /// When there is no room for what it holds, or no such row.
    #[must_use]
    #[track_caller]
    pub fn select(&self, device: &Device, rows: &[usize], capacity: usize) -> Self {
        let len = longest(&self.held);
        assert!(len <= capacity, "select: {len} positions, room for {capacity}");
        let layer = |layer: &Layer| Layer {
            key: self.positions(device, &layer.key, rows, capacity),
            value: self.positions(device, &layer.value, rows, capacity),
            memory: layer.memory.as_ref().map(|memory| select_rows(device, memory, rows)),
        };
        let layers = self.layers.iter().map(layer).collect();
        Self { layers, held: rows.iter().map(|&row| self.held[row]).collect(), first: 0 }
    }

    /// Row `i` becomes what `rows[i]` was, of rows that read one memory: that stays as it is.
    ///
    /// # Panics
    /// When the number of rows differs.
    #[track_caller]
    pub fn reorder(&mut self, device: &Device, rows: &[usize]) {
        assert_eq!(rows.len(), self.held.len(), "reorder: rows");
        if rows.iter().enumerate().all(|(to, from)| to == *from) {
            return;
        }
        for i in 0..self.layers.len() {
            let capacity = self.layers[i].key.shape()[2];
            let [key, value] = [&self.layers[i].key, &self.layers[i].value]
                .map(|from| self.positions(device, from, rows, capacity));
            (self.layers[i].key, self.layers[i].value) = (key, value);
        }
        self.held = rows.iter().map(|&row| self.held[row]).collect();
    }

    /// The positions held by some rows of `[B, K, S, H]`; those beyond are unspecified.
    fn positions(&self, device: &Device, from: &Tensor, rows: &[usize], capacity: usize) -> Tensor {
        let &[_, n_heads, room, d_head] = from.shape() else { panic!("{:?}", from.shape()) };
        let mut to = device.empty(&[rows.len(), n_heads, capacity, d_head], from.dtype());
        for (at, row) in rows.iter().enumerate() {
            for head in 0..n_heads {
                let first = (row * n_heads + head) * room * d_head;
                let at = (at * n_heads + head) * capacity * d_head;
                to.copy_range(at, from, first..first + self.held[*row] * d_head);
            }
        }
        to
    }

    /// Forgets all but the first `len` positions of each row; at 0 the memory, too.
    pub fn truncate(&mut self, len: usize) {
        self.held.iter_mut().for_each(|held| *held = len.min(*held));
        if len == 0 {
            self.layers.iter_mut().for_each(|layer| layer.memory = None);
        }
    }

    /// The rows in work of layer `i`.
    pub(crate) fn rows(&mut self, i: usize) -> Rows<'_> {
        let Self { layers, held, first } = self;
        Rows { layer: &mut layers[i], first: *first, held: &held[*first..] }
    }

    /// After every layer has stored `n` new positions in the rows in work.
    pub(crate) fn advance(&mut self, n: usize) {
        self.held[self.first..].iter_mut().for_each(|held| *held += n);
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
