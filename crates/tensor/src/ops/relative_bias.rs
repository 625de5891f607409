//! A bias on attention's scores by the distance of key and query, from a table of buckets.
//!
//! ```text
//! y[n, c] = table[bucket[c], n],    dtable[bucket[c], n] += dy[n, c]
//! ```
//!
//! Shapes: `table` `[buckets, N]`, `bucket` `[T + S - 1]`, one a distance, `y` `[N, T + S - 1]` in
//! f32. Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
//! Transformer", arXiv:1910.10683, section 2.1.

use std::sync::Arc;

use crate::dtype::DType;
use crate::params::Param;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// The bias of every head and distance.
    ///
    /// # Panics
    /// When a bucket is outside the table.
    #[track_caller]
    pub fn relative_bias(&self, table: &Param, bucket: &Arc<[u32]>) -> Var {
        let &[n_buckets, n_heads] = table.shape() else {
            panic!("relative_bias: table {:?}", table.shape())
        };
        let known = bucket.iter().all(|&b| (b as usize) < n_buckets);
        assert!(known, "relative_bias: a bucket is not below {n_buckets}");
        let values = self.params().get(table);
        let mut y = self.device().empty(&[n_heads, bucket.len()], DType::F32);
        let rows = y.as_mut_slice::<f32>().chunks_exact_mut(bucket.len().max(1));
        for (n, row) in rows.enumerate() {
            for (y, &b) in row.iter_mut().zip(&**bucket) {
                *y = values[b as usize * n_heads + n];
            }
        }
        let (table, bucket) = (table.clone(), bucket.clone());
        self.finish("relative_bias", table.is_trained(), y, move |sweep, dy| {
            {
                let mut grads = sweep.grads();
                let d_table = grads.zeroed(&table);
                let rows = dy.as_slice::<f32>().chunks_exact(bucket.len().max(1));
                for (n, row) in rows.enumerate() {
                    for (dy, &b) in row.iter().zip(&*bucket) {
                        d_table[b as usize * n_heads + n] += dy;
                    }
                }
            }
            sweep.wrote(&table);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let bucket: Arc<[u32]> = [2, 0, 1, 1, 2].into();
        check(&Fixture::new(&[("t", &[3, 2])], &[]), |tape, p, _| {
            tape.relative_bias(&p[0], &bucket)
        });
    }
}
