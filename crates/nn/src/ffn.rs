//! The feed-forward network.

use tensor::{DType, LinearArgs, ParamsBuilder, Tape, Var};

use crate::attention::residual_divisor;
use crate::config::{FfnKind, TransformerConfig, WeightInit};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::experts::Experts;
use crate::linear::{Linear, LinearInit};

/// The feed-forward network of one block.
#[allow(clippy::large_enum_variant)] // One a block.
pub(crate) enum Ffn {
    /// The same for every token.
    Dense(Dense),
    /// Several, of which a token goes through a few.
    Sparse(Box<Experts>),
}

/// Two projections and what is between them.
pub(crate) struct Dense {
    kind: FfnKind,
    /// `[F, D]`, or `[2F, D]` as gate and up.
    up: Linear,
    down: Linear,
    middle: Dropout,
    output: Dropout,
}

/// How what goes up and what comes down starts.
pub(crate) fn starts(config: &TransformerConfig, d_ff: usize) -> [LinearInit; 2] {
    match config.init {
        WeightInit::Gpt2 { std } | WeightInit::T5 { std } => {
            let residual = std / residual_divisor(config);
            [LinearInit::normal(std), LinearInit::normal(residual)]
        }
        WeightInit::Torch => [LinearInit::torch(config.d_model), LinearInit::torch(d_ff)],
    }
}

/// Name and width of what goes up.
pub(crate) fn up(kind: FfnKind, d_ff: usize) -> (&'static str, usize) {
    match kind {
        FfnKind::Plain(_) => ("up", d_ff),
        FfnKind::Gated(_) => ("gate_up", 2 * d_ff),
    }
}

impl Ffn {
    /// That of block `i`.
    pub fn new(builder: &mut ParamsBuilder, config: &TransformerConfig, i: usize) -> Self {
        builder.scope("ffn", |b| match &config.experts {
            Some(experts) if experts.serve(i) => {
                Self::Sparse(Box::new(Experts::new(b, config, experts)))
            }
            _ => Self::Dense(Dense::new(b, config, config.d_ff)),
        })
    }

    /// `residual + f(x)`.
    pub fn forward(&self, tape: &Tape, x: &Var, residual: Option<&Var>, call: &Call) -> Var {
        match self {
            Self::Dense(dense) => {
                let middle = dense.middle(tape, x, call);
                dense.down.add_to(tape, residual, &middle, (&dense.output, call))
            }
            Self::Sparse(experts) => experts.forward(tape, x, residual, call),
        }
    }
}

impl Dense {
    pub fn new(b: &mut ParamsBuilder, config: &TransformerConfig, d_ff: usize) -> Self {
        let TransformerConfig { d_model, ffn, .. } = *config;
        let ((name, d_up), [up_init, down_init]) = (up(ffn, d_ff), starts(config, d_ff));
        let bias = config.bias.ffn;
        Self {
            kind: ffn,
            up: Linear::new(b, name, [d_model, d_up], bias, up_init),
            down: Linear::new(b, "down", [d_ff, d_model], bias, down_init).followed_by(
                b,
                "down",
                config.beside.bottleneck(false),
            ),
            middle: Dropout::new(b, "middle", config.dropout.ffn),
            output: Dropout::new(b, "output", config.dropout.residual),
        }
    }

    /// `f(x)` in f32, of which nothing is dropped.
    pub fn forward(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        let middle = self.middle(tape, x, call);
        self.down.apply(tape, &middle, self.down.args(DType::F32), Some(call))
    }

    fn middle(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        let middle = match self.kind {
            FfnKind::Plain(f) => {
                let args = self.up.args(tape.compute());
                self.up.apply(tape, x, LinearArgs { activation: Some(f), ..args }, Some(call))
            }
            FfnKind::Gated(f) => tape.gated_activation(&self.up.forward(tape, x, call), f),
        };
        self.middle.forward(tape, middle, call)
    }
}
