//! The spectrum of a sound, as a pass reads it.

use checkpoint::Weights;
use nn::{AudioConfig, AudioStem};

use crate::failure::Failure;

/// What `transformers` calls it.
pub const FRAMES: &str = "input_features";

/// Frames of a spectrum.
pub struct Frames {
    /// `[B, S, C]`'s sizes.
    pub shape: [usize; 3],
    /// Frame by frame.
    pub values: Vec<f32>,
}

impl Frames {
    /// Reads `[B, C, S]`.
    ///
    /// # Errors
    /// Where there is none, or it is of another shape than the model takes.
    pub fn read(weights: &Weights, audio: &AudioConfig) -> Result<Self, Failure> {
        let found = weights.get(FRAMES)?.shape;
        let n_channels = audio.n_channels;
        let shape = match *found {
            [batch, n, len] if n == n_channels && batch > 0 && len > 0 => [batch, len, n],
            _ => {
                let expected = format!("expected [B, {n_channels}, S]");
                let problem = format!("`{FRAMES}` has shape {found:?}, {expected}");
                return Err(Failure::new(problem));
            }
        };
        let [_, len, _] = shape;
        if AudioStem::n_positions(len) > audio.max_len {
            let known = 2 * audio.max_len;
            let problem = format!("`{FRAMES}` has {len} frames, the model knows {known}");
            return Err(Failure::new(problem).hint("cut the sound"));
        }
        let by_channel = weights.to_f32(FRAMES)?;
        let mut values = vec![0.0; by_channel.len()];
        let rows = by_channel.chunks_exact(n_channels * len);
        for (from, to) in rows.zip(values.chunks_exact_mut(n_channels * len)) {
            for (i, value) in from.iter().enumerate() {
                to[i % len * n_channels + i / len] = *value;
            }
        }
        Ok(Self { shape, values })
    }
}
