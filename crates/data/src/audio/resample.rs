//! From one rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler, WindowFunction};

/// Frames of a transform, at least.
const CHUNK: usize = 1024;

/// A sound that becomes the same at another rate as it comes: band-limited, and as long. No more
/// than a chunk of it is held at the rate it has.
pub(super) struct Resampling {
    /// None where the rates are equal.
    fft: Option<Fft<f32>>,
    /// What does not fill a chunk yet.
    pending: Vec<f32>,
    output: Vec<f32>,
    n_taken: u64,
}

impl Resampling {
    pub(super) fn new(from: u32, to: u32) -> Self {
        // An even number of the shortest stretches that are whole frames at both rates: the
        // filter's delay is half of it.
        let shortest = (from / gcd(from, to)) as usize;
        let chunk = shortest * (CHUNK / 2).div_ceil(shortest) * 2;
        let window = WindowFunction::BlackmanHarris2;
        let (n_from, n_to) = (from as usize, to as usize);
        let fft = || Fft::new_custom(n_from, n_to, chunk, 1, 1, window, FixedSync::Input);
        let fft = (from != to).then(|| fft().expect("two rates"));
        Self { fft, pending: vec![], output: vec![], n_taken: 0 }
    }

    /// Samples taken so far.
    pub(super) fn n_taken(&self) -> u64 {
        self.n_taken
    }

    pub(super) fn take(&mut self, samples: impl IntoIterator<Item = f32>) {
        let Some(fft) = &mut self.fft else {
            let before = self.output.len();
            self.output.extend(samples);
            self.n_taken += (self.output.len() - before) as u64;
            return;
        };
        for sample in samples {
            self.pending.push(sample);
            self.n_taken += 1;
            if self.pending.len() == fft.input_frames_next() {
                chunk(fft, &self.pending, &mut self.output);
                self.pending.clear();
            }
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Vec<f32> {
        let Some(fft) = &mut self.fft else { return self.output };
        let n = (fft.resample_ratio() * self.n_taken as f64).ceil() as usize;
        let delay = fft.output_delay();
        while self.output.len() < delay + n {
            self.pending.resize(fft.input_frames_next(), 0.0);
            chunk(fft, &self.pending, &mut self.output);
            self.pending.clear();
        }
        self.output.truncate(delay + n);
        self.output.drain(..delay);
        self.output
    }
}

/// Appends what becomes of a chunk.
fn chunk(fft: &mut Fft<f32>, input: &[f32], output: &mut Vec<f32>) {
    let (before, room) = (output.len(), fft.output_frames_next());
    output.resize(before + room, 0.0);
    let source = InterleavedSlice::new(input, 1, input.len()).expect("one channel of a chunk");
    let made = &mut output[before..];
    let mut made = InterleavedSlice::new_mut(made, 1, room).expect("one channel of its output");
    let done = fft.process_into_buffer(&source, &mut made, None::<&Indexing>);
    let (_, n) = done.expect("buffers made to fit");
    output.truncate(before + n);
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces, as packets come.
    fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
        let mut resampling = Resampling::new(from, to);
        samples.chunks(1_000).for_each(|piece| resampling.take(piece.iter().copied()));
        resampling.finish()
    }

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<f32> {
        let n = (f64::from(rate) * seconds) as usize;
        let at = |i: usize| std::f64::consts::TAU * hertz * i as f64 / f64::from(rate);
        (0..n).map(|i| 0.5 * at(i).sin() as f32).collect()
    }

    #[test]
    fn a_tone_stays_the_tone_at_any_rate() {
        for from in [8_000, 11_025, 22_050, 44_100, 48_000, 44_101] {
            let found = resample(&tone(from, 440.0, 0.5), from, 16_000);
            let expected = tone(16_000, 440.0, 0.5);
            assert!(found.len().abs_diff(expected.len()) <= 1, "{from}: {}", found.len());
            // The ends ring: there the tone begins and stops.
            let inner = 800..expected.len() - 800;
            let worst = found[inner.clone()]
                .iter()
                .zip(&expected[inner])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 2e-3, "{from}: {worst}");
        }
    }

    #[test]
    fn what_the_new_rate_cannot_hold_is_gone() {
        let found = resample(&tone(48_000, 11_000.0, 0.5), 48_000, 16_000);
        let loudest = found[800..7_000].iter().copied().map(f32::abs).fold(0.0, f32::max);
        assert!(loudest < 5e-3, "{loudest}");
    }
    #[test]
    fn a_high_rate_is_never_held_whole() {
        let mut resampling = Resampling::new(384_000, 16_000);
        for _ in 0..1_000 {
            resampling.take([0.5; 1_000]);
        }
        let held = resampling.pending.capacity() + resampling.output.capacity();
        assert!(held < 150_000, "{held} of 1 000 000");
        assert_eq!(resampling.finish().len(), 41_667);
    }
}
