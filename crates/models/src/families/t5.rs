//! T5: its first version and 1.1.
//!
//! Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
//! Transformer", arXiv:1910.10683; for 1.1, Shazeer, "GLU Variants Improve Transformer",
//! arXiv:2002.05202.

use nn::{
    AttnPositions, ConfigError, DropoutConfig, EmbedConfig, FfnKind, HeadConfig, LayerConfig,
    TokenEmbedConfig, TokenHeadConfig, TransformerConfig, WeightInit,
};
use serde_json::json;
use tensor::{Init, Pattern};

use super::fields::{Fields, activation};
use super::heads;
use super::hf::{Parts, Spec};
use crate::encoder_decoder::EncoderDecoderConfig;
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["t5"],
    parts: Parts::EncoderDecoder(pair, table),
    prefix,
    bases: &["T5Model"],
    fit: Some(fit),
};

/// One class has its base model inside, the others are one.
fn prefix(f: &Fields) -> &'static str {
    if f.task() == "SequenceClassification" { "transformer." } else { "" }
}

/// Positions are distances, of which any are known: a bound that no memory reaches.
const MAX_LEN: usize = 1 << 20;

/// Takes the scores' own projection wherever the file has one: a config of version 5 of
/// `transformers` says `tie_word_embeddings` beside it.
fn fit(f: &mut Fields, has: &dyn Fn(&str) -> bool) {
    let tied = f.flag_or("tie_word_embeddings", true);
    if let (true, Ok(true)) = (has("lm_head.weight"), tied) {
        // What version 4 tells by the same field.
        f.0.entry("scale_decoder_outputs").or_insert(json!(true));
        f.0.insert("tie_word_embeddings".into(), json!(false));
    }
}

fn pair(f: &Fields) -> Result<EncoderDecoderConfig, ConfigError> {
    let d_model = f.size("d_model")?;
    let n_layers = f.size("num_layers")?;
    let std = f.real_or("initializer_factor", 1.0)? as f32 * (d_model as f32).sqrt().recip();
    let dropout = f.real_or("dropout_rate", 0.1)? as f32;
    let embed = EmbedConfig::Token(TokenEmbedConfig {
        init: Init::Normal { std },
        dropout,
        ..TokenEmbedConfig::base(f.size("vocab_size")?, d_model, MAX_LEN)
    });
    let positions = AttnPositions::RelativeBias {
        n_buckets: f.size_or("relative_attention_num_buckets", 32)?,
        max_distance: f.size_or("relative_attention_max_distance", 128)?,
    };
    let trunk = |n_layers, pattern| -> Result<_, ConfigError> {
        Ok(TransformerConfig {
            d_head: f.size_or("d_kv", 64)?,
            norm_eps: f.real_or("layer_norm_epsilon", 1e-6)? as f32,
            ffn: ffn(f)?,
            cycle: vec![LayerConfig { pattern, positions }],
            scale: Some(1.0),
            dropout: DropoutConfig { residual: dropout, attention: dropout, ffn: dropout },
            init: WeightInit::T5 { std },
            ..TransformerConfig::base(n_layers, d_model, f.size("num_heads")?, f.size("d_ff")?)
        })
    };
    let tied = f.flag_or("tie_word_embeddings", true)?;
    let scale = f.flag_or("scale_decoder_outputs", tied)?.then(|| (d_model as f32).sqrt().recip());
    let head = HeadConfig::Token(TokenHeadConfig { scale, ..TokenHeadConfig::plain(tied) });
    let heads = match f.class().unwrap_or("T5ForConditionalGeneration") {
        "T5Model" => Vec::new(),
        "T5ForConditionalGeneration" | "T5WithLMHeadModel" => vec![("logits", head)],
        other => vec![heads::of_pair(f)?.ok_or_else(|| {
            let known = "T5Model, T5ForConditionalGeneration, T5ForSequenceClassification, \
                T5ForQuestionAnswering";
            let problem = format!("`{other}` is not one of {known}");
            ConfigError::new("architectures", problem)
        })?],
    };
    let encoder = StackConfig {
        embed: embed.clone(),
        trunk: trunk(n_layers, Pattern::Full)?,
        heads: Vec::new(),
    };
    let n_layers = f.size_or("num_decoder_layers", n_layers)?;
    let trunk = TransformerConfig { cross: true, ..trunk(n_layers, Pattern::Causal)? };
    Ok(EncoderDecoderConfig { encoder, decoder: StackConfig { embed, trunk, heads }, shared: true })
}

