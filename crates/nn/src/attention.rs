//! Attention with its projections.

use std::sync::Arc;

use tensor::{
    AttentionArgs, Init, KeyValues, Param, ParamsBuilder, Pattern, Projected, RmsNormArgs,
    RopeTable, Tape, Var,
};

use crate::cache;
use crate::config::{NormPlacement, TransformerConfig, WeightInit};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};
use crate::norm::NormConfig;
use crate::relative::RelativeBias;

/// What attention of one layer is told beyond its weights: blocks may serve several layers.
#[derive(Clone)]
pub(crate) struct Layer {
    pub pattern: Pattern,
    /// Angles of every position of the call.
    pub rope: Option<Arc<RopeTable>>,
    pub relative: Option<RelativeBias>,
    /// Keys and values of learned tokens, and in which of their columns those of this layer begin.
    pub prefix: Option<(Param, usize)>,
}

/// Normalization of queries and keys.
struct QkNorm {
    query: Param,
    key: Param,
    args: RmsNormArgs,
}

/// One packed projection in, one out.
pub(crate) struct Attention {
    n_heads: usize,
    n_kv_heads: usize,
    d_head: usize,
    scale: f32,
    query_key_value: Linear,
    qk_norm: Option<QkNorm>,
    output: Linear,
    probabilities: Dropout,
    residual: Dropout,
}

/// How projections to `d_projected` start, and the one back.
pub(crate) fn inits(config: &TransformerConfig, d_projected: usize) -> (LinearInit, LinearInit) {
    match config.init {
        WeightInit::Gpt2 { std } | WeightInit::T5 { std } => {
            let residual = std / residual_divisor(config);
            (LinearInit::normal(std), LinearInit::normal(residual))
        }
        WeightInit::Torch => {
            let bound = (6.0 / (config.d_model + d_projected) as f32).sqrt();
            let xavier = LinearInit { weight: Init::Uniform { bound }, bias: Init::Zeros };
            let d_heads = config.n_heads * config.d_head;
            (xavier, LinearInit { bias: Init::Zeros, ..LinearInit::torch(d_heads) })
        }
    }
}

/// What ends on the residual stream starts smaller by, so that the stream does not grow with depth;
/// one that is normalised after each sublayer does not.
pub(crate) fn residual_divisor(config: &TransformerConfig) -> f32 {
    match config.placement {
        NormPlacement::Post => 1.0,
        NormPlacement::Pre | NormPlacement::Around => (2.0 * config.n_layers as f32).sqrt(),
    }
}

/// What queries start smaller by.
pub(crate) fn query_factor(config: &TransformerConfig) -> f32 {
    match config.init {
        WeightInit::T5 { .. } => (config.d_head as f32).sqrt().recip(),
        WeightInit::Gpt2 { .. } | WeightInit::Torch => 1.0,
    }
}

impl Attention {
    pub fn new(builder: &mut ParamsBuilder, config: &TransformerConfig) -> Self {
        let TransformerConfig { d_model, n_heads, n_kv_heads, d_head, .. } = *config;
        let d_qkv = config.d_query_key_value();
        let d_heads = n_heads * d_head;
        let (mut qkv_init, out_init) = inits(config, d_qkv);
        if let (Init::Normal { std }, by @ ..1.0) = (qkv_init.weight, query_factor(config)) {
            qkv_init.weight = Init::NormalRows { std, rows: d_heads, by };
        }
        builder.scope("attn", |b| {
            let (in_bias, out_bias) = (config.bias.query_key_value, config.bias.output);
            Self {
                n_heads,
                n_kv_heads,
                d_head,
                scale: config.scale.unwrap_or(1.0 / (d_head as f32).sqrt()),
                query_key_value: Linear::new(
                    b,
                    "query_key_value",
                    [d_model, d_qkv],
                    in_bias,
                    qkv_init,
                ),
                qk_norm: config.qk_norm.then(|| {
                    let norm = NormConfig { width: d_head, ..NormConfig::of(config) };
                    QkNorm {
                        query: norm.weight(b, "query_norm"),
                        key: norm.weight(b, "key_norm"),
                        args: norm.rms(),
                    }
                }),
                output: Linear::new(b, "output", [d_heads, d_model], out_bias, out_init)
                    .followed_by(b, "output", config.beside.bottleneck(true)),
                probabilities: Dropout::new(b, "probabilities", config.dropout.attention),
                residual: Dropout::new(b, "residual", config.dropout.residual),
            }
        })
    }

    /// `residual + output(attention(x))`.
    ///
    /// With a cache, the new keys and values are stored there first.
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Var,
        residual: Option<&Var>,
        (layer, call): (&Layer, &Call),
        cache: Option<cache::Rows>,
    ) -> Var {
        let mut packed = self.query_key_value.forward(tape, x, call);
        if let Some(QkNorm { query, key, args }) = &self.qk_norm {
            let runs = [(self.n_heads, query), (self.n_kv_heads, key)];
            packed = tape.head_norm(&packed, runs, *args);
        }
        if let Some(table) = &layer.rope {
            let turning = [self.n_heads + self.n_kv_heads, self.d_head];
            packed = tape.rope(packed, turning, table, &call.positions);
        }
        if let (Some((table, from)), Some(led)) = (&layer.prefix, &call.led) {
            let at = [*from, self.n_heads * self.d_head, 2 * self.n_kv_heads * self.d_head];
            packed = tape.overlay(packed, table, &led.rows, at);
        }
        let q_len = x.value().shape()[1];
        let held = cache.as_ref().map_or(0, cache::Rows::len);
        let args = AttentionArgs {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            d_head: self.d_head,
            scale: self.scale,
            pattern: layer.pattern,
            segments: call.mask.segments.clone(),
            keys_only: call.mask.keys_only,
            reads: None,
            bias: layer.relative.as_ref().map(|bias| bias.forward(tape, q_len, held)),
            dropout: self.probabilities.site(call),
        };
        let heads = match cache {
            None => tape.attention(Projected::Packed(&packed), args),
            Some(cache::Rows { layer, first, held }) => {
                let at = KeyValues { key: &mut layer.key, value: &mut layer.value, first, held };
                tape.attention(Projected::Cached(&packed, at), args)
            }
        };
        self.output.add_to(tape, residual, &heads, (&self.residual, call))
    }
}
