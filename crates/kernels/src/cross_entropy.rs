//! Cross entropy of rows of logits with integer targets, and its gradient in the same pass.
//!
//! ```text
//! q = (1 - smoothing) * onehot(target) + smoothing / V
//! loss = weight * (lse(x) - sum_i q[i] * x[i]),    d loss / d x = weight * (softmax(x) - q)
//! ```
//!
//! Shapes: `logits`, `dlogits` `[R, V]`; `targets`, `weights`, `losses` `[R]`. V is the vocabulary.
//! Losses are in nats, one a row (with whether its target has the highest logit) and not divided by
//! anything, so they add up over micro-batches.
//! Smoothing: Szegedy et al., arXiv:1512.00567, section 7.
//!
//! A row is read in chunks that fit the first-level cache; each is exponentiated against its own
//! maximum at once, and the chunks are brought to one scale at the end, so memory is read once.
#![allow(clippy::inline_always)] // As in `simd`.

use crate::cut::{rows_per_piece, with_scratch};
use crate::simd::{Block, LANES, Simd, for_blocks, math, simd_fn};
use crate::{Element, Isa};
use rayon::prelude::*;

#[cfg(test)]
mod tests;

/// The target of a row that is not counted: its loss and its gradient are zero.
pub const IGNORED: u32 = u32::MAX;

/// How a row did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowLoss {
    /// In nats, times the row's weight.
    pub loss: f32,
    /// Whether no class has a higher logit than the target; false where the row is not counted.
    pub is_right: bool,
}

/// Columns that are exponentiated together: 4 KiB of logits.
const CHUNK: usize = 1024;

/// One row's part of the objective.
#[derive(Clone, Copy)]
struct Goal {
    target: u32,
    weight: f32,
    smoothing: f32,
}

impl Goal {
    /// A weight of zero takes a row out, whatever is in it.
    fn is_ignored(self) -> bool {
        self.target == IGNORED || self.weight == 0.0
    }
}

/// What the rows of a call aim at.
#[derive(Clone, Copy)]
struct Goals<'a> {
    targets: &'a [u32],
    weights: Option<&'a [f32]>,
    smoothing: f32,
}

impl Goals<'_> {
    fn row(self, r: usize) -> Goal {
        let weight = self.weights.map_or(1.0, |weights| weights[r]);
        Goal { target: self.targets[r], weight, smoothing: self.smoothing }
    }

    #[track_caller]
    fn check(self, logits: usize, losses: usize) -> usize {
        let n_rows = self.targets.len();
        assert_eq!(losses, n_rows, "cross_entropy: losses and targets");
        assert!(
            logits.is_multiple_of(n_rows.max(1)) && (logits == 0) == (n_rows == 0),
            "cross_entropy: {logits} logits for {n_rows} targets"
        );
        let weights = self.weights.map_or(n_rows, <[f32]>::len);
        assert_eq!(weights, n_rows, "cross_entropy: weights and targets");
        let vocab_size = logits / n_rows.max(1);
        let known = |t: &u32| *t == IGNORED || (*t as usize) < vocab_size;
        assert!(self.targets.iter().all(known), "cross_entropy: a target is above {vocab_size}");
        vocab_size
    }
}

/// Writes the loss of every row and its gradient with respect to the logits.
///
/// Rows with the target [`IGNORED`] or the weight zero get zeros.
///
/// # Panics
/// When lengths disagree or a target is outside the vocabulary.
pub fn forward_backward<G: Element>(
    isa: Isa,
    logits: &[f32],
    dlogits: &mut [G],
    targets: &[u32],
    weights: Option<&[f32]>,
    smoothing: f32,
    losses: &mut [RowLoss],
) {
    let goals = Goals { targets, weights, smoothing };
    let vocab_size = goals.check(logits.len(), losses.len());
    assert_eq!(dlogits.len(), logits.len(), "cross_entropy: logits and dlogits");
    if vocab_size == 0 {
        return;
    }
    let n_rows = rows_per_piece(vocab_size);
    let n = n_rows * vocab_size;
    let inputs = logits.par_chunks(n).zip(dlogits.par_chunks_mut(n));
    inputs.zip(losses.par_chunks_mut(n_rows)).enumerate().for_each(|(i, ((x, dx), losses))| {
        with_scratch(scratch_len(vocab_size), |scratch| {
            let rows = x.chunks_exact(vocab_size).zip(dx.chunks_exact_mut(vocab_size));
            for (r, ((x, dx), loss)) in rows.zip(losses).enumerate() {
                *loss = row(isa, x, dx, scratch, goals.row(i * n_rows + r));
            }
        });
    });
}

