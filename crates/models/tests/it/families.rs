//! The tables that the laws of what reads tokens run over: tiny models of each family, and trunks
//! that no family has yet.

use std::path::Path;

use models::{Architecture, Gpt2Config, Model, ModelConfig, SeedConfig, Stack, StackConfig};
use nn::{
    AttnPositions, BiasConfig, DropoutConfig, ExpertsConfig, FfnKind, HeadConfig, LayerConfig,
    NormConfig, NormKind, NormPlacement, RopeConfig, Sharing, TokenEmbedConfig, TokenHeadConfig,
    TokenPositions, TransformerConfig, WaveKind, WeightInit,
};
use tensor::{Activation, Init, ParamsBuilder, Pattern};
use testing::Numbers;

/// One row of the table.
pub struct Case {
    pub name: &'static str,
    pub config: Config,
}

#[allow(clippy::large_enum_variant)] // One a case.
pub enum Config {
    Family(ModelConfig),
    /// What the trunk offers and no family uses.
    Trunk(Box<StackConfig>),
}

impl Case {
    /// The model, every weight off its initial value, so that biases and norms count.
    pub fn model(&self) -> Model {
        let mut model = match &self.config {
            Config::Family(config) => Model::new(config.clone(), 7).unwrap(),
            Config::Trunk(config) => {
                let mut builder = ParamsBuilder::default();
                let stack = Stack::new(&mut builder, StackConfig::clone(config).check().unwrap());
                let config = ModelConfig::Gpt2(Gpt2Config::fresh());
                let architecture = Architecture::Stack(Box::new(stack));
                let params = builder.build(7);
                Model { config, architecture, params, adapters: Vec::new() }
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
            Config::Family(ModelConfig::Hf(c)) => {
                c.fields.0.insert("attention_dropout".into(), 0.0.into());
            }
            Config::Trunk(c) => {
                c.embed = TokenEmbedConfig { dropout: 0.0, ..c.tokens().clone() }.into();
                c.trunk.dropout = DropoutConfig::default();
            }
        }
        self
    }

    /// The same, whose tokens go to all experts: which ones they choose is not smooth.
    #[must_use]
    pub fn sent_everywhere(self) -> Self {
        self.with_experts(|experts| experts.per_token = experts.n_experts)
    }

    /// The same, whose objective has nothing of how tokens are spread over experts: that is a
    /// matter of whole batches.
    #[must_use]
    pub fn without_balance(self) -> Self {
        self.with_experts(|experts| experts.balance = 0.0)
    }

    fn with_experts(mut self, change: impl FnOnce(&mut ExpertsConfig)) -> Self {
        if let Config::Trunk(config) = &mut self.config {
            config.trunk.experts.as_mut().map(change);
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

/// Every family that scores the next token, with the trunks of [`cases`].
pub fn decoders() -> Vec<Case> {
    let names = [
        "llama-gqa",
        "mistral",
        "mixtral",
        "qwen2-window",
        "qwen2-moe-mixed",
        "qwen3",
        "qwen3-moe",
        "smollm3",
        "gemma",
        "gemma3",
    ];
    cases().into_iter().chain(names.map(golden)).collect()
}

/// Every family that scores tokens that are hidden.
pub fn encoders() -> Vec<Case> {
    let names =
        ["bert-mlm", "roberta-mlm", "ernie-mlm", "distilbert-mlm", "albert-mlm", "electra-mlm"];
    names.map(golden).into()
}

/// Both.
pub fn readers() -> Vec<Case> {
    decoders().into_iter().chain(encoders()).collect()
}

/// A model of the config of a golden one, with dropout where all of it has one config.
pub fn golden(name: &'static str) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden").join(name);
    let mut config = Model::load_config(&folder).unwrap();
    if let ModelConfig::Hf(config) = &mut config {
        for key in ["attention_dropout", "hidden_dropout_prob", "dropout", "dropout_rate"] {
            config.fields.0.insert(key.into(), 0.2.into());
        }
    }
    Case { name, config: Config::Family(config) }
}

/// GPT-2, the seed and trunks: what the trunk can do, each once.
pub fn cases() -> Vec<Case> {
    let family = |name, config| Case { name, config: Config::Family(config) };
    let trunk = |name, config| Case { name, config: Config::Trunk(Box::new(config)) };
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
        trunk("norms around, normalized queries, cycle of layers, shared blocks", cycled()),
        trunk("relative bias, factored embedding, types", biased()),
        trunk("experts, one for all, a dense block", routed()),
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

fn untied() -> Vec<(&'static str, HeadConfig)> {
    vec![("logits", HeadConfig::Token(TokenHeadConfig::plain(false)))]
}

fn cycle(pattern: Pattern, positions: AttnPositions) -> Vec<LayerConfig> {
    vec![LayerConfig { pattern, positions }]
}

fn rope(theta: f64, d_rot: usize) -> AttnPositions {
    AttnPositions::Rope(RopeConfig::new(theta, d_rot))
}

fn llama() -> StackConfig {
    let embed =
        TokenEmbedConfig { init: Init::Normal { std: 0.3 }, ..TokenEmbedConfig::base(67, 36, 40) };
    let trunk = TransformerConfig {
        n_kv_heads: 2,
        cycle: cycle(Pattern::Causal, rope(10_000.0, 6)),
        dropout: DropoutConfig { residual: 0.1, attention: 0.1, ffn: 0.1 },
        init: WeightInit::Gpt2 { std: 0.15 },
        ..TransformerConfig::base(3, 36, 6, 50)
    };
    StackConfig { embed: embed.into(), trunk, heads: untied() }
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
        cycle: cycle(Pattern::Window { size: WINDOW }, rope(10_000.0, 10)),
        bias: BiasConfig { query_key_value: true, output: false, ffn: true },
        ..base.trunk
    };
    StackConfig { trunk, ..base }
}

fn post_norm() -> StackConfig {
    let base = llama();
    let embed = TokenEmbedConfig {
        positions: TokenPositions::Sinusoidal(WaveKind::Interleaved),
        scale: 6.0,
        ..base.tokens().clone()
    };
    let trunk = TransformerConfig {
        n_kv_heads: 3,
        d_head: 17,
        placement: NormPlacement::Post,
        final_norm: false,
        ffn: FfnKind::Gated(Activation::GeluErf),
        cycle: cycle(Pattern::Causal, AttnPositions::None),
        scale: Some(0.3),
        init: WeightInit::Torch,
        ..base.trunk
    };
    let heads = vec![("logits", HeadConfig::Token(TokenHeadConfig::plain(true)))];
    StackConfig { embed: embed.into(), trunk, heads }
}

/// Norms around each sublayer, normalized queries and keys, two kinds of layers, shared blocks.
fn cycled() -> StackConfig {
    let base = llama();
    let sliding = Pattern::Window { size: 5 };
    let trunk = TransformerConfig {
        n_layers: 4,
        norm: NormKind::RmsNormAboutOne,
        placement: NormPlacement::Around,
        qk_norm: true,
        ffn: FfnKind::Gated(Activation::GeluTanh),
        cycle: [
            cycle(sliding, rope(10_000.0, 4)),
            cycle(Pattern::Causal, rope(1e6, 6)),
            cycle(Pattern::Causal, AttnPositions::None),
        ]
        .concat(),
        sharing: Some(Sharing { n_groups: 1, n_blocks: 2 }),
        ..base.trunk
    };
    StackConfig { trunk, ..base }
}

/// A bias by distance, a factored and normalized embedding of tokens, positions and types.
fn biased() -> StackConfig {
    let base = llama();
    let norm = NormConfig { kind: NormKind::LayerNorm, eps: 1e-5, width: 14 };
    let embed = TokenEmbedConfig {
        d_embed: Some(14),
        positions: TokenPositions::Learned,
        types: vec![3, 2],
        norm: Some(norm),
        dropout: 0.1,
        ..base.tokens().clone()
    };
    let positions = AttnPositions::RelativeBias { n_buckets: 8, max_distance: 13 };
    let trunk = TransformerConfig { cycle: cycle(Pattern::Causal, positions), ..base.trunk };
    let transform = Some((Activation::GeluErf, norm));
    let head = TokenHeadConfig { transform, ..TokenHeadConfig::plain(true) };
    StackConfig { embed: embed.into(), trunk, heads: vec![("logits", HeadConfig::Token(head))] }
}

/// Experts in all blocks but one, and one that every token goes through.
fn routed() -> StackConfig {
    let base = llama();
    let experts = ExpertsConfig {
        normalise: false,
        shared: Some(14),
        dense: vec![1],
        ..ExpertsConfig::base(5, 2, 22)
    };
    let dropout = DropoutConfig { ffn: 0.0, ..base.trunk.dropout };
    let trunk = TransformerConfig { experts: Some(experts), dropout, ..base.trunk };
    StackConfig { trunk, ..base }
}
