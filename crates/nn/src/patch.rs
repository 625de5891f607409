//! From images to the residual stream.
//!
//! ```text
//! x[b, 0] = class + p[0],    x[b, t] = W patch[b, t] + bias + p[t]
//! ```
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, eq. 1 and section 3.2:
//! images of another size than that of training have positions between the learned ones, here by
//! bicubic interpolation.

use std::sync::Arc;

use tensor::{DType, Init, Param, ParamsBuilder, PatchArgs, Tape, Tensor, Var};

use crate::config::{ConfigError, check_matrix, check_probability, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};
use crate::norm::{Norm, NormConfig};

/// What an embedding of images is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchConfig {
    /// Channels of a pixel, C.
    pub n_channels: usize,
    /// Height and width of an image that has the learned positions.
    pub image: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Whether a learned token stands in front.
    pub class: bool,
    /// Whether the projection has a bias.
    pub bias: bool,
    /// `D`.
    pub d_model: usize,
    /// Normalizes the sum.
    pub norm: Option<NormConfig>,
    /// How weights start.
    pub init: Init,
    /// Probability of dropping from the sum.
    pub dropout: f32,
}

impl PatchConfig {
    /// Rows and columns of patches with learned positions.
    fn side(&self) -> usize {
        self.image / self.patch
    }

    /// Positions of an image of that height and width.
    pub fn n_positions(&self, [height, width]: [usize; 2]) -> usize {
        (height / self.patch) * (width / self.patch) + usize::from(self.class)
    }

    /// Numbers of a patch.
    fn width(&self) -> usize {
        self.n_channels * self.patch * self.patch
    }

    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let d_model = self.d_model;
        check_size("hidden_size", d_model)?;
        check_probability("embed_dropout", self.dropout)?;
        check_size("num_channels", self.n_channels)?;
        check_size("image_size", self.image)?;
        check_size("patch_size", self.patch)?;
        check_matrix("patch_size", [self.patch, self.patch.saturating_mul(self.n_channels)])?;
        check_matrix("patch_size", [self.width(), d_model])?;
        if self.side() == 0 {
            let problem = format!("{} is larger than an image of {}", self.patch, self.image);
            return Err(ConfigError::new("patch_size", problem));
        }
        check_matrix("image_size", [self.n_positions([self.image; 2]), d_model])
    }

    /// `[B, C, H, W]` as patches `[B, n, C p p]`; what is left over at the right and below is not
    /// looked at.
    fn unfold(&self, tape: &Tape, pixels: &Tensor) -> Tensor {
        let &[batch, n_channels, height, width] = pixels.shape() else {
            panic!("patches of {:?}", pixels.shape())
        };
        assert_eq!(n_channels, self.n_channels, "patches: channels");
        let (p, [rows, cols]) = (self.patch, [height / self.patch, width / self.patch]);
        let shape = [batch, rows * cols, self.width()];
        let mut out = tape.device().empty(&shape, DType::F32);
        let pixels = pixels.as_slice::<f32>();
        // Each line of a patch is `p` neighbours of the image.
        let lines = out.as_mut_slice::<f32>().chunks_exact_mut(p).enumerate();
        for (i, line) in lines {
            let (y, i) = (i % p, i / p);
            let (channel, i) = (i % n_channels, i / n_channels);
            let (patch, image) = (i % (rows * cols), i / (rows * cols));
            let row = (image * n_channels + channel) * height + patch / cols * p + y;
            line.copy_from_slice(&pixels[row * width + patch % cols * p..][..p]);
        }
        out
    }

    /// Which rows of the table of positions the tokens of an image add: itself where the image is
    /// as those of training, else sixteen around its place.
    fn taps(&self, [height, width]: [usize; 2]) -> Arc<[(u32, f32)]> {
        let (side, [rows, cols]) = (self.side(), [height / self.patch, width / self.patch]);
        let first = u32::from(self.class);
        if [rows, cols] == [side, side] {
            return (0..first + (side * side) as u32).map(|row| (row, 1.0)).collect();
        }
        // That of the class token stands for itself, fifteen times in vain.
        let class = (0..16 * first).map(|i| (0, if i == 0 { 1.0 } else { 0.0 }));
        let points = |n: usize| (0..n).map(|i| cubic(i, n, side)).collect::<Vec<_>>();
        let (down, across) = (points(rows), points(cols));
        let places = down.iter().flat_map(|y| across.iter().map(move |x| (*y, *x)));
        let place = |(y, x): (Taps, Taps)| {
            y.into_iter().flat_map(move |(row, a)| {
                x.into_iter().map(move |(col, b)| (first + (row * side + col) as u32, a * b))
            })
        };
        class.chain(places.flat_map(place)).collect()
    }
}

