//! Labels of texts and tokens: what a model with a head of its own for a task is asked.
//!
//! ```text
//! class     loss = -log softmax(z)[c], of the scores of a text; targets may be smoothed
//! value     loss = (z - y)^2
//! choice    loss = -log softmax over the texts of a sample of z, at the right one
//! tag       as class, of the scores of each token that is asked
//! span      loss = (-log softmax over the tokens of a text of z0, at the first of the answer
//!                   -log softmax of z1, at the last) / 2
//! better    loss = -log sigmoid(z0 - z1): a sample's first text is better than its second
//! rank      loss = -sum over the texts of a sample of g / sum(g) log softmax(z), with gains g
//! ```
//!
//! Devlin et al., "BERT", arXiv:1810.04805, section 4; Bradley, Terry, "Rank Analysis of Incomplete
//! Block Designs", 1952, and Cao et al., "Learning to Rank: From Pairwise Approach to Listwise
//! Approach", 2007, section 4.2, for the last two. Scores are few: losses and their gradients are
//! computed in f64, and by hand.

use std::ops::Range;

use data::IGNORED;
use models::{HeadKind, Model};
use nn::Context;
use tensor::{Loss, Tape, Var};

use crate::example::Label;
use crate::losses::{Losses, Part, logistic};
use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Which class a text is of.
    Class,
    /// A number of a text.
    Value,
    /// Which of the texts of a sample.
    Choice,
    /// Which class each token is of.
    Tag,
    /// Where in a text the answer is.
    Span,
    /// That the first text of a sample is better than its second: a model of rewards.
    Better,
    /// How good the texts of a sample are beside each other.
    Rank,
}

/// The losses of scores against labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// What is asked.
    pub asked: Asked,
    /// Label smoothing of classes, in `[0, 1)`; none where the model is judged.
    pub smoothing: f32,
    /// What the loss of each class is multiplied with; empty is one everywhere.
    pub class_weights: Vec<f32>,
    /// How strongly two passes of a text are held together that drop differently, 0 for one pass:
    /// Wu et al., "R-Drop", arXiv:2106.14448, eq. 3. Every example then comes twice, the second
    /// right behind the first. Of classes of texts alone.
    pub r_drop: f32,
}

/// A loss and its gradient for scores `[n, C]`.
struct Judged<'z> {
    z: &'z [f32],
    n_cols: usize,
    dz: Vec<f32>,
    loss: Loss,
}

impl Labelled {
    /// Of one pass, with labels as they are.
    pub fn new(asked: Asked) -> Self {
        Self { asked, smoothing: 0.0, class_weights: Vec::new(), r_drop: 0.0 }
    }

