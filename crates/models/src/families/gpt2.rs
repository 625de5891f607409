//! GPT-2, and anything of its shape.
//!
//! Radford et al., "Language Models are Unsupervised Multitask Learners" (OpenAI, 2019).

use nn::{
    BiasConfig, ConfigError, DropoutConfig, FfnKind, HeadConfig, NormKind, TokenEmbedConfig,
    TokenHeadConfig, TokenPositions, TransformerConfig, WeightInit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tensor::Init;

use super::fields::{Fields, activation};
use super::{Family, fields, heads};
use crate::architecture::ArchitectureConfig;
use crate::import::{Import, Table};
use crate::stack::StackConfig;

pub(super) const MODEL_TYPE: &str = "gpt2";

/// `config.json` of a GPT-2, under its foreign names; what is not read is not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpt2Config {
    /// `V`.
    pub vocab_size: usize,
    /// Positions.
    #[serde(rename = "n_positions")]
    pub max_len: usize,
    /// `D`.
    #[serde(rename = "n_embd")]
    pub d_model: usize,
    /// Blocks.
    #[serde(rename = "n_layer")]
    pub n_layers: usize,
    /// Heads.
    #[serde(rename = "n_head")]
    pub n_heads: usize,
    /// `F`; none is `4 D`.
    #[serde(rename = "n_inner")]
    pub d_ff: Option<usize>,
    /// The feed-forward network's nonlinearity.
    pub activation_function: String,
    /// Dropout after each sublayer.
    #[serde(rename = "resid_pdrop")]
    pub dropout: f32,
    /// Dropout of the embedding.
    #[serde(rename = "embd_pdrop")]
    pub embed_dropout: f32,
    /// Dropout of attention's probabilities.
    #[serde(rename = "attn_pdrop")]
    pub attention_dropout: f32,
    /// Added to the variance.
    #[serde(rename = "layer_norm_epsilon")]
    pub norm_eps: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// Whether logits are divided by `sqrt(d_head)`.
    pub scale_attn_weights: bool,
    /// Whether they are also divided by the layer's number: not supported.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether the head is the embedding's table.
    pub tie_word_embeddings: bool,
    /// The token that ends a text.
    pub eos_token_id: Option<u32>,
    /// The token that begins one.
    pub bos_token_id: Option<u32>,
    /// What is said of the head, and of padding.
    #[serde(flatten, deserialize_with = "heads::read")]
    pub head: Fields,
}

impl Default for Gpt2Config {
    /// What `transformers` takes where a config is silent: the 124 M model.
    fn default() -> Self {
        Self {
            vocab_size: 50_257,
            max_len: 1024,
            d_model: 768,
            n_layers: 12,
            n_heads: 12,
            d_ff: None,
            activation_function: "gelu_new".into(),
            dropout: 0.1,
            embed_dropout: 0.1,
            attention_dropout: 0.1,
            norm_eps: 1e-5,
            initializer_range: 0.02,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
            eos_token_id: Some(50_256),
            bos_token_id: Some(50_256),
            head: Fields::default(),
        }
    }
}

impl Gpt2Config {
    /// 124 M parameters.
    pub fn small() -> Self {
        Self::default()
    }

    /// 355 M parameters.
    pub fn medium() -> Self {
        Self { n_layers: 24, d_model: 1024, n_heads: 16, ..Self::default() }
    }

    /// 774 M parameters.
    pub fn large() -> Self {
        Self { n_layers: 36, d_model: 1280, n_heads: 20, ..Self::default() }
    }

    /// 1.5 B parameters.
    pub fn xl() -> Self {
        Self { n_layers: 48, d_model: 1600, n_heads: 25, ..Self::default() }
    }

    /// The preset of that name: `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl`.
    pub fn preset(name: &str) -> Option<Self> {
        Some(match name {
            "gpt2" => Self::small(),
            "gpt2-medium" => Self::medium(),
            "gpt2-large" => Self::large(),
            "gpt2-xl" => Self::xl(),
            _ => return None,
        })
    }

    /// The one dial: `depth` layers, as many heads of width 64, everything else follows. No
    /// dropout: a fresh model sees its data too rarely to need it.
    pub fn depth(depth: usize, vocab_size: usize, max_len: usize) -> Self {
        Self {
            n_layers: depth,
            n_heads: depth,
            d_model: depth.saturating_mul(64),
            vocab_size,
            max_len,
            ..Self::fresh()
        }
    }

    /// The base of a model trained here: no dropout, no token ids yet.
    pub fn fresh() -> Self {
        Self {
            dropout: 0.0,
            embed_dropout: 0.0,
            attention_dropout: 0.0,
            eos_token_id: None,
            bos_token_id: None,
            ..Self::default()
        }
    }
}

