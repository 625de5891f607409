//! `AdamW`: Adam with decoupled weight decay, one pass over the arenas.
//!
//! ```text
//! g = grad_scale * gradient
//! m = beta1 m + (1 - beta1) g,    v = beta2 v + (1 - beta2) g^2
//! w = w - lr (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w)
//! ```
//!
//! Loshchilov, Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, alg. 2;
//! Kingma, Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, alg. 1.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::Isa;
use crate::cut::PIECE;
use crate::simd::{Block, Simd, for_blocks, simd_fn};
use rayon::prelude::*;

/// Hyperparameters of one step of one group of parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The step's learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Times the learning rate, the part of a weight that is taken off at every step.
    pub weight_decay: f32,
    /// Multiplies the gradient: one over the number of targets, times the clipping factor.
    pub grad_scale: f32,
    /// The step, counted from 1.
    pub step: u64,
}

/// The equations with their constants gathered.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    pub beta1: f32,
    pub new1: f32,
    pub beta2: f32,
    pub new2: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root: f32,
    /// `lr / (1 - beta1^t)`.
    pub rate: f32,
    /// `1 - lr * weight_decay`.
    pub keep: f32,
    pub eps: f32,
    pub grad_scale: f32,
}

impl AdamW {
    /// In f64: powers of a beta near one, and one minus them, lose digits in f32.
    fn constants(&self) -> Constants {
        assert!(self.step >= 1, "adamw: the step counts from 1");
        let [lr, beta1, beta2] = [self.lr, self.beta1, self.beta2].map(f64::from);
        let power = |beta: f64| beta.powf(self.step as f64);
        Constants {
            beta1: self.beta1,
            new1: (1.0 - beta1) as f32,
            beta2: self.beta2,
            new2: (1.0 - beta2) as f32,
            root: (1.0 - power(beta2)).sqrt().recip() as f32,
            rate: (lr / (1.0 - power(beta1))) as f32,
            keep: (1.0 - lr * f64::from(self.weight_decay)) as f32,
            eps: self.eps,
            grad_scale: self.grad_scale,
        }
    }
}

/// One update in place: of the weights `w` and the moments `m` and `v`, from the gradient `g`.
///
/// Shapes: all four are of one length, a number a weight.
///
/// # Panics
/// When lengths disagree or the step is 0.
pub fn step(isa: Isa, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], adamw: AdamW) {
    assert_eq!(w.len(), g.len(), "adamw: gradient");
    assert_eq!((w.len(), w.len()), (m.len(), v.len()), "adamw: moments");
    let constants = adamw.constants();
    let weights = w.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE));
    let moments = m.par_chunks_mut(PIECE).zip(v.par_chunks_mut(PIECE));
    weights.zip(moments).for_each(|((w, g), (m, v))| step_piece(isa, w, g, m, v, constants));
}

simd_fn! {
    fn step_piece(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], c: Constants)
        = step_body;
}

#[inline(always)]
fn step_body<S: Simd>(s: S, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], c: Constants) {
    let [beta1, new1, beta2, new2] = [c.beta1, c.new1, c.beta2, c.new2].map(|c| s.splat(c));
    let [root, rate, keep, eps] = [c.root, c.rate, c.keep, c.eps].map(|c| s.splat(c));
    let grad_scale = s.splat(c.grad_scale);
    for_blocks!(w.len(), |at| {
        let g = s.mul(at.load(s, g), grad_scale);
        let m_new = s.fma(beta1, at.load(s, m), s.mul(new1, g));
        let v_new = s.fma(beta2, at.load(s, v), s.mul(s.mul(new2, g), g));
        let deviation = s.fma(s.sqrt(v_new), root, eps);
        let update = s.div(s.mul(rate, m_new), deviation);
        at.store(s, w, s.sub(s.mul(keep, at.load(s, w)), update));
        at.store(s, m, m_new);
        at.store(s, v, v_new);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::adamw as reference;
    use crate::reference::cast::widen;
    use testing::{EDGE_SIZES, Numbers, Tolerance, assert_close, same_for_any_threads};

    const RULE: AdamW = AdamW {
        lr: 3e-4,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        grad_scale: 0.25,
        step: 1,
    };

    fn case(isa: Isa, n: usize) {
        let mut numbers = Numbers::new(n as u64);
        let mut w = numbers.normal(n);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let (mut w64, mut m64, mut v64) = (widen(&w), widen(&m), widen(&v));
        for t in 1..=5 {
            let (g, rule) = (numbers.normal(n), AdamW { step: t, ..RULE });
            step(isa, &mut w, &g, &mut m, &mut v, rule);
            reference::step(&mut w64, &widen(&g), &mut m64, &mut v64, rule);
        }
        let what = format!("{isa} {n}");
        assert_close(&what, &w, &w64, Tolerance::both(1e-6));
        assert_close(&what, &m, &m64, Tolerance::both(1e-6));
        assert_close(&what, &v, &v64, Tolerance::both(1e-6));
    }

    #[test]
    fn equals_the_reference() {
        for isa in Isa::supported() {
            for n in EDGE_SIZES {
                case(isa, n);
            }
        }
    }

    #[test]
    fn the_first_step_is_the_learning_rate_long() {
        for isa in Isa::supported() {
            for g in [1e-3_f32, -7.0, 1e9] {
                let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
                let rule = AdamW { weight_decay: 0.0, lr: 0.01, ..RULE };
                step(isa, &mut w, &[g], &mut m, &mut v, rule);
                assert!((1.0 - w[0] - 0.01 * g.signum()).abs() < 1e-6, "{isa} {g}: {}", w[0]);
            }
        }
    }

    #[test]
    fn no_gradient_leaves_decay_alone() {
        let (mut w, mut m, mut v) = ([2.0_f32], [0.0], [0.0]);
        step(Isa::detect(), &mut w, &[0.0], &mut m, &mut v, RULE);
        assert_eq!((w, m, v), ([2.0 * (1.0 - 3e-4 * 0.1)], [0.0], [0.0]));
    }

    #[test]
    fn late_steps_have_no_correction_left() {
        let constants = AdamW { step: 1_000_000, ..RULE }.constants();
        assert_eq!((constants.root, constants.rate), (1.0, RULE.lr));
    }

    #[test]
    fn nan_goes_through_to_its_own_weight() {
        for isa in Isa::supported() {
            let (mut w, mut m, mut v) = ([1.0; 3], [0.0; 3], [0.0; 3]);
            step(isa, &mut w, &[1.0, f32::NAN, 1.0], &mut m, &mut v, RULE);
            assert!(w[0].is_finite() && w[1].is_nan() && w[2].is_finite(), "{isa}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let x = Numbers::new(1).normal(100_003);
        same_for_any_threads(|| {
            let (mut w, mut m, mut v) = (x.clone(), x.clone(), vec![0.5; x.len()]);
            step(Isa::detect(), &mut w, &x, &mut m, &mut v, RULE);
            (w, m, v)
        });
    }
}
