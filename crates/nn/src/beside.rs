//! What is learned beside a trunk that stays as it is, other than changes of its maps.

use tensor::{Activation, DType, Init, LinearArgs, Param, ParamsBuilder, Tape, Var};

use crate::config::{ConfigError, TransformerConfig, check_size};
use crate::linear::{Linear, LinearInit};

/// What is learned beside a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// So many tokens before each text, as rows of the embedding: Lester et al., "The Power of
    /// Scale for Parameter-Efficient Prompt Tuning", arXiv:2104.08691.
    Prompt(usize),
    /// Keys and values of so many tokens before each text, in every layer: Li, Liang,
    /// "Prefix-Tuning", arXiv:2101.00190.
    Prefix(usize),
    /// Networks behind sublayers.
    Bottleneck(BottleneckConfig),
}

/// Networks of two layers behind sublayers, whose outputs they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BottleneckConfig {
    /// Of their middle.
    pub width: usize,
    /// Whether there is one behind attention, too, as Houlsby et al. have it; else behind the
    /// feed-forward network alone, as Pfeiffer et al.
    pub after_attention: bool,
}

impl Beside {
    /// Tokens before each text.
    pub fn n_tokens(&self) -> usize {
        match self {
            Self::Nothing | Self::Bottleneck(_) => 0,
            Self::Prompt(n) | Self::Prefix(n) => *n,
        }
    }

    /// Everything that can be wrong with it in such a trunk.
    pub(crate) fn check(&self, trunk: &TransformerConfig) -> Result<(), ConfigError> {
        match self {
            Self::Nothing => return Ok(()),
            Self::Prompt(n) | Self::Prefix(n) => check_size("num_virtual_tokens", *n)?,
            Self::Bottleneck(config) => check_size("width", config.width)?,
        }
        if trunk.experts.is_some() {
            let problem = "has experts, beside which there are no learned tokens or bottlenecks";
            return Err(ConfigError::new("model_type", problem));
        }
        Ok(())
    }

    /// The network behind attention, or behind the feed-forward network.
    pub(crate) fn bottleneck(&self, attention: bool) -> Option<BottleneckConfig> {
        match self {
            Self::Bottleneck(config) if config.after_attention || !attention => Some(*config),
            _ => None,
        }
    }
}

/// A network behind a sublayer; it begins with changing nothing.
///
/// ```text
/// z = y + by * (relu(y D^T + d) U^T + u)
/// ```
///
/// Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", arXiv:1902.00751, section 2;
/// Pfeiffer et al., "`AdapterFusion`", arXiv:2005.00247.
pub(crate) struct Bottleneck {
    down: Linear,
    up: Linear,
    /// One number, zero where it is not in use.
    by: Param,
}

impl Bottleneck {
    /// Registers it in the scope of the map before it.
    pub fn new(b: &mut ParamsBuilder, config: BottleneckConfig, d: usize) -> Self {
        let zeros = LinearInit { weight: Init::Zeros, bias: Init::Zeros };
        b.scope(BOTTLENECK, |b| Self {
            down: Linear::plain(b, "down", [d, config.width], true, LinearInit::torch(d)),
            up: Linear::plain(b, "up", [config.width, d], true, zeros),
            by: b.constant(BY, &[1], Init::Ones),
        })
    }

    /// What its output is multiplied with; zero where it is not in use.
    pub fn by(&self, tape: &Tape) -> f32 {
        tape.params().get(&self.by)[0]
    }

    /// Changes what a sublayer gave.
    pub fn change(&self, tape: &Tape, y: &Var) -> Var {
        let by = self.by(tape);
        let args = self.down.args(tape.compute());
        let relu = Some(Activation::Relu);
        let middle = tape.linear(y, LinearArgs { activation: relu, ..args });
        let args = self.up.args(DType::F32);
        if by == 1.0 {
            return tape.linear(&middle, LinearArgs { residual: Some(y), ..args });
        }
        tape.add(y, &tape.scale(&tape.linear(&middle, args), by))
    }
}

/// What stands before the names of a bottleneck's parameters.
pub const BOTTLENECK: &str = "bottleneck";

/// The name of what something beside a model is multiplied with.
pub const BY: &str = "by";
