//! The feed-forward network.

use tensor::{LinearArgs, ParamsBuilder, Tape, Var};

use crate::config::{FfnKind, TransformerConfig, WeightInit};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};

/// Two projections and what is between them.
pub(crate) struct Ffn {
    kind: FfnKind,
    /// `[F, D]`, or `[2F, D]` as gate and up.
    up: Linear,
    down: Linear,
    middle: Dropout,
    output: Dropout,
}

impl Ffn {
    pub fn new(builder: &mut ParamsBuilder, config: &TransformerConfig) -> Self {
        let TransformerConfig { d_model, d_ff, ffn, .. } = *config;
        let (up_init, down_init) = match config.init {
            WeightInit::Gpt2 { std } => {
                let residual = std / (2.0 * config.n_layers as f32).sqrt();
                (LinearInit::normal(std), LinearInit::normal(residual))
            }
            WeightInit::Torch => (LinearInit::torch(d_model), LinearInit::torch(d_ff)),
        };
        let (name, d_up) = match ffn {
            FfnKind::Plain(_) => ("up", d_ff),
            FfnKind::Gated(_) => ("gate_up", 2 * d_ff),
        };
        let bias = config.bias.ffn;
        builder.scope("ffn", |b| Self {
            kind: ffn,
            up: Linear::new(b, name, [d_model, d_up], bias, up_init),
            down: Linear::new(b, "down", [d_ff, d_model], bias, down_init),
            middle: Dropout::new(b, "middle", config.dropout.ffn),
            output: Dropout::new(b, "output", config.dropout.residual),
        })
    }

    /// `residual + f(x)`.
    pub fn forward(&self, tape: &Tape, x: &Var, residual: Option<&Var>, call: &Call) -> Var {
        let middle = match self.kind {
            FfnKind::Plain(f) => {
                let args = self.up.args(tape.compute());
                tape.linear(x, LinearArgs { activation: Some(f), ..args })
            }
            FfnKind::Gated(f) => tape.gated_activation(&self.up.forward(tape, x), f),
        };
        let middle = self.middle.forward(tape, middle, call);
        self.down.add_to(tape, residual, &middle, (&self.output, call))
    }
}
