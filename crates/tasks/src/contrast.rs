//! Vectors of texts, which are near to each other where the texts belong together.
//!
//! ```text
//! contrast   loss = -log softmax over candidates c of s cos(a, c), at the anchor's own positive
//! triplet    loss = max(0, |a - p| - |a - n| + m), each negative a target
//! cosine     loss = (cos(a, b) - y)^2
//! ```
//!
//! The candidates of an anchor are the positives and negatives of all samples that are shown with
//! it: the batch is a part of the question, so it goes through the model at once. A candidate that
//! is the anchor or its positive over again, or answers the same anchor in another sample, is none.
//! van den Oord et al., arXiv:1807.03748, eq. 4; Henderson et al., arXiv:1705.00652, section 4.4;
//! Schroff et al., arXiv:1503.03832, eq. 3; Reimers, Gurevych, arXiv:1908.10084, section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use metrics::ranking::Ranked;
use models::Model;
use nn::Context;
use rayon::prelude::*;
use tensor::{Device, Loss, Precision, Tape, Var};

use crate::example::{Example, Label};
use crate::losses::Losses;
use crate::micro_batch::MicroBatch;
use crate::objective::Objective;

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// The largest of each column.
    Max,
    /// That of the last token.
    Last,
}

/// What is asked of vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Near {
    /// Which of all that are shown belongs to an anchor; cosines are multiplied with `scale`.
    Among {
        /// One over the temperature: 20 in `sentence-transformers`.
        scale: f64,
    },
    /// That what belongs to it is nearer than what does not, by `margin`.
    Margin {
        /// A distance: 5 in `sentence-transformers`.
        margin: f64,
    },
    /// A number, by the cosine.
    Cosine,
}

/// The loss of the vectors of texts: of each sample the anchor, what belongs to it, and what does
/// not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// How a text becomes a vector.
    pub pooling: Pooling,
    /// What is asked of them.
    pub near: Near,
}

impl Pooling {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Last => "lasttoken",
        }
    }

    /// The vector of hidden states `[T, D]`.
    pub fn vector(self, hidden: &[f32], d: usize) -> Vec<f32> {
        let n = (hidden.len() / d).max(1);
        let mut rows = hidden.chunks_exact(d);
        match self {
            Self::Mean => {
                let mut sums = vec![0.0_f32; d];
                for row in rows {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / n as f32);
                }
                sums
            }
            Self::Cls => rows.next().unwrap_or_default().to_vec(),
            Self::Last => rows.next_back().unwrap_or_default().to_vec(),
            Self::Max => {
                let mut most = vec![f32::NEG_INFINITY; d];
                for row in rows {
                    most.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(*x));
                }
                most
            }
        }
    }

    /// Gives the gradient of that vector to the hidden states.
    fn spread(self, d_vector: &[f64], hidden: &[f32], d_hidden: &mut [f32]) {
        let d = d_vector.len();
        let n = hidden.len() / d;
        match self {
            Self::Mean => {
                for row in d_hidden.chunks_exact_mut(d) {
                    row.iter_mut().zip(d_vector).for_each(|(to, g)| *to = (g / n as f64) as f32);
                }
            }
            Self::Cls => give(&mut d_hidden[..d], d_vector),
            Self::Last => give(&mut d_hidden[(n - 1) * d..], d_vector),
            Self::Max => {
                for (col, g) in d_vector.iter().enumerate() {
                    let larger = |best: usize, row: usize| {
                        if hidden[row * d + col] > hidden[best * d + col] { row } else { best }
                    };
                    d_hidden[(1..n).fold(0, larger) * d + col] = *g as f32;
                }
            }
        }
    }
}

fn give(to: &mut [f32], gradient: &[f64]) {
    to.iter_mut().zip(gradient).for_each(|(to, g)| *to = *g as f32);
}

/// Vectors `[n, D]` and the gradient of a loss for them.
struct Judged {
    vectors: Vec<Vec<f64>>,
    gradients: Vec<Vec<f64>>,
    loss: Loss,
}

impl Contrast {
    /// The losses of `examples`, `batch_size` of which are shown together, and the vector of each
    /// text of each.
    pub fn evaluate(
        self,
        (model, device, precision): (&Model, &Device, Precision),
        examples: &[Example],
        batch_size: usize,
    ) -> (Losses, Vec<Vec<Vec<f32>>>) {
        let (mut losses, mut all) = (Losses::default(), Vec::with_capacity(examples.len()));
        for some in examples.chunks(batch_size.max(1)) {
            let batch = MicroBatch::flat(some, 0..some.len(), None);
            let tape = Tape::new(device, &model.params, precision);
            let (_, _, vectors) = self.read(&tape, model, &batch);
            losses += Losses::one(self.near.name(), self.judge(vectors.clone(), &batch).loss);
            let narrow = |v: &Vec<f64>| v.iter().map(|x| *x as f32).collect::<Vec<f32>>();
            let texts: Vec<Vec<f32>> = vectors.iter().map(narrow).collect();
            all.extend(batch.of_example.iter().map(|range| texts[range.clone()].to_vec()));
        }
        (losses, all)
    }

