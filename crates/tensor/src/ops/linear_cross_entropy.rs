//! The output projection and the cross entropy on it, in chunks of rows: the `[R, V]` logits never
//! exist whole.
//!
//! ```text
//! z = h W^T + b,    loss[r] = logsumexp(z[r]) - sum over v of t[r, v] z[r, v]
//! dz = w[r] (softmax(z[r]) - t[r]),    dh = dz W,    dW += dz^T h
//! db += sum over r of dz[r]
//! ```
//!
//! `t` is one at the target (smoothed: `1 - s` there and `s / V` everywhere). While the tape
//! records, a chunk's gradients are formed as soon as its logits are, so that backward only hands
//! `dh` on.
//!
//! Shapes: `h` `[.., D]`, `W` `[V, D]`, `b` `[V]`, targets and row weights `[R]`. Label smoothing:
//! Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567, section 7.

use std::ops::{AddAssign, Range};

use kernels::cross_entropy;
/// A target that is not counted.
pub use kernels::cross_entropy::IGNORED as NO_TARGET;
pub use kernels::cross_entropy::RowLoss;
use kernels::gemm::{Epilogue, Mat, MatMut, PackedB, Write, gemm, gemm_packed, pack_b};
use kernels::reduce;

use crate::dtype::{DType, by_dtypes};
use crate::frozen::{Values, by_values};
use crate::params::Param;
use crate::tape::{Tape, Var};
use crate::value::Tensor;

/// A loss as it must be added up: over micro-batches, over ranks, over documents.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum over the counted targets, in nats.
    pub sum: f64,
    /// How many targets were counted.
    pub n_targets: u64,
    /// How many of them no other class had a higher score than.
    pub n_right: u64,
}

impl Loss {
    /// The share of targets that have the highest score; `None` when nothing was counted.
    pub fn accuracy(self) -> Option<f64> {
        (self.n_targets > 0).then(|| self.n_right as f64 / self.n_targets as f64)
    }

    /// Nats a target; `None` when nothing was counted.
    pub fn mean(self) -> Option<f64> {
        (self.n_targets > 0).then(|| self.sum / self.n_targets as f64)
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.n_targets += other.n_targets;
        self.n_right += other.n_right;
    }
}

/// Is shown which rows' logits were formed, and these, `[n, V]`.
pub type LogitsWatch<'v> = dyn Fn(Range<usize>, &[f32]) + 'v;

/// What a cross entropy needs beside its input.
#[derive(Clone, Copy)]
pub struct CrossEntropyArgs<'v> {
    /// `[V, D]`: the output projection, often tied to the embedding.
    pub weight: &'v Param,
    /// `[V]`, added to the logits.
    pub bias: Option<&'v Param>,
    /// `[R]`, the class of each row or [`NO_TARGET`].
    pub targets: &'v [u32],
    /// `[R]`, what a row's loss is multiplied with; none is one everywhere. A row of weight zero
    /// has no loss, whatever its logits are, but is one of [`Loss::n_targets`].
    pub row_weights: Option<&'v [f32]>,
    /// Label smoothing, in `[0, 1)`.
    pub smoothing: f32,
    /// Is shown the logits: each row once, in order.
    pub watch: Option<&'v LogitsWatch<'v>>,
}

impl<'v> CrossEntropyArgs<'v> {
    /// The plain loss over a projection without bias.
    pub fn new(weight: &'v Param, targets: &'v [u32]) -> Self {
        Self { weight, bias: None, targets, row_weights: None, smoothing: 0.0, watch: None }
    }

    /// Whether weight or bias learn.
    fn trains(&self) -> bool {
        self.weight.is_trained() || self.bias.is_some_and(Param::is_trained)
    }

