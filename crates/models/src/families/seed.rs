//! The Transformer that the project began with: an encoder with a causal mask, whose output is the
//! last hidden state.
//!
//! Sinusoidal positions on embeddings times `sqrt(D)`, post-norm blocks with `ReLU`, `F` = 2048
//! whatever `D`, no final norm. A token head tied to the embedding trains it as a language model
//! and adds nothing to what is saved.

use nn::{
    BiasConfig, ConfigError, DropoutConfig, FfnKind, HeadConfig, NormKind, NormPlacement,
    TokenEmbedConfig, TokenHeadConfig, TokenPositions, TransformerConfig, WaveKind, WeightInit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tensor::{Activation, Init};

use super::{Family, fields};
use crate::architecture::ArchitectureConfig;
use crate::import::{Import, Source};
use crate::stack::StackConfig;

pub(super) const MODEL_TYPE: &str = "seed_transformer";

/// Positions of the fixed table.
const MAX_LEN: usize = 5000;
/// `F` of `nn.TransformerEncoderLayer` where nothing else is said: the code never scales it.
const D_FF: usize = 2048;

/// `config.json`, under the code's own names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `D`; even.
    #[serde(default = "d_model")]
    pub d_model: usize,
    /// Heads.
    #[serde(rename = "nhead", default = "n_heads")]
    pub n_heads: usize,
    /// Blocks.
    #[serde(rename = "num_layers", default = "n_layers")]
    pub n_layers: usize,
    /// Everywhere: after the positions, on attention's probabilities, inside and after both
    /// sublayers.
    #[serde(default = "dropout")]
    pub dropout: f32,
}

fn d_model() -> usize {
    512
}

fn n_heads() -> usize {
    8
}

fn n_layers() -> usize {
    6
}

fn dropout() -> f32 {
    0.1
}

impl Family for SeedConfig {
    fn model_type(&self) -> &'static str {
        MODEL_TYPE
    }

    fn architecture(&self) -> Result<ArchitectureConfig, ConfigError> {
        let Self { vocab_size, d_model, n_heads, n_layers, dropout } = *self;
        if !d_model.is_multiple_of(2) {
            let problem = format!("{d_model} is odd: positions are pairs of sine and cosine");
            return Err(ConfigError::new("d_model", problem));
        }
        if n_heads == 0 || !d_model.is_multiple_of(n_heads) {
            let problem = format!("{n_heads} does not divide d_model = {d_model}");
            return Err(ConfigError::new("nhead", problem));
        }
        let embed = TokenEmbedConfig {
            positions: TokenPositions::Sinusoidal(WaveKind::Interleaved),
            scale: (d_model as f32).sqrt(),
            init: Init::Uniform { bound: 0.1 },
            dropout,
            ..TokenEmbedConfig::base(vocab_size, d_model, MAX_LEN)
        };
        let trunk = TransformerConfig {
            norm: NormKind::LayerNorm,
            norm_eps: 1e-5,
            placement: NormPlacement::Post,
            final_norm: false,
            ffn: FfnKind::Plain(Activation::Relu),
            bias: BiasConfig::all(true),
            dropout: DropoutConfig { residual: dropout, attention: dropout, ffn: dropout },
            init: WeightInit::Torch,
            ..TransformerConfig::base(n_layers, d_model, n_heads, D_FF)
        };
        let head = HeadConfig::Token(TokenHeadConfig::plain(true));
        let heads = vec![("logits", head)];
        Ok(ArchitectureConfig::Stack(Box::new(StackConfig { embed: embed.into(), trunk, heads })))
    }

    fn imports(&self) -> Vec<Import> {
        let waves = vec![MAX_LEN, 1, self.d_model];
        let mut table = vec![
            Import { name: "pos_encoder.pe".into(), source: Source::Waves(waves) },
            Import::param("encoder.weight", "embed.tokens"),
        ];
        let names = [
            ("self_attn.in_proj_weight", "attn.query_key_value.weight"),
            ("self_attn.in_proj_bias", "attn.query_key_value.bias"),
            ("self_attn.out_proj.weight", "attn.output.weight"),
            ("self_attn.out_proj.bias", "attn.output.bias"),
            ("linear1.weight", "ffn.up.weight"),
            ("linear1.bias", "ffn.up.bias"),
            ("linear2.weight", "ffn.down.weight"),
            ("linear2.bias", "ffn.down.bias"),
            ("norm1.weight", "attn_norm.weight"),
            ("norm1.bias", "attn_norm.bias"),
            ("norm2.weight", "ffn_norm.weight"),
            ("norm2.bias", "ffn_norm.bias"),
        ];
        for i in 0..self.n_layers {
            let layer = format!("transformer_encoder.layers.{i}");
            let own = |leaf: &str| format!("blocks.{i}.{leaf}");
            table.extend(names.map(|(t, o)| Import::param(format!("{layer}.{t}"), own(o))));
        }
        table
    }

    fn prefix(&self) -> Option<&'static str> {
        None
    }

    fn ignores(&self, _name: &str) -> bool {
        false
    }

    fn to_json(&self) -> Value {
        let mut json = fields(self);
        json["model_type"] = json!(MODEL_TYPE);
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_width_is_refused() {
        let config =
            SeedConfig { vocab_size: 10, d_model: 9, n_heads: 3, n_layers: 1, dropout: 0.0 };
        let message = config.stack().expect_err("refused").to_string();
        assert_eq!(message, "`d_model`: 9 is odd: positions are pairs of sine and cosine");
    }
}
