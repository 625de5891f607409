//! Yes or no, and the cross entropy of it.
//!
//! ```text
//! loss[r] = log(1 + e^z[r]) - t[r] z[r],    dz[r] = w (1 / (1 + e^-z[r]) - t[r])
//! ```
//!
//! Shapes: `z` `[R]` or `[.., 1]`, targets `[R]`. Beside the layers before it nothing here is
//! large: it is computed in f64, a row after the other.

use crate::ops::{Loss, NO_TARGET};
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// The summed loss of `logits` in f32 against `targets`: 0, 1 or [`NO_TARGET`]. Its gradient,
    /// times `weight`, is on its way when this returns; the loss that is told is without it.
    ///
    /// # Panics
    /// When the sizes disagree, or a target is none of these.
    #[track_caller]
    pub fn binary_cross_entropy(&self, logits: &Var, targets: &[u32], weight: f32) -> Loss {
        let (z, shape) = (logits.value.as_slice::<f32>(), logits.value.shape());
        assert_eq!(z.len(), targets.len(), "binary_cross_entropy: targets, logits {shape:?}");
        let known = targets.iter().all(|&t| t < 2 || t == NO_TARGET);
        assert!(known, "binary_cross_entropy: a target is neither 0 nor 1");
        let mut d_logits = self.is_recording().then(|| vec![0.0; z.len()]);
        let mut loss = Loss::default();
        let by = f64::from(weight * self.loss_scale());
        for (r, (&z, &t)) in z.iter().zip(targets).enumerate().filter(|(_, (_, t))| **t < 2) {
            let (z, is_one) = (f64::from(z), t == 1);
            // The logarithm of a sum without what would overflow.
            let log_sum = z.max(0.0) + (-z.abs()).exp().ln_1p();
            loss += Loss {
                sum: if is_one { log_sum - z } else { log_sum },
                n_targets: 1,
                n_right: u64::from((z > 0.0) == is_one),
            };
            if let Some(d_logits) = &mut d_logits {
                d_logits[r] = (by * ((1.0 + (-z).exp()).recip() - f64::from(t))) as f32;
            }
        }
        let d_logits = d_logits.map(|dz| self.device().tensor(shape, &dz));
        self.check_objective("binary_cross_entropy", loss.sum, d_logits.as_ref(), None);
        if let Some(d_logits) = d_logits {
            self.seed(logits, d_logits);
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::ops::testing::Fixture;
    use crate::{Grads, NotFinite, Precision};

    const TARGETS: [u32; 5] = [1, 0, NO_TARGET, 1, 0];

    fn run(fixture: &Fixture, z: &[f32], weight: f32, scale: f32) -> (Loss, Vec<f32>) {
        let grads = RefCell::new(Grads::new(&fixture.params));
        let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads)
            .with_loss_scale(scale);
        let x = tape.input(fixture.device.tensor(&[1, z.len(), 1], z));
        let loss = tape.binary_cross_entropy(&x, &TARGETS, weight);
        (loss, tape.gradients(&[x])[0].clone().expect("a gradient").to_vec())
    }

    #[test]
    fn it_is_the_cross_entropy_of_two_classes_of_which_one_scores_zero() {
        let fixture = Fixture::new(&[("w", &[2, 1])], &[]);
        let z = [0.5, -2.0, 7.0, -0.25, 3.0];
        let (loss, dz) = run(&fixture, &z, 1.0, 1.0);
        let (mut sum, mut n_right) = (0.0, 0);
        for ((z, t), dz) in z.into_iter().zip(TARGETS).zip(dz) {
            if t == NO_TARGET {
                assert_eq!(dz, 0.0);
                continue;
            }
            let [no, yes] = [0.0, f64::from(z)].map(|x: f64| x.exp() / (1.0 + f64::from(z).exp()));
            sum -= if t == 1 { yes.ln() } else { no.ln() };
            n_right += u64::from((yes > no) == (t == 1));
            assert!((f64::from(dz) - (yes - f64::from(t))).abs() < 1e-6, "{dz} {yes}");
        }
        assert!((loss.sum - sum).abs() < 1e-12, "{loss:?} {sum}");
        assert_eq!((loss.n_targets, loss.n_right), (4, n_right));
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let alone = Var::constant(fixture.device.tensor(&[5], &z));
        assert_eq!(tape.binary_cross_entropy(&alone, &TARGETS, 3.0), loss);
    }

    #[test]
    fn the_gradient_is_the_slope_times_weight_and_scale() {
        let fixture = Fixture::new(&[("w", &[2, 1])], &[]);
        let z = [0.5, -2.0, 7.0, -0.25, 3.0];
        let (_, dz) = run(&fixture, &z, 50.0, 8.0);
        for (r, dz) in dz.into_iter().enumerate() {
            let at = |h: f32| {
                let mut moved = z;
                moved[r] += h;
                run(&fixture, &moved, 1.0, 1.0).0.sum
            };
            let slope = 400.0 * (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
            assert!((f64::from(dz) - slope).abs() < 0.02, "{r}: {dz} {slope}");
        }
    }

    #[test]
    fn no_score_overflows_and_one_that_is_none_is_named() {
        let fixture = Fixture::new(&[("w", &[2, 1])], &[]);
        let large = [f32::MAX, f32::MIN, f32::NAN, 200.0, -200.0];
        let (loss, dz) = run(&fixture, &large, 1.0, 1.0);
        assert!(loss.sum < 1e-80 && loss.n_right == 4, "{loss:?}");
        assert_eq!(dz, [0.0; 5]);
        let (grads, found) = (RefCell::new(Grads::new(&fixture.params)), Cell::new(None));
        let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads)
            .with_checks(&found);
        let x = tape.input(fixture.device.tensor(&[5], &[f32::NAN; 5]));
        tape.scope("head", None, || tape.binary_cross_entropy(&x, &TARGETS, 1.0));
        let (op, path) = ("binary_cross_entropy", "head".to_owned());
        assert_eq!(found.take(), Some(NotFinite { op, path, backward: false }));
    }
}
