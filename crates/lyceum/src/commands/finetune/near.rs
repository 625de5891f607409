//! Vectors of texts, which are near to each other where the texts belong together.

use std::sync::Arc;

use datasets::{Dataset, Record, Task};
use metrics::registry;
use models::HeadKind;
use tasks::{Contrast, Example, Frame, Framed, Label, Near, of_rankings};
use train::{Evaluation, Trainer};

use super::goal::{Goal, Source};
use super::set::{TRAIN, validation};
use crate::commands::run::pooling::Pool;
use crate::failure::Failure;
use recipe::refused;

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
    if ![0, recipe.train.batch_size].contains(&recipe.train.micro_batch) {
        let problem = "what is shown together is a part of the question: a step is one micro-batch";
        return Err(refused("train.micro_batch", problem).hint("leave it out"));
    }
    let pool = Pool::told(&recipe.model.from)?.unwrap_or_default();
    let contrast = Contrast { pooling: pool.pooling, near };
    let max_len = source.max_len(tokens.max_len)?;
    let has_types = !tokens.types.is_empty();
    let frame = Frame { tokenizer, max_len, overlap: 0, has_types };
    let framed = |split| -> Result<Vec<Example>, Failure> {
        let of = |i, record: &Record| Ok(vec![frame.apart(i, record)?]);
        let framed: Vec<Framed> = source.framed(split, max_len, of)?;
        Ok(framed.into_iter().map(|framed| framed.example).collect())
    };
    let train: Arc<[Example]> = framed(set.split(TRAIN)?)?.into();
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
        kept: Vec::new(),
        rollouts: None,
        judge: Box::new(move |trainer| Ok(judged.judge(trainer))),
    })
}

/// What is asked of vectors.
fn near(source: &Source, task: Task) -> Result<Near, Failure> {
    let said = &source.recipe.task;
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
    fn judge(&self, trainer: &Trainer) -> Option<Evaluation> {
        if self.examples.is_empty() {
            return None;
        }
        let model = (&trainer.model, &trainer.device, trainer.config.precision);
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
