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
    /// The arguments of a kernel that counts rows of the batch: attention's probabilities.
    pub(super) fn by_row(self) -> Dropout {
        let stream = hash(&[&self.rng.step.to_le_bytes(), &self.site.to_le_bytes()]);
        let Rng { seed, first_sample: offset, .. } = self.rng;
        Dropout { p: self.p, key: DropKey { seed, stream }, offset }
    }
}

/// Numbers of rows of a `[B, T, D]`, and T.
pub type Rows = (Arc<[u32]>, usize);

/// What is left of `x` `[B, ..]`, or of such rows of it.
fn drop_from(device: &Device, x: &Tensor, site: DropSite, rows: Option<&Rows>) -> Tensor {
    let (mut y, (n, d), args) = (device.empty(x.shape(), x.dtype()), x.rows(), site.by_row());
    let before = site.rng.first_token;
    let start = |len, row: u32| (args.offset * len as u64 + u64::from(row) + before) * d as u64;
    let (size, starts) = match rows {
        None => (n * d, vec![start(n / x.shape()[0].max(1), 0)]),
        Some((rows, len)) => (d, rows.iter().map(|&row| start(*len, row)).collect()),
    };
    by_dtype!(x.dtype(), T => {
        let parts = y.as_mut_slice::<T>().chunks_mut(size.max(1));
        for ((y, x), offset) in parts.zip(x.as_slice::<T>().chunks(size.max(1))).zip(starts) {
            dropout::forward(device.isa, y, x, Dropout { offset, ..args });
        }
    });
    y
}

impl Tape<'_> {
    /// Drops from `x` `[B, ..]`.
    pub fn dropout(&self, x: &Var, site: DropSite) -> Var {
        self.dropout_rows(x, None, site)
    }

    /// Drops from `x` `[n, D]`, which are such rows of a `[B, T, D]`, what would be dropped from
    /// those: wherever its text lies in a batch, a row is known by its place. None are all of them.
    pub fn dropout_rows(&self, x: &Var, rows: Option<Rows>, site: DropSite) -> Var {
        let (y, slot) = (drop_from(self.device(), &x.value, site, rows.as_ref()), x.slot);
        self.finish("dropout", slot.is_some(), y, move |sweep, dy| {
            let dx = drop_from(sweep.device(), &dy, site, rows.as_ref());
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
        DropSite { p: 0.4, site: 9, rng: Rng { seed: 1, step: 2, first_sample, first_token: 0 } }
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
        let found = tape.dropout_rows(&tape.select_rows(&x, &rows), Some((rows, 3)), site(1));
        let expected = [&whole[4 * 50..5 * 50], &whole[..50]].concat();
        assert_eq!(found.value().to_vec(), expected);
        let rows: Arc<[u32]> = [1, 5, 7].into();
        check(&Fixture::new(&[], &[&[3, 5]]), |tape, _, x| {
            tape.dropout_rows(&x[0], Some((rows.clone(), 4)), site(0))
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
