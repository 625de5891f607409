//! Attention on a memory: queries from the stream, keys and values from what an encoder gave.
//!
//! Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.2.3.

use tensor::{AttentionArgs, Init, ParamsBuilder, Pattern, Projected, Reads, Tape, Var};

use crate::attention::{inits, query_factor};
use crate::cache;
use crate::config::TransformerConfig;
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::Linear;

/// A projection of the stream and one of the memory in, one out.
pub(crate) struct Cross {
    n_heads: usize,
    n_kv_heads: usize,
    d_head: usize,
    scale: f32,
    query: Linear,
    /// As `k | v`.
    key_value: Linear,
    output: Linear,
    probabilities: Dropout,
    residual: Dropout,
}

impl Cross {
    pub fn new(builder: &mut ParamsBuilder, config: &TransformerConfig) -> Self {
        let TransformerConfig { d_model, n_heads, n_kv_heads, d_head, .. } = *config;
        let (d_query, d_memory) = (n_heads * d_head, 2 * n_kv_heads * d_head);
        let (in_bias, out_bias) = (config.bias.query_key_value, config.bias.output);
        let (mut query_init, out_init) = inits(config, d_query);
        if let Init::Normal { std } = &mut query_init.weight {
            *std *= query_factor(config);
        }
        let (memory_init, _) = inits(config, d_memory);
        builder.scope("cross", |b| Self {
            n_heads,
            n_kv_heads,
            d_head,
            scale: config.scale.unwrap_or(1.0 / (d_head as f32).sqrt()),
            query: Linear::new(b, "query", [d_model, d_query], in_bias, query_init),
            key_value: Linear::new(b, "key_value", [d_model, d_memory], in_bias, memory_init),
            output: Linear::new(b, "output", [d_query, d_model], out_bias, out_init),
            probabilities: Dropout::new(b, "probabilities", config.dropout.attention),
            residual: Dropout::new(b, "residual", config.dropout.residual),
        })
    }

    /// `residual + output(attention(x, memory))`.
    ///
    /// With a cache, the memory is projected by the first call and kept.
    ///
    /// # Panics
    /// When the call has no memory.
    #[track_caller]
    pub fn forward(
        &self,
        tape: &Tape,
        x: &Var,
        residual: Option<&Var>,
        call: &Call,
        cache: Option<&mut cache::Layer>,
    ) -> Var {
        let memory = call.memory.as_ref().expect("cross-attention: a call without a memory");
        let query = self.query.forward(tape, x, call);
        let apart = call.mask.segments.clone().filter(|_| !call.mask.keys_only && cache.is_none());
        let reads = apart.filter(|_| memory.segments.is_some());
        let reads = reads.map(|segments| Reads { segments, first_key: memory.first_token });
        let project = || self.key_value.forward(tape, &memory.hidden, call);
        let key_value = match cache {
            None => project(),
            Some(cache) => {
                let kept = cache.memory.get_or_insert_with(|| project().into_value());
                Var::constant(kept.clone())
            }
        };
        let args = AttentionArgs {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            d_head: self.d_head,
            scale: self.scale,
            pattern: Pattern::Full,
            segments: memory.segments.clone(),
            keys_only: reads.is_none(),
            reads,
            bias: None,
            dropout: self.probabilities.site(call),
        };
        let heads = tape.attention(Projected::Memory(&query, &key_value), args);
        self.output.add_to(tape, residual, &heads, (&self.residual, call))
    }
}