/// Four points along a side, and their weights.
type Taps = [(usize, f32); 4];

/// The four of `from` points around point `i` of `to`, and their weights, as PyTorch has them.
/// Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 29(6), 1981,
/// eq. 15 with a = -3/4.
fn cubic(i: usize, to: usize, from: usize) -> Taps {
    const A: f32 = -0.75;
    let at = (i as f32 + 0.5) * (from as f32 / to as f32) - 0.5;
    let (floor, t) = (at.floor(), at - at.floor());
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    let point = |j: usize| (floor as i64 - 1 + j as i64).clamp(0, from as i64 - 1) as usize;
    std::array::from_fn(|j| (point(j), weights[j]))
}

/// A projection of patches, a class token, positions.
pub struct PatchEmbedding {
    config: PatchConfig,
    project: Linear,
    class: Option<Param>,
    positions: Param,
    norm: Option<Norm>,
    dropout: Dropout,
}

impl PatchEmbedding {
    /// Registers the parameters.
    pub fn new(builder: &mut ParamsBuilder, config: PatchConfig) -> Self {
        let (d, init) = (config.d_model, config.init);
        let n = config.n_positions([config.image; 2]);
        let start = LinearInit { weight: init, bias: Init::Zeros };
        builder.scope("embed", |b| Self {
            config,
            project: Linear::new(b, "patches", [config.width(), d], config.bias, start),
            class: config.class.then(|| b.param("class", &[d], init)),
            positions: b.param("positions", &[n, d], init),
            norm: config.norm.map(|norm| Norm::new(b, "norm", norm)),
            dropout: Dropout::new(b, "output", config.dropout),
        })
    }

    /// `[B, C, H, W]` in f32 to `[B, T, D]` in f32.
    ///
    /// # Panics
    /// When the channels are others, or an image is smaller than a patch.
    pub fn forward(&self, tape: &Tape, pixels: &Tensor, call: &Call) -> Var {
        let taps = self.config.taps([pixels.shape()[2], pixels.shape()[3]]);
        tape.scope("embed", None, || {
            let patches = Var::constant(self.config.unfold(tape, pixels));
            let x = self.project.apply(tape, &patches, self.project.args(DType::F32), Some(call));
            let (class, table) = (self.class.as_ref(), &self.positions);
            let mut x = tape.patches(&x, &PatchArgs { class, table, taps: &taps });
            if let Some(norm) = &self.norm {
                x = norm.forward(tape, &x, DType::F32);
            }
            self.dropout.forward(tape, x, call)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::{Device, Isa, Precision};

    const CONFIG: PatchConfig = PatchConfig {
        n_channels: 2,
        image: 4,
        patch: 2,
        class: true,
        bias: false,
        d_model: 3,
        norm: None,
        init: Init::Zeros,
        dropout: 0.0,
    };

    #[test]
    fn a_patch_is_its_channels_line_by_line() {
        let device = Device::cpu(Isa::detect());
        let params = ParamsBuilder::default().build(0);
        let tape = Tape::new(&device, &params, Precision::F32);
        // One column is left over.
        let pixels: Vec<f32> = (0..2 * 2 * 5).map(|i| i as f32).collect();
        let out = CONFIG.unfold(&tape, &device.tensor(&[1, 2, 2, 5], &pixels));
        assert_eq!(out.shape(), [1, 2, 8]);
        let expected = [0, 1, 5, 6, 10, 11, 15, 16, 2, 3, 7, 8, 12, 13, 17, 18];
        assert_eq!(out.to_vec(), expected.map(|i: i32| i as f32));
    }

    #[test]
    fn weights_of_a_place_sum_to_one() {
        assert_eq!(&*CONFIG.taps([4, 5]), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]);
        let taps = CONFIG.taps([6, 10]);
        assert_eq!(taps.len(), 16 * (1 + 3 * 5));
        for (i, taps) in taps.chunks(16).enumerate() {
            let sum: f32 = taps.iter().map(|(_, w)| w).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{i}: {taps:?}");
        }
        assert_eq!(cubic(0, 2, 2).map(|(_, w)| w), [0.0, 1.0, 0.0, 0.0]);
    }
}
