//! A normalization layer.

use tensor::{DType, Init, Param, ParamsBuilder, Tape, Var};

use crate::config::{NormKind, TransformerConfig};

/// Layer norm or RMS norm, with its weights.
pub struct Norm {
    kind: NormKind,
    eps: f32,
    weight: Param,
    bias: Option<Param>,
}

impl Norm {
    pub(crate) fn new(builder: &mut ParamsBuilder, name: &str, config: &TransformerConfig) -> Self {
        let shape = [config.d_model];
        builder.scope(name, |b| Self {
            kind: config.norm,
            eps: config.norm_eps,
            weight: b.param("weight", &shape, Init::Ones),
            bias: (config.norm == NormKind::LayerNorm)
                .then(|| b.param("bias", &shape, Init::Zeros)),
        })
    }

    /// Normalizes the stream; the result is stored as `out`.
    pub fn forward(&self, tape: &Tape, x: &Var, out: DType) -> Var {
        match self.kind {
            NormKind::LayerNorm => {
                tape.layer_norm(x, &self.weight, self.bias.as_ref(), self.eps, out)
            }
            NormKind::RmsNorm => tape.rms_norm(x, &self.weight, self.eps, out),
        }
    }
}