    /// Bytes of f32 logits that exist at a time.
    pub const LOGIT_BYTES: usize = 32 << 20;
    /// Bytes of logit gradients that exist at a time: fewer chunks read and write `dW` less often.
    pub const GRAD_BYTES: usize = 28 << 20;
    /// Rows of `W` that are packed at a time for `dh`: all of them would be as large as `W` in
    /// bf16.
    pub const CLASSES_AT_ONCE: usize = 4096;
}

impl Tape<'_> {
    /// The summed loss of `hidden` against `targets`; gradients are on their way when this returns.
    ///
    /// # Panics
    /// When the shapes disagree or a target is not below `V`.
    #[track_caller]
    pub fn linear_cross_entropy(&self, hidden: &Var, args: CrossEntropyArgs) -> Loss {
        let learns = self.is_recording() && args.trains() || hidden.flows();
        let (losses, d_hidden) = self.row_losses(hidden, args, learns);
        let sum = losses.iter().map(|row| f64::from(row.loss)).sum();
        self.check_objective("linear_cross_entropy", sum, d_hidden.as_ref(), Some(args.weight));
        if let Some(d_hidden) = d_hidden {
            self.seed(hidden, d_hidden);
        }
        let n_targets = args.targets.iter().filter(|&&t| t != NO_TARGET).count() as u64;
        let n_right = losses.iter().filter(|row| row.is_right).count() as u64;
        Loss { sum, n_targets, n_right }
    }

    /// `[R]`: what each row loses, 0 where there is no target; minus that is the logarithm of its
    /// target's probability. Nothing is learned here: a loss that is a function of these is, by
    /// [`Tape::linear_cross_entropy`] over the same `hidden`, where a row's weight is minus the
    /// loss's slope for its log-probability.
    ///
    /// # Panics
    /// When the shapes disagree or a target is not below `V`.
    #[track_caller]
    pub fn linear_losses(&self, hidden: &Var, args: CrossEntropyArgs) -> Vec<RowLoss> {
        let args = CrossEntropyArgs { row_weights: None, smoothing: 0.0, ..args };
        self.row_losses(hidden, args, false).0
    }

    /// The loss of each row, and the gradient of `hidden` where it flows; that of the parameters is
    /// in the arena then. Nothing of it unless it `learns`.
    #[track_caller]
    fn row_losses(
        &self,
        hidden: &Var,
        args: CrossEntropyArgs,
        learns: bool,
    ) -> (Vec<RowLoss>, Option<Tensor>) {
        let (rows, d_model) = hidden.value.rows();
        let &[vocab_size, weight_d] = args.weight.shape() else {
            panic!("linear_cross_entropy: weight {:?}", args.weight.shape())
        };
        assert_eq!(d_model, weight_d, "linear_cross_entropy: hidden {:?}", hidden.value.shape());
        assert_eq!(args.targets.len(), rows, "linear_cross_entropy: targets");
        let v = vocab_size as u32;
        let known = args.targets.iter().all(|&t| t < v || t == NO_TARGET);
        assert!(known, "linear_cross_entropy: a target is not below {vocab_size}");

        let device = self.device();
        let mut packed = device.take_panels();
        by_values!(whole(self, args.weight), w => {
            let weight = Mat::new(w, vocab_size, d_model);
            pack_b(device.isa, self.precision().multiply(), weight.t(), &mut packed);
        });
        let mut chunk = Chunks::new(self, hidden, args, (packed, learns));
        let mut losses = vec![RowLoss::default(); rows];
        let mut d_hidden = (learns && hidden.flows())
            .then(|| device.empty(hidden.value.shape(), hidden.value.dtype()));
        let per_chunk = chunk.grad_rows();
        for start in (0..rows).step_by(per_chunk) {
            let range = start..rows.min(start + per_chunk);
            chunk.logits(range.clone(), &mut losses[range.clone()]);
            if learns {
                chunk.gradients(range, d_hidden.as_mut());
            }
        }
        device.keep_panels(chunk.packed);
        (losses, d_hidden)
    }
}