    /// The last hidden state of a micro-batch, its values, and the vector of each text.
    fn read<'a>(
        self,
        tape: &Tape<'a>,
        model: &'a Model,
        batch: &MicroBatch,
    ) -> (Var, Vec<f32>, Vec<Vec<f64>>) {
        let mut ctx = Context { call: batch.input.call.clone(), cache: None };
        let stack = model.stack();
        let hidden = stack.forward(tape, &batch.input.ids, batch.input.shape, &mut ctx);
        let d = *hidden.value().shape().last().expect("hidden states");
        let values = hidden.value().to_vec();
        let vector = |text: &Range<usize>| -> Vec<f64> {
            self.pooling.vector(rows(&values, text, d), d).into_iter().map(f64::from).collect()
        };
        let vectors = batch.texts.iter().map(vector).collect();
        (hidden, values, vectors)
    }

    fn judge(self, vectors: Vec<Vec<f64>>, batch: &MicroBatch) -> Judged {
        let gradients = vectors.iter().map(|v| vec![0.0; v.len()]).collect();
        let mut judged = Judged { vectors, gradients, loss: Loss::default() };
        match self.near {
            Near::Among { scale } => judged.among(scale, batch),
            Near::Margin { margin } => {
                for texts in &batch.of_example {
                    for negative in texts.start + 2..texts.end {
                        judged.margin([texts.start, texts.start + 1, negative], margin);
                    }
                }
            }
            Near::Cosine => {
                for (texts, label) in batch.of_example.iter().zip(&batch.labels) {
                    if let Label::Value(value) = label {
                        judged.cosine([texts.start, texts.start + 1], f64::from(*value));
                    }
                }
            }
        }
        judged
    }
}

fn rows<'h>(hidden: &'h [f32], text: &Range<usize>, d: usize) -> &'h [f32] {
    &hidden[text.start * d..text.end * d]
}

impl Objective for Contrast {
    fn loss<'a>(&self, tape: &Tape<'a>, model: &'a Model, batch: &MicroBatch) -> Losses {
        let (hidden, values, vectors) = self.read(tape, model, batch);
        let d = *hidden.value().shape().last().expect("hidden states");
        let judged = self.judge(vectors, batch);
        let mut d_hidden = vec![0.0_f32; values.len()];
        for (text, gradient) in batch.texts.iter().zip(&judged.gradients) {
            let to = &mut d_hidden[text.start * d..text.end * d];
            self.pooling.spread(gradient, rows(&values, text, d), to);
        }
        let name = self.near.name();
        tape.end_in(name, &hidden, (judged.loss.sum, &d_hidden));
        Losses::one(name, judged.loss)
    }
}

impl Near {
    /// What its loss is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Among { .. } => "contrast",
            Self::Margin { .. } => "triplet",
            Self::Cosine => "cosine",
        }
    }
}

/// The cosine of two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let [a, b] = [a, b].map(|v| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>());
    dot(&a, &b) / (length(&a) * length(&b))
}

/// Of each anchor how all other texts, each once, are ranked by the cosine: those that belong to it
/// in any example are relevant.
pub fn rankings(examples: &[Example], vectors: &[Vec<Vec<f32>>]) -> Vec<Ranked> {
    let texts: Vec<Vec<&[u32]>> = examples.iter().map(texts).collect();
    let unit = |v: &Vec<f32>| -> Vec<f64> {
        let v: Vec<f64> = v.iter().map(|x| f64::from(*x)).collect();
        let length = length(&v);
        v.into_iter().map(|x| x / length).collect()
    };
    let mut pool: BTreeMap<&[u32], Vec<f64>> = BTreeMap::new();
    let mut relevant: BTreeMap<&[u32], BTreeSet<&[u32]>> = BTreeMap::new();
    for (texts, vectors) in texts.iter().zip(vectors) {
        for (text, vector) in texts.iter().zip(vectors).skip(1) {
            pool.entry(text).or_insert_with(|| unit(vector));
        }
        relevant.entry(texts[0]).or_default().insert(texts[1]);
    }
    let rank = |(texts, vectors): (&Vec<&[u32]>, &Vec<Vec<f32>>)| {
        let anchor = unit(&vectors[0]);
        let others = pool.iter().filter(|(text, _)| **text != texts[0]);
        let (scores, gains): (Vec<f64>, Vec<f64>) = others
            .map(|(text, unit)| {
                let is_right = relevant[texts[0]].contains(text);
                (dot(&anchor, unit), f64::from(u8::from(is_right)))
            })
            .unzip();
        Ranked::by_score(&scores, &gains).ok()
    };
    texts.par_iter().zip(vectors).filter_map(rank).collect()
}

