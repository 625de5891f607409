//! Log-mel spectra.
//!
//! ```text
//! m[t, c] = log10(max(sum over f of w[f, c] |X[t, f]|^2, 1e-10))
//! y = (max(m, max over m - 8) + 4) / 4
//! ```
//!
//! X is the Fourier transform of frames of 25 ms, 10 ms apart, under Hann's window; w are triangles
//! of equal area, evenly spaced on Slaney's mel scale ("Auditory Toolbox", Interval Research
//! Technical Report 1998-010). Radford et al., "Robust Speech Recognition via Large-Scale Weak
//! Supervision", arXiv:2212.04356, section 2.2.

use std::sync::Arc;

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples of a transform.
const N_FFT: usize = 400;
/// Bins of one.
const N_BINS: usize = N_FFT / 2 + 1;

/// Makes spectra as Whisper reads them.
pub struct LogMel {
    /// Hann's.
    window: Vec<f64>,
    /// `[C, F]`.
    filters: Vec<f64>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl LogMel {
    /// Samples a second.
    pub const RATE: u32 = 16_000;
    /// Samples from one frame to the next.
    pub const HOP: usize = 160;

    /// With so many channels, from 0 to 8 000 Hz.
    pub fn new(n_channels: usize) -> Self {
        let at = |i: usize| std::f64::consts::TAU * i as f64 / N_FFT as f64;
        Self {
            window: (0..N_FFT).map(|i| 0.5 - 0.5 * at(i).cos()).collect(),
            filters: filters(n_channels),
            fft: RealFftPlanner::new().plan_fft_forward(N_FFT),
        }
    }

    /// The first `n_frames` frames `[S, C]` of a sound at [`Self::RATE`] that silence follows; the
    /// sound is mirrored before its beginning.
    ///
    /// # Panics
    /// When there are no frames.
    pub fn spectrum(&self, samples: &[f32], n_frames: usize) -> Vec<f32> {
        assert!(n_frames > 0, "spectrum: no frames");
        let n_channels = self.filters.len() / N_BINS;
        let mut out = vec![0.0; n_frames * n_channels];
        let buffers = || (self.fft.make_input_vec(), self.fft.make_output_vec());
        out.par_chunks_exact_mut(n_channels).enumerate().for_each_init(
            buffers,
            |(frame, bins), (t, row)| {
                let first = (t * Self::HOP) as isize - (N_FFT / 2) as isize;
                for (i, x) in frame.iter_mut().enumerate() {
                    let sample = samples.get((first + i as isize).unsigned_abs());
                    *x = self.window[i] * f64::from(sample.copied().unwrap_or(0.0));
                }
                self.fft.process(frame, bins).expect("buffers of its own making");
                for (filter, y) in self.filters.chunks_exact(N_BINS).zip(row) {
                    let power: f64 = filter.iter().zip(&*bins).map(|(w, x)| w * x.norm_sqr()).sum();
                    *y = power.max(1e-10).log10() as f32;
                }
            },
        );
        let max = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for y in &mut out {
            *y = (y.max(max - 8.0) + 4.0) / 4.0;
        }
        out
    }
}

/// Triangles `[C, F]` between points evenly spaced in mel.
fn filters(n_channels: usize) -> Vec<f64> {
    let max_hertz = f64::from(LogMel::RATE) / 2.0;
    let step = to_mel(max_hertz) / (n_channels + 1) as f64;
    let points: Vec<f64> = (0..n_channels + 2).map(|i| to_hertz(step * i as f64)).collect();
    let weight = |corner: &[f64], bin: usize| {
        let hertz = max_hertz * bin as f64 / (N_BINS - 1) as f64;
        let rise = (hertz - corner[0]) / (corner[1] - corner[0]);
        let fall = (corner[2] - hertz) / (corner[2] - corner[1]);
        rise.min(fall).max(0.0) * 2.0 / (corner[2] - corner[0])
    };
    points.windows(3).flat_map(|corner| (0..N_BINS).map(|bin| weight(corner, bin))).collect()
}

/// Linear below 1 000 Hz, a step of a 27th of log 6.4 above.
fn to_mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() / log_step() }
}

fn to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * log_step()).exp() }
}

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}
