//! Feed-forward networks of which each token goes through a few.
//!
//! ```text
//! y = sum over the chosen e of w[e] ffn[e](x)  (+ sigmoid(gate(x)) shared(x))
//! ```
//!
//! Shazeer et al., "Outrageously Large Neural Networks", arXiv:1701.06538, eq. 1; the shared expert
//! is that of Qwen2-MoE.

use tensor::{DType, Init, Param, ParamsBuilder, RouteArgs, Tape, Var};

use crate::config::{ConfigError, FfnKind, TransformerConfig, check_matrix, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::ffn::{Dense, starts, up};
use crate::linear::{Linear, LinearInit};

/// More experts in all layers than any model has; each has names of its own in files.
const MAX_EXPERTS: usize = 1 << 16;

/// What the experts of a trunk are.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertsConfig {
    /// How many there are.
    pub n_experts: usize,
    /// How many a token goes through.
    pub per_token: usize,
    /// Whether the weights of those sum to one.
    pub normalise: bool,
    /// Width of an expert's middle.
    pub d_ff: usize,
    /// Width of the middle of one more, which every token goes through, behind a gate.
    pub shared: Option<usize>,
    /// Every so many blocks one has experts: the last of them.
    pub every: usize,
    /// Blocks that have none all the same.
    pub dense: Vec<usize>,
    /// What the loss by balance is multiplied with.
    pub balance: f32,
}

impl ExpertsConfig {
    /// All alike and nothing shared, in every block.
    pub fn base(n_experts: usize, per_token: usize, d_ff: usize) -> Self {
        Self {
            n_experts,
            per_token,
            normalise: true,
            d_ff,
            shared: None,
            every: 1,
            dense: Vec::new(),
            balance: 0.001,
        }
    }

    /// Whether block `i` has experts.
    pub fn serve(&self, i: usize) -> bool {
        (i + 1).is_multiple_of(self.every) && !self.dense.contains(&i)
    }

    /// Widths that a token goes through.
    pub fn active_d_ff(&self) -> usize {
        self.per_token * self.d_ff + self.shared.unwrap_or(0)
    }

    pub(crate) fn check(&self, trunk: &TransformerConfig) -> Result<(), ConfigError> {
        check_size("n_experts", self.n_experts)?;
        let n_all = self.n_experts.saturating_mul(trunk.n_layers);
        if n_all > MAX_EXPERTS {
            let (n, n_layers) = (self.n_experts, trunk.n_layers);
            let problem = format!("{n} in {n_layers} layers are more than {MAX_EXPERTS}");
            return Err(ConfigError::new("n_experts", problem));
        }
        check_size("expert_d_ff", self.d_ff)?;
        check_size("shared_d_ff", self.shared.unwrap_or(1))?;
        check_size("every", self.every)?;
        if !(1..=self.n_experts).contains(&self.per_token) {
            let problem = format!("{} of {} experts", self.per_token, self.n_experts);
            return Err(ConfigError::new("per_token", problem));
        }
        for [a, b] in [[self.n_experts, 2], [2 * self.n_experts * self.d_ff, trunk.d_model]] {
            check_matrix("n_experts", [a, b])?;
        }
        check_matrix("shared_d_ff", [self.shared.unwrap_or(1), trunk.d_model])?;
        if trunk.bias.ffn || trunk.dropout.ffn > 0.0 {
            let problem = "with a bias or with dropout inside they are not supported";
            return Err(ConfigError::new("experts", problem));
        }
        if !(self.balance >= 0.0 && self.balance.is_finite()) {
            let problem = format!("{} is not a number from 0 on", self.balance);
            return Err(ConfigError::new("balance", problem));
        }
        Ok(())
    }
}

/// Experts, each with two projections; those of all are one below the other.
pub(crate) struct Experts {
    kind: FfnKind,
    per_token: usize,
    normalise: bool,
    /// `[experts, D]`.
    router: Linear,
    /// `[experts * F, D]`, or `[experts * 2F, D]` as gate and up of each.
    up: Param,
    /// `[experts * D, F]`.
    down: Param,
    /// The one that all go through, and its gate `[1, D]`.
    shared: Option<(Dense, Linear)>,
    output: Dropout,
}

