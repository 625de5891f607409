//! Where something is dropped, and how often.

use std::sync::Arc;

use tensor::{DropSite, ParamsBuilder, Tape, Var};

use crate::context::Call;

/// One place of a model that drops: its probability, and a key of its own from its name.
#[derive(Clone, Copy)]
pub(crate) struct Dropout {
    p: f32,
    site: u64,
}

impl Dropout {
    pub fn new(builder: &ParamsBuilder, leaf: &str, p: f32) -> Self {
        Self { p, site: builder.site(leaf) }
    }

    /// What to pass to an op; none when nothing is dropped in this call.
    pub fn site(&self, call: &Call) -> Option<DropSite> {
        let rng = call.rng.filter(|_| self.p > 0.0)?;
        Some(DropSite { p: self.p, site: self.site, rng })
    }

    /// `residual + dropout(x)` in f32; without a residual, the second alone.
    pub fn add_to(&self, tape: &Tape, residual: Option<&Var>, x: Var, call: &Call) -> Var {
        match (self.site(call), residual) {
            (None, None) => x,
            (None, Some(to)) => tape.add(to, &x),
            (Some(site), Some(to)) => tape.dropout_add(to, &x, site),
            (Some(site), None) => tape.dropout(&x, site),
        }
    }

    /// Drops from `x`.
    pub fn forward(&self, tape: &Tape, x: Var, call: &Call) -> Var {
        match self.site(call) {
            Some(site) => tape.dropout(&x, site),
            None => x,
        }
    }

    /// Drops from rows `[n, D]` of `[B, T, D]`, each by its number and T.
    ///
    /// # Panics
    /// When there are other than `n` numbers.
    #[track_caller]
    pub fn forward_rows(
        &self,
        tape: &Tape,
        x: Var,
        rows: (&Arc<[u32]>, usize),
        call: &Call,
    ) -> Var {
        assert_eq!(x.value().rows().0, rows.0.len(), "dropout: x {:?}", x.value().shape());
        match self.site(call) {
            Some(site) => tape.dropout_rows(&x, Some((rows.0.clone(), rows.1)), site),
            None => x,
        }
    }
}
