//! What a trunk is made of: a config, and the check without which none is built.

use tensor::{Activation, Pattern};

use crate::beside::Beside;
use crate::experts::ExpertsConfig;
use crate::rope::RopeConfig;

/// Which normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean and variance; weight and bias.
    LayerNorm,
    /// Root mean square; weight alone.
    RmsNorm,
    /// The same with a weight that is stored about zero: `1 + w` scales.
    RmsNormAboutOne,
}

/// Where a sublayer is normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// Its input: `x + f(norm(x))`.
    Pre,
    /// The sum: `norm(x + f(x))`.
    Post,
    /// Its input and its result: `x + norm(f(norm(x)))`.
    Around,
}

/// Which feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FfnKind {
    /// `down(f(up(x)))`.
    Plain(Activation),
    /// `down(f(gate(x)) * up(x))`.
    Gated(Activation),
}

/// How attention knows about positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttnPositions {
    /// Not at all: the embedding does.
    None,
    /// Queries and keys turn by their position.
    Rope(RopeConfig),
    /// A learned bias of every head by distance, in buckets; one table serves all layers.
    /// Raffel et al., arXiv:1910.10683, section 2.1.
    RelativeBias {
        /// Rows of the table.
        n_buckets: usize,
        /// Distances from here on share the last bucket.
        max_distance: usize,
    },
}

/// One layer of the repeating cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerConfig {
    /// Who sees whom.
    pub pattern: Pattern,
    /// How attention knows about positions.
    pub positions: AttnPositions,
}

/// Blocks whose weights serve several layers: Lan et al., "ALBERT", arXiv:1909.11942, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Groups of layers.
    pub n_groups: usize,
    /// Blocks of a group, which run one after the other as often as there are layers for it.
    pub n_blocks: usize,
}

/// Which projections have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiasConfig {
    /// Query, key and value.
    pub query_key_value: bool,
    /// The attention's output.
    pub output: bool,
    /// Both projections of the feed-forward network.
    pub ffn: bool,
}

impl BiasConfig {
    /// All or none.
    pub fn all(bias: bool) -> Self {
        Self { query_key_value: bias, output: bias, ffn: bias }
    }
}

/// Probabilities of dropping, in `[0, 1)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropoutConfig {
    /// A sublayer's result, before it is added to the stream.
    pub residual: f32,
    /// Attention's probabilities.
    pub attention: f32,
    /// The feed-forward network's middle.
    pub ffn: f32,
}

/// How weights start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightInit {
    /// Normal; what is added to the residual stream is scaled by `1 / sqrt(2 L)`, unless it is
    /// normalised there.
    /// Radford et al., "Language Models are Unsupervised Multitask Learners", section 2.3.
    Gpt2 {
        /// Standard deviation.
        std: f32,
    },
    /// The same, with queries smaller by `sqrt(d_head)`, which nothing divides scores by.
    /// Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    /// Transformer", arXiv:1910.10683, section 2.1.
    T5 {
        /// Standard deviation.
        std: f32,
    },
    /// As `torch.nn.TransformerEncoderLayer` starts: Xavier-uniform for query, key and value (its
    /// biases and the output's are zero), uniform in `1 / sqrt(fan_in)` elsewhere.
    Torch,
}

/// A trunk: `n_layers` blocks of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads: `n_heads` is multi-head, 1 is multi-query, between them is grouped.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width of the feed-forward network's middle.
    pub d_ff: usize,
    /// Which normalization.
    pub norm: NormKind,
    /// Added to the variance.
    pub norm_eps: f32,
    /// Where it stands.
    pub placement: NormPlacement,
    /// Whether the stream is normalized once more at the end.
    pub final_norm: bool,
    /// Which feed-forward network.
    pub ffn: FfnKind,
    /// Several of them, of which a token goes through a few; none is one for all.
    pub experts: Option<ExpertsConfig>,
    /// Pattern and positions of layer 0, 1 and so on; begins anew where it ends.
    pub cycle: Vec<LayerConfig>,
    /// Whether blocks serve several layers; none is a block a layer.
    pub sharing: Option<Sharing>,
    /// Whether blocks also attend to a memory: those of a decoder that follows an encoder.
    pub cross: bool,
    /// Whether queries and keys are normalized, a head at a time.
    pub qk_norm: bool,
    /// Which projections have a bias.
    pub bias: BiasConfig,
    /// What attention's logits are multiplied with; none is `1 / sqrt(d_head)`.
    pub scale: Option<f32>,
    /// Probabilities of dropping.
    pub dropout: DropoutConfig,
    /// How weights start.
    pub init: WeightInit,
    /// What is learned beside it.
    pub beside: Beside,
}

/// Why a config cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct ConfigError {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    /// An error of one field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// A config that was checked. The only way to build a model is through one.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<C>(C);

impl<C> Checked<C> {
    /// Vouches for `config`: for the `check` functions of this workspace's configs.
    pub fn vouch(config: C) -> Self {
        Self(config)
    }

    /// The config.
    pub fn get(&self) -> &C {
        &self.0
    }
}

