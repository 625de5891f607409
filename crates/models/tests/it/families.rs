//! The table that every law runs over: tiny models of each family, and trunks that no family has
//! yet.

use models::{Gpt2Config, HeadConfig, Model, ModelConfig, SeedConfig, Stack, StackConfig};
use nn::{
    AttnPositions, BiasConfig, DropoutConfig, EmbedConfig, FfnKind, NormKind, NormPlacement,
    TokenPositions, TransformerConfig, WeightInit,
};
use tensor::{Activation, Init, ParamsBuilder, Pattern};
use testing::Numbers;

/// One row of the table.
pub struct Case {
    pub name: &'static str,
    pub config: Config,
}

pub enum Config {
    Family(ModelConfig),
    /// What the trunk offers and no family uses.
    Trunk(StackConfig),
}

impl Case {
    /// The model, every weight off its initial value, so that biases and norms count.
    pub fn model(&self) -> Model {
        let mut model = match &self.config {
            Config::Family(config) => Model::new(config.clone(), 7).unwrap(),
            Config::Trunk(config) => {
                let mut builder = ParamsBuilder::default();
                let stack = Stack::new(&mut builder, config.clone().check().unwrap());
                let config = ModelConfig::Gpt2(Gpt2Config::fresh());
                Model { config, stack, params: builder.build(7) }
            }
        };
        let mut numbers = Numbers::new(3);
        for entry in model.params.entries().to_vec() {
            let values = model.params.get_mut(&entry.param);
            let moved = numbers.normal(values.len());
            values.iter_mut().zip(moved).for_each(|(value, by)| *value += 0.05 * by);
        }
        model
    }

    /// The same, dropping nothing even in training.
    #[must_use]
    pub fn without_dropout(mut self) -> Self {
        match &mut self.config {
            Config::Family(ModelConfig::Gpt2(c)) => {
                (c.dropout, c.embed_dropout, c.attention_dropout) = (0.0, 0.0, 0.0);
            }
            Config::Family(ModelConfig::Seed(c)) => c.dropout = 0.0,
            Config::Trunk(c) => {
                (c.embed.dropout, c.trunk.dropout) = (0.0, DropoutConfig::default());
            }
        }
        self
    }

    /// The family, where it is one: families have names on disk, trunks have not.
    pub fn family(&self) -> Option<&ModelConfig> {
        match &self.config {
            Config::Family(config) => Some(config),
            Config::Trunk(_) => None,
        }
    }
}

/// Everything there is.
pub fn cases() -> Vec<Case> {
    let family = |name, config| Case { name, config: Config::Family(config) };
    let trunk = |name, config| Case { name, config: Config::Trunk(config) };
    let gpt2 = ModelConfig::Gpt2;
    vec![
        family("gpt2", gpt2(tiny_gpt2())),
        family(
            "gpt2, odd sizes",
            gpt2(Gpt2Config {
                vocab_size: 59,
                max_len: 23,
                d_model: 21,
                n_heads: 3,
                d_ff: Some(37),
                ..tiny_gpt2()
            }),
        ),
        family(
            "gpt2, untied, erf",
            gpt2(Gpt2Config {
                tie_word_embeddings: false,
                activation_function: "gelu".into(),
                ..tiny_gpt2()
            }),
        ),
        family(
            "gpt2, relu, one head, unscaled",
            gpt2(Gpt2Config {
                n_heads: 1,
                activation_function: "relu".into(),
                scale_attn_weights: false,
                // Unscaled, attention is steep: small weights keep the loss smooth.
                initializer_range: 0.06,
                ..tiny_gpt2()
            }),
        ),
        family(
            "gpt2, silu",
            gpt2(Gpt2Config { activation_function: "silu".into(), ..tiny_gpt2() }),
        ),
        family("seed_transformer", ModelConfig::Seed(tiny_seed())),
        trunk("rms, gated, rope, grouped heads, no bias", llama()),
        trunk("window, rope, one key head", windowed()),
        trunk("post-norm rms, wide heads, sinusoidal", post_norm()),
    ]
}

pub fn tiny_gpt2() -> Gpt2Config {
    Gpt2Config {
        vocab_size: 61,
        max_len: 24,
        d_model: 40,
        n_layers: 2,
        n_heads: 5,
        dropout: 0.2,
        embed_dropout: 0.1,
        attention_dropout: 0.3,
        initializer_range: 0.15,
        ..Gpt2Config::fresh()
    }
}

pub fn tiny_seed() -> SeedConfig {
    SeedConfig { vocab_size: 53, d_model: 16, n_heads: 2, n_layers: 2, dropout: 0.2 }
}

fn llama() -> StackConfig {
    let embed = EmbedConfig {
        vocab_size: 67,
        d_model: 36,
        max_len: 40,
        positions: TokenPositions::None,
        scale: 1.0,
        init: Init::Normal { std: 0.3 },
        dropout: 0.0,
    };
    let trunk = TransformerConfig {
        n_layers: 3,
        d_model: 36,
        n_heads: 6,
        n_kv_heads: 2,
        d_head: 6,
        d_ff: 50,
        norm: NormKind::RmsNorm,
        norm_eps: 1e-6,
        placement: NormPlacement::Pre,
        final_norm: true,
        ffn: FfnKind::Gated(Activation::Silu),
        positions: AttnPositions::Rope { theta: 10_000.0 },
        pattern: Pattern::Causal,
        bias: BiasConfig::all(false),
        scale: None,
        dropout: DropoutConfig { residual: 0.1, attention: 0.1, ffn: 0.1 },
        init: WeightInit::Gpt2 { std: 0.15 },
    };
    StackConfig { embed, trunk, head: HeadConfig::Token { tied: false } }
}

/// Keys a query of the windowed case sees; its two layers reach twice as far.
pub const WINDOW: usize = 3;

fn windowed() -> StackConfig {
    let base = llama();
    let trunk = TransformerConfig {
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 1,
        d_head: 10,
        norm: NormKind::LayerNorm,
        ffn: FfnKind::Plain(Activation::GeluTanh),
        pattern: Pattern::Window { size: WINDOW },
        bias: BiasConfig { query_key_value: true, output: false, ffn: true },
        ..base.trunk
    };
    StackConfig { trunk, ..base }
}

fn post_norm() -> StackConfig {
    let base = llama();
    let embed = EmbedConfig { positions: TokenPositions::Sinusoidal, scale: 6.0, ..base.embed };
    let trunk = TransformerConfig {
        n_kv_heads: 3,
        d_head: 17,
        placement: NormPlacement::Post,
        final_norm: false,
        ffn: FfnKind::Gated(Activation::GeluErf),
        positions: AttnPositions::None,
        scale: Some(0.3),
        init: WeightInit::Torch,
        ..base.trunk
    };
    StackConfig { embed, trunk, head: HeadConfig::Token { tied: true } }
}
