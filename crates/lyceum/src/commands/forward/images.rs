//! The pass of a model that sees images.

use ::checkpoint::{CheckpointError, Weights};
use models::Stack;
use nn::{Context, Input, PatchConfig, Pool};
use tensor::{Tape, Tensor};

use super::outputs::{Layers, Output, as_is, capture, heads};
use super::{Pass, refuse_beyond_memory};
use crate::failure::Failure;
use recipe::estimate::forward_bytes;

/// What models of images read, as `transformers` calls it.
pub const PIXELS: &str = "pixel_values";

/// Images as they were given.
pub struct Pixels {
    /// `[B, C, H, W]`'s sizes.
    pub shape: [usize; 4],
    values: Vec<f32>,
    /// Positions of one image.
    pub n_positions: usize,
}

impl Pixels {
    /// Reads what a model that cuts images like that takes.
    ///
    /// # Errors
    /// Where they are missing, of another type or shape, or smaller than a patch.
    pub fn read(weights: &Weights, patches: &PatchConfig) -> Result<Self, Failure> {
        let view = weights.get(PIXELS).map_err(|error| match error {
            CheckpointError::MissingTensor { .. } => {
                Failure::from(error).hint(format!("this model reads `{PIXELS}` [B, C, H, W]"))
            }
            _ => error.into(),
        })?;
        let problem = |what: String| Failure::new(format!("`{PIXELS}` has shape {what}"));
        let &[batch, n_channels, height, width] = view.shape else {
            return Err(problem(format!("{:?}, expected [B, C, H, W]", view.shape)));
        };
        let shape = [batch, n_channels, height, width];
        if n_channels != patches.n_channels {
            let known = patches.n_channels;
            return Err(problem(format!("{shape:?}: the model knows {known} channels")));
        }
        if batch == 0 || height.min(width) < patches.patch {
            let side = patches.patch;
            return Err(problem(format!("{shape:?}: there is no patch of {side} x {side} in it")));
        }
        let n_positions = patches.n_positions([height, width]);
        Ok(Self { shape, values: weights.to_f32(PIXELS)?, n_positions })
    }

    /// On a device.
    pub fn tensor(&self, tape: &Tape) -> Tensor {
        tape.device().tensor(&self.shape, &self.values)
    }
}

/// Runs the stack over the images.
///
/// # Errors
/// Where they are refused, or would take more memory than there is.
pub fn forward(stack: &Stack, patches: &PatchConfig, pass: &Pass) -> Result<Vec<Output>, Failure> {
    let (loaded, trunk) = (pass.loaded, &stack.config().trunk);
    let pixels = Pixels::read(pass.weights, patches)?;
    pass.warn_of_others(&[PIXELS]);
    let shape = [pixels.shape[0], pixels.n_positions];
    let needed = forward_bytes(stack, loaded.precision, shape, trunk.d_model, pass.wanted());
    refuse_beyond_memory(needed)?;
    let (device, capture) = (pass.env.device(), capture(pass.wanted()));
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let mut ctx = Context::plain(shape[0], shape[1]);
    let hidden = stack.read(&tape, Input::Pixels(&pixels.tensor(&tape)), &mut ctx);
    let rows = Pool::First.rows(None, shape);
    let mut outputs = heads(stack, &tape, &hidden, (&rows, 1));
    drop(tape);
    let found = capture.into_found();
    let layers = Layers { found: &found, path: "", n: trunk.n_layers };
    let (hidden_states, attentions) = pass.wanted();
    if hidden_states {
        // The last one is before the last norm, unlike that of models of tokens.
        outputs.extend(layers.hidden_states("hidden_states", &found["hidden"], as_is));
    }
    if attentions {
        outputs.extend(layers.attentions("attentions", "attn"));
    }
    Ok(outputs)
}
