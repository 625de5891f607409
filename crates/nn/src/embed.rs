//! From what comes in to the residual stream.

use std::sync::Arc;

use tensor::{DType, Init, Param, ParamsBuilder, Tape, Tensor, Var};

use crate::audio::{AudioConfig, AudioStem};
use crate::config::{ConfigError, check_matrix, check_probability, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::lead::Led;
use crate::linear::{Linear, LinearInit};
use crate::low_rank::LowRankRows;
use crate::norm::{Norm, NormConfig};
use crate::patch::{PatchConfig, PatchEmbedding};
use crate::waves::{WaveKind, Waves};

/// Where a token embedding's positions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPositions {
    /// From the trunk's attention.
    None,
    /// A learned table.
    Learned,
    /// Fixed waves.
    Sinusoidal(WaveKind),
}

/// What a token embedding is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbedConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `D`.
    pub d_model: usize,
    /// Width of the tables, where it is not `D`: the sum is then projected to `D`.
    pub d_embed: Option<usize>,
    /// Positions below this.
    pub max_len: usize,
    /// Where they come from.
    pub positions: TokenPositions,
    /// Rows of the table of positions before that of position 0.
    pub first_position: usize,
    /// Tokens of this id have no position, and are not counted in that of others.
    pub padding: Option<u32>,
    /// Rows of each further table: types of tokens, tasks.
    pub types: Vec<usize>,
    /// What a token's row is multiplied with.
    pub scale: f32,
    /// Normalizes the sum.
    pub norm: Option<NormConfig>,
    /// How the tables start.
    pub init: Init,
    /// Probability of dropping from the sum.
    pub dropout: f32,
}

impl TokenEmbedConfig {
    /// Tokens alone, to write the differences of a family over.
    pub fn base(vocab_size: usize, d_model: usize, max_len: usize) -> Self {
        Self {
            vocab_size,
            d_model,
            d_embed: None,
            max_len,
            positions: TokenPositions::None,
            first_position: 0,
            padding: None,
            types: Vec::new(),
            scale: 1.0,
            norm: None,
            init: Init::Normal { std: 0.02 },
            dropout: 0.0,
        }
    }

    /// Width of the tables.
    pub fn width(&self) -> usize {
        self.d_embed.unwrap_or(self.d_model)
    }

    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_size("vocab_size", self.vocab_size)?;
        check_size("max_len", self.max_len)?;
        check_size("d_embed", self.width())?;
        let n_positions = self.max_len.saturating_add(self.first_position);
        check_matrix("vocab_size", [self.vocab_size, self.width()])?;
        check_matrix("max_len", [n_positions, self.width()])?;
        for &n in &self.types {
            check_size("types", n)?;
        }
        check_probability("embed_dropout", self.dropout)
    }
}

/// How things come in.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbedConfig {
    /// Tokens.
    Token(TokenEmbedConfig),
    /// Sound.
    Audio(AudioConfig),
    /// Images.
    Patch(PatchConfig),
}

impl EmbedConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Token(tokens) => tokens.check(),
            Self::Audio(audio) => audio.check(),
            Self::Patch(patches) => patches.check(),
        }
    }

    /// `D`.
    pub fn d_model(&self) -> usize {
        match self {
            Self::Token(tokens) => tokens.d_model,
            Self::Audio(audio) => audio.d_model,
            Self::Patch(patches) => patches.d_model,
        }
    }

    /// Positions below this; of images, those of the size of training.
    pub fn max_len(&self) -> usize {
        match self {
            Self::Token(tokens) => tokens.max_len,
            Self::Audio(audio) => audio.max_len,
            Self::Patch(patches) => patches.n_positions([patches.image; 2]),
        }
    }

    /// How tokens come in, where it is tokens that do.
    pub fn tokens(&self) -> Option<&TokenEmbedConfig> {
        match self {
            Self::Token(tokens) => Some(tokens),
            Self::Audio(_) | Self::Patch(_) => None,
        }
    }

    /// How images come in, where it is images that do.
    pub fn patches(&self) -> Option<&PatchConfig> {
        match self {
            Self::Patch(patches) => Some(patches),
            Self::Token(_) | Self::Audio(_) => None,
        }
    }

    /// How its weights start.
    pub fn init(&self) -> Init {
        match self {
            Self::Token(tokens) => tokens.init,
            Self::Audio(audio) => audio.init,
            Self::Patch(patches) => patches.init,
        }
    }
}

