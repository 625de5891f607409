//! Texts and images in one space: CLIP and `SigLIP`.
//!
//! Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
//! arXiv:2103.00020; Zhai et al., "Sigmoid Loss for Language Image Pre-Training", arXiv:2303.15343.

use nn::{
    ConfigError, DropoutConfig, EmbeddingHeadConfig, HeadConfig, LayerConfig, NormConfig, NormKind,
    PatchConfig, Pool, ProbeConfig, TokenEmbedConfig, TokenPositions, TransformerConfig,
};
use serde_json::json;
use tensor::{Init, Pattern};

use super::fields::Fields;
use super::hf::{Parts, Spec};
use super::vit;
use crate::dual_encoder::DualEncoderConfig;
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["clip", "siglip"],
    parts: Parts::DualEncoder(pair, table),
    prefix: |_| "",
    bases: &[],
    fit: None,
};

/// What a head of a tower gives.
const EMBEDS: &str = "embeds";

fn is_clip(f: &Fields) -> bool {
    f.text_or("model_type", "clip") == Ok("clip")
}

/// The fields of a tower, with what is usual where nothing is said.
fn towers(f: &Fields) -> Result<[Fields; 2], ConfigError> {
    let usual = if is_clip(f) {
        [
            json!({
                "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048,
                "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77,
                "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "eos_token_id": 49407,
            }),
            json!({
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "patch_size": 32, "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5,
            }),
        ]
    } else {
        let both = json!({
            "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 64,
            "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
        });
        [both.clone(), both]
    };
    let [text, vision] = usual;
    let tower = |key, usual| Ok(f.part(key)?.unwrap_or_default().filled(usual));
    Ok([tower("text_config", text)?, tower("vision_config", vision)?])
}

fn trunk(f: &Fields, pattern: Pattern) -> Result<TransformerConfig, ConfigError> {
    let base = vit::encoder(f, 1e-5, "gelu")?;
    let attention = f.real_or("attention_dropout", 0.0)? as f32;
    let cycle = base.cycle.iter().map(|layer| LayerConfig { pattern, ..*layer }).collect();
    Ok(TransformerConfig { cycle, dropout: DropoutConfig { attention, ..base.dropout }, ..base })
}

fn pair(f: &Fields) -> Result<DualEncoderConfig, ConfigError> {
    let (clip, [text_fields, vision_fields]) = (is_clip(f), towers(f)?);
    let width = f.size_or("projection_dim", 512)?;
    Ok(DualEncoderConfig {
        text: text(&text_fields, clip, width)?,
        vision: vision(&vision_fields, clip, width)?,
        // Of SigLIP those of the paper: the logarithm of 10, and -10.
        logit_scale: if clip {
            f.real_or("logit_scale_init_value", 2.6592)? as f32
        } else {
            std::f32::consts::LN_10
        },
        logit_bias: (!clip).then_some(-10.0),
    })
}

fn head(config: EmbeddingHeadConfig) -> Vec<(&'static str, HeadConfig)> {
    vec![(EMBEDS, HeadConfig::Embedding(config))]
}

/// What reads texts: CLIP's sees what is before, and stops at the end of the text.
fn text(f: &Fields, clip: bool, width: usize) -> Result<StackConfig, ConfigError> {
    let trunk = trunk(f, if clip { Pattern::Causal } else { Pattern::Full })?;
    let (vocab_size, max_len) = (f.size("vocab_size")?, f.size("max_position_embeddings")?);
    let embed = TokenEmbedConfig {
        positions: TokenPositions::Learned,
        init: Init::Normal { std: f.real_or("initializer_range", 0.02)? as f32 },
        ..TokenEmbedConfig::base(vocab_size, trunk.d_model, max_len)
    };
    // Configs of old say 2, whatever the id is: there the end has the largest id.
    let end = f.maybe_size("eos_token_id")?.filter(|&id| id != 2).map(|id| id as u32);
    let (pool, project) = if clip {
        (Pool::End(end), (width, false))
    } else {
        (Pool::Last, (f.size_or("projection_size", trunk.d_model)?, true))
    };
    let project = Some(project);
    Ok(StackConfig {
        embed: embed.into(),
        heads: head(EmbeddingHeadConfig { pool, norm: None, project }),
        trunk,
    })
}

