//! A normalization layer.

use tensor::{DType, Init, Param, ParamsBuilder, RmsNormArgs, Tape, Var};

use crate::config::{NormKind, TransformerConfig};

/// What a normalization is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Which.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f32,
    /// Width of what is normalized.
    pub width: usize,
}

impl NormConfig {
    /// The trunk's own.
    pub(crate) fn of(config: &TransformerConfig) -> Self {
        Self { kind: config.norm, eps: config.norm_eps, width: config.d_model }
    }

    /// How a root mean square is formed.
    pub(crate) fn rms(&self) -> RmsNormArgs {
        let offset = if self.kind == NormKind::RmsNormAboutOne { 1.0 } else { 0.0 };
        RmsNormArgs { eps: self.eps, offset }
    }

    /// Registers a weight of this width.
    pub(crate) fn weight(&self, builder: &mut ParamsBuilder, leaf: &str) -> Param {
        let about_one = self.kind == NormKind::RmsNormAboutOne;
        let init = if about_one { Init::Zeros } else { Init::Ones };
        builder.param(leaf, &[self.width], init)
    }
}

/// Layer norm or RMS norm, with its weights.
pub struct Norm {
    config: NormConfig,
    weight: Param,
    bias: Option<Param>,
}

impl Norm {
    pub(crate) fn new(builder: &mut ParamsBuilder, name: &str, config: NormConfig) -> Self {
        builder.scope(name, |b| Self {
            config,
            weight: config.weight(b, "weight"),
            bias: (config.kind == NormKind::LayerNorm)
                .then(|| b.param("bias", &[config.width], Init::Zeros)),
        })
    }

    /// Normalizes the stream; the result is stored as `out`.
    pub fn forward(&self, tape: &Tape, x: &Var, out: DType) -> Var {
        match self.config.kind {
            NormKind::LayerNorm => {
                tape.layer_norm(x, &self.weight, self.bias.as_ref(), self.config.eps, out)
            }
            NormKind::RmsNorm | NormKind::RmsNormAboutOne => {
                tape.rms_norm(x, &self.weight, self.config.rms(), out)
            }
        }
    }
}