impl From<TokenEmbedConfig> for EmbedConfig {
    fn from(config: TokenEmbedConfig) -> Self {
        Self::Token(config)
    }
}

impl From<AudioConfig> for EmbedConfig {
    fn from(config: AudioConfig) -> Self {
        Self::Audio(config)
    }
}

impl From<PatchConfig> for EmbedConfig {
    fn from(config: PatchConfig) -> Self {
        Self::Patch(config)
    }
}

/// How things come in: a closed set.
pub enum Embed {
    /// Tokens.
    Token(TokenEmbedding),
    /// Sound.
    Audio(AudioStem),
    /// Images.
    Patch(PatchEmbedding),
}

/// What comes in.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Tokens `[B, T]`, and these sizes.
    Tokens(&'a Arc<[u32]>, [usize; 2]),
    /// The spectrum of a sound `[B, S, C]` in f32, frame by frame.
    Frames(&'a Tensor),
    /// The pixels of images `[B, C, H, W]` in f32.
    Pixels(&'a Tensor),
}

impl Embed {
    /// Registers the parameters; tables of tokens and positions are `shared` where there are some
    /// already.
    pub fn new(
        builder: &mut ParamsBuilder,
        config: &EmbedConfig,
        shared: [Option<&Param>; 2],
    ) -> Self {
        match config {
            EmbedConfig::Token(c) => Self::Token(TokenEmbedding::new(builder, c, shared)),
            EmbedConfig::Audio(c) => Self::Audio(AudioStem::new(builder, c)),
            EmbedConfig::Patch(c) => Self::Patch(PatchEmbedding::new(builder, *c)),
        }
    }

    /// To `[B, T, D]` in f32.
    ///
    /// # Panics
    /// When something else comes in than it is made for.
    #[track_caller]
    pub fn forward(&self, tape: &Tape, input: Input, call: &Call) -> Var {
        match (self, input) {
            (Self::Token(embed), Input::Tokens(ids, shape)) => {
                embed.forward(tape, ids, shape, call)
            }
            (Self::Audio(stem), Input::Frames(frames)) => stem.forward(tape, frames, call),
            (Self::Patch(embed), Input::Pixels(pixels)) => embed.forward(tape, pixels, call),
            (Self::Token(_), _) => panic!("embed: tokens are expected"),
            (Self::Audio(_), _) => panic!("embed: frames are expected"),
            (Self::Patch(_), _) => panic!("embed: pixels are expected"),
        }
    }

    /// The table of tokens `[V, D]`, where there is one.
    pub fn table(&self) -> Option<&Param> {
        match self {
            Self::Token(embed) => Some(&embed.table),
            Self::Audio(_) | Self::Patch(_) => None,
        }
    }

    /// The learned table of positions `[S, D]`, where there is one of tokens, too.
    pub fn positions(&self) -> Option<&Param> {
        match self {
            Self::Token(embed) => embed.learned.as_ref().map(|(table, _)| table),
            Self::Audio(_) | Self::Patch(_) => None,
        }
    }

    /// The fixed waves, if that is where positions come from.
    pub fn waves(&self) -> Option<&Waves> {
        match self {
            Self::Token(embed) => embed.sinusoidal.as_ref(),
            Self::Audio(stem) => Some(&stem.waves),
            Self::Patch(_) => None,
        }
    }

    /// The same, to be set.
    pub fn waves_mut(&mut self) -> Option<&mut Waves> {
        match self {
            Self::Token(embed) => embed.sinusoidal.as_mut(),
            Self::Audio(stem) => Some(&mut stem.waves),
            Self::Patch(_) => None,
        }
    }
}

/// A table of tokens and, perhaps, of positions and types.
pub struct TokenEmbedding {
    /// `[V, D]`.
    pub table: Param,
    changes: Vec<LowRankRows>,
    /// With the row of position 0.
    learned: Option<(Param, u32)>,
    sinusoidal: Option<Waves>,
    types: Vec<Param>,
    scale: f32,
    norm: Option<Norm>,
    dropout: Dropout,
    project: Option<Linear>,
}

impl TokenEmbedding {
    /// Registers the tables; those of tokens and positions are `shared` where there are some
    /// already.
    pub fn new(
        builder: &mut ParamsBuilder,
        config: &TokenEmbedConfig,
        [tokens, positions]: [Option<&Param>; 2],
    ) -> Self {
        let (d, n) = (config.width(), config.max_len);
        let (first, init) = (config.first_position, config.init);
        let types = |b: &mut ParamsBuilder| {
            let table = |(i, &n): (usize, &usize)| b.param(&format!("types.{i}"), &[n, d], init);
            config.types.iter().enumerate().map(table).collect()
        };
        let project = |b: &mut ParamsBuilder, width| {
            let start = LinearInit { weight: init, bias: Init::Zeros };
            Linear::new(b, "project", [width, config.d_model], true, start)
        };
        let learned = |b: &mut ParamsBuilder| {
            let own = || b.param("positions", &[first + n, d], init);
            (positions.cloned().unwrap_or_else(own), first as u32)
        };
        let shape = [config.vocab_size, d];
        // One that is shared is changed by nobody.
        let changes = |b: &mut ParamsBuilder| {
            let specs = if tokens.is_none() { b.take_low_rank("tokens") } else { Vec::new() };
            specs.iter().map(|spec| LowRankRows::new(b, spec, shape)).collect()
        };
        builder.scope("embed", |b| Self {
            table: tokens.cloned().unwrap_or_else(|| b.matrix("tokens", shape, init)),
            changes: changes(b),
            learned: (config.positions == TokenPositions::Learned).then(|| learned(b)),
            sinusoidal: match config.positions {
                TokenPositions::Sinusoidal(kind) => Some(Waves::new(kind, [n, d])),
                TokenPositions::None | TokenPositions::Learned => None,
            },
            types: types(b),
            scale: config.scale,
            norm: config.norm.map(|norm| Norm::new(b, "norm", norm)),
            dropout: Dropout::new(b, "output", config.dropout),
            project: config.d_embed.map(|width| project(b, width)),
        })
    }

    /// `[B, T]` tokens to `[B, T, D]` in f32.
    pub fn forward(&self, tape: &Tape, ids: &Arc<[u32]>, shape: [usize; 2], call: &Call) -> Var {
        tape.scope("embed", None, || {
            let mut x = tape.embedding(&self.table, ids, shape, self.scale);
            for change in &self.changes {
                x = change.change(tape, x, ids, self.scale);
            }
            if let Some(Led { rows, prompt: Some(prompt) }) = &call.led {
                x = tape.overlay(x, prompt, rows, [0, 0, prompt.shape()[1]]);
            }
            if let Some((table, first)) = &self.learned {
                let at = match first {
                    0 => call.positions.clone(),
                    _ => call.positions.iter().map(|at| at.wrapping_add(*first)).collect(),
                };
                x = tape.embedding_add(&x, table, &at);
            }
            if let Some(waves) = &self.sinusoidal {
                x = waves.add(tape, &x, &call.positions);
            }
            for (i, table) in self.types.iter().enumerate() {
                let given = call.types.get(i).cloned().flatten();
                let types = given.unwrap_or_else(|| vec![0; ids.len()].into());
                x = tape.embedding_add(&x, table, &types);
            }
            if let Some(norm) = &self.norm {
                x = norm.forward(tape, &x, DType::F32);
            }
            x = self.dropout.forward(tape, x, call);
            match &self.project {
                None => x,
                Some(project) => project.apply(tape, &x, project.args(DType::F32), Some(call)),
            }
        })
    }
}