/// Refuses zero and what no machine holds, so that no later product of sizes overflows.
///
/// # Errors
/// With the field.
pub fn check_size(field: &'static str, value: usize) -> Result<(), ConfigError> {
    const MOST: usize = 1 << 24;
    match value {
        0 => Err(ConfigError::new(field, "must be at least 1")),
        v if v > MOST => Err(ConfigError::new(field, format!("{v} is more than {MOST}"))),
        _ => Ok(()),
    }
}

/// Refuses a matrix that no machine holds.
///
/// # Errors
/// With the field.
pub fn check_matrix(field: &'static str, [rows, cols]: [usize; 2]) -> Result<(), ConfigError> {
    const MOST: usize = 1 << 48;
    if rows.checked_mul(cols).is_some_and(|n| n <= MOST) {
        return Ok(());
    }
    Err(ConfigError::new(
        field,
        format!("a matrix [{rows}, {cols}] is more than any machine holds"),
    ))
}

/// Refuses what is not a probability below one.
///
/// # Errors
/// With the field.
pub fn check_probability(field: &'static str, p: f32) -> Result<(), ConfigError> {
    let problem = format!("{p} is not a probability in [0, 1)");
    if (0.0..1.0).contains(&p) { Ok(()) } else { Err(ConfigError::new(field, problem)) }
}

/// More layers than any trunk has; a config that asks for more is not read any further.
const MAX_LAYERS: usize = 4096;