impl Experts {
    pub fn new(b: &mut ParamsBuilder, trunk: &TransformerConfig, config: &ExpertsConfig) -> Self {
        let ExpertsConfig { n_experts, per_token, normalise, d_ff, .. } = *config;
        let d_model = trunk.d_model;
        let ((name, d_up), [up_init, down_init]) = (up(trunk.ffn, d_ff), starts(trunk, d_ff));
        let gate_init = LinearInit { bias: Init::Zeros, ..up_init };
        Self {
            kind: trunk.ffn,
            per_token,
            normalise,
            router: Linear::new(b, "router", [d_model, n_experts], false, gate_init),
            up: b.scope("experts", |b| b.matrix(name, [n_experts * d_up, d_model], up_init.weight)),
            down: b.scope("experts", |b| {
                b.matrix("down", [n_experts * d_model, d_ff], down_init.weight)
            }),
            shared: config.shared.map(|d_ff| {
                let shared = b.scope("shared", |b| Dense::new(b, trunk, d_ff));
                (shared, Linear::new(b, "shared_gate", [d_model, 1], false, gate_init))
            }),
            output: Dropout::new(b, "output", trunk.dropout.residual),
        }
    }

    /// `residual + f(x)`. Offers `router_logits` `[R, experts]` to a capture.
    pub fn forward(&self, tape: &Tape, x: &Var, residual: Option<&Var>, call: &Call) -> Var {
        let logits = self.router.apply(tape, x, self.router.args(DType::F32), Some(call));
        let (n_rows, n_experts) = logits.value().rows();
        tape.capture("router_logits", &logits.value().clone().reshape(&[n_rows, n_experts]));
        let (per_token, normalise) = (self.per_token, self.normalise);
        let args = RouteArgs { per_token, normalise, balance: call.balance.clone() };
        let (weights, routing) = tape.route(&logits, &args);
        let rows = tape.dispatch(x, &routing);
        let middle = tape.grouped_linear(&rows, &self.up, &routing);
        let middle = match self.kind {
            FfnKind::Plain(f) => tape.activation(&middle, f),
            FfnKind::Gated(f) => tape.gated_activation(&middle, f),
        };
        let rows = tape.grouped_linear(&middle, &self.down, &routing);
        let mut y = tape.combine(&rows, &weights, &routing, x.value().shape());
        if let Some((shared, gate)) = &self.shared {
            let gate = gate.apply(tape, x, gate.args(DType::F32), Some(call));
            let shared = tape.sigmoid_gate(&shared.forward(tape, x, call), &gate);
            y = tape.add(&y, &shared);
        }
        self.output.add_to(tape, residual, y, call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_blocks_have_experts() {
        let config = ExpertsConfig { every: 2, dense: vec![3], ..ExpertsConfig::base(4, 2, 8) };
        let of: Vec<bool> = (0..6).map(|i| config.serve(i)).collect();
        assert_eq!(of, [false, true, false, false, false, true]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |experts| {
            let experts = Some(experts);
            TransformerConfig { experts, ..TransformerConfig::base(2, 24, 6, 50) }
        };
        let refusal = |config: TransformerConfig| config.check().expect_err("wrong").to_string();
        let base = ExpertsConfig::base(4, 5, 8);
        assert_eq!(refusal(with(base.clone())), "`per_token`: 5 of 4 experts");
        let many = ExpertsConfig { n_experts: 1 << 24, per_token: 2, ..base.clone() };
        let said = "`n_experts`: 16777216 in 2 layers are more than 65536";
        assert_eq!(refusal(with(many)), said);
        let huge =
            ExpertsConfig { n_experts: 1 << 15, per_token: 2, d_ff: 1 << 24, ..base.clone() };
        let wide = TransformerConfig::base(2, 4096, 4, 50);
        let huge = TransformerConfig { experts: Some(huge), ..wide };
        assert!(refusal(huge).starts_with("`n_experts`: a matrix [1099511627776, 4096]"));
        let every = ExpertsConfig { every: 0, per_token: 2, ..base };
        assert_eq!(refusal(with(every)), "`every`: must be at least 1");
    }
}
