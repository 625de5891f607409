//! BART and Marian.
//!
//! Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", arXiv:1910.13461;
//! Junczys-Dowmunt et al., "Marian: Fast Neural Machine Translation in C++", arXiv:1804.00344.

use nn::{
    AttnPositions, BiasConfig, ConfigError, DropoutConfig, FfnKind, HeadConfig, LayerConfig,
    NormConfig, NormKind, NormPlacement, TokenEmbedConfig, TokenHeadConfig, TokenPositions,
    TransformerConfig, WaveKind, WeightInit,
};
use tensor::{Init, Pattern};

use super::fields::Fields;
use super::heads;
use super::hf::{Parts, Spec};
use crate::encoder_decoder::EncoderDecoderConfig;
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["bart", "marian"],
    parts: Parts::EncoderDecoder(pair, table),
    prefix: |_| "model.",
    bases: BASES,
    fit: None,
};

const BASES: &[&str] = &["BartModel", "MarianModel"];
const NORM: NormKind = NormKind::LayerNorm;
const NORM_EPS: f32 = 1e-5;
/// Rows of BART's table before that of position 0.
const FIRST_POSITION: usize = 2;

/// Half of a pair: what its fields begin with, and who sees whom.
pub(super) struct Side {
    layers: &'static str,
    heads: &'static str,
    ffn: &'static str,
    pattern: Pattern,
}

pub(super) const ENCODER: Side = Side {
    layers: "encoder_layers",
    heads: "encoder_attention_heads",
    ffn: "encoder_ffn_dim",
    pattern: Pattern::Full,
};

pub(super) const DECODER: Side = Side {
    layers: "decoder_layers",
    heads: "decoder_attention_heads",
    ffn: "decoder_ffn_dim",
    pattern: Pattern::Causal,
};

fn pair(f: &Fields) -> Result<EncoderDecoderConfig, ConfigError> {
    let (d_model, vocab_size) = (f.size("d_model")?, f.size("vocab_size")?);
    let shared = f.flag_or("share_encoder_decoder_embeddings", true)?;
    let own = f.maybe_size("decoder_vocab_size")?.filter(|_| !shared);
    let decoder_vocab_size = own.unwrap_or(vocab_size);
    let init = Init::Normal { std: f.real_or("init_std", 0.02)? as f32 };
    let scale = if f.flag_or("scale_embedding", false)? { (d_model as f32).sqrt() } else { 1.0 };
    let is_marian = f.text_or("model_type", "bart")? == "marian";
    let embed = |vocab_size| -> Result<_, ConfigError> {
        let norm = NormConfig { kind: NORM, eps: NORM_EPS, width: d_model };
        let base = TokenEmbedConfig::base(vocab_size, d_model, f.size("max_position_embeddings")?);
        let base =
            TokenEmbedConfig { scale, init, dropout: f.real_or("dropout", 0.1)? as f32, ..base };
        if is_marian {
            let positions = TokenPositions::Sinusoidal(WaveKind::Halves);
            return Ok(TokenEmbedConfig { positions, ..base });
        }
        Ok(TokenEmbedConfig {
            positions: TokenPositions::Learned,
            first_position: FIRST_POSITION,
            norm: Some(norm),
            ..base
        })
    };
    let encoder = StackConfig {
        embed: embed(vocab_size)?.into(),
        trunk: trunk(f, &ENCODER)?,
        heads: Vec::new(),
    };
    let decoder = StackConfig {
        embed: embed(decoder_vocab_size)?.into(),
        trunk: TransformerConfig { cross: true, ..trunk(f, &DECODER)? },
        heads: heads(f)?,
    };
    Ok(EncoderDecoderConfig { encoder, decoder, shared })
}

/// The trunk of a side.
pub(super) fn trunk(f: &Fields, side: &Side) -> Result<TransformerConfig, ConfigError> {
    let (d_model, n_heads) = (f.size("d_model")?, f.size(side.heads)?);
    let base = TransformerConfig::base(f.size(side.layers)?, d_model, n_heads, f.size(side.ffn)?);
    Ok(TransformerConfig {
        d_head: f.d_head([d_model, n_heads], None)?,
        norm: NORM,
        norm_eps: NORM_EPS,
        placement: NormPlacement::Post,
        final_norm: false,
        ffn: FfnKind::Plain(f.activation_or("activation_function", "gelu")?),
        cycle: vec![LayerConfig { pattern: side.pattern, positions: AttnPositions::None }],
        bias: BiasConfig::all(true),
        dropout: DropoutConfig {
            residual: f.real_or("dropout", 0.1)? as f32,
            attention: f.real_or("attention_dropout", 0.0)? as f32,
            ffn: f.real_or("activation_dropout", 0.0)? as f32,
        },
        init: WeightInit::Gpt2 { std: f.real_or("init_std", 0.02)? as f32 },
        ..base
    })
}

