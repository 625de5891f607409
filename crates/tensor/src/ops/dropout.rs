//! Dropout, keyed: the same call drops the same elements.
//!
//! ```text
//! y = x * keep / (1 - p),    dx = dy * keep / (1 - p)
//! ```
//!
//! An element is known by its place in the whole batch, so micro-batches and recomputation see the
//! same mask. Srivastava et al., "Dropout" (JMLR 15, 2014), section 4, with the scale moved to
//! training.

use std::sync::Arc;

use kernels::dropout::{self, DropKey, Dropout};

use crate::dtype::by_dtype;
use crate::rng::{Rng, hash};
use crate::tape::{Tape, Var};
use crate::value::{Device, Tensor};

/// One place that drops, in one step of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropSite {
    /// Probability of dropping, in `[0, 1)`.
    pub p: f32,
    /// The place's own key: [`crate::ParamsBuilder::site`].
    pub site: u64,
    /// The call's randomness.
    pub rng: Rng,
}

impl DropSite {
    fn stream(&self) -> u64 {
        hash(&[&self.rng.step.to_le_bytes(), &self.site.to_le_bytes()])
    }

    fn key(&self) -> DropKey {
        DropKey { seed: self.rng.seed, stream: self.stream() }
    }

    /// The arguments of a kernel that counts rows of the batch: attention's probabilities.
    pub(super) fn by_row(self) -> Dropout {
        Dropout { p: self.p, key: self.key(), offset: self.rng.first_sample }
    }

    /// The kernel's arguments for a tensor of `shape` `[B, ..]`.
    fn args(&self, shape: &[usize]) -> Dropout {
        let per_sample: usize = shape[1..].iter().product();
        let offset = self.rng.first_sample * per_sample as u64;
        Dropout { p: self.p, key: self.key(), offset }
    }
}

fn drop_from(device: &Device, x: &Tensor, site: DropSite) -> Tensor {
    let mut y = device.empty(x.shape(), x.dtype());
    let args = site.args(x.shape());
    by_dtype!(x.dtype(), T => {
        dropout::forward(device.isa, y.as_mut_slice::<T>(), x.as_slice::<T>(), args);
    });
    y
}

/// The same for rows of a tensor with `len` rows a sample, each by its own place.
fn drop_from_rows(
    device: &Device,
    x: &Tensor,
    (rows, len): (&[u32], usize),
    site: DropSite,
) -> Tensor {
    let (mut y, d) = (device.empty(x.shape(), x.dtype()), x.rows().1);
    let first = site.rng.first_sample * len as u64;
    by_dtype!(x.dtype(), T => {
        let both = y.as_mut_slice::<T>().chunks_exact_mut(d).zip(x.as_slice::<T>().chunks_exact(d));
        for ((y, x), &row) in both.zip(rows) {
            let offset = (first + u64::from(row)) * d as u64;
            let args = Dropout { p: site.p, key: site.key(), offset };
            dropout::forward(device.isa, y, x, args);
        }
    });
    y
}

impl Tape<'_> {
    /// Drops from `x` `[B, ..]`.
    pub fn dropout(&self, x: &Var, site: DropSite) -> Var {
        let y = drop_from(self.device(), &x.value, site);
        let slot = x.slot;
        self.finish("dropout", y, move |sweep, dy| {
            let dx = drop_from(sweep.device(), &dy, site);
            sweep.give(slot, dx);
        })
    }

    /// Drops from `x` `[n, D]`, which are the rows `rows` of a `[B, T, D]`, what would be dropped
    /// from those: wherever its text lies in a batch, a row is known by its place.
    ///
    /// # Panics
    /// When there are more rows than numbers of them.
    #[track_caller]
    pub fn dropout_rows(&self, x: &Var, (rows, len): (&Arc<[u32]>, usize), site: DropSite) -> Var {
        assert_eq!(x.value.rows().0, rows.len(), "dropout_rows: x {:?}", x.value.shape());
        let y = drop_from_rows(self.device(), &x.value, (rows, len), site);
        let (slot, rows) = (x.slot, rows.clone());
        self.finish("dropout", y, move |sweep, dy| {
            let dx = drop_from_rows(sweep.device(), &dy, (&rows, len), site);
            sweep.give(slot, dx);
        })
    }

    /// `residual + dropout(x)`, all of one shape, in f32.
    ///
    /// # Panics
    /// When they are not.
    #[track_caller]
    pub fn dropout_add(&self, residual: &Var, x: &Var, site: DropSite) -> Var {
        self.add(residual, &self.dropout(x, site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::ops::testing::{Fixture, check};

    fn site(first_sample: u64) -> DropSite {
        DropSite { p: 0.4, site: 9, rng: Rng { seed: 1, step: 2, first_sample } }
    }

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[3, 5]]), |tape, _, x| tape.dropout(&x[0], site(0)));
        check(&Fixture::new(&[], &[&[3, 5], &[3, 5]]), |tape, _, x| {
            tape.dropout_add(&x[0], &x[1], site(0))
        });
    }

    #[test]
    fn a_row_is_dropped_from_as_where_it_was() {
        let fixture = Fixture::new(&[], &[&[6, 50]]);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        // Two samples of three rows.
        let x = Var::constant(fixture.inputs[0].clone());
        let whole = tape.dropout(&x.clone().reshape(&[2, 3, 50]), site(1)).value().to_vec();
        let rows: Arc<[u32]> = [4, 0].into();
        let found = tape.dropout_rows(&tape.select_rows(&x, &rows), (&rows, 3), site(1));
        let expected = [&whole[4 * 50..5 * 50], &whole[..50]].concat();
        assert_eq!(found.value().to_vec(), expected);
        let rows: Arc<[u32]> = [1, 5, 7].into();
        check(&Fixture::new(&[], &[&[3, 5]]), |tape, _, x| {
            tape.dropout_rows(&x[0], (&rows, 4), site(0))
        });
    }

    #[test]
    fn a_micro_batch_sees_its_part_of_the_mask() {
        let fixture = Fixture::new(&[], &[&[4, 50]]);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let x = fixture.inputs[0].to_vec();
        let whole = tape.dropout(&Var::constant(fixture.inputs[0].clone()), site(0));
        let half = fixture.device.tensor(&[2, 50], &x[100..]);
        let half = tape.dropout(&Var::constant(half), site(2));
        assert_eq!(half.value().to_vec(), whole.value().to_vec()[100..]);
    }
}