impl Family for Gpt2Config {
    fn model_type(&self) -> &'static str {
        MODEL_TYPE
    }

    fn architecture(&self) -> Result<ArchitectureConfig, ConfigError> {
        if self.scale_attn_by_inverse_layer_idx {
            let problem = "scaling by the layer's number is not supported";
            return Err(ConfigError::new("scale_attn_by_inverse_layer_idx", problem));
        }
        if self.n_heads == 0 || !self.d_model.is_multiple_of(self.n_heads) {
            let problem = format!("{} does not divide d_model = {}", self.n_heads, self.d_model);
            return Err(ConfigError::new("n_heads", problem));
        }
        let embed = TokenEmbedConfig {
            positions: TokenPositions::Learned,
            init: Init::Normal { std: self.initializer_range },
            dropout: self.embed_dropout,
            ..TokenEmbedConfig::base(self.vocab_size, self.d_model, self.max_len)
        };
        let d_ff = self.d_ff.unwrap_or(self.d_model.saturating_mul(4));
        let trunk = TransformerConfig {
            norm: NormKind::LayerNorm,
            norm_eps: self.norm_eps as f32,
            ffn: FfnKind::Plain(activation("activation_function", &self.activation_function)?),
            bias: BiasConfig::all(true),
            scale: (!self.scale_attn_weights).then_some(1.0),
            dropout: DropoutConfig {
                residual: self.dropout,
                attention: self.attention_dropout,
                ffn: 0.0,
            },
            init: WeightInit::Gpt2 { std: self.initializer_range },
            ..TransformerConfig::base(self.n_layers, self.d_model, self.n_heads, d_ff)
        };
        let tokens = HeadConfig::Token(TokenHeadConfig::plain(self.tie_word_embeddings));
        let heads = vec![heads::of_decoder(&self.head)?.unwrap_or(("logits", tokens))];
        Ok(ArchitectureConfig::Stack(Box::new(StackConfig { embed: embed.into(), trunk, heads })))
    }

    fn imports(&self) -> Vec<Import> {
        let mut table = vec![
            Import::param("transformer.wte.weight", "embed.tokens"),
            Import::param("transformer.wpe.weight", "embed.positions"),
        ];
        for i in 0..self.n_layers {
            let (theirs, ours) = (format!("transformer.h.{i}"), format!("blocks.{i}"));
            for (norm, own) in [("ln_1", "attn_norm"), ("ln_2", "ffn_norm")] {
                for leaf in ["weight", "bias"] {
                    let name = format!("{theirs}.{norm}.{leaf}");
                    table.push(Import::param(name, format!("{ours}.{own}.{leaf}")));
                }
            }
            let linears = [
                ("attn.c_attn", "attn.query_key_value"),
                ("attn.c_proj", "attn.output"),
                ("mlp.c_fc", "ffn.up"),
                ("mlp.c_proj", "ffn.down"),
            ];
            for (linear, own) in linears {
                let (theirs, ours) = (format!("{theirs}.{linear}"), format!("{ours}.{own}"));
                let weight = (format!("{theirs}.weight"), format!("{ours}.weight"));
                table.push(Import::transposed(weight.0, weight.1));
                table.push(Import::param(format!("{theirs}.bias"), format!("{ours}.bias")));
            }
        }
        for leaf in ["weight", "bias"] {
            let name = format!("transformer.ln_f.{leaf}");
            table.push(Import::param(name, format!("final_norm.{leaf}")));
        }
        match heads::of_decoder(&self.head) {
            Ok(Some(head)) => {
                let mut own = Table::default();
                heads::decoder_names(&[head], "classifier", &mut own);
                table.extend(own.0);
            }
            _ if self.tie_word_embeddings => {}
            _ => table.push(Import::param("lm_head.weight", "heads.logits.weight")),
        }
        table
    }

    fn end(&self) -> Option<u32> {
        self.eos_token_id
    }

    fn prefix(&self) -> Option<&'static str> {
        Some("transformer.")
    }

    fn ignores(&self, name: &str) -> bool {
        // The causal mask was once stored as a buffer, and a tied head is sometimes stored again.
        name.ends_with(".attn.bias")
            || name.ends_with(".attn.masked_bias")
            || (self.tie_word_embeddings && name == "lm_head.weight")
    }

    fn to_json(&self) -> Value {
        let mut json = fields(self);
        json["model_type"] = json!(MODEL_TYPE);
        json["dtype"] = json!("float32");
        if self.head.task().is_empty() {
            json["architectures"] = json!(["GPT2LMHeadModel"]);
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n_params(config: &Gpt2Config) -> usize {
        let c = config.stack().expect("a preset");
        let (d, f) = (c.trunk.d_model, c.trunk.d_ff);
        let block = 4 * d + 3 * d * (d + 1) + d * (d + 1) + f * (d + 1) + d * (f + 1);
        (c.tokens().vocab_size + c.tokens().max_len) * d + c.trunk.n_layers * block + 2 * d
    }

    #[test]
    fn presets_have_the_published_sizes() {
        let found = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
            .map(|name| n_params(&Gpt2Config::preset(name).expect("known")));
        assert_eq!(found, [124_439_808, 354_823_168, 774_030_080, 1_557_611_200]);
    }

    #[test]
    fn the_dial_sets_every_size() {
        let c = Gpt2Config::depth(4, 1000, 64).stack().expect("builds").trunk;
        assert_eq!((c.d_model, c.n_heads, c.d_head, c.d_ff), (256, 4, 64, 1024));
    }

    #[test]
    fn an_unknown_activation_is_named() {
        let config = Gpt2Config { activation_function: "mish".into(), ..Gpt2Config::small() };
        let message = config.stack().expect_err("refused").to_string();
        assert_eq!(
            message,
            "`activation_function`: `mish` is not one of gelu, gelu_new, quick_gelu, relu, silu"
        );
    }
}
