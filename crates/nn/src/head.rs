//! From the residual stream to what is asked for.

use std::sync::Arc;

use tensor::{
    Activation, CrossEntropyArgs, DType, Init, LinearArgs, Param, ParamsBuilder, Tape, Var,
};

use crate::linear::{Linear, LinearInit};
use crate::norm::{Norm, NormConfig};
use crate::pool::{EmbeddingHead, EmbeddingHeadConfig};

/// Which head.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadConfig {
    /// A score for every token of the vocabulary, at every position.
    Token(TokenHeadConfig),
    /// Scores of classes, at every position.
    Tag(TagHeadConfig),
    /// Something of the whole sequence.
    Pooled(PooledHeadConfig),
    /// A vector of the whole sequence, to be held against others.
    Embedding(EmbeddingHeadConfig),
}

/// What a head over the vocabulary is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenHeadConfig {
    /// Whether its projection is the embedding's table; else it starts as that one does.
    pub tied: bool,
    /// A bias a token.
    pub bias: bool,
    /// A linear map, an activation and a normalization before the projection.
    pub transform: Option<(Activation, NormConfig)>,
    /// What is multiplied with before the projection.
    pub scale: Option<f32>,
}

/// What a head that tags every position is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct TagHeadConfig {
    /// A linear map and an activation before the scores.
    pub dense: Option<Activation>,
    /// Classes to score; one is yes or no.
    pub n_classes: usize,
}

/// What a head over a sequence is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledHeadConfig {
    /// A linear map of the first position, and an activation.
    pub dense: Option<Activation>,
    /// Classes to score; none is the pooled vector itself.
    pub n_classes: Option<usize>,
}

impl TokenHeadConfig {
    /// A plain projection.
    pub fn plain(tied: bool) -> Self {
        Self { tied, ..Self::default() }
    }
}

/// How things go out: a closed set.
#[allow(clippy::large_enum_variant)] // A few a model.
pub enum Head {
    /// A score for every token of the vocabulary.
    Token(TokenHead),
    /// Scores of classes, at every position.
    Tag(TagHead),
    /// Something of the whole sequence.
    Pooled(PooledHead),
    /// A vector of the whole sequence.
    Embedding(Box<EmbeddingHead>),
}

/// A score for every token of the vocabulary.
pub struct TokenHead {
    weight: Param,
    bias: Option<Param>,
    transform: Option<(Linear, Activation, Norm)>,
    scale: Option<f32>,
}

/// Scores of classes, at every position.
pub struct TagHead {
    dense: Option<(Linear, Activation)>,
    classes: Linear,
}

/// Something of the whole sequence.
pub struct PooledHead {
    dense: Option<(Linear, Activation)>,
    classes: Option<Linear>,
}

impl Head {
    /// Registers the parameters of a head on a stream of width `d_model`; `table` is the
    /// embedding's `[V, E]`, where there is one, and `init` how weights start.
    ///
    /// # Panics
    /// When a head over the vocabulary follows an embedding that has none.
    pub fn new(
        builder: &mut ParamsBuilder,
        config: &HeadConfig,
        d_model: usize,
        (table, init): (Option<&Param>, Init),
    ) -> Self {
        let start = LinearInit { weight: init, bias: Init::Zeros };
        let layer = |b: &mut _, leaf, n| Linear::new(b, leaf, [d_model, n], true, start);
        let square = |b: &mut _| layer(b, "dense", d_model);
        let classes = |b: &mut _, n| Linear::plain(b, "classes", [d_model, n], start);
        match config {
            HeadConfig::Token(config) => {
                let table = table.expect("a head over the vocabulary: there is no vocabulary");
                let &[vocab_size, width] = table.shape() else { panic!("{:?}", table.shape()) };
                let transform = config.transform.map(|(f, norm)| {
                    let dense = Linear::new(builder, "dense", [d_model, width], true, start);
                    (dense, f, Norm::new(builder, "norm", norm))
                });
                let bias = config.bias.then(|| builder.param("bias", &[vocab_size], Init::Zeros));
                let weight = if config.tied {
                    table.clone()
                } else {
                    builder.matrix("weight", [vocab_size, width], init)
                };
                Self::Token(TokenHead { weight, bias, transform, scale: config.scale })
            }
            HeadConfig::Tag(config) => Self::Tag(TagHead {
                dense: config.dense.map(|f| (square(builder), f)),
                classes: classes(builder, config.n_classes),
            }),
            HeadConfig::Pooled(config) => Self::Pooled(PooledHead {
                dense: config.dense.map(|f| (square(builder), f)),
                classes: config.n_classes.map(|n| classes(builder, n)),
            }),
            HeadConfig::Embedding(config) => {
                Self::Embedding(Box::new(EmbeddingHead::new(builder, config, d_model, init)))
            }
        }
    }
}