/// Writes the loss of every row: the same bits as [`forward_backward`].
///
/// # Panics
/// When lengths disagree or a target is outside the vocabulary.
pub fn forward(
    isa: Isa,
    logits: &[f32],
    targets: &[u32],
    weights: Option<&[f32]>,
    smoothing: f32,
    losses: &mut [RowLoss],
) {
    let goals = Goals { targets, weights, smoothing };
    let vocab_size = goals.check(logits.len(), losses.len());
    if vocab_size == 0 {
        return;
    }
    let n_rows = rows_per_piece(vocab_size);
    let pieces = logits.par_chunks(n_rows * vocab_size).zip(losses.par_chunks_mut(n_rows));
    pieces.enumerate().for_each(|(i, (x, losses))| {
        with_scratch(scratch_len(vocab_size), |scratch| {
            for (r, (x, loss)) in x.chunks_exact(vocab_size).zip(losses).enumerate() {
                *loss = row_loss(isa, x, scratch, goals.row(i * n_rows + r));
            }
        });
    });
}

/// The exponentials of a row, and a scale and a sum for each of its chunks.
fn scratch_len(vocab_size: usize) -> usize {
    vocab_size + 2 * vocab_size.div_ceil(CHUNK)
}

simd_fn! {
    fn row<G: Element>(x: &[f32], dx: &mut [G], scratch: &mut [f32], goal: Goal) -> RowLoss
        = row_body;
}

#[inline(always)]
fn row_body<S: Simd, G: Element>(
    s: S,
    x: &[f32],
    dx: &mut [G],
    scratch: &mut [f32],
    goal: Goal,
) -> RowLoss {
    if goal.is_ignored() {
        dx.fill(G::default());
        return RowLoss::default();
    }
    let Goal { target, weight, smoothing } = goal;
    let target = target as usize;
    let loss = row_loss_body(s, x, scratch, goal);
    let (e, chunks) = scratch.split_at(x.len());
    let (scales, _) = chunks.split_at(x.len().div_ceil(CHUNK));
    let share = s.splat(weight * smoothing / x.len() as f32);
    let chunks = e.chunks(CHUNK).zip(dx.chunks_mut(CHUNK));
    for ((e, dx), scale) in chunks.zip(scales) {
        let scale = s.splat(weight * scale);
        for_blocks!(e.len(), |at| {
            let p = s.mul(at.load(s, e), scale);
            at.store(s, dx, s.sub(p, share));
        });
    }
    // Once more in f32: the stored value may have lost what is left of `p - 1`.
    let p = e[target] * scales[target / CHUNK];
    dx[target] = G::from_f32(weight * (p - (1.0 - smoothing) - smoothing / x.len() as f32));
    loss
}

simd_fn! {
    fn row_loss(x: &[f32], scratch: &mut [f32], goal: Goal) -> RowLoss = row_loss_body;
}