    /// What the model says of a micro-batch: of each example its scores, one after the other as
    /// they belong to its texts, or to the tokens that are asked of it; of a span those of all its
    /// tokens, two each.
    pub fn scores<'a>(tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch, asked: Asked) -> Var {
        let stack = model.stack();
        let mut ctx = Context { call: batch.input.call.clone(), cache: None };
        let hidden = stack.forward(tape, &batch.input.ids, batch.input.shape, &mut ctx);
        let call = &batch.input.call;
        tape.scope("head", None, || match asked {
            Asked::Class | Asked::Value | Asked::Choice | Asked::Better | Asked::Rank => {
                let head = stack.class_head().expect("a head over classes");
                let rows = head.rows(call.mask.segments.as_deref(), batch.input.shape);
                head.forward(tape, &hidden, &rows, call)
            }
            Asked::Tag | Asked::Span => {
                let head = stack.tag_head().expect("a head over tokens");
                head.forward(tape, &hidden, call)
            }
        })
    }

    /// The scores of each example of `batch`, from those of all.
    pub fn by_example(&self, z: &[f32], batch: &MicroBatch) -> Vec<Vec<f32>> {
        let n_rows = match self.asked {
            Asked::Tag | Asked::Span => batch.input.shape.iter().product(),
            _ => batch.texts.len(),
        };
        let n_cols = z.len() / n_rows.max(1);
        let rows = |range: Range<usize>| z[range.start * n_cols..range.end * n_cols].to_vec();
        let of = |texts: &Range<usize>| match self.asked {
            Asked::Tag => {
                let rows_of = batch.texts[texts.clone()].iter().cloned().flatten();
                let is_asked = |row: &usize| batch.targets[*row] != IGNORED;
                rows_of.filter(is_asked).flat_map(|row| rows(row..row + 1)).collect()
            }
            Asked::Span => rows(batch.texts[texts.start].clone()),
            _ => rows(texts.clone()),
        };
        batch.of_example.iter().map(of).collect()
    }

    /// The losses of scores, as they are told where nothing is learned.
    pub fn losses_of(&self, z: &Var, batch: &MicroBatch) -> Losses {
        let n_cols = *z.value().shape().last().expect("rows of scores");
        let loss = self.judge(&z.value().to_vec(), n_cols, batch, false).loss;
        Losses::one(self.asked.name(), loss)
    }

    fn judge<'z>(
        &self,
        z: &'z [f32],
        n_cols: usize,
        batch: &MicroBatch,
        smooth: bool,
    ) -> Judged<'z> {
        let mut judged = Judged { z, n_cols, dz: vec![0.0; z.len()], loss: Loss::default() };
        let smoothing = if smooth { f64::from(self.smoothing) } else { 0.0 };
        let weight = |class: u32| {
            self.class_weights.get(class as usize).map_or(1.0, |weight| f64::from(*weight))
        };
        if self.asked == Asked::Tag {
            for (row, &class) in batch.targets.iter().enumerate().filter(|(_, t)| **t != IGNORED) {
                judged.row(row, class, (weight(class), smoothing));
            }
            return judged;
        }
        for (texts, &label) in batch.of_example.iter().zip(&batch.labels) {
            let first = texts.start;
            match (self.asked, label) {
                (Asked::Class, Label::Class(class)) => {
                    judged.row(first, class, (weight(class), smoothing));
                }
                (Asked::Value, Label::Value(value)) => judged.value(first, value),
                (Asked::Choice, Label::Class(right)) => {
                    let all: Vec<usize> = texts.clone().collect();
                    judged.among(&all, right as usize, (1.0, smoothing));
                }
                (Asked::Span, Label::Span(ends)) => judged.span(&batch.texts[first], ends),
                (Asked::Better, Label::Class(_)) => judged.better([first, first + 1]),
                (Asked::Rank, _) => {
                    let gain = |text: &Range<usize>| {
                        let bits = batch.targets[text.start];
                        if bits == IGNORED { 0.0 } else { f64::from(f32::from_bits(bits)) }
                    };
                    let gains: Vec<f64> = batch.texts[texts.clone()].iter().map(gain).collect();
                    judged.rank(first, &gains);
                }
                _ => {}
            }
        }
        judged
    }
}

impl Objective for Labelled {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let z = Self::scores(tape, model, batch, self.asked);
        let values = z.value().to_vec();
        let n_cols = *z.value().shape().last().expect("rows of scores");
        let mut judged = self.judge(&values, n_cols, batch, tape.is_recording());
        let mut parts = vec![Part { name: self.asked.name(), weight: 1.0, loss: judged.loss }];
        if self.r_drop > 0.0 && tape.is_recording() {
            let loss = judged.apart(f64::from(self.r_drop));
            parts.push(Part { name: "apart", weight: f64::from(self.r_drop), loss });
        }
        let sum = parts.iter().map(|part| part.loss.sum).sum();
        tape.end_in("labelled", &z, (sum, &judged.dz));
        Losses(parts)
    }
}

impl Asked {
    /// What a head is asked.
    pub fn of(head: &HeadKind) -> Self {
        match head {
            HeadKind::Classes { .. } | HeadKind::Tokens => Self::Class,
            HeadKind::Score | HeadKind::Vectors => Self::Value,
            HeadKind::Tags { .. } => Self::Tag,
            HeadKind::Spans => Self::Span,
            HeadKind::Choice => Self::Choice,
        }
    }

    /// What its loss is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Value => "value",
            Self::Choice => "choice",
            Self::Tag => "tag",
            Self::Span => "span",
            Self::Better => "better",
            Self::Rank => "rank",
        }
    }
}

/// The softmax of `z`, and the logarithm of the sum of its exponentials.
fn softmax(z: impl Iterator<Item = f64> + Clone) -> (Vec<f64>, f64) {
    let most = z.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.clone().map(|z| (z - most).exp()).sum();
    let lse = most + sum.ln();
    (z.map(|z| (z - lse).exp()).collect(), lse)
}

