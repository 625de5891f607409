//! One block: attention, perhaps attention on a memory, then the feed-forward network, each around
//! the residual stream.

use tensor::{DType, ParamsBuilder, Tape, Var};

use crate::attention::{Attention, Layer};
use crate::cache;
use crate::config::{NormPlacement, TransformerConfig};
use crate::context::Call;
use crate::cross::Cross;
use crate::ffn::Ffn;
use crate::norm::{Norm, NormConfig};

pub(crate) struct Block {
    attn_norm: Norms,
    attn: Attention,
    cross: Option<(Norms, Cross)>,
    ffn_norm: Norms,
    ffn: Ffn,
}

/// The normalizations of one sublayer.
enum Norms {
    Pre(Norm),
    Post(Norm),
    Around(Norm, Norm),
}

impl Norms {
    fn new(builder: &mut ParamsBuilder, name: &str, config: &TransformerConfig) -> Self {
        let norm = NormConfig::of(config);
        let first = Norm::new(builder, name, norm);
        match config.placement {
            NormPlacement::Pre => Self::Pre(first),
            NormPlacement::Post => Self::Post(first),
            NormPlacement::Around => {
                Self::Around(first, Norm::new(builder, &format!("{name}_after"), norm))
            }
        }
    }

    /// A sublayer around the stream; `f` of its input adds what it is given to its result.
    fn around(&self, tape: &Tape, x: &Var, f: impl FnOnce(&Var, Option<&Var>) -> Var) -> Var {
        match self {
            Self::Pre(norm) => f(&norm.forward(tape, x, tape.compute()), Some(x)),
            Self::Post(norm) => norm.forward(tape, &f(x, Some(x)), DType::F32),
            Self::Around(before, after) => {
                let y = f(&before.forward(tape, x, tape.compute()), None);
                tape.add(x, &after.forward(tape, &y, DType::F32))
            }
        }
    }
}

impl Block {
    /// Block `i`.
    pub fn new(builder: &mut ParamsBuilder, config: &TransformerConfig, i: usize) -> Self {
        Self {
            attn_norm: Norms::new(builder, "attn_norm", config),
            attn: Attention::new(builder, config),
            cross: config
                .cross
                .then(|| (Norms::new(builder, "cross_norm", config), Cross::new(builder, config))),
            ffn_norm: Norms::new(builder, "ffn_norm", config),
            ffn: Ffn::new(builder, config, i),
        }
    }

    /// `[B, T, D] -> [B, T, D]` as one layer; `cache` is this layer's.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Var,
        (layer, call): (&Layer, &Call),
        mut cache: Option<cache::Rows>,
    ) -> Var {
        let mut x = tape.scope("attn", None, || {
            let cache = cache.as_mut().map(cache::Rows::again);
            self.attn_norm.around(tape, x, |y, residual| {
                self.attn.forward(tape, y, residual, (layer, call), cache)
            })
        });
        if let Some((norm, cross)) = &self.cross {
            let cache = cache.map(|rows| rows.layer);
            x = tape.scope("cross", None, || {
                norm.around(tape, &x, |y, residual| cross.forward(tape, y, residual, call, cache))
            });
        }
        tape.scope("ffn", None, || {
            let forward =
                |y: &Var, residual: Option<&Var>| self.ffn.forward(tape, y, residual, call);
            self.ffn_norm.around(tape, &x, forward)
        })
    }
}