/// What sees images: CLIP's has a class token, `SigLIP`'s a query behind the last norm.
fn vision(f: &Fields, clip: bool, width: usize) -> Result<StackConfig, ConfigError> {
    let trunk = TransformerConfig { final_norm: !clip, ..trunk(f, Pattern::Full)? };
    let (kind, eps) = (NormKind::LayerNorm, trunk.norm_eps);
    let norm = clip.then_some(NormConfig { kind, eps, width: trunk.d_model });
    let embed = PatchConfig { norm, ..vit::patches(f, clip, !clip)? };
    let (pool, project) = if clip {
        (Pool::First, Some((width, false)))
    } else {
        if !f.flag_or("vision_use_head", true)? {
            return Err(ConfigError::new("vision_use_head", "without it there is no vector"));
        }
        let probe = ProbeConfig {
            n_heads: trunk.n_heads,
            d_ff: trunk.d_ff,
            activation: f.activation_or("hidden_act", "gelu")?,
            norm_eps: eps,
        };
        (Pool::Probe(probe), None)
    };
    Ok(StackConfig {
        embed: embed.into(),
        heads: head(EmbeddingHeadConfig { pool, norm, project }),
        trunk,
    })
}

fn table(f: &Fields, pair: &DualEncoderConfig, table: &mut Table) {
    let clip = is_clip(f);
    let scale: &[usize] = if clip { &[] } else { &[1] };
    table.shaped("logit_scale", "logit_scale", scale);
    if pair.logit_bias.is_some() {
        table.param("logit_bias", "logit_bias");
    }
    let text = "text_model.embeddings";
    table.param(format!("{text}.token_embedding.weight"), "text.embed.tokens");
    table.param(format!("{text}.position_embedding.weight"), "text.embed.positions");
    blocks(table, ("text_model", "text"), &pair.text.trunk);
    table.layer("text_model.final_layer_norm", "text.final_norm", true);
    let project = if clip { "text_projection" } else { "text_model.head" };
    table.layer(project, "text.heads.embeds.project", !clip);

    let Some(PatchConfig { n_channels, patch, .. }) = pair.vision.embed.patches().copied() else {
        return;
    };
    let (vision, d) = ("vision_model.embeddings", pair.vision.trunk.d_model);
    let shape = [d, n_channels, patch, patch];
    let projection = format!("{vision}.patch_embedding");
    table.shaped(format!("{projection}.weight"), "vision.embed.patches.weight", &shape);
    table.param(format!("{vision}.position_embedding.weight"), "vision.embed.positions");
    blocks(table, ("vision_model", "vision"), &pair.vision.trunk);
    let norm = if clip { "vision.heads.embeds.norm" } else { "vision.final_norm" };
    table.layer("vision_model.post_layernorm", norm, true);
    if clip {
        table.param(format!("{vision}.class_embedding"), "vision.embed.class");
        table.layer("vision_model.pre_layrnorm", "vision.embed.norm", true);
        table.layer("visual_projection", "vision.heads.embeds.project", false);
        return;
    }
    table.param(format!("{projection}.bias"), "vision.embed.patches.bias");
    let (theirs, ours) = ("vision_model.head", "vision.heads.embeds");
    table.shaped(format!("{theirs}.probe"), &format!("{ours}.probe"), &[1, 1, d]);
    for leaf in ["weight", "bias"] {
        let packed = format!("{ours}.query_key_value.{leaf}");
        table.param(format!("{theirs}.attention.in_proj_{leaf}"), packed);
    }
    for (name, own) in [
        ("attention.out_proj", "output"),
        ("layernorm", "ffn_norm"),
        ("mlp.fc1", "ffn.up"),
        ("mlp.fc2", "ffn.down"),
    ] {
        table.layer(&format!("{theirs}.{name}"), &format!("{ours}.{own}"), true);
    }
}

fn blocks(table: &mut Table, (theirs, ours): (&str, &str), trunk: &TransformerConfig) {
    for i in 0..trunk.n_layers {
        let (theirs, ours) = (format!("{theirs}.encoder.layers.{i}"), format!("{ours}.blocks.{i}"));
        let part = |name: &str| (format!("{theirs}.self_attn.{name}_proj"), trunk.d_model);
        let parts = [part("q"), part("k"), part("v")];
        table.stacked(parts, &format!("{ours}.attn.query_key_value"), true);
        for (name, own) in [
            ("self_attn.out_proj", "attn.output"),
            ("layer_norm1", "attn_norm"),
            ("mlp.fc1", "ffn.up"),
            ("mlp.fc2", "ffn.down"),
            ("layer_norm2", "ffn_norm"),
        ] {
            table.layer(&format!("{theirs}.{name}"), &format!("{ours}.{own}"), true);
        }
    }
}
