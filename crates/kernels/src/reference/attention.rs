//! Attention, row by row in f64: the specification.
//!
//! ```text
//! s[k] = scale * q . k[k] + bias[n, k - t + T - 1]      for keys the query sees, else -inf
//! p    = softmax(s),   lse = ln sum_k exp s[k]
//! out  = sum_k p[k] * m[k] * v[k]                       m: dropout, 0 or 1 / (1 - rate)
//!
//! dp[k] = m[k] * (d_out . v[k])       delta = sum_k p[k] * dp[k] = d_out . out
//! ds[k] = p[k] * (dp[k] - delta)      dbias = ds
//! dq    = scale * sum_k ds[k] * k[k]  dk[k] += scale * ds[k] * q   dv[k] += p[k] * m[k] * d_out
//! ```
//!
//! A row that sees no key gives zeros, `lse = -inf` and no gradient.
//! Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1; grouped heads: Ainslie et
//! al., "GQA", arXiv:2305.13245; gradients: Dao et al., "`FlashAttention`", arXiv:2205.14135, B.4.

use crate::attention::{AttnSpec, Qkv};

/// One call in f64. The bias is here and not in `spec`, so that its gradient can be checked.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Sizes, mask and dropout; its `bias` is not read.
    pub spec: &'a AttnSpec<'a>,
    /// The operands.
    pub qkv: Qkv<'a, f64>,
    /// By distance, `[N, T + S - 1]`.
    pub bias: Option<&'a [f64]>,
}

/// Gradients, all contiguous and added into.
#[derive(Debug)]
pub struct Grads<'a> {
    /// `[B, T, N, H]`.
    pub dq: &'a mut [f64],
    /// `[B, S, K, H]`.
    pub dk: &'a mut [f64],
    /// `[B, S, K, H]`.
    pub dv: &'a mut [f64],
    /// `[N, T + S - 1]`.
    pub dbias: Option<&'a mut [f64]>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `y += a * x`.
fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

impl Problem<'_> {
    /// Probabilities of one row, zero where masked, and its logsumexp.
    fn probabilities(&self, b: usize, n: usize, t: usize) -> (Vec<f64>, f64) {
        let shape = self.spec.shape;
        let (kv, h) = (n / shape.group(), shape.d_head);
        let q = self.qkv.q.row(b, t, n, h);
        let score = |k: usize| {
            if !self.spec.sees(b, t, k) {
                return f64::NEG_INFINITY;
            }
            let bias = self
                .bias
                .map_or(0.0, |bias| bias[n * shape.bias_width() + k + shape.q_len - 1 - t]);
            f64::from(self.spec.scale) * dot(q, self.qkv.k.row(b, k, kv, h)) + bias
        };
        let scores: Vec<f64> = (0..shape.k_len).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY && !scores.iter().any(|s| s.is_nan()) {
            return (vec![0.0; scores.len()], max);
        }
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        (scores.iter().map(|s| (s - max).exp() / sum).collect(), max + sum.ln())
    }

    /// Dropout multipliers of one row.
    fn multipliers(&self, b: usize, n: usize, t: usize) -> Vec<f64> {
        let keys = 0..self.spec.shape.k_len;
        keys.map(|k| f64::from(self.spec.multiplier([b, n, t, k]))).collect()
    }

    /// Every `(b, n, t)`.
    fn rows(&self) -> impl Iterator<Item = [usize; 3]> + use<> {
        let shape = self.spec.shape;
        (0..shape.batch).flat_map(move |b| {
            (0..shape.n_heads).flat_map(move |n| (0..shape.q_len).map(move |t| [b, n, t]))
        })
    }
}

/// All probabilities `[B, N, T, S]`, before dropout: for people to look at.
pub fn probabilities(problem: &Problem) -> Vec<f64> {
    problem.rows().flat_map(|[b, n, t]| problem.probabilities(b, n, t).0).collect()
}

/// Writes `out` `[B, T, N, H]` and `lse` `[B, N, T]`.
pub fn forward(out: &mut [f64], lse: &mut [f64], problem: &Problem) {
    let shape = problem.spec.shape;
    let h = shape.d_head;
    out.fill(0.0);
    for [b, n, t] in problem.rows() {
        let (p, row_lse) = problem.probabilities(b, n, t);
        let m = problem.multipliers(b, n, t);
        let out = &mut out[((b * shape.q_len + t) * shape.n_heads + n) * h..][..h];
        for k in (0..shape.k_len).filter(|&k| problem.spec.sees(b, t, k)) {
            add_scaled(out, p[k] * m[k], problem.qkv.v.row(b, k, n / shape.group(), h));
        }
        lse[(b * shape.n_heads + n) * shape.q_len + t] = row_lse;
    }
}

/// Adds the gradients of `d_out` `[B, T, N, H]`.
pub fn backward(grads: &mut Grads, d_out: &[f64], problem: &Problem) {
    let (shape, scale) = (problem.spec.shape, f64::from(problem.spec.scale));
    let h = shape.d_head;
    for [b, n, t] in problem.rows() {
        let (p, _) = problem.probabilities(b, n, t);
        let m = problem.multipliers(b, n, t);
        let kv = n / shape.group();
        let row = ((b * shape.q_len + t) * shape.n_heads + n) * h;
        let (d_out, q) = (&d_out[row..][..h], problem.qkv.q.row(b, t, n, h));
        let sees = |k: &usize| problem.spec.sees(b, t, *k);
        let dp = |k: usize| m[k] * dot(d_out, problem.qkv.v.row(b, k, kv, h));
        let delta: f64 = (0..shape.k_len).filter(sees).map(|k| p[k] * dp(k)).sum();
        for k in (0..shape.k_len).filter(sees) {
            let ds = p[k] * (dp(k) - delta);
            let at = ((b * shape.k_len + k) * shape.n_kv_heads + kv) * h;
            add_scaled(&mut grads.dv[at..][..h], p[k] * m[k], d_out);
            add_scaled(&mut grads.dk[at..][..h], scale * ds, q);
            add_scaled(&mut grads.dq[row..][..h], scale * ds, problem.qkv.k.row(b, k, kv, h));
            if let Some(dbias) = &mut grads.dbias {
                dbias[n * shape.bias_width() + k + shape.q_len - 1 - t] += ds;
            }
        }
    }
}
