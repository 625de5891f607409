use super::*;
use crate::element::bf16;
use crate::reference::cast::widen;
use crate::reference::softmax as reference;
use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

struct Case {
    logits: Vec<f32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    vocab_size: usize,
}

impl Case {
    fn new(n_rows: usize, vocab_size: usize) -> Self {
        let mut numbers = Numbers::new(vocab_size as u64);
        let draw = |_| numbers.below(vocab_size) as u32;
        let mut targets: Vec<u32> = (0..n_rows).map(draw).collect();
        targets.iter_mut().skip(1).step_by(3).for_each(|t| *t = IGNORED);
        let weights = numbers.uniform(n_rows, 0.5, 2.0);
        Self {
            logits: numbers.uniform(n_rows * vocab_size, -20.0, 20.0),
            targets,
            weights,
            vocab_size,
        }
    }

    fn run<G: Element>(&self, isa: Isa, weighted: bool, smoothing: f32) -> (Vec<RowLoss>, Vec<G>) {
        let mut losses = vec![RowLoss::default(); self.targets.len()];
        let mut dlogits = vec![G::from_f32(7.0); self.logits.len()];
        let weights = weighted.then_some(&self.weights[..]);
        let (logits, targets) = (&self.logits, &self.targets);
        forward_backward(isa, logits, &mut dlogits, targets, weights, smoothing, &mut losses);
        (losses, dlogits)
    }

    fn check<G: Element>(&self, isa: Isa, weighted: bool, smoothing: f32, tol: Tolerance) {
        let (losses, dlogits) = self.run::<G>(isa, weighted, smoothing);
        let what = format!("{isa} {} {} {smoothing}", self.targets.len(), self.vocab_size);
        let rows = self.logits.chunks_exact(self.vocab_size);
        for (r, row) in rows.enumerate() {
            let weight = if weighted { f64::from(self.weights[r]) } else { 1.0 };
            let (mut loss, mut grad) = (0.0, vec![0.0; self.vocab_size]);
            if self.targets[r] != IGNORED {
                let target = self.targets[r] as usize;
                (loss, grad) = reference::cross_entropy(&widen(row), target, smoothing.into());
            }
            let grad: Vec<f64> = grad.iter().map(|g| g * weight).collect();
            let actual = &dlogits[r * self.vocab_size..][..self.vocab_size];
            assert_close(&what, &widen(actual), &grad, tol);
            assert_close(&what, &[losses[r].loss], &[weight * loss], Tolerance::both(3e-6));
            let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let is_right = self.targets[r] != IGNORED && row[self.targets[r] as usize] == best;
            assert_eq!(losses[r].is_right, is_right, "{what}: row {r}");
        }
        let (weights, mut alone) =
            (weighted.then_some(&self.weights[..]), vec![RowLoss::default(); losses.len()]);
        forward(isa, &self.logits, &self.targets, weights, smoothing, &mut alone);
        assert_eq!(alone, losses, "{what}: the loss alone");
    }
}

#[test]
fn equals_the_reference() {
    for isa in Isa::supported() {
        for (n_rows, vocab_size) in
            [(0, 5), (1, 1), (3, 2), (4, 15), (4, 16), (4, 17), (2, 1024), (3, 1025), (5, 10_007)]
        {
            let case = Case::new(n_rows, vocab_size);
            for smoothing in [0.0, 0.1] {
                let tol = Tolerance { abs: 1e-6, rel: 1e-5 };
                case.check::<f32>(isa, false, smoothing, tol);
                case.check::<bf16>(isa, true, smoothing, Tolerance { abs: 1e-6, rel: 4e-3 });
            }
        }
        let tol = Tolerance { abs: 1e-6, rel: 1e-5 };
        Case::new(2000, 33).check::<f32>(isa, true, 0.0, tol);
    }
}

#[test]
fn ignored_rows_may_hold_anything() {
    for isa in Isa::supported() {
        let mut case = Case::new(3, 40);
        case.logits[40..].fill(f32::NAN);
        case.targets = vec![3, IGNORED, 2];
        case.weights = vec![1.0, 1.0, 0.0];
        let (losses, dlogits) = case.run::<f32>(isa, true, 0.1);
        assert!(losses[0].loss > 0.0 && losses[1..] == [RowLoss::default(); 2], "{isa}");
        assert_eq!(dlogits[40..], [0.0; 80], "{isa}");
        let mut alone = [RowLoss { loss: 7.0, is_right: true }; 3];
        forward(isa, &case.logits, &case.targets, Some(&case.weights), 0.1, &mut alone);
        assert_eq!(alone[..], losses, "{isa}");
    }
}

#[test]
fn masked_logits_have_no_part() {
    for isa in Isa::supported() {
        let mut case = Case::new(1, 3000);
        // The whole second chunk, and the half of the last.
        case.logits[1024..2048].fill(f32::NEG_INFINITY);
        case.logits[2500..].fill(f32::NEG_INFINITY);
        case.targets = vec![5];
        case.check::<f32>(isa, false, 0.0, Tolerance { abs: 1e-6, rel: 1e-5 });
        // All but the target: certain.
        case.logits.fill(f32::NEG_INFINITY);
        case.logits[5] = -300.0;
        case.check::<f32>(isa, false, 0.0, Tolerance { abs: 0.0, rel: 0.0 });
    }
}

#[test]
fn nan_and_infinity_are_seen_in_the_loss() {
    for isa in Isa::supported() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut case = Case::new(1, 3000);
            case.logits[2900] = bad;
            assert!(case.run::<f32>(isa, false, 0.0).0[0].loss.is_nan(), "{isa} {bad}");
        }
    }
}

#[test]
#[should_panic(expected = "a target is above 40")]
fn a_target_outside_the_vocabulary_panics() {
    let mut case = Case::new(3, 40);
    case.targets[2] = 40;
    case.run::<f32>(Isa::Portable, false, 0.0);
}

#[test]
fn threads_change_nothing() {
    let case = Case::new(33, 4001);
    for isa in Isa::supported() {
        same_for_any_threads(|| case.run::<f32>(isa, true, 0.1));
    }
}