/// The values of a matrix that lies in one piece.
fn whole<'p>(tape: &Tape<'p>, weight: &Param) -> Values<'p> {
    let mut parts = tape.params().rows(weight);
    let (Some(part), None) = (parts.next(), parts.next()) else {
        panic!("linear_cross_entropy: a weight in parts")
    };
    part.values
}

/// The buffers that one chunk after another uses.
struct Chunks<'t, 'a> {
    tape: &'t Tape<'a>,
    hidden: &'t Var,
    args: CrossEntropyArgs<'t>,
    /// `W^T`, packed once for all chunks.
    packed: PackedB,
    /// What a row's loss and gradient are multiplied with: its weight and the loss scale.
    weights: Option<Vec<f32>>,
    logits: Tensor,
    d_logits: Option<Tensor>,
}

impl<'t, 'a> Chunks<'t, 'a> {
    fn new(
        tape: &'t Tape<'a>,
        hidden: &'t Var,
        args: CrossEntropyArgs<'t>,
        (packed, learns): (PackedB, bool),
    ) -> Self {
        let (rows, _) = hidden.value.rows();
        let vocab_size = args.weight.shape()[0];
        let fits = |bytes: usize, element: usize| {
            // Whole tiles of the matrix kernels, so that no chunk ends in a thin one.
            (bytes / (vocab_size * element).max(1) / 48 * 48).clamp(48, rows.max(48)).min(rows)
        };
        let device = tape.device();
        let dtype = tape.compute();
        let d_logits = learns.then(|| {
            device.empty(&[fits(CrossEntropyArgs::GRAD_BYTES, dtype.bytes()), vocab_size], dtype)
        });
        let logits =
            device.empty(&[fits(CrossEntropyArgs::LOGIT_BYTES, 4), vocab_size], DType::F32);
        let scale = tape.loss_scale();
        let weights = match args.row_weights {
            Some(w) => Some(w.iter().map(|w| w * scale).collect()),
            None => (scale != 1.0).then(|| vec![scale; rows]),
        };
        Self { tape, hidden, args, packed, weights, logits, d_logits }
    }

    fn grad_rows(&self) -> usize {
        self.d_logits.as_ref().unwrap_or(&self.logits).shape()[0].max(1)
    }

    /// Logits and losses of `rows`; their gradient too where the tape records.
    fn logits(&mut self, rows: Range<usize>, losses: &mut [RowLoss]) {
        let isa = self.tape.device().isa;
        let (vocab_size, d_model) = (self.args.weight.shape()[0], self.hidden.value.rows().1);
        let step = self.logits.shape()[0].max(1);
        let smoothing = self.args.smoothing;
        let bias = self.args.bias.map(|bias| self.tape.params().get(bias));
        let (row_weights, scale) = (self.args.row_weights, self.tape.loss_scale());
        by_dtypes!(self.hidden.value.dtype(), X, self.tape.compute(), G => {
            let hidden = self.hidden.value.as_slice::<X>();
            let mut d_logits = self.d_logits.as_mut().map(|d| d.as_mut_slice::<G>());
            for start in rows.clone().step_by(step) {
                let end = rows.end.min(start + step);
                let n = end - start;
                let z = &mut self.logits.as_mut_slice::<f32>()[..n * vocab_size];
                let a = Mat::new(&hidden[start * d_model..end * d_model], n, d_model);
                let c = MatMut::new(&mut *z, n, vocab_size);
                gemm_packed(isa, c, a, &self.packed, Epilogue { bias, ..Epilogue::default() });
                if let Some(watch) = self.args.watch {
                    watch(start..end, &*z);
                }
                let at = start - rows.start;
                let losses = &mut losses[at..at + n];
                let targets = &self.args.targets[start..end];
                match &mut d_logits {
                    Some(d) => {
                        let d = &mut d[at * vocab_size..(at + n) * vocab_size];
                        let w = self.weights.as_ref().map(|w| &w[start..end]);
                        cross_entropy::forward_backward(isa, z, d, targets, w, smoothing, losses);
                        if scale != 1.0 {
                            for row in losses.iter_mut() {
                                row.loss /= scale;
                            }
                        }
                    }
                    None => {
                        let w = row_weights.map(|w| &w[start..end]);
                        cross_entropy::forward(isa, z, targets, w, smoothing, losses);
                    }
                }
            }
        });
    }