impl TransformerConfig {
    /// Everything that can be wrong with it, found before anything is built.
    ///
    /// # Errors
    /// With the first field that is wrong, and why.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        let sizes = [
            ("n_layers", self.n_layers),
            ("d_model", self.d_model),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("d_head", self.d_head),
            ("d_ff", self.d_ff),
        ];
        for (field, value) in sizes {
            check_size(field, value)?;
        }
        for (field, a, b) in [
            ("n_heads", self.n_heads, self.d_head),
            ("d_head", self.n_heads.saturating_mul(self.d_head), self.d_model),
            ("d_ff", self.d_ff, self.d_model),
        ] {
            check_matrix(field, [a, b])?;
        }
        if self.n_layers > MAX_LAYERS {
            let problem = format!("{} is more than {MAX_LAYERS}", self.n_layers);
            return Err(ConfigError::new("n_layers", problem));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let problem = format!("{} does not divide n_heads = {}", self.n_kv_heads, self.n_heads);
            return Err(ConfigError::new("n_kv_heads", problem));
        }
        self.check_cycle()?;
        if let Some(experts) = &self.experts {
            experts.check(&self)?;
        }
        self.beside.check(&self)?;
        if let Some(Sharing { n_groups, n_blocks }) = self.sharing {
            check_size("n_groups", n_groups)?;
            check_size("n_blocks", n_blocks)?;
            let n = self.n_layers / n_blocks;
            if !self.n_layers.is_multiple_of(n_blocks) || n_groups > n {
                let problem =
                    format!("{n_groups} groups of {n_blocks} in {} layers", self.n_layers);
                return Err(ConfigError::new("n_groups", problem));
            }
        }
        if let Some(scale) = self.scale.filter(|scale| !(*scale > 0.0 && scale.is_finite())) {
            return Err(ConfigError::new("scale", format!("{scale} is not a number above 0")));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            let problem = format!("{} is not between 0 and 1", self.norm_eps);
            return Err(ConfigError::new("norm_eps", problem));
        }
        check_probability("dropout", self.dropout.residual)?;
        check_probability("attention_dropout", self.dropout.attention)?;
        check_probability("ffn_dropout", self.dropout.ffn)?;
        Ok(Checked(self))
    }

    fn check_cycle(&self) -> Result<(), ConfigError> {
        if self.cycle.is_empty() || self.cycle.len() > MAX_LAYERS {
            let problem = format!("{} kinds of layers", self.cycle.len());
            return Err(ConfigError::new("cycle", problem));
        }
        for LayerConfig { pattern, positions } in &self.cycle {
            if matches!(pattern, Pattern::Window { size: 0 }) {
                return Err(ConfigError::new("pattern", "a window of 0 keys sees nothing"));
            }
            match positions {
                AttnPositions::None => {}
                AttnPositions::Rope(rope) => rope.check(self.d_head)?,
                AttnPositions::RelativeBias { n_buckets, max_distance } => {
                    check_size("n_buckets", *n_buckets)?;
                    check_size("max_distance", *max_distance)?;
                    if *n_buckets < 4 || *max_distance <= n_buckets / 2 {
                        let problem = format!("{n_buckets} for distances up to {max_distance}");
                        return Err(ConfigError::new("n_buckets", problem));
                    }
                }
            }
        }
        Ok(())
    }

    /// A decoder-like base to write the differences of a family over: pre-norm RMS norm, gated
    /// `SiLU`, no bias, causal, no positions, no dropout.
    pub fn base(n_layers: usize, d_model: usize, n_heads: usize, d_ff: usize) -> Self {
        Self {
            n_layers,
            d_model,
            n_heads,
            n_kv_heads: n_heads,
            d_head: d_model / n_heads.max(1),
            d_ff,
            norm: NormKind::RmsNorm,
            norm_eps: 1e-6,
            placement: NormPlacement::Pre,
            final_norm: true,
            ffn: FfnKind::Gated(Activation::Silu),
            experts: None,
            cycle: vec![LayerConfig { pattern: Pattern::Causal, positions: AttnPositions::None }],
            sharing: None,
            cross: false,
            qk_norm: false,
            bias: BiasConfig::all(false),
            scale: None,
            dropout: DropoutConfig::default(),
            init: WeightInit::Gpt2 { std: 0.02 },
            beside: Beside::Nothing,
        }
    }

    /// Pattern and positions of a layer.
    pub fn layer(&self, layer: usize) -> LayerConfig {
        self.cycle[layer % self.cycle.len()]
    }

    /// How many blocks there are.
    pub fn n_blocks(&self) -> usize {
        self.sharing.map_or(self.n_layers, |s| s.n_groups * s.n_blocks)
    }

    /// The block of a layer.
    pub fn block_of(&self, layer: usize) -> usize {
        self.sharing.map_or(layer, |Sharing { n_groups, n_blocks }| {
            let n = self.n_layers / n_blocks;
            layer / n_blocks * n_groups / n * n_blocks + layer % n_blocks
        })
    }

    /// The widest middle that a token goes through in a block: that of all its experts together.
    pub fn active_d_ff(&self) -> usize {
        let Some(experts) = &self.experts else { return self.d_ff };
        let has_dense = (0..self.n_blocks()).any(|i| !experts.serve(i));
        experts.active_d_ff().max(if has_dense { self.d_ff } else { 0 })
    }

    /// Width of the packed query, key and value projection.
    pub fn d_query_key_value(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.d_head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> TransformerConfig {
        TransformerConfig {
            n_kv_heads: 2,
            cycle: vec![LayerConfig {
                pattern: Pattern::Causal,
                positions: AttnPositions::Rope(RopeConfig::new(10_000.0, 4)),
            }],
            ..TransformerConfig::base(2, 24, 6, 50)
        }
    }

    fn rope(theta: f64, d_rot: usize) -> AttnPositions {
        AttnPositions::Rope(RopeConfig::new(theta, d_rot))
    }

    #[test]
    fn the_packed_projection_has_every_head() {
        let config = sound().check().expect("sound");
        assert_eq!(config.get().d_query_key_value(), (6 + 2 + 2) * 4);
    }

    #[test]
    fn shared_blocks_serve_layers_group_by_group() {
        let sharing = Some(Sharing { n_groups: 2, n_blocks: 2 });
        let config = TransformerConfig { sharing, ..TransformerConfig::base(8, 24, 6, 50) };
        let of: Vec<_> = (0..8).map(|layer| config.block_of(layer)).collect();
        assert_eq!((config.n_blocks(), of), (4, vec![0, 1, 0, 1, 2, 3, 2, 3]));
    }

    #[test]
    fn the_first_impossible_field_is_named() {
        type Change = fn(&mut TransformerConfig);
        let cases: [(Change, &str); 15] = [
            (|c| c.n_layers = 0, "`n_layers`: must be at least 1"),
            (|c| c.n_layers = 5000, "`n_layers`: 5000 is more than 4096"),
            (|c| c.d_model = usize::MAX, "`d_model`: 18446744073709551615 is more than 16777216"),
            (|c| c.n_kv_heads = 4, "`n_kv_heads`: 4 does not divide n_heads = 6"),
            (|c| c.n_kv_heads = 0, "`n_kv_heads`: must be at least 1"),
            (
                |c| (c.n_heads, c.n_kv_heads, c.d_head) = (1 << 24, 1, 1 << 24),
                "`d_head`: a matrix [281474976710656, 24] is more than any machine holds",
            ),
            (
                |c| c.cycle[0].positions = rope(10_000.0, 3),
                "`d_rot`: 3 is odd, and rotary positions turn pairs",
            ),
            (
                |c| c.cycle[0].positions = rope(10_000.0, 6),
                "`d_rot`: 6 channels turn in heads of 4",
            ),
            (|c| c.cycle[0].positions = rope(f64::NAN, 4), "`theta`: NaN is not a number above 1"),
            (
                |c| c.cycle[0].pattern = Pattern::Window { size: 0 },
                "`pattern`: a window of 0 keys sees nothing",
            ),
            (
                |c| c.sharing = Some(Sharing { n_groups: 3, n_blocks: 1 }),
                "`n_groups`: 3 groups of 1 in 2 layers",
            ),
            (|c| c.norm_eps = 0.0, "`norm_eps`: 0 is not between 0 and 1"),
            (|c| c.norm_eps = f32::NAN, "`norm_eps`: NaN is not between 0 and 1"),
            (|c| c.scale = Some(0.0), "`scale`: 0 is not a number above 0"),
            (|c| c.dropout.ffn = f32::NAN, "`ffn_dropout`: NaN is not a probability in [0, 1)"),
        ];
        for (change, expected) in cases {
            let mut config = sound();
            change(&mut config);
            let found = config.check().map(|_| ()).expect_err(expected).to_string();
            assert_eq!(found, expected);
        }
    }
}
