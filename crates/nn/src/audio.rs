//! From the spectrum of a sound to the residual stream.
//!
//! Two convolutions with GELU, of which the second halves the number of frames, and fixed waves as
//! positions. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
//! arXiv:2212.04356, section 2.2.

use tensor::{Activation, DType, Init, LinearArgs, ParamsBuilder, Tape, Tensor, UnfoldArgs, Var};

use crate::config::{ConfigError, check_matrix, check_probability, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};
use crate::waves::{WaveKind, Waves};

/// Positions that a convolution sees.
const WIDTH: usize = 3;
/// Frames from one window to the next, of either convolution.
const STRIDES: [usize; 2] = [1, 2];

/// What an audio stem is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioConfig {
    /// Channels of a frame, `C`.
    pub n_channels: usize,
    /// `D`.
    pub d_model: usize,
    /// Positions, each of two frames.
    pub max_len: usize,
    /// How the convolutions start.
    pub init: Init,
    /// Probability of dropping from the sum.
    pub dropout: f32,
}

impl AudioConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_size("n_channels", self.n_channels)?;
        check_size("d_model", self.d_model)?;
        check_size("max_len", self.max_len)?;
        check_matrix("max_len", [self.max_len, self.d_model])?;
        check_probability("embed_dropout", self.dropout)
    }
}

/// Convolutions over frames, and positions.
pub struct AudioStem {
    /// `[D, C W]` and `[D, D W]`.
    convolutions: [Linear; 2],
    pub(crate) waves: Waves,
    dropout: Dropout,
}

impl AudioStem {
    /// Registers the weights.
    pub fn new(builder: &mut ParamsBuilder, config: &AudioConfig) -> Self {
        let AudioConfig { n_channels, d_model, max_len, init, dropout } = *config;
        let start = LinearInit { weight: init, bias: Init::Zeros };
        let convolution =
            |b: &mut ParamsBuilder, name, n| Linear::plain(b, name, [n * WIDTH, d_model], start);
        builder.scope("embed", |b| Self {
            convolutions: [
                convolution(b, "convolutions.0", n_channels),
                convolution(b, "convolutions.1", d_model),
            ],
            waves: Waves::new(WaveKind::HalvesToLast, [max_len, d_model]),
            dropout: Dropout::new(b, "output", dropout),
        })
    }

    /// Positions that so many frames become.
    pub fn n_positions(n_frames: usize) -> usize {
        windows(STRIDES[1]).n_windows(windows(STRIDES[0]).n_windows(n_frames))
    }

    /// `[B, S, C]` frames to `[B, T, D]` in f32, where `T` is half of `S`.
    pub fn forward(&self, tape: &Tape, frames: &Tensor, call: &Call) -> Var {
        tape.scope("embed", None, || {
            let mut x = Var::constant(frames.clone());
            for (convolution, stride) in self.convolutions.iter().zip(STRIDES) {
                let args = convolution.args(DType::F32);
                let args = LinearArgs { activation: Some(Activation::GeluErf), ..args };
                x = tape.linear(&tape.unfold(&x, windows(stride)), args);
            }
            let x = self.waves.add(tape, &x, &call.positions);
            self.dropout.forward(tape, x, call)
        })
    }
}

fn windows(stride: usize) -> UnfoldArgs {
    UnfoldArgs { width: WIDTH, stride, padding: 1 }
}