/// The loss of a row. Leaves `e^(x - m)` in the scratch, where m is the maximum of a chunk, and
/// after it, for each chunk, what makes probabilities of these.
#[inline(always)]
fn row_loss_body<S: Simd>(s: S, x: &[f32], scratch: &mut [f32], goal: Goal) -> RowLoss {
    if goal.is_ignored() {
        return RowLoss::default();
    }
    let (e, chunks) = scratch.split_at_mut(x.len());
    let (scales, sums) = chunks.split_at_mut(x.len().div_ceil(CHUNK));
    let mut logit_sum = s.splat(0.0);
    let mut next_max = row_max(s, &x[..CHUNK.min(x.len())]);
    let nexts = x.chunks(CHUNK).skip(1).chain([&[][..]]);
    let chunks = x.chunks(CHUNK).zip(nexts).zip(e.chunks_mut(CHUNK));
    for (((x, next), e), (m, sum)) in chunks.zip(scales.iter_mut().zip(sums.iter_mut())) {
        *m = base(next_max);
        let (m, mut acc, mut top) = (s.splat(*m), s.splat(0.0), s.splat(f32::NEG_INFINITY));
        // The maximum of the next chunk on the way: memory is read while there is work to do.
        let ahead = if next.len() == x.len() { next } else { x };
        for_blocks!(x.len(), |at| {
            let exp = at.or(s, math::exp_down(s, s.sub(at.load(s, x), m)), 0.0);
            acc = s.add(acc, exp);
            at.store(s, e, exp);
            top = s.max(top, at.or(s, at.load(s, ahead), f32::NEG_INFINITY));
        });
        next_max = if next.len() == x.len() { s.reduce_max(top) } else { row_max(s, next) };
        if goal.smoothing > 0.0 {
            for_blocks!(x.len(), |at| {
                logit_sum = s.add(logit_sum, at.load(s, x));
            });
        }
        *sum = s.reduce_add(acc);
    }
    let (max, total) = bring_to_one_scale(scales, sums);
    // How far the target is below the maximum, which cancels before anything is rounded.
    let mut below = max - x[goal.target as usize];
    let is_right = below <= 0.0;
    if goal.smoothing > 0.0 {
        let mean = s.reduce_add(logit_sum) / x.len() as f32;
        below = (1.0 - goal.smoothing) * below + goal.smoothing * (max - mean);
    }
    RowLoss { loss: goal.weight * (below + total.ln()), is_right }
}

/// Makes the maxima of chunks in `scales` the factors that turn their exponentials into
/// probabilities; returns the largest maximum and the sum of all exponentials against it.
#[inline(always)]
fn bring_to_one_scale(scales: &mut [f32], sums: &[f32]) -> (f32, f32) {
    // A chunk of minus infinities has no part in the sum, and so none in the maximum.
    let mut max = f32::NEG_INFINITY;
    for (m, sum) in scales.iter().zip(sums) {
        max = if *sum == 0.0 { max } else { max.max(*m) };
    }
    let mut total = 0.0;
    for (m, sum) in scales.iter_mut().zip(sums) {
        *m = if *sum == 0.0 { 0.0 } else { (*m - max).exp() };
        total += *sum * *m;
    }
    for scale in scales.iter_mut() {
        *scale /= total;
    }
    (max, total)
}

/// The largest of a row; minus infinity for none. A NaN may or may not be seen.
#[inline(always)]
pub(crate) fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    // Four at a time: one maximum after the other would wait for its result.
    let (fours, rest) = row.as_chunks::<{ 4 * LANES }>();
    let (mut a, mut b, mut c) = (max, max, max);
    for x in fours {
        let x = x.as_chunks().0;
        max = s.max(max, s.load_f32(&x[0]));
        a = s.max(a, s.load_f32(&x[1]));
        b = s.max(b, s.load_f32(&x[2]));
        c = s.max(c, s.load_f32(&x[3]));
    }
    for_blocks!(rest.len(), |at| {
        max = s.max(max, at.or(s, at.load(s, rest), f32::NEG_INFINITY));
    });
    s.reduce_max(s.max(s.max(max, a), s.max(b, c)))
}

/// What is subtracted from a row: its maximum, or zero where `-inf - -inf` would be NaN.
#[inline(always)]
pub(crate) fn base(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}
