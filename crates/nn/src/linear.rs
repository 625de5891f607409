//! A linear layer: a weight `[out, in]` and perhaps a bias.

use tensor::{CrossEntropyArgs, DType, Init, LinearArgs, Param, ParamsBuilder, Tape, Var};

use crate::beside::{Bottleneck, BottleneckConfig};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::low_rank::LowRank;

/// `x W^T + b`.
pub struct Linear {
    /// `[O, I]`.
    pub weight: Param,
    /// `[O]`.
    pub bias: Option<Param>,
    changes: Vec<LowRank>,
    bottleneck: Option<Box<Bottleneck>>,
}

/// How a linear layer starts.
#[derive(Clone, Copy)]
pub(crate) struct LinearInit {
    pub weight: Init,
    pub bias: Init,
}

impl LinearInit {
    /// `torch.nn.Linear`'s own: uniform in `1 / sqrt(fan_in)`, weight and bias.
    pub fn torch(d_in: usize) -> Self {
        let init = Init::Uniform { bound: 1.0 / (d_in as f32).sqrt() };
        Self { weight: init, bias: init }
    }

    /// Normal weight, zero bias.
    pub fn normal(std: f32) -> Self {
        Self { weight: Init::Normal { std }, bias: Init::Zeros }
    }
}

impl Linear {
    pub(crate) fn new(
        builder: &mut ParamsBuilder,
        name: &str,
        [d_in, d_out]: [usize; 2],
        bias: bool,
        init: LinearInit,
    ) -> Self {
        builder.scope(name, |b| {
            let specs = b.take_low_rank("weight");
            Self {
                weight: b.matrix("weight", [d_out, d_in], init.weight),
                bias: bias.then(|| b.param("bias", &[d_out], init.bias)),
                changes: specs.into_iter().map(|s| LowRank::new(b, s, [d_in, d_out])).collect(),
                bottleneck: None,
            }
        })
    }

    /// One that nothing is added to: a loss reads its weight as it is.
    pub(crate) fn plain(
        builder: &mut ParamsBuilder,
        name: &str,
        [d_in, d_out]: [usize; 2],
        bias: bool,
        init: LinearInit,
    ) -> Self {
        builder.scope(name, |b| Self {
            weight: b.matrix("weight", [d_out, d_in], init.weight),
            bias: bias.then(|| b.param("bias", &[d_out], init.bias)),
            changes: Vec::new(),
            bottleneck: None,
        })
    }

    /// The same as the end of a sublayer, whose output such a network changes.
    pub(crate) fn followed_by(
        self,
        builder: &mut ParamsBuilder,
        name: &str,
        config: Option<BottleneckConfig>,
    ) -> Self {
        let d_out = self.weight.shape()[0];
        let bottleneck =
            config.map(|c| Box::new(builder.scope(name, |b| Bottleneck::new(b, c, d_out))));
        Self { bottleneck, ..self }
    }

    /// The op's arguments, stored as `out`.
    pub(crate) fn args(&self, out: DType) -> LinearArgs<'_> {
        LinearArgs::new(&self.weight, self.bias.as_ref(), out)
    }

    /// The arguments of a loss on what is projected, against a class a row.
    pub(crate) fn cross_entropy<'v>(&'v self, targets: &'v [u32]) -> CrossEntropyArgs<'v> {
        let plain = CrossEntropyArgs::new(&self.weight, targets);
        CrossEntropyArgs { bias: self.bias.as_ref(), ..plain }
    }

    /// `[.., I] -> [.., O]`, stored as activations are.
    pub fn forward(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        self.apply(tape, x, self.args(tape.compute()), Some(call))
    }

    /// The same with these arguments, which are its own. Without a call, nothing is dropped.
    pub(crate) fn apply(&self, tape: &Tape, x: &Var, args: LinearArgs, call: Option<&Call>) -> Var {
        let mut changes = self.changes.iter().filter(|change| change.by(tape) != 0.0).peekable();
        if changes.peek().is_none() {
            return tape.linear(x, args);
        }
        let alone = self.changes.iter().any(LowRank::has_magnitudes);
        let residual = args.residual.filter(|_| !alone);
        let y = tape.linear(x, LinearArgs { activation: None, residual, ..args });
        let change = |y, change: &LowRank| change.change(tape, y, (x, args), call);
        let y = changes.fold(y, change);
        match (args.activation, args.residual.filter(|_| alone)) {
            (Some(f), _) => tape.activation(&y, f),
            (None, Some(residual)) => tape.add(residual, &y),
            (None, None) => y,
        }
    }

    /// `residual + dropout(x W^T + b)`, in f32: the end of a sublayer. Without a residual, the sum
    /// alone.
    pub(crate) fn add_to(
        &self,
        tape: &Tape,
        residual: Option<&Var>,
        x: &Var,
        (dropout, call): (&Dropout, &Call),
    ) -> Var {
        let args = self.args(DType::F32);
        if let Some(bottleneck) = self.bottleneck.as_ref().filter(|b| b.by(tape) != 0.0) {
            let y = dropout.forward(tape, self.apply(tape, x, args, Some(call)), call);
            let y = bottleneck.change(tape, &y);
            return match residual {
                None => y,
                Some(residual) => tape.add(residual, &y),
            };
        }
        if dropout.site(call).is_none() {
            return self.apply(tape, x, LinearArgs { residual, ..args }, Some(call));
        }
        dropout.add_to(tape, residual, self.apply(tape, x, args, Some(call)), call)
    }
}