/// `relu`, or `gated-gelu`, whose `gelu` is the approximation.
fn ffn(f: &Fields) -> Result<FfnKind, ConfigError> {
    const KEY: &str = "feed_forward_proj";
    Ok(match f.text_or(KEY, "relu")? {
        "gated-gelu" => FfnKind::Gated(activation(KEY, "gelu_new")?),
        name => match name.strip_prefix("gated-") {
            Some(name) => FfnKind::Gated(activation(KEY, name)?),
            None => FfnKind::Plain(activation(KEY, name)?),
        },
    })
}

fn table(f: &Fields, pair: &EncoderDecoderConfig, table: &mut Table) {
    let base = prefix(f);
    table.param(format!("{base}shared.weight"), "encoder.embed.tokens");
    for (side, stack) in [("encoder", &pair.encoder), ("decoder", &pair.decoder)] {
        let bias = "SelfAttention.relative_attention_bias.weight";
        table
            .param(format!("{base}{side}.block.0.layer.0.{bias}"), format!("{side}.relative_bias"));
        for i in 0..stack.trunk.n_layers {
            let theirs = format!("{base}{side}.block.{i}");
            block(&theirs, &format!("{side}.blocks.{i}"), &stack.trunk, table);
        }
        table.layer(
            &format!("{base}{side}.final_layer_norm"),
            &format!("{side}.final_norm"),
            false,
        );
    }
    heads::pair_names(&pair.decoder.heads, table);
    if let Some((_, HeadConfig::Token(TokenHeadConfig { tied: false, .. }))) =
        pair.decoder.heads.first()
    {
        table.param("lm_head.weight", "decoder.heads.logits.weight");
    }
}

fn block(theirs: &str, ours: &str, trunk: &TransformerConfig, table: &mut Table) {
    let (d_heads, d_ff) = (trunk.n_heads * trunk.d_head, trunk.d_ff);
    let mut sublayers = 0..;
    let mut sublayer = |norm: &str, table: &mut Table| {
        let at = format!("{theirs}.layer.{}", sublayers.next().unwrap_or(0));
        table.layer(&format!("{at}.layer_norm"), &format!("{ours}.{norm}"), false);
        at
    };
    let at = sublayer("attn_norm", table) + ".SelfAttention";
    let [q, k, v] = ["q", "k", "v"].map(|name| (format!("{at}.{name}"), d_heads));
    table.stacked([q, k, v], &format!("{ours}.attn.query_key_value"), false);
    table.layer(&format!("{at}.o"), &format!("{ours}.attn.output"), false);
    if trunk.cross {
        let at = sublayer("cross_norm", table) + ".EncDecAttention";
        let [k, v] = ["k", "v"].map(|name| (format!("{at}.{name}"), d_heads));
        table.layer(&format!("{at}.q"), &format!("{ours}.cross.query"), false);
        table.stacked([k, v], &format!("{ours}.cross.key_value"), false);
        table.layer(&format!("{at}.o"), &format!("{ours}.cross.output"), false);
    }
    let at = sublayer("ffn_norm", table) + ".DenseReluDense";
    match trunk.ffn {
        FfnKind::Plain(_) => table.layer(&format!("{at}.wi"), &format!("{ours}.ffn.up"), false),
        FfnKind::Gated(_) => {
            let parts = ["wi_0", "wi_1"].map(|name| (format!("{at}.{name}"), d_ff));
            table.stacked(parts, &format!("{ours}.ffn.gate_up"), false);
        }
    }
    table.layer(&format!("{at}.wo"), &format!("{ours}.ffn.down"), false);
}
