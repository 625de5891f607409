//! Attention with its projections.

use std::sync::Arc;

use tensor::{
    AttentionArgs, Init, KeyValues, ParamsBuilder, Pattern, Projected, RopePairing, RopeTable,
    Tape, Var,
};

use crate::cache::Layer;
use crate::config::{AttnPositions, TransformerConfig, WeightInit};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};

/// One packed projection in, one out.
pub(crate) struct Attention {
    n_heads: usize,
    n_kv_heads: usize,
    d_head: usize,
    scale: f32,
    pattern: Pattern,
    query_key_value: Linear,
    output: Linear,
    rope: Option<Arc<RopeTable>>,
    probabilities: Dropout,
    residual: Dropout,
}

impl Attention {
    pub fn new(
        builder: &mut ParamsBuilder,
        config: &TransformerConfig,
        rope: Option<Arc<RopeTable>>,
    ) -> Self {
        let TransformerConfig { d_model, n_heads, n_kv_heads, d_head, .. } = *config;
        let d_qkv = config.d_query_key_value();
        let d_heads = n_heads * d_head;
        let (qkv_init, out_init) = match config.init {
            WeightInit::Gpt2 { std } => {
                let residual = std / (2.0 * config.n_layers as f32).sqrt();
                (LinearInit::normal(std), LinearInit::normal(residual))
            }
            WeightInit::Torch => {
                let bound = (6.0 / (d_model + d_qkv) as f32).sqrt();
                let xavier = LinearInit { weight: Init::Uniform { bound }, bias: Init::Zeros };
                (xavier, LinearInit { bias: Init::Zeros, ..LinearInit::torch(d_heads) })
            }
        };
        builder.scope("attn", |b| {
            let (in_bias, out_bias) = (config.bias.query_key_value, config.bias.output);
            Self {
                n_heads,
                n_kv_heads,
                d_head,
                scale: config.scale.unwrap_or(1.0 / (d_head as f32).sqrt()),
                pattern: config.pattern,
                query_key_value: Linear::new(
                    b,
                    "query_key_value",
                    [d_model, d_qkv],
                    in_bias,
                    qkv_init,
                ),
                output: Linear::new(b, "output", [d_heads, d_model], out_bias, out_init),
                rope,
                probabilities: Dropout::new(b, "probabilities", config.dropout.attention),
                residual: Dropout::new(b, "residual", config.dropout.residual),
            }
        })
    }

    /// The angles of every position below `max_len`, where attention turns by position.
    pub fn rope_table(config: &TransformerConfig, max_len: usize) -> Option<Arc<RopeTable>> {
        match config.positions {
            AttnPositions::None => None,
            AttnPositions::Rope { theta } => {
                let table = RopeTable::new(max_len, config.d_head, theta, RopePairing::Halves);
                Some(Arc::new(table))
            }
        }
    }

    /// `residual + output(attention(x))`.
    ///
    /// With a cache (and how many positions it holds), the new keys and values are stored there
    /// first.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Var,
        residual: &Var,
        call: &Call,
        cache: Option<(&mut Layer, usize)>,
    ) -> Var {
        let mut packed = self.query_key_value.forward(tape, x);
        if let Some(table) = &self.rope {
            let turning = [self.n_heads + self.n_kv_heads, self.d_head];
            packed = tape.rope(packed, turning, table, &call.positions);
        }
        let args = AttentionArgs {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            d_head: self.d_head,
            scale: self.scale,
            pattern: call.mask.pattern.unwrap_or(self.pattern),
            segments: call.mask.segments.clone(),
            keys_only: call.mask.keys_only,
            dropout: self.probabilities.site(call),
        };
        let heads = match cache {
            None => tape.attention(Projected::Packed(&packed), args),
            Some((layer, held)) => {
                let at = KeyValues { key: &mut layer.key, value: &mut layer.value, held };
                tape.attention(Projected::Cached(&packed, at), args)
            }
        };
        self.output.add_to(tape, residual, &heads, (&self.residual, call))
    }
}
