//! Which experts a token goes to, with what weight, and how evenly tokens are spread.
//!
//! ```text
//! p = softmax(logits),    the k largest of a row are chosen
//! w[j] = p[j],    or normalised    w[j] = p[j] / s,    s = sum of the chosen p
//! dp[j] = dw[j],    or    dp[j] = (dw[j] - sum of dw w) / s
//! dlogits = p * (dp - sum of dp p)
//! ```
//!
//! and of the loss by balance, over `n` rows of all layers that are no padding:
//!
//! ```text
//! L = E * sum over e of f[e] P[e],    f[e] = how often e is chosen / n,    P[e] = mean of p[e]
//! dp[e] += E f[e] / n
//! ```
//!
//! Shapes: `logits`, `p` `[.., E]` in f32, `w` `[R, k]`. E is experts here. Shazeer et al.,
//! "Outrageously Large Neural Networks", arXiv:1701.06538, section 2.1; Fedus et al., "Switch
//! Transformers", arXiv:2101.03961, eq. 4, with choices pooled over layers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernels::softmax;
use rayon::prelude::*;

use crate::dtype::DType;
use crate::tape::{Tape, Var};

/// How tokens are sent to experts.
#[derive(Clone, Debug)]
pub struct RouteArgs {
    /// Experts of a token, k.
    pub per_token: usize,
    /// Whether the weights of a token sum to one.
    pub normalise: bool,
    /// Gathers how evenly tokens are spread.
    pub balance: Option<Balance>,
}

/// Which pairs of a token and an expert there are, sorted by expert, then by token.
#[derive(Debug)]
pub struct Routing {
    /// Experts of a token, k.
    pub(super) per_token: usize,
    /// `[P]`: the choice `r * k + j` of each pair.
    pub(super) choices: Vec<u32>,
    /// `[R * k]`: the pair of each choice.
    pub(super) pairs: Vec<u32>,
    /// `[E + 1]`: where the pairs of an expert start.
    pub(super) starts: Vec<usize>,
}

impl Routing {
    /// By counting: `chosen` is `[R * k]`.
    fn new(chosen: &[u32], n_experts: usize, per_token: usize) -> Self {
        let mut starts = vec![0; n_experts + 1];
        for &e in chosen {
            starts[e as usize + 1] += 1;
        }
        for e in 0..n_experts {
            starts[e + 1] += starts[e];
        }
        let mut next = starts.clone();
        let (mut choices, mut pairs) = (vec![0; chosen.len()], vec![0; chosen.len()]);
        for (choice, &e) in chosen.iter().enumerate() {
            let pair = next[e as usize];
            next[e as usize] += 1;
            (choices[pair], pairs[choice]) = (choice as u32, pair as u32);
        }
        Self { per_token, choices, pairs, starts }
    }

    /// Tokens.
    pub fn n_rows(&self) -> usize {
        self.pairs.len() / self.per_token
    }
}

/// How evenly the tokens of one pass are spread over experts: every layer's router adds to it in
/// the forward pass, and takes its gradient from it in the backward one. Clones share it.
#[derive(Clone, Debug)]
pub struct Balance {
    weight: f32,
    kept: Option<Arc<[u32]>>,
    layer: usize,
    layers: Arc<Mutex<BTreeMap<usize, Spread>>>,
}

/// What one layer did: by expert, how often it was chosen, and the sum of its probabilities.
#[derive(Debug)]
struct Spread {
    n: f64,
    chosen: Vec<f64>,
    probability: Vec<f64>,
}

impl Balance {
    /// For one pass whose objective has `weight` times the loss in it; rows whose `kept` is 0 are
    /// padding.
    pub fn new(weight: f32, kept: Option<Arc<[u32]>>) -> Self {
        Self { weight, kept, layer: 0, layers: Arc::default() }
    }

