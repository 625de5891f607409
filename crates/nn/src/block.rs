//! One block: attention, then the feed-forward network, each around the residual stream.

use std::sync::Arc;

use tensor::{DType, ParamsBuilder, RopeTable, Tape, Var};

use crate::attention::Attention;
use crate::cache::Layer;
use crate::config::{NormPlacement, TransformerConfig};
use crate::context::Call;
use crate::ffn::Ffn;
use crate::norm::Norm;

pub(crate) struct Block {
    placement: NormPlacement,
    attn_norm: Norm,
    attn: Attention,
    ffn_norm: Norm,
    ffn: Ffn,
}

impl Block {
    pub fn new(
        builder: &mut ParamsBuilder,
        config: &TransformerConfig,
        rope: Option<Arc<RopeTable>>,
    ) -> Self {
        Self {
            placement: config.placement,
            attn_norm: Norm::new(builder, "attn_norm", config),
            attn: Attention::new(builder, config, rope),
            ffn_norm: Norm::new(builder, "ffn_norm", config),
            ffn: Ffn::new(builder, config),
        }
    }

    /// `[B, T, D] -> [B, T, D]`; `cache` is this layer's, with how many positions it holds.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Var,
        call: &Call,
        cache: Option<(&mut Layer, usize)>,
    ) -> Var {
        let x = tape.scope("attn", None, || {
            self.residual(tape, x, &self.attn_norm, |y, x| {
                self.attn.forward(tape, y, x, call, cache)
            })
        });
        tape.scope("ffn", None, || {
            self.residual(tape, &x, &self.ffn_norm, |y, x| self.ffn.forward(tape, y, x, call))
        })
    }

    /// A sublayer around the stream, normalized before or after; `f` of the sublayer's input and
    /// the stream adds the two.
    fn residual(
        &self,
        tape: &Tape,
        x: &Var,
        norm: &Norm,
        f: impl FnOnce(&Var, &Var) -> Var,
    ) -> Var {
        match self.placement {
            NormPlacement::Pre => f(&norm.forward(tape, x, tape.compute()), x),
            NormPlacement::Post => norm.forward(tape, &f(x, x), DType::F32),
        }
    }
}
