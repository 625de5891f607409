//! The pass of a model that sees images.

use ::checkpoint::{CheckpointError, Weights};
use models::Stack;
use nn::{Context, PatchConfig};
use tensor::{Capture, Tape, Tensor};

use super::{Output, as_is, heads, refuse_beyond_memory};
use crate::cli::Forward;
use crate::commands::load::Loaded;
use crate::environment::Env;
use crate::estimate::forward_bytes;
use crate::failure::Failure;

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
    pub fn read(weights: &Weights, patches: PatchConfig) -> Result<Self, Failure> {
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
pub fn forward(
    (stack, patches): (&Stack, PatchConfig),
    weights: &Weights,
    loaded: &Loaded,
    (args, env): (&Forward, &Env),
) -> Result<Vec<Output>, Failure> {
    let pixels = Pixels::read(weights, patches)?;
    super::warn_of_others(weights, &[PIXELS], (args, env));
    let (trunk, shape) = (&stack.config().trunk, [pixels.shape[0], pixels.n_positions]);
    let wanted = (args.hidden_states, args.attentions);
    refuse_beyond_memory(forward_bytes(stack, loaded.precision, shape, trunk.d_model, wanted))?;
    let wanted = [("hidden", args.hidden_states), ("attentions", args.attentions)];
    let capture = Capture::new(wanted.iter().filter(|(_, is)| *is).map(|(name, _)| *name));
    let device = env.device();
    let tape = Tape::new(&device, &loaded.model.params, loaded.precision).with_capture(&capture);
    let mut ctx = Context::plain(shape[0], shape[1]);
    let hidden = stack.see(&tape, &pixels.tensor(&tape), &mut ctx);
    let mut outputs = heads(stack, &tape, &hidden);
    drop(tape);
    let found = capture.into_found();
    for i in 0..trunk.n_layers {
        if args.attentions {
            let probabilities = &found[&format!("blocks.{i}.attn.attentions")];
            outputs.push(as_is(format!("attentions.{i}"), probabilities));
        }
        if args.hidden_states {
            let input = &found[&format!("blocks.{i}.hidden")];
            outputs.push(as_is(format!("hidden_states.{i}"), input));
        }
    }
    if args.hidden_states {
        // The last one is before the last norm, unlike that of models of tokens.
        outputs.push(as_is(format!("hidden_states.{}", trunk.n_layers), &found["hidden"]));
    }
    Ok(outputs)
}
