//! Vision Transformers.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929.

use nn::{
    AttnPositions, BiasConfig, ConfigError, DropoutConfig, FfnKind, HeadConfig, LayerConfig,
    NormKind, PatchConfig, PooledHeadConfig, TransformerConfig, WeightInit,
};
use tensor::{Init, Pattern};

use super::fields::{Fields, activation};
use super::hf::{Parts, Spec};
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["vit"],
    parts: Parts::Stack(stack, table),
    prefix: |_| "vit.",
    bases: &["Model"],
    fit: None,
};

/// How images come in, in the words of every family that cuts them.
pub(super) fn patches(f: &Fields, class: bool, bias: bool) -> Result<PatchConfig, ConfigError> {
    let std = f.real_or("initializer_range", 0.02)? as f32;
    Ok(PatchConfig {
        n_channels: f.size_or("num_channels", 3)?,
        image: f.size_or("image_size", 224)?,
        patch: f.size_or("patch_size", 16)?,
        class,
        bias,
        d_model: f.size("hidden_size")?,
        norm: None,
        init: Init::Normal { std },
        dropout: 0.0,
    })
}

/// A pre-norm encoder with layer norms, biases and both ways seen.
pub(super) fn encoder(f: &Fields, eps: f64, act: &str) -> Result<TransformerConfig, ConfigError> {
    let (n_layers, d_model) = (f.size("num_hidden_layers")?, f.size("hidden_size")?);
    let n_heads = f.size("num_attention_heads")?;
    let std = f.real_or("initializer_range", 0.02)? as f32;
    Ok(TransformerConfig {
        d_head: f.d_head([d_model, n_heads], None)?,
        norm: NormKind::LayerNorm,
        norm_eps: f.real_or("layer_norm_eps", eps)? as f32,
        ffn: FfnKind::Plain(f.activation_or("hidden_act", act)?),
        cycle: vec![LayerConfig { pattern: Pattern::Full, positions: AttnPositions::None }],
        bias: BiasConfig::all(true),
        init: WeightInit::Gpt2 { std },
        ..TransformerConfig::base(n_layers, d_model, n_heads, f.size("intermediate_size")?)
    })
}

fn stack(f: &Fields) -> Result<StackConfig, ConfigError> {
    let residual = f.real_or("hidden_dropout_prob", 0.0)? as f32;
    let attention = f.real_or("attention_probs_dropout_prob", 0.0)? as f32;
    let base = encoder(f, 1e-12, "gelu")?;
    let trunk = TransformerConfig {
        bias: BiasConfig { query_key_value: f.flag_or("qkv_bias", true)?, ..base.bias },
        dropout: DropoutConfig { residual, attention, ffn: 0.0 },
        ..base
    };
    let embed = PatchConfig { dropout: residual, ..patches(f, true, true)? };
    Ok(StackConfig { embed: embed.into(), heads: vec![head(f, trunk.d_model)?], trunk })
}

fn head(f: &Fields, d_model: usize) -> Result<(&'static str, HeadConfig), ConfigError> {
    let pooled = |dense, n_classes| {
        HeadConfig::Pooled(PooledHeadConfig { dense, n_classes, ..PooledHeadConfig::first() })
    };
    match f.task() {
        "" if f.size_or("pooler_output_size", d_model)? != d_model => {
            let problem = format!("is not supported where it is not the width of {d_model}");
            Err(ConfigError::new("pooler_output_size", problem))
        }
        "" => {
            let f = activation("pooler_act", f.text_or("pooler_act", "tanh")?)?;
            Ok(("pooler_output", pooled(Some(f), None)))
        }
        "ImageClassification" => Ok(("logits", pooled(None, Some(f.n_labels())))),
        other => {
            let problem = format!("a head for `{other}` is not one of ImageClassification");
            Err(ConfigError::new("architectures", problem))
        }
    }
}

fn table(_: &Fields, stack: &StackConfig, table: &mut Table) {
    let (trunk, d) = (&stack.trunk, stack.trunk.d_model);
    let Some(patches) = stack.embed.patches() else { return };
    let PatchConfig { n_channels, image, patch, .. } = *patches;
    table.shaped("vit.embeddings.cls_token", "embed.class", &[1, 1, d]);
    let positions = [1, patches.n_positions([image; 2]), d];
    table.shaped("vit.embeddings.position_embeddings", "embed.positions", &positions);
    let projection = "vit.embeddings.patch_embeddings.projection";
    let shape = [d, n_channels, patch, patch];
    table.shaped(format!("{projection}.weight"), "embed.patches.weight", &shape);
    table.param(format!("{projection}.bias"), "embed.patches.bias");
    for i in 0..trunk.n_layers {
        let (theirs, ours) = (format!("vit.encoder.layer.{i}"), format!("blocks.{i}"));
        let part = |name: &str| (format!("{theirs}.attention.attention.{name}"), d);
        let parts = [part("query"), part("key"), part("value")];
        let packed = format!("{ours}.attn.query_key_value");
        table.stacked(parts, &packed, trunk.bias.query_key_value);
        for (name, own) in [
            ("attention.output.dense", "attn.output"),
            ("intermediate.dense", "ffn.up"),
            ("output.dense", "ffn.down"),
            ("layernorm_before", "attn_norm"),
            ("layernorm_after", "ffn_norm"),
        ] {
            table.layer(&format!("{theirs}.{name}"), &format!("{ours}.{own}"), true);
        }
    }
    table.layer("vit.layernorm", "final_norm", true);
    match stack.heads.first() {
        Some(("logits", _)) => table.layer("classifier", "heads.logits.classes", true),
        _ => table.layer("vit.pooler.dense", "heads.pooler_output.dense", true),
    }
}