impl Judged<'_> {
    /// The classes of one row.
    fn row(&mut self, row: usize, class: u32, how: (f64, f64)) {
        let at: Vec<usize> = (row * self.n_cols..(row + 1) * self.n_cols).collect();
        self.among(&at, class as usize, how);
    }

    /// The cross entropy of the scores at `at`, of which `right` is right.
    fn among(&mut self, at: &[usize], right: usize, (weight, smoothing): (f64, f64)) {
        let z = at.iter().map(|&i| f64::from(self.z[i]));
        let (p, lse) = softmax(z.clone());
        let wanted =
            |i: usize| smoothing / at.len() as f64 + if i == right { 1.0 - smoothing } else { 0.0 };
        let loss: f64 = z.clone().enumerate().map(|(i, z)| wanted(i) * (lse - z)).sum();
        let most = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.loss +=
            Loss { sum: weight * loss, n_targets: 1, n_right: u64::from(p[right] >= most) };
        for (i, (&at, p)) in at.iter().zip(p).enumerate() {
            self.dz[at] += (weight * (p - wanted(i))) as f32;
        }
    }

    fn value(&mut self, row: usize, value: f32) {
        let at = row * self.n_cols;
        let apart = f64::from(self.z[at]) - f64::from(value);
        self.loss += Loss { sum: apart * apart, n_targets: 1, n_right: 0 };
        self.dz[at] += (2.0 * apart) as f32;
    }

    /// Where an answer begins and where it ends, each half a loss; right where both are.
    fn span(&mut self, tokens: &Range<usize>, ends: [u32; 2]) {
        let before = self.loss;
        let mut both = true;
        for (col, end) in ends.into_iter().enumerate() {
            let at: Vec<usize> = tokens.clone().map(|row| row * self.n_cols + col).collect();
            let n_right = self.loss.n_right;
            self.among(&at, end as usize, (0.5, 0.0));
            both &= self.loss.n_right > n_right;
        }
        self.loss.n_targets = before.n_targets + 1;
        self.loss.n_right = before.n_right + u64::from(both);
    }

    fn better(&mut self, rows: [usize; 2]) {
        let [good, bad] = rows.map(|row| row * self.n_cols);
        let apart = f64::from(self.z[good]) - f64::from(self.z[bad]);
        let (sum, slope) = logistic(apart);
        self.loss += Loss { sum, n_targets: 1, n_right: u64::from(apart > 0.0) };
        self.dz[good] += slope as f32;
        self.dz[bad] -= slope as f32;
    }

    /// The cross entropy of scores and shares of gain, of texts from `first` on; right where the
    /// highest score has the largest gain. Nothing is to be learned where nothing is good.
    fn rank(&mut self, first: usize, gains: &[f64]) {
        let sum: f64 = gains.iter().sum();
        if sum <= 0.0 {
            return;
        }
        let at = |i: usize| (first + i) * self.n_cols;
        let z: Vec<f64> = (0..gains.len()).map(|i| f64::from(self.z[at(i)])).collect();
        let (p, lse) = softmax(z.iter().copied());
        let most = |x: &[f64]| (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b]).then(b.cmp(&a)));
        let is_right = most(&z).is_some_and(|i| gains.iter().all(|gain| *gain <= gains[i]));
        let loss: f64 = gains.iter().zip(&z).map(|(gain, z)| gain / sum * (lse - z)).sum();
        self.loss += Loss { sum: loss, n_targets: 1, n_right: u64::from(is_right) };
        for (i, (gain, p)) in gains.iter().zip(&p).enumerate() {
            self.dz[(first + i) * self.n_cols] += (p - gain / sum) as f32;
        }
    }

    /// How far apart two rows are that follow one another, which are two passes of a text: both
    /// divergences of Kullback and Leibler. Adds `weight` times their slope.
    fn apart(&mut self, weight: f64) -> Loss {
        let (n_cols, n_rows) = (self.n_cols, self.z.len() / self.n_cols);
        let mut loss = Loss::default();
        for row in (0..n_rows - n_rows % 2).step_by(2) {
            let of = |row: usize| self.z[row * n_cols..][..n_cols].iter().map(|z| f64::from(*z));
            let ((p, lse_p), (q, lse_q)) = (softmax(of(row)), softmax(of(row + 1)));
            let log_p: Vec<f64> = of(row).map(|z| z - lse_p).collect();
            let log_q: Vec<f64> = of(row + 1).map(|z| z - lse_q).collect();
            let kl = |p: &[f64], a: &[f64], b: &[f64]| -> f64 {
                p.iter().zip(a).zip(b).map(|((p, a), b)| p * (a - b)).sum()
            };
            let (pq, qp) = (kl(&p, &log_p, &log_q), kl(&q, &log_q, &log_p));
            // Each pass has a target: the mean over these is half the sum of both.
            loss += Loss { sum: pq + qp, n_targets: 2, n_right: 0 };
            for i in 0..n_cols {
                let d_p = p[i] * (log_p[i] - log_q[i] - pq) + (p[i] - q[i]);
                let d_q = q[i] * (log_q[i] - log_p[i] - qp) + (q[i] - p[i]);
                self.dz[row * n_cols + i] += (weight * d_p) as f32;
                self.dz[(row + 1) * n_cols + i] += (weight * d_q) as f32;
            }
        }
        loss
    }
}