    /// The same, as a layer adds to it.
    #[must_use]
    pub fn in_layer(&self, layer: usize) -> Self {
        Self { layer, ..self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Spread>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeps(&self, row: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept[row] != 0)
    }

    /// The loss over the layers that were run so far; none where no layer has experts.
    pub fn loss(&self) -> Option<f64> {
        let (n, frequency) = self.frequency()?;
        let layers = self.lock();
        let mean = |e: usize| layers.values().map(|l| l.probability[e]).sum::<f64>() / n;
        let sum: f64 = frequency.iter().enumerate().map(|(e, f)| f * mean(e)).sum();
        Some(frequency.len() as f64 * sum)
    }

    /// Rows of all layers, and how often each expert was chosen by one.
    fn frequency(&self) -> Option<(f64, Vec<f64>)> {
        let layers = self.lock();
        let n_experts = layers.values().next()?.chosen.len();
        let n = layers.values().map(|l| l.n).sum::<f64>().max(1.0);
        let of = |e: usize| layers.values().map(|l| l.chosen[e]).sum::<f64>() / n;
        Some((n, (0..n_experts).map(of).collect()))
    }

    /// Notes what a layer did; a recomputed one does the same again.
    fn note(&self, p: &[f32], chosen: &[u32], n_experts: usize, per_token: usize) {
        let zeros = vec![0.0; n_experts];
        let mut spread = Spread { n: 0.0, chosen: zeros.clone(), probability: zeros };
        let rows = p.chunks_exact(n_experts).zip(chosen.chunks_exact(per_token));
        for (_, (p, chosen)) in rows.enumerate().filter(|(row, _)| self.keeps(*row)) {
            spread.n += 1.0;
            for &e in chosen {
                spread.chosen[e as usize] += 1.0;
            }
            spread.probability.iter_mut().zip(p).for_each(|(sum, &p)| *sum += f64::from(p));
        }
        self.lock().insert(self.layer, spread);
    }

    /// What the loss adds to the gradient of a row's probabilities.
    fn gradient(&self, loss_scale: f32) -> Vec<f32> {
        let (n, frequency) = self.frequency().expect("a router has run");
        let by = f64::from(self.weight * loss_scale) * frequency.len() as f64 / n;
        frequency.iter().map(|f| (by * f) as f32).collect()
    }
}

/// The largest of a row, the first of equals first.
fn choose(p: &[f32], chosen: &mut [u32]) {
    for j in 0..chosen.len() {
        let (taken, next) = chosen.split_at_mut(j);
        let free = (0..p.len() as u32).filter(|e| !taken.contains(e));
        let order = |a: &u32, b: &u32| p[*a as usize].total_cmp(&p[*b as usize]).then(b.cmp(a));
        next[0] = free.max_by(order).expect("at least k experts");
    }
}

impl Tape<'_> {
    /// Weights `[R, k]` of the experts that each row of `logits` `[.., E]` is sent to.
    ///
    /// # Panics
    /// When there are fewer experts than a token is to have, or padding is given for other rows.
    #[track_caller]
    pub fn route(&self, logits: &Var, args: &RouteArgs) -> (Var, Arc<Routing>) {
        let RouteArgs { per_token, normalise, balance } = args.clone();
        let (device, (n_rows, n_experts)) = (self.device(), logits.value.rows());
        assert!((1..=n_experts).contains(&per_token), "route: {per_token} of {n_experts} experts");
        let kept = balance.as_ref().and_then(|b| b.kept.as_ref()).map_or(n_rows, |kept| kept.len());
        assert_eq!(kept, n_rows, "route: padding of {n_rows} rows");
        let mut p = device.empty(&[n_rows, n_experts], DType::F32);
        p.as_mut_slice::<f32>().copy_from_slice(logits.value.as_slice::<f32>());
        softmax::rows(device.isa, p.as_mut_slice::<f32>(), n_experts);
        let mut chosen = vec![0; n_rows * per_token];
        let mut w = device.empty(&[n_rows, per_token], DType::F32);
        let outputs = chosen.par_chunks_exact_mut(per_token);
        outputs
            .zip(w.as_mut_slice::<f32>().par_chunks_exact_mut(per_token))
            .zip(p.as_slice::<f32>().par_chunks_exact(n_experts))
            .for_each(|((chosen, w), p)| {
                choose(p, chosen);
                let sum: f32 = chosen.iter().map(|&e| p[e as usize]).sum();
                let by = if normalise { sum } else { 1.0 };
                w.iter_mut().zip(&*chosen).for_each(|(w, &e)| *w = p[e as usize] / by);
            });
        if let Some(balance) = &balance {
            balance.note(p.as_slice::<f32>(), &chosen, n_experts, per_token);
        }
        let routing = Arc::new(Routing::new(&chosen, n_experts, per_token));
        let (logits, weights, loss_scale) = (logits.clone(), w.clone(), self.loss_scale());
        let out = self.finish("route", logits.flows(), w, move |sweep, dw| {
            let even = balance.as_ref().map(|balance| balance.gradient(loss_scale));
            let mut dx = sweep.device().empty(logits.value.shape(), DType::F32);
            let (w, dw) = (weights.as_slice::<f32>(), dw.as_slice::<f32>());
            let rows = dx.as_mut_slice::<f32>().par_chunks_exact_mut(n_experts);
            rows.zip(p.as_slice::<f32>().par_chunks_exact(n_experts))
                .zip(chosen.par_chunks_exact(per_token))
                .zip(w.par_chunks_exact(per_token).zip(dw.par_chunks_exact(per_token)))
                .enumerate()
                .for_each(|(row, (((dx, p), chosen), (w, dw)))| {
                    match even.as_ref().filter(|_| balance.as_ref().is_some_and(|b| b.keeps(row))) {
                        Some(even) => dx.copy_from_slice(even),
                        None => dx.fill(0.0),
                    }
                    let sum: f32 = chosen.iter().map(|&e| p[e as usize]).sum();
                    let along: f32 = w.iter().zip(dw).map(|(w, dw)| w * dw).sum();
                    let (along, by) = if normalise { (along, sum) } else { (0.0, 1.0) };
                    for (&e, dw) in chosen.iter().zip(dw) {
                        dx[e as usize] += (dw - along) / by;
                    }
                    let along: f32 = dx.iter().zip(p).map(|(dp, p)| dp * p).sum();
                    dx.iter_mut().zip(p).for_each(|(dp, p)| *dp = p * (*dp - along));
                });
            sweep.give(logits.slot, dx);
        });
        (out, routing)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::ops::testing::{Fixture, check};
    use crate::{Grads, Precision};

    /// Five experts, of which two are clearly ahead in each row.
    fn fixture() -> Fixture {
        let mut fixture = Fixture::new(&[], &[&[2, 3, 5]]);
        let values = fixture.inputs[0].to_vec();
        let ahead =
            |i: usize| if [i / 5 % 5, (i / 5 + 2) % 5].contains(&(i % 5)) { 3.0 } else { 0.0 };
        let values: Vec<f32> = values.iter().enumerate().map(|(i, x)| 0.4 * x + ahead(i)).collect();
        fixture.inputs[0] = fixture.device.tensor(&[2, 3, 5], &values);
        fixture
    }

    fn args(normalise: bool, balance: Option<Balance>) -> RouteArgs {
        RouteArgs { per_token: 2, normalise, balance }
    }

    #[test]
    fn gradients() {
        for normalise in [false, true] {
            check(&fixture(), |tape, _, x| tape.route(&x[0], &args(normalise, None)).0);
        }
    }

    #[test]
    fn pairs_are_sorted_by_expert_then_by_token() {
        let routing = Routing::new(&[2, 0, 0, 2, 3, 2], 4, 2);
        assert_eq!(routing.starts, [0, 2, 2, 5, 6]);
        assert_eq!(routing.choices, [1, 2, 0, 3, 5, 4]);
        assert_eq!(routing.pairs, [2, 0, 1, 3, 5, 4]);
        let mut chosen = [9; 3];
        choose(&[0.1, 0.3, f32::NAN, 0.3], &mut chosen);
        assert_eq!(chosen, [2, 1, 3]);
    }

    #[test]
    fn the_gradient_of_balance_is_that_of_its_loss_over_all_layers() {
        let fixture = fixture();
        let kept: Arc<[u32]> = [1, 1, 0, 1, 1, 1].into();
        let loss = |x: &[f32]| {
            let balance = Balance::new(0.0, Some(kept.clone()));
            let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
            for (layer, by) in [(0, 1.0), (3, 0.5)] {
                let x: Vec<f32> = x.iter().map(|x| by * x).collect();
                let x = Var::constant(fixture.device.tensor(&[6, 5], &x));
                tape.route(&x, &args(true, Some(balance.in_layer(layer))));
            }
            balance.loss().expect("layers")
        };
        let x = fixture.inputs[0].to_vec();
        let grads = RefCell::new(Grads::new(&fixture.params));
        let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads);
        let balance = Balance::new(0.7, Some(kept.clone()));
        let inputs: Vec<Var> = [1.0, 0.5]
            .iter()
            .map(|by| x.iter().map(|x| by * x).collect::<Vec<_>>())
            .map(|x| tape.input(fixture.device.tensor(&[6, 5], &x)))
            .collect();
        for (layer, x) in [0, 3].into_iter().zip(&inputs) {
            let (w, _) = tape.route(x, &args(true, Some(balance.in_layer(layer))));
            tape.seed(&w, fixture.device.zeros(&[6, 2], DType::F32));
        }
        let found = tape.gradients(&inputs);
        let found: Vec<_> = found.into_iter().map(|g| g.expect("a gradient").to_vec()).collect();
        for i in 0..x.len() {
            let at = |h: f32| {
                let mut x = x.clone();
                x[i] += h;
                loss(&x)
            };
            let slope = 0.7 * (at(0.01) - at(-0.01)) / 0.02;
            let found = f64::from(found[0][i]) + 0.5 * f64::from(found[1][i]);
            assert!((found - slope).abs() < 1e-4, "{i}: {found}, {slope}");
        }
    }
}
