//! A running mean of the weights.

use rayon::prelude::*;
use tensor::{Arena, Params};

/// Exponential moving average of all weights that learn, of the same layout.
///
/// ```text
/// mean = d mean + (1 - d) w,    d = min(decay, (1 + n) / (10 + n))
/// ```
///
/// n counts updates, from 1: without it, the mean of a short run would be where it began. Polyak,
/// Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; the ramp is that of
/// `TensorFlow`'s `ExponentialMovingAverage`.
pub struct Average {
    decay: f32,
    mean: Arena,
}

impl Average {
    /// Of weights as they are now.
    pub fn new(params: &Params, decay: f32) -> Self {
        let mut mean = Arena::zeros(params.values().len());
        mean.as_mut_slice().copy_from_slice(params.values());
        Self { decay, mean }
    }

    /// Takes what an update made of the weights; `update` counts from 1.
    pub fn update(&mut self, params: &Params, update: u64) {
        let n = update as f64;
        let d = f64::from(self.decay).min((1.0 + n) / (10.0 + n));
        let share = (1.0 - d) as f32;
        let mean = self.mean.as_mut_slice().par_chunks_mut(1 << 16);
        mean.zip(params.values().par_chunks(1 << 16)).for_each(|(mean, values)| {
            for (mean, value) in mean.iter_mut().zip(values) {
                *mean += share * (value - *mean);
            }
        });
    }

    /// Puts the mean in the place of the weights, and keeps these instead: twice is once back.
    pub fn swap(&mut self, params: &mut Params) {
        self.mean.as_mut_slice().swap_with_slice(params.values_mut());
    }

    /// The mean; after [`Average::swap`], the weights.
    pub fn values(&self) -> &[f32] {
        self.mean.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use tensor::{Init, ParamsBuilder};

    use super::*;

    #[test]
    fn the_mean_follows_the_weights_and_comes_and_goes() {
        let mut builder = ParamsBuilder::default();
        let param = builder.param("w", &[3], Init::Ones);
        let mut params = builder.build(0);
        let mut average = Average::new(&params, 0.5);
        params.get_mut(&param).copy_from_slice(&[3.0, 1.0, -7.0]);
        // The first d is 2 / 11, the second 3 / 12, the tenth and later 0.5.
        average.update(&params, 1);
        let first = 1.0 + 2.0 * (1.0 - 2.0 / 11.0);
        assert!((average.values()[0] - first).abs() < 1e-6, "{:?}", average.values());
        average.update(&params, 10);
        assert!((average.values()[0] - f32::midpoint(first, 3.0)).abs() < 1e-6);
        let mean = average.values()[..3].to_vec();
        average.swap(&mut params);
        assert_eq!(params.get(&param), mean);
        assert_eq!(average.values()[..3], [3.0, 1.0, -7.0]);
        average.swap(&mut params);
        assert_eq!(params.get(&param), [3.0, 1.0, -7.0]);
    }
}