    /// `dh` of `rows`, and their share of `dW` and `db`, where they are asked for.
    fn gradients(&mut self, rows: Range<usize>, d_hidden: Option<&mut Tensor>) {
        let (tape, isa) = (self.tape, self.tape.device().isa);
        let multiply = tape.precision().multiply();
        let (vocab_size, d_model) = (self.args.weight.shape()[0], self.hidden.value.rows().1);
        let (n, at) = (rows.len(), rows.start * d_model..rows.end * d_model);
        let d_logits = self.d_logits.as_ref().expect("gradients: the tape records");
        by_dtypes!(self.hidden.value.dtype(), X, tape.compute(), G => {
            let d_logits = &d_logits.as_slice::<G>()[..n * vocab_size];
            if let Some(d_hidden) = d_hidden {
                let mut sum = tape.device().empty(&[n, d_model], DType::F32);
                let sum = sum.as_mut_slice::<f32>();
                by_values!(whole(tape, self.args.weight), w => {
                    for first in (0..vocab_size).step_by(CrossEntropyArgs::CLASSES_AT_ONCE) {
                        let n_classes = CrossEntropyArgs::CLASSES_AT_ONCE.min(vocab_size - first);
                        let write = if first == 0 { Write::Overwrite } else { Write::Add };
                        let w = Mat::new(&w[first * d_model..], n_classes, d_model);
                        let dz = Mat::new(&d_logits[first..], n, n_classes).with_stride(vocab_size);
                        let epilogue = Epilogue { write, ..Epilogue::default() };
                        gemm(isa, multiply, MatMut::new(sum, n, d_model), dz, w, epilogue);
                    }
                });
                kernels::cast::convert(isa, &mut d_hidden.as_mut_slice::<X>()[at.clone()], sum);
            }
            let dz = Mat::new(d_logits, n, vocab_size);
            let Some(mut grads) = tape.grads() else { return };
            if self.args.weight.is_trained() {
                let (dw, write) = grads.slot(self.args.weight);
                let h = Mat::new(&self.hidden.value.as_slice::<X>()[at], n, d_model);
                let epilogue = Epilogue { write, ..Epilogue::default() };
                gemm(isa, multiply, MatMut::new(dw, vocab_size, d_model), dz.t(), h, epilogue);
            }
            if let Some(bias) = self.args.bias.filter(|bias| bias.is_trained()) {
                let (db, write) = grads.slot(bias);
                reduce::column_sum(isa, db, d_logits, write);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::ops::testing::Fixture;
    use crate::{Grads, NotFinite, Precision};

    /// The same by separate steps in f64.
    fn naive(h: &[f32], [w, b]: [&[f32]; 2], targets: &[u32], s: f64) -> (f64, [Vec<f64>; 3]) {
        let (v, d) = (b.len(), w.len() / b.len());
        let (mut loss, mut dh, mut dw) = (0.0, vec![0.0; h.len()], vec![0.0; w.len()]);
        let mut db = vec![0.0; v];
        for (r, &t) in targets.iter().enumerate().filter(|(_, t)| **t != NO_TARGET) {
            let dot = |j: usize| -> f64 {
                (0..d).map(|i| f64::from(h[r * d + i]) * f64::from(w[j * d + i])).sum()
            };
            let z: Vec<f64> = (0..v).map(|j| dot(j) + f64::from(b[j])).collect();
            let lse = z.iter().map(|z| z.exp()).sum::<f64>().ln();
            for j in 0..v {
                let want = s / v as f64 + if j == t as usize { 1.0 - s } else { 0.0 };
                loss += want * (lse - z[j]);
                let dz = (z[j] - lse).exp() - want;
                db[j] += dz;
                for i in 0..d {
                    dh[r * d + i] += dz * f64::from(w[j * d + i]);
                    dw[j * d + i] += dz * f64::from(h[r * d + i]);
                }
            }
        }
        (loss, [dh, dw, db])
    }

    #[test]
    fn row_weights_and_loss_scale_do_what_they_say() {
        let fixture = Fixture::new(&[("w", &[11, 6])], &[&[3, 6]]);
        let weight = &fixture.params.entries()[0].param.clone();
        let weights = [0.5, 0.0, 2.0];
        let run = |row_weights, scale| {
            let grads = RefCell::new(Grads::new(&fixture.params));
            let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads)
                .with_loss_scale(scale);
            let h = tape.input(fixture.inputs[0].clone());
            let plain = CrossEntropyArgs::new(weight, &[3, 10, 0]);
            let args = CrossEntropyArgs { row_weights, ..plain };
            let loss = tape.linear_cross_entropy(&h, args).sum;
            (loss, tape.gradients(&[h])[0].clone().expect("a gradient").to_vec())
        };
        let (plain, weighted, scaled) =
            (run(None, 1.0), run(Some(&weights[..]), 1.0), run(Some(&weights[..]), 8.0));
        for (i, (w, p)) in weighted.1.iter().zip(&plain.1).enumerate() {
            assert!((w - p * weights[i / 6]).abs() < 1e-6);
            assert!((scaled.1[i] - 8.0 * w).abs() < 1e-5);
        }
        assert!((scaled.0 - weighted.0).abs() < 1e-6 && weighted.0 != plain.0);
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let h = Var::constant(fixture.inputs[0].clone());
        let row_weights = Some(&weights[..]);
        let args = CrossEntropyArgs { row_weights, ..CrossEntropyArgs::new(weight, &[3, 10, 0]) };
        assert!((tape.linear_cross_entropy(&h, args).sum - weighted.0).abs() < 1e-5);
    }

    #[test]
    fn a_loss_of_log_probabilities_is_learned_by_weights_of_any_sign() {
        let fixture = Fixture::new(&[("w", &[11, 6])], &[&[3, 6]]);
        let weight = &fixture.params.entries()[0].param.clone();
        let args = CrossEntropyArgs::new(weight, &[3, NO_TARGET, 0]);
        let plain = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let log_p = |h: &[f32]| -> Vec<f64> {
            let h = Var::constant(fixture.device.tensor(&[3, 6], h));
            plain.linear_losses(&h, args).iter().map(|row| -f64::from(row.loss)).collect()
        };
        // log p of the third over that of the first.
        let loss = |h: &[f32]| {
            let p = log_p(h);
            p[2] / p[0]
        };
        let grads = RefCell::new(Grads::new(&fixture.params));
        for scale in [1.0, 4.0] {
            let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads)
                .with_loss_scale(scale);
            let h = tape.input(fixture.inputs[0].clone());
            let p = tape.linear_losses(&h, args).iter().map(|row| -row.loss).collect::<Vec<_>>();
            assert_eq!((p.len(), p[1]), (3, 0.0));
            assert!(p[0] < 0.0 && p[2] < 0.0, "{p:?}");
            let row_weights = [p[2] / (p[0] * p[0]), 1.0, -1.0 / p[0]];
            let args = CrossEntropyArgs { row_weights: Some(&row_weights), ..args };
            tape.linear_cross_entropy(&h, args);
            let found = tape.gradients(&[h])[0].clone().expect("a gradient").to_vec();
            let values = fixture.inputs[0].to_vec();
            for i in 0..values.len() {
                let moved = |by: f32| {
                    let mut h = values.clone();
                    h[i] += by;
                    loss(&h)
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                let found = f64::from(found[i] / scale);
                assert!((found - slope).abs() < 1e-3, "{i}: {found} and {slope}");
            }
        }
    }

    #[test]
    fn a_row_of_weight_zero_may_hold_anything() {
        let fixture = Fixture::new(&[("w", &[11, 6])], &[&[2, 6]]);
        let weight = &fixture.params.entries()[0].param.clone();
        let mut hidden = fixture.inputs[0].clone().to_vec();
        hidden[6..].fill(f32::INFINITY);
        let hidden = fixture.device.tensor(&[2, 6], &hidden);
        let row_weights = Some(&[1.0, 0.0][..]);
        let plain = CrossEntropyArgs::new(weight, &[3, 10]);
        let args = CrossEntropyArgs { row_weights, smoothing: 0.1, ..plain };
        let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
        let alone = tape.linear_cross_entropy(&Var::constant(hidden.clone()), args);
        let grads = RefCell::new(Grads::new(&fixture.params));
        let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads);
        let loss = tape.linear_cross_entropy(&tape.input(hidden), args);
        assert!(loss.sum.is_finite());
        assert_eq!((alone, loss.n_targets), (loss, 2));
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        let fixture = Fixture::new(&[("w", &[11, 6])], &[&[2, 6]]);
        let weight = &fixture.params.entries()[0].param.clone();
        let args = CrossEntropyArgs::new(weight, &[3, 10]);
        let find = |scale: f32| {
            let (grads, found) = (RefCell::new(Grads::new(&fixture.params)), Cell::new(None));
            let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F16, &grads)
                .with_loss_scale(scale)
                .with_checks(&found);
            let h = tape.input(fixture.inputs[0].clone());
            tape.scope("head", None, || tape.linear_cross_entropy(&h, args));
            found.take()
        };
        assert_eq!(find(1.0), None);
        let (op, path) = ("linear_cross_entropy", "head".to_owned());
        // Above what f16 holds.
        assert_eq!(find(1e6), Some(NotFinite { op, path, backward: true }));
    }

    #[test]
    fn equals_the_unfused_form() {
        let fixture = Fixture::new(&[("w", &[11, 6]), ("b", &[11])], &[&[5, 6]]);
        let [weight, bias] = [0, 1].map(|i| fixture.params.entries()[i].param.clone());
        let targets = [3, NO_TARGET, 10, 0, 3];
        for (smoothing, biased) in [(0.0, false), (0.1, false), (0.1, true)] {
            let grads = RefCell::new(Grads::new(&fixture.params));
            let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads);
            let h = tape.input(fixture.inputs[0].clone());
            let plain = CrossEntropyArgs::new(&weight, &targets);
            let args = CrossEntropyArgs { bias: biased.then_some(&bias), smoothing, ..plain };
            let loss = tape.linear_cross_entropy(&h, args);
            let dh = tape.gradients(&[h])[0].clone().expect("a gradient").to_vec();
            let w = fixture.params.get(&weight);
            let b = if biased { fixture.params.get(&bias) } else { &[0.0; 11] };
            let (sum, [dh_expected, dw_expected, db_expected]) =
                naive(&fixture.inputs[0].to_vec(), [w, b], &targets, f64::from(smoothing));
            assert!((loss.sum - sum).abs() < 1e-5 * sum, "{loss:?} {sum}");
            assert_eq!(loss.n_targets, 4);
            let grads = grads.borrow();
            let close = |found: &[f32], expected: &[f64]| {
                for (found, expected) in found.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
                }
            };
            close(&dh, &dh_expected);
            close(grads.get(&weight).expect("written"), &dw_expected);
            assert_eq!(grads.get(&bias).is_some(), biased);
            close(grads.get(&bias).unwrap_or_default(), &db_expected);
        }
    }
}
