//! Vectors of texts, which are near to each other where the texts belong together.

use std::sync::Arc;

use datasets::{Dataset, Input, Named, Record, Split, Task};
use metrics::registry;
use models::HeadKind;
use tasks::{Contrast, Example, Frame, Framed, Label, Near, of_rankings};
use train::{At, Evaluation};

use super::goal::{Goal, Source, refuse_unused};
use super::pooling::Pool;
use super::set::{TRAIN, validation};
use super::written::{refuse_labels, show};
use recipe::refused;
use terminal::failure::Failure;

/// What is measured where nobody says: of what is ranked, and of numbers.
const USUAL: [&[&str]; 2] = [&["mrr@10", "recall@1", "recall@10"], &["spearman", "pearson"]];

/// What a model is judged by.
struct Judged {
    contrast: Contrast,
    examples: Vec<Example>,
    metrics: Vec<String>,
    batch_size: usize,
}

/// The goal of texts that belong together, or of numbers that cosines are to be.
///
/// # Errors
/// Where the model gives no vectors, or the recipe says what does not fit.
pub fn goal<'s>(source: &Source<'s>, set: &Dataset) -> Result<Goal<'s>, Failure> {
    let Source { recipe, model, tokenizer, env, .. } = *source;
    let near = near(source, set.task)?;
    let stack = model.family().stack()?;
    let Some(tokens) = stack.embed.tokens() else {
        return Err(refused("model.from", "it reads no text"));
    };
    source.whole_steps()?;
    let pool = Pool::told(&recipe.model.from)?.unwrap_or_default();
    let contrast = Contrast { pooling: pool.pooling, near };
    let max_len = source.max_len(tokens.max_len)?;
    let has_types = !tokens.types.is_empty();
    let frame = Frame { tokenizer, max_len, overlap: 0, has_types };
    let most = most(source)?;
    let framed = |split: &Split| -> Result<Vec<Example>, Failure> {
        let of = |i, record: &Record| {
            if !has_all(record, (near, split))? {
                return Ok(Vec::new());
            }
            let mut framed = frame.apart(i, record)?;
            if let Label::Value(value) = &mut framed.example.label {
                *value = cosine(*value / most, record)?;
            }
            Ok(vec![framed])
        };
        let framed: Vec<Framed> = source.framed(split, max_len, of)?;
        Ok(framed.into_iter().map(|framed| framed.example).collect())
    };
    let train: Arc<[Example]> = framed(set.split(TRAIN)?)?.into();
    show(source, &train);
    env.say(&format!(
        "vectors: {} of hidden states, as the model's files say it",
        pool.pooling.name()
    ));
    let examples = validation(set).map(framed).transpose()?.unwrap_or_default();
    let metrics = metrics(source, near)?;
    let judged = Judged { contrast, examples, metrics, batch_size: recipe.train.batch_size };
    Ok(Goal {
        head: HeadKind::Vectors,
        pipeline: HeadKind::Vectors.pipeline(),
        objective: Box::new(contrast),
        hashes: source.hashes(&train, &judged.examples),
        train,
        copies: 1,
        files: pool.files(&recipe.model.from)?,
        anchor: None,
        rollouts: None,
        n_judged: judged.examples.len(),
        judge: Box::new(move |model| Ok(judged.judge(model))),
    })
}

/// Whether a record has what is asked of vectors.
fn has_all(record: &Record, (near, split): (Near, &Split)) -> Result<bool, Failure> {
    Ok(match (near, &record.input) {
        // Where a model is judged, texts are held against those of other records.
        (Near::Margin { .. }, Input::Triplet { negatives, .. }) => {
            split.name != TRAIN || !negatives.is_empty()
        }
        (Near::Cosine, Input::Classify { pair: None, .. }) => {
            let problem = format!("{}: a cosine is of two texts, and this is one", record.at);
            return Err(refused("task.loss", problem)
                .hint("say where the other is: `data.columns.pair`; or leave it out"));
        }
        (Near::Cosine, Input::Classify { label, .. }) => label.is_some(),
        _ => true,
    })
}

/// A number that a cosine is to be.
fn cosine(value: f32, record: &Record) -> Result<f32, Failure> {
    if (-1.0..=1.0).contains(&value) {
        return Ok(value);
    }
    let problem = format!("{}: no cosine is {value}: they are in [-1, 1]", record.at);
    Err(refused("task.loss", problem).hint(
        "divide the numbers by the largest there is, or leave it out: a head says any number",
    ))
}

/// The largest number of a set that is known by name; else 1.
fn most(source: &Source) -> Result<f32, Failure> {
    let set = source.recipe.data.set.as_deref().map(Named::find).transpose()?;
    Ok(set.and_then(Named::largest_score).unwrap_or(1.0))
}

/// What is asked of vectors.
fn near(source: &Source, task: Task) -> Result<Near, Failure> {
    let said = &source.recipe.task;
    refuse_labels(said)?;
    refuse_unused("vectors", &[("task.label_smoothing", said.label_smoothing > 0.0)])?;
    let (scale, margin) = (said.scale.unwrap_or(20.0), said.margin.unwrap_or(5.0));
    let near = match (task, said.loss.as_deref()) {
        (Task::Triplet, None | Some("contrastive")) => Near::Among { scale },
        (Task::Triplet, Some("triplet")) => Near::Margin { margin },
        (Task::Score, Some("cosine")) => Near::Cosine,
        (_, other) => {
            let problem = format!("`{}` is not a loss of `{task}`", other.unwrap_or_default());
            return Err(refused("task.loss", problem).hint(
                "there are `contrastive` and `triplet` of triplets, and `cosine` of scores",
            ));
        }
    };
    Ok(near)
}

fn metrics(source: &Source, near: Near) -> Result<Vec<String>, Failure> {
    let said = &source.recipe.task.metrics;
    let usual = USUAL[usize::from(near == Near::Cosine)];
    for name in said {
        let found = match near {
            Near::Cosine => registry::of_values(name).map(|_| ()),
            _ => of_rankings(name, &[]).map(|_| ()),
        };
        if let Err(error @ metrics::MetricError::Unknown { .. }) = found {
            return Err(super::goal::unknown_metric(&error));
        }
    }
    Ok(if said.is_empty() {
        usual.iter().map(|name| (*name).to_owned()).collect()
    } else {
        said.clone()
    })
}

impl Judged {
    fn judge(&self, model: At) -> Option<Evaluation> {
        if self.examples.is_empty() {
            return None;
        }
        let (losses, vectors) = self.contrast.evaluate(model, &self.examples, self.batch_size);
        let value = |name: &String| match self.contrast.near {
            Near::Cosine => {
                let label = |example: &Example| match example.label {
                    Label::Value(value) => f64::from(value),
                    _ => f64::NAN,
                };
                let truth: Vec<f64> = self.examples.iter().map(label).collect();
                let said: Vec<f64> = vectors.iter().map(|v| tasks::cosine(&v[0], &v[1])).collect();
                registry::of_values(name).and_then(|named| (named.compute)(&truth, &said))
            }
            _ => of_rankings(name, &tasks::rankings(&self.examples, &vectors)),
        };
        let metrics: Vec<_> =
            self.metrics.iter().map(|name| (name.clone(), value(name).ok())).collect();
        let is_better_small = tasks::is_better_small(&self.metrics[0]);
        Some(Evaluation { metrics, is_better_small, ..Evaluation::of(losses) })
    }
}