/// The heads of the class that was saved.
fn heads(f: &Fields) -> Result<Vec<(&'static str, HeadConfig)>, ConfigError> {
    let tied = f.flag_or("tie_word_embeddings", true)?;
    let head = HeadConfig::Token(TokenHeadConfig { bias: true, ..TokenHeadConfig::plain(tied) });
    if let (Some(head), "bart") = (heads::of_pair(f)?, f.text_or("model_type", "bart")?) {
        return Ok(vec![head]);
    }
    match f.class() {
        Some(class) if BASES.contains(&class) => Ok(Vec::new()),
        None | Some("BartForConditionalGeneration" | "MarianMTModel") => Ok(vec![("logits", head)]),
        Some(other) => {
            let known = "BartForConditionalGeneration, BartForSequenceClassification, \
                BartForQuestionAnswering, MarianMTModel";
            let problem = format!("`{other}` is not one of {}, {known}", BASES.join(", "));
            Err(ConfigError::new("architectures", problem))
        }
    }
}

fn table(_: &Fields, pair: &EncoderDecoderConfig, table: &mut Table) {
    if pair.shared {
        table.param("model.shared.weight", "encoder.embed.tokens");
    }
    for (side, stack) in [("encoder", &pair.encoder), ("decoder", &pair.decoder)] {
        let theirs = |name: &str| format!("model.{side}.{name}");
        if !pair.shared {
            table.param(theirs("embed_tokens.weight"), format!("{side}.embed.tokens"));
        }
        if stack.tokens().positions == TokenPositions::Learned {
            table.param(theirs("embed_positions.weight"), format!("{side}.embed.positions"));
        }
        if stack.tokens().norm.is_some() {
            table.layer(&theirs("layernorm_embedding"), &format!("{side}.embed.norm"), true);
        }
        for i in 0..stack.trunk.n_layers {
            let theirs = theirs(&format!("layers.{i}"));
            let names = Names { theirs: &theirs, ours: &format!("{side}.blocks.{i}") };
            block(names, &stack.trunk, true, table);
        }
    }
    heads::pair_names(&pair.decoder.heads, table);
    if let Some((_, HeadConfig::Token(head))) = pair.decoder.heads.first() {
        let shape = [1, pair.decoder.tokens().vocab_size];
        table.shaped("final_logits_bias", "decoder.heads.logits.bias", &shape);
        if !head.tied {
            table.param("lm_head.weight", "decoder.heads.logits.weight");
        }
    }
}

/// What a block is called.
pub(super) struct Names<'a> {
    pub theirs: &'a str,
    pub ours: &'a str,
}

/// Names inside a block; `key_bias` is whether keys have one.
pub(super) fn block(
    Names { theirs, ours }: Names,
    trunk: &TransformerConfig,
    key_bias: bool,
    table: &mut Table,
) {
    let d = trunk.d_model;
    let part = |attn: &str, name: &str| {
        (format!("{theirs}.{attn}.{name}_proj"), d, key_bias || name != "k")
    };
    let packed = ["q", "k", "v"].map(|name| part("self_attn", name));
    table.stacked_with(packed, &format!("{ours}.attn.query_key_value"));
    let mut layers = vec![
        ("self_attn.out_proj", "attn.output"),
        ("self_attn_layer_norm", "attn_norm"),
        ("fc1", "ffn.up"),
        ("fc2", "ffn.down"),
        ("final_layer_norm", "ffn_norm"),
    ];
    if trunk.cross {
        let packed = ["k", "v"].map(|name| part("encoder_attn", name));
        table.stacked_with(packed, &format!("{ours}.cross.key_value"));
        layers.extend([
            ("encoder_attn.q_proj", "cross.query"),
            ("encoder_attn.out_proj", "cross.output"),
            ("encoder_attn_layer_norm", "cross_norm"),
        ]);
    }
    for (name, own) in layers {
        table.layer(&format!("{theirs}.{name}"), &format!("{ours}.{own}"), true);
    }
}
