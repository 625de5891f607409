//! Whisper: an encoder of sound, and BART's decoder with norms in other places.
//!
//! Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv:2212.04356.

use nn::{
    AudioConfig, ConfigError, HeadConfig, NormPlacement, TokenEmbedConfig, TokenHeadConfig,
    TokenPositions, TransformerConfig,
};
use tensor::Init;

use super::bart::{DECODER, ENCODER, Names, Side, block, trunk};
use super::fields::Fields;
use super::hf::{Parts, Spec};
use crate::encoder_decoder::EncoderDecoderConfig;
use crate::import::{Import, Source, Table};
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["whisper"],
    parts: Parts::EncoderDecoder(pair, table),
    prefix: |_| "model.",
    bases: &["WhisperModel"],
    fit: None,
};

fn pair(f: &Fields) -> Result<EncoderDecoderConfig, ConfigError> {
    let d_model = f.size("d_model")?;
    let init = Init::Normal { std: f.real_or("init_std", 0.02)? as f32 };
    let dropout = f.real_or("dropout", 0.0)? as f32;
    let frames = AudioConfig {
        n_channels: f.size("num_mel_bins")?,
        d_model,
        max_len: f.size("max_source_positions")?,
        init,
        dropout,
    };
    let tokens = TokenEmbedConfig {
        positions: TokenPositions::Learned,
        init,
        dropout,
        ..TokenEmbedConfig::base(f.size("vocab_size")?, d_model, f.size("max_target_positions")?)
    };
    let trunk = |side: &Side| -> Result<_, ConfigError> {
        let placement = NormPlacement::Pre;
        Ok(TransformerConfig { placement, final_norm: true, ..trunk(f, side)? })
    };
    let encoder = StackConfig { embed: frames.into(), trunk: trunk(&ENCODER)?, heads: Vec::new() };
    let decoder = StackConfig {
        embed: tokens.into(),
        trunk: TransformerConfig { cross: true, ..trunk(&DECODER)? },
        heads: heads(f)?,
    };
    Ok(EncoderDecoderConfig { encoder, decoder, shared: false })
}

/// The heads of the class that was saved.
fn heads(f: &Fields) -> Result<Vec<(&'static str, HeadConfig)>, ConfigError> {
    let tied = f.flag_or("tie_word_embeddings", true)?;
    match f.class() {
        Some("WhisperModel") => Ok(Vec::new()),
        None | Some("WhisperForConditionalGeneration") => {
            Ok(vec![("logits", HeadConfig::Token(TokenHeadConfig::plain(tied)))])
        }
        Some(other) => {
            let known = "WhisperModel, WhisperForConditionalGeneration";
            let problem = format!("`{other}` is not one of {known}");
            Err(ConfigError::new("architectures", problem))
        }
    }
}

fn table(f: &Fields, pair: &EncoderDecoderConfig, table: &mut Table) {
    let d = pair.encoder.trunk.d_model;
    let n_channels = f.size("num_mel_bins").unwrap_or(0);
    for (i, n) in [n_channels, d].into_iter().enumerate() {
        let (theirs, ours) =
            (format!("model.encoder.conv{}", i + 1), format!("encoder.embed.convolutions.{i}"));
        let source = Source::Shaped(format!("{ours}.weight"), vec![d, n, 3]);
        table.0.push(Import { name: format!("{theirs}.weight"), source });
        table.param(format!("{theirs}.bias"), format!("{ours}.bias"));
    }
    let waves = vec![pair.encoder.embed.max_len(), d];
    let name = "model.encoder.embed_positions.weight".into();
    table.0.push(Import { name, source: Source::Waves(waves) });
    for what in ["tokens", "positions"] {
        let name = format!("model.decoder.embed_{what}.weight");
        table.param(name, format!("decoder.embed.{what}"));
    }
    for (side, stack) in [("encoder", &pair.encoder), ("decoder", &pair.decoder)] {
        for i in 0..stack.trunk.n_layers {
            let theirs = format!("model.{side}.layers.{i}");
            let names = Names { theirs: &theirs, ours: &format!("{side}.blocks.{i}") };
            block(names, &stack.trunk, false, table);
        }
        table.layer(&format!("model.{side}.layer_norm"), &format!("{side}.final_norm"), true);
    }
    if let Some((_, HeadConfig::Token(TokenHeadConfig { tied: false, .. }))) =
        pair.decoder.heads.first()
    {
        table.param("proj_out.weight", "decoder.heads.logits.weight");
    }
}
