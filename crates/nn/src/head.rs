//! From the residual stream to what is asked for.

use std::sync::Arc;

use tensor::{
    Activation, CrossEntropyArgs, DType, Init, LinearArgs, Param, ParamsBuilder, Tape, Var,
};

use crate::config::{ConfigError, check_probability, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};
use crate::norm::{Norm, NormConfig};
use crate::pool::{EmbeddingHead, EmbeddingHeadConfig, Pool};

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

/// What a head that scores classes of every position is made of: tags, or the first and the last
/// position of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TagHeadConfig {
    /// A linear map and an activation before the scores.
    pub dense: Option<Activation>,
    /// Classes to score; one is yes or no.
    pub n_classes: usize,
    /// Probability of dropping from what is scored.
    pub dropout: f32,
}

/// What a head over a sequence is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledHeadConfig {
    /// Which position is read: the first or the last.
    pub at: Pool,
    /// A linear map of it, and an activation.
    pub dense: Option<Activation>,
    /// Classes to score; none is the pooled vector itself.
    pub n_classes: Option<usize>,
    /// Whether classes have a bias.
    pub bias: bool,
    /// Probability of dropping before the linear map, and before the classes.
    pub dropout: [f32; 2],
}

impl TagHeadConfig {
    /// A plain projection.
    pub fn plain(n_classes: usize) -> Self {
        Self { dense: None, n_classes, dropout: 0.0 }
    }

    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_size("num_labels", self.n_classes)?;
        check_probability("classifier_dropout", self.dropout)
    }
}

impl PooledHeadConfig {
    /// The first position, as it is.
    pub fn first() -> Self {
        Self { at: Pool::First, dense: None, n_classes: None, bias: true, dropout: [0.0; 2] }
    }

    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !matches!(self.at, Pool::First | Pool::Last) {
            return Err(ConfigError::new("heads", "classes are of the first or the last position"));
        }
        check_size("num_labels", self.n_classes.unwrap_or(1))?;
        self.dropout.iter().try_for_each(|&p| check_probability("classifier_dropout", p))
    }
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
    dropout: Dropout,
}

/// Something of the whole sequence.
pub struct PooledHead {
    at: Pool,
    dense: Option<(Linear, Activation)>,
    classes: Option<Linear>,
    dropout: [Dropout; 2],
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
        let square = |b: &mut _| Linear::new(b, "dense", [d_model; 2], true, start);
        let classes = |b: &mut _, n, bias| Linear::plain(b, "classes", [d_model, n], bias, start);
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
                classes: classes(builder, config.n_classes, true),
                dropout: Dropout::new(builder, "classes_dropout", config.dropout),
            }),
            HeadConfig::Pooled(config) => Self::Pooled(PooledHead {
                at: config.at,
                dense: config.dense.map(|f| (square(builder), f)),
                classes: config.n_classes.map(|n| classes(builder, n, config.bias)),
                dropout: [("dense_dropout", 0), ("classes_dropout", 1)]
                    .map(|(leaf, i)| Dropout::new(builder, leaf, config.dropout[i])),
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

    /// Whether logits are what is projected and something more.
    pub fn has_bias(&self) -> bool {
        self.bias.is_some()
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
    /// `[B, T, D]` to `[B, T, classes]` in f32.
    pub fn forward(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        tape.linear(&self.hidden(tape, x, call), self.classes.args(DType::F32))
    }

    /// What is scored: `[B, T, D]` to as much.
    pub fn hidden(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        self.dropout.forward(tape, dense(self.dense.as_ref(), tape, x), call)
    }

    /// The scores' own projection, for a loss on what [`TagHead::hidden`] gives, against `[B, T]`
    /// classes.
    pub fn cross_entropy<'v>(&'v self, targets: &'v [u32]) -> CrossEntropyArgs<'v> {
        self.classes.cross_entropy(targets)
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
    /// `[B, T, D]` to `[n, classes]` in f32, or to `[n, D]` where nothing is scored: a row for each
    /// of `rows`, which number the rows of `[B * T, D]`, as [`PooledHead::rows`] does.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn forward(&self, tape: &Tape, x: &Var, rows: &Arc<[u32]>, call: &Call) -> Var {
        let y = self.hidden(tape, x, rows, call);
        match &self.classes {
            None => y,
            Some(classes) => tape.linear(&y, classes.args(DType::F32)),
        }
    }

    /// The rows that it reads of `[B, T, D]`, one a text: see [`Pool::rows`].
    pub fn rows(&self, segments: Option<&[u32]>, shape: [usize; 2]) -> Arc<[u32]> {
        self.at.rows(segments, shape)
    }

    /// Whether it scores classes.
    pub fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// Which position it reads.
    pub fn at(&self) -> Pool {
        self.at
    }

    /// The scores' own projection, for a loss on what [`PooledHead::hidden`] gives, against `[n]`
    /// classes; none where nothing is scored.
    pub fn cross_entropy<'v>(&'v self, targets: &'v [u32]) -> Option<CrossEntropyArgs<'v>> {
        Some(self.classes.as_ref()?.cross_entropy(targets))
    }

    /// What is scored: rows of `[B, T, D]` as `[n, D]` in f32.
    pub fn hidden(&self, tape: &Tape, x: &Var, rows: &Arc<[u32]>, call: &Call) -> Var {
        let &[_, len, _] = x.value().shape() else { panic!("pooled: {:?}", x.value().shape()) };
        let [first, second] = &self.dropout;
        let y = first.forward_rows(tape, tape.select_rows(x, rows), (rows, len), call);
        let y = dense(self.dense.as_ref(), tape, &y);
        second.forward_rows(tape, y, (rows, len), call)
    }
}