/// The texts of an example, which lie side by side.
fn texts(example: &Example) -> Vec<&[u32]> {
    let ids = &example.input.ids[..];
    let Some(segments) = &example.input.segments else { return vec![ids] };
    let mut from = 0;
    let text = |same: &[u32]| {
        from += same.len();
        &ids[from - same.len()..from]
    };
    segments.chunk_by(|a, b| a == b).map(text).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `to += by * x`.
fn add(to: &mut [f64], by: f64, x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += by * x);
}

/// The length of a vector, which is never nothing.
fn length(v: &[f64]) -> f64 {
    dot(v, v).sqrt().max(1e-12)
}

impl Judged {
    /// Each anchor among all that is shown.
    fn among(&mut self, scale: f64, batch: &MicroBatch) {
        let of = &batch.of_example;
        let candidates: Vec<(usize, usize)> = of
            .iter()
            .enumerate()
            .flat_map(|(i, texts)| (texts.start + 1..texts.end).map(move |text| (i, text)))
            .collect();
        let ids = |text: usize| &batch.input.ids[batch.texts[text].clone()];
        let lengths: Vec<f64> = self.vectors.iter().map(|v| length(v)).collect();
        let unit = |text: usize| self.vectors[text].iter().map(|x| x / lengths[text]).collect();
        let units: Vec<Vec<f64>> = (0..lengths.len()).map(unit).collect();
        let row = |i: usize| -> (f64, bool, Vec<f64>) {
            let (anchor, right) = (of[i].start, of[i].start + 1);
            // Of each candidate, how it would be right too: then nobody can say that it is not.
            let counts = |&(sample, text): &(usize, usize)| {
                let is_same_anchor = sample != i && ids(of[sample].start) == ids(anchor);
                let is_right_too = is_same_anchor && text == of[sample].start + 1;
                let is_copy = ids(text) == ids(right) || ids(text) == ids(anchor);
                text == right || !(is_right_too || is_copy)
            };
            let score = |candidate: &(usize, usize)| {
                let is_one = counts(candidate);
                if is_one {
                    scale * dot(&units[anchor], &units[candidate.1])
                } else {
                    f64::NEG_INFINITY
                }
            };
            let z: Vec<f64> = candidates.iter().map(score).collect();
            let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lse = most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln();
            let at = candidates.iter().position(|c| c.1 == right).expect("a positive");
            let mut dz: Vec<f64> = z.iter().map(|z| (z - lse).exp()).collect();
            dz[at] -= 1.0;
            (lse - z[at], z[at] >= most, dz)
        };
        let found: Vec<_> = (0..of.len()).into_par_iter().map(row).collect();
        let mut d_units: Vec<Vec<f64>> = units.iter().map(|u| vec![0.0; u.len()]).collect();
        for (i, (sum, is_right, dz)) in found.into_iter().enumerate() {
            self.loss += Loss { sum, n_targets: 1, n_right: u64::from(is_right) };
            let anchor = of[i].start;
            for (&(_, text), dz) in candidates.iter().zip(dz) {
                add(&mut d_units[anchor], scale * dz, &units[text]);
                add(&mut d_units[text], scale * dz, &units[anchor]);
            }
        }
        for (text, d_unit) in d_units.iter().enumerate() {
            let along = dot(d_unit, &units[text]);
            let to = &mut self.gradients[text];
            add(to, 1.0 / lengths[text], d_unit);
            add(to, -along / lengths[text], &units[text]);
        }
    }

    fn margin(&mut self, [anchor, near, far]: [usize; 3], margin: f64) {
        let apart = |a: &[f64], b: &[f64]| -> (Vec<f64>, f64) {
            let apart: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            let length = length(&apart);
            (apart, length)
        };
        let [a, p, n] = [anchor, near, far].map(|text| self.vectors[text].clone());
        let ((to_near, d_near), (to_far, d_far)) = (apart(&a, &p), apart(&a, &n));
        let sum = (d_near - d_far + margin).max(0.0);
        self.loss += Loss { sum, n_targets: 1, n_right: u64::from(d_near < d_far) };
        if sum > 0.0 {
            for (text, by, x) in [
                (anchor, 1.0 / d_near, &to_near),
                (near, -1.0 / d_near, &to_near),
                (anchor, -1.0 / d_far, &to_far),
                (far, 1.0 / d_far, &to_far),
            ] {
                add(&mut self.gradients[text], by, x);
            }
        }
    }

    fn cosine(&mut self, [a, b]: [usize; 2], value: f64) {
        let [x, y] = [a, b].map(|text| self.vectors[text].clone());
        let (long_x, long_y) = (length(&x), length(&y));
        let cosine = dot(&x, &y) / (long_x * long_y);
        let slope = 2.0 * (cosine - value);
        self.loss += Loss { sum: (cosine - value).powi(2), n_targets: 1, n_right: 0 };
        for (text, own, other, [own_len, other_len]) in
            [(a, &x, &y, [long_x, long_y]), (b, &y, &x, [long_y, long_x])]
        {
            add(&mut self.gradients[text], slope / (own_len * other_len), other);
            add(&mut self.gradients[text], -slope * cosine / (own_len * own_len), own);
        }
    }
}