impl TokenHead {
    /// The projection `[V, E]` and its bias, for a loss that never forms all logits: on what
    /// [`TokenHead::hidden`] gives, against `targets`.
    pub fn cross_entropy<'v>(&'v self, targets: &'v [u32]) -> CrossEntropyArgs<'v> {
        let plain = CrossEntropyArgs::new(&self.weight, targets);
        CrossEntropyArgs { bias: self.bias.as_ref(), ..plain }
    }

    /// What is projected: `[.., D] -> [.., E]`.
    pub fn hidden(&self, tape: &Tape, x: &Var) -> Var {
        let x = match &self.transform {
            None => x.clone(),
            Some((dense, f, norm)) => {
                let args = LinearArgs { activation: Some(*f), ..dense.args(DType::F32) };
                norm.forward(tape, &dense.apply(tape, x, args, None), tape.compute())
            }
        };
        self.scale.map_or_else(|| x.clone(), |by| tape.scale(&x, by))
    }

    /// `[.., D] -> [.., V]` in f32.
    pub fn logits(&self, tape: &Tape, x: &Var) -> Var {
        let args = LinearArgs::new(&self.weight, self.bias.as_ref(), DType::F32);
        tape.linear(&self.hidden(tape, x), args)
    }
}

impl TagHead {
    /// `[.., D]` to `[.., classes]` in f32.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Var {
        tape.linear(&dense(self.dense.as_ref(), tape, x), self.classes.args(DType::F32))
    }
}

/// What a head scores: a linear map and an activation, if there is one.
fn dense(layer: Option<&(Linear, Activation)>, tape: &Tape, x: &Var) -> Var {
    match layer {
        None => x.clone(),
        Some((dense, f)) => {
            let args = LinearArgs { activation: Some(*f), ..dense.args(DType::F32) };
            dense.apply(tape, x, args, None)
        }
    }
}

impl PooledHead {
    /// `[B, T, D]` to `[B, classes]` in f32, or to `[B, D]` where nothing is scored.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let y = self.hidden(tape, x);
        match &self.classes {
            None => y,
            Some(classes) => tape.linear(&y, classes.args(DType::F32)),
        }
    }

    /// Whether it scores classes.
    pub fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// The scores' own projection, for a loss on what [`PooledHead::hidden`] gives, against `[B]`
    /// classes; none where nothing is scored.
    pub fn cross_entropy<'v>(&'v self, targets: &'v [u32]) -> Option<CrossEntropyArgs<'v>> {
        let classes = self.classes.as_ref()?;
        let plain = CrossEntropyArgs::new(&classes.weight, targets);
        Some(CrossEntropyArgs { bias: classes.bias.as_ref(), ..plain })
    }

    /// What is scored: `[B, T, D] -> [B, D]` in f32.
    pub fn hidden(&self, tape: &Tape, x: &Var) -> Var {
        let &[batch, len, _] = x.value().shape() else { panic!("pooled: {:?}", x.value().shape()) };
        let first: Arc<[u32]> = (0..batch).map(|b| (b * len) as u32).collect();
        dense(self.dense.as_ref(), tape, &tape.select_rows(x, &first))
    }
}
