//! Rows of a table, by id.
//!
//! ```text
//! y[r] = scale * table[ids[r]]  (+ positions[at[r]]),    dtable[ids[r]] += scale * dy[r]
//! ```
//!
//! Shapes: `ids` `[R]`, `table` `[V, D]`, `y` `[B, T, D]` in f32.

use std::sync::Arc;

use kernels::embedding;

use crate::dtype::DType;
use crate::frozen::by_values;
use crate::params::Param;
use crate::tape::{Sweep, Tape, Var};

impl Tape<'_> {
    /// The rows `ids` of `table`, times `scale`, as the start of the residual stream.
    ///
    /// # Panics
    /// When an id is not in the table, or `ids` does not fill `shape`.
    #[track_caller]
    pub fn embedding(&self, table: &Param, ids: &Arc<[u32]>, shape: [usize; 2], scale: f32) -> Var {
        let [vocab_size, d_model] = table.shape() else { panic!("embedding: {:?}", table.shape()) };
        assert_eq!(ids.len(), shape.iter().product::<usize>(), "embedding: ids fill {shape:?}");
        let n = *vocab_size as u32;
        assert!(ids.iter().all(|&id| id < n), "embedding: an id is not below {vocab_size}");
        let (device, params) = (self.device(), self.params());
        let mut y = device.empty(&[shape[0], shape[1], *d_model], DType::F32);
        let mut parts = params.rows(table);
        let (Some(rows), None) = (parts.next(), parts.next()) else {
            panic!("embedding: a table in parts")
        };
        by_values!(rows.values, w => {
            embedding::gather(device.isa, y.as_mut_slice::<f32>(), w, ids, scale);
        });
        let (table, ids) = (table.clone(), ids.clone());
        self.finish("embedding", table.is_trained(), y, move |sweep, dy| {
            scatter(sweep, &table, &ids, dy.as_slice::<f32>(), scale);
        })
    }

    /// `x + table[at]`: positions, or the types of tokens.
    ///
    /// # Panics
    /// As [`Tape::embedding`].
    #[track_caller]
    pub fn embedding_add(&self, x: &Var, table: &Param, at: &Arc<[u32]>) -> Var {
        let (rows, d_model) = x.value.rows();
        assert_eq!(table.shape()[1], d_model, "embedding_add: x {:?}", x.value.shape());
        assert_eq!(at.len(), rows, "embedding_add: x {:?}", x.value.shape());
        let n = table.shape()[0];
        assert!(at.iter().all(|&id| (id as usize) < n), "embedding_add: an id is not below {n}");
        let (device, params) = (self.device(), self.params());
        let mut y = device.unshared(x.value.clone());
        embedding::gather_add(device.isa, y.as_mut_slice::<f32>(), params.get(table), at);
        let (slot, table, at) = (x.slot, table.clone(), at.clone());
        self.finish("embedding_add", table.is_trained() || slot.is_some(), y, move |sweep, dy| {
            if table.is_trained() {
                scatter(sweep, &table, &at, dy.as_slice::<f32>(), 1.0);
            }
            sweep.give(slot, dy);
        })
    }
}

fn scatter(sweep: &Sweep, table: &Param, ids: &[u32], dy: &[f32], scale: f32) {
    {
        let mut grads = sweep.grads();
        embedding::scatter_add(sweep.device().isa, grads.zeroed(table), ids, dy, scale);
    }
    sweep.wrote(table);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let ids: Arc<[u32]> = [3, 0, 3, 1, 4, 3].into();
        let at: Arc<[u32]> = [0, 1, 2, 0, 1, 2].into();
        check(&Fixture::new(&[("t", &[5, 4]), ("p", &[3, 4])], &[]), |tape, p, _| {
            let x = tape.embedding(&p[0], &ids, [2, 3], 1.5);
            tape.embedding_add(&x, &p[1], &at)
        });
    }
}
