//! From one rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Frames of a transform, at least.
const CHUNK: usize = 1024;

/// The same sound at another rate: band-limited, and as long.
pub(super) fn resample(samples: Vec<f32>, from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return samples;
    }
    let n = samples.len();
    let input = InterleavedSlice::new(&samples, 1, n).expect("one channel of so many frames");
    // An even number of the shortest stretches that are whole frames at both rates: the filter's
    // delay is half of it.
    let shortest = (from / gcd(from, to)) as usize;
    let chunk = shortest * (CHUNK / 2).div_ceil(shortest) * 2;
    let window = WindowFunction::BlackmanHarris2;
    let (from, to) = (from as usize, to as usize);
    let mut resampler =
        Fft::<f32>::new_custom(from, to, chunk, 1, 1, window, FixedSync::Input).expect("two rates");
    let output = resampler.process_all(&input, n, None).expect("buffers made to fit");
    output.take_data()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<f32> {
        let n = (f64::from(rate) * seconds) as usize;
        let at = |i: usize| std::f64::consts::TAU * hertz * i as f64 / f64::from(rate);
        (0..n).map(|i| 0.5 * at(i).sin() as f32).collect()
    }

    #[test]
    fn a_tone_stays_the_tone_at_any_rate() {
        for from in [8_000, 11_025, 22_050, 44_100, 48_000, 44_101] {
            let found = resample(tone(from, 440.0, 0.5), from, 16_000);
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
        let found = resample(tone(48_000, 11_000.0, 0.5), 48_000, 16_000);
        let loudest = found[800..7_000].iter().copied().map(f32::abs).fold(0.0, f32::max);
        assert!(loudest < 5e-3, "{loudest}");
    }
}
