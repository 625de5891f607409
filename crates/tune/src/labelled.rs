//! Labels of texts and tokens: a head of few scores.

use std::sync::Arc;

use datasets::{Dataset, Record, Split, Task};
use models::HeadKind;
use tasks::{Asked, Example, Frame, Framed, Label, Labelled, predict};
use tokenize::Tokenizer;
use train::{At, Evaluation};

use super::goal::{EVAL_TOKENS, Goal, Source, refuse_unused, unknown_metric};
use super::set::{TRAIN, validation};
use recipe::{ClassWeights, refused};
use terminal::environment::Env;
use terminal::failure::Failure;
use terminal::table::printable;

/// Tokens of a sample that are shown.
const SHOWN_TOKENS: usize = 64;

/// What a model is judged by.
struct Judged {
    objective: Labelled,
    labels: Vec<String>,
    /// Of a context that was cut, each of its windows.
    framed: Vec<Framed>,
    examples: Vec<Example>,
    records: Vec<Record>,
    /// The first decides.
    metrics: Vec<String>,
}

/// The goal of a set of labels.
///
/// # Errors
/// Where the model reads no text, or the recipe says what does not fit the samples.
pub fn goal<'s>(source: &Source<'s>, set: &Dataset) -> Result<Goal<'s>, Failure> {
    let Source { recipe, model, tokenizer, env, .. } = *source;
    let head = head_of(set);
    let stack = model.family().stack()?;
    let Some(tokens) = stack.embed.tokens() else {
        return Err(refused("model.from", "it reads no text"));
    };
    let frame = Frame {
        tokenizer,
        max_len: source.max_len(tokens.max_len)?,
        overlap: recipe.data.overlap,
        has_types: !tokens.types.is_empty(),
    };
    let asked = if set.task == Task::Rank { Asked::Rank } else { Asked::of(&head) };
    refuse_others(source, asked)?;
    let framed = |split: &Split| {
        let of = |i, record: &Record| {
            let mut all = frame.examples(i, record)?;
            // What has no right answer counts where a model is judged, and teaches it nothing.
            all.retain(|framed| split.name != TRAIN || framed.example.is_asked());
            Ok(all)
        };
        source.framed(split, frame.max_len, of)
    };
    let train: Arc<[Example]> = framed(set.split(TRAIN)?)?.into_iter().map(|f| f.example).collect();
    if let Some(first) = train.first() {
        env.say(&format!("for instance: {}", shown(first, (&head, tokenizer), env)));
    }
    let (objective, labels) = (Labelled::new(asked), head.labels().to_vec());
    let learned = Labelled {
        smoothing: recipe.task.label_smoothing,
        class_weights: class_weights(&recipe.task.class_weights, &train, labels.len())?,
        r_drop: recipe.task.r_drop,
        ..objective.clone()
    };
    let mut metrics = recipe.task.metrics.clone();
    if metrics.is_empty() {
        let usual = tasks::usual_metrics(objective.asked, labels.len());
        let known = if set.metrics.is_empty() { usual } else { &set.metrics };
        metrics = known.iter().map(|name| (*name).to_owned()).collect();
    }
    let judged = validation(set).map(framed).transpose()?.unwrap_or_default();
    let judged = Judged {
        objective,
        labels,
        examples: judged.iter().map(|framed| framed.example.clone()).collect(),
        framed: judged,
        records: validation(set).map(|split| split.records.clone()).unwrap_or_default(),
        metrics,
    };
    judged.check_metrics()?;
    Ok(Goal {
        pipeline: head.pipeline(),
        objective: Box::new(learned),
        hashes: source.hashes(&train, &judged.examples),
        train,
        files: Vec::new(),
        copies: if recipe.task.r_drop > 0.0 { 2 } else { 1 },
        n_judged: judged.framed.chunk_by(|a, b| a.record == b.record).count(),
        judge: Box::new(move |model| Ok(judged.judge(model))),
        anchor: None,
        rollouts: None,
        head,
    })
}

impl Judged {
    fn judge(&self, model: At) -> Option<Evaluation> {
        if self.examples.is_empty() {
            return None;
        }
        let (losses, scores) = predict(model, &self.objective, &self.examples, EVAL_TOKENS);
        let of = |name: &String| (name.clone(), self.metric(name, &scores).ok());
        let metrics: Vec<_> = self.metrics.iter().map(of).collect();
        let is_better_small = metrics.first().is_some_and(|(name, _)| tasks::is_better_small(name));
        Some(Evaluation { metrics, is_better_small, ..Evaluation::of(losses) })
    }

    fn metric(&self, name: &str, scores: &[Vec<f32>]) -> Result<f64, metrics::MetricError> {
        let n = scores.len();
        let parts = (&self.framed[..n], &self.records[..], &self.labels[..]);
        tasks::metric(name, self.objective.asked, parts, scores)
    }

    /// Refuses a metric that the task does not have, before anything is learned.
    fn check_metrics(&self) -> Result<(), Failure> {
        for name in &self.metrics {
            let asked = self.objective.asked;
            let found = tasks::metric(name, asked, (&[], &[], &self.labels), &[]);
            if let Err(error @ metrics::MetricError::Unknown { .. }) = found {
                return Err(unknown_metric(&error));
            }
        }
        Ok(())
    }
}

/// Refuses what a recipe says that is not of what is asked.
fn refuse_others(source: &Source, asked: Asked) -> Result<(), Failure> {
    let task = &source.recipe.task;
    let has_classes = matches!(asked, Asked::Class | Asked::Choice | Asked::Tag);
    refuse_unused(
        &format!("the loss `{}`", asked.name()),
        &[
            ("task.label_smoothing", task.label_smoothing > 0.0 && !has_classes),
            // Rows of scores are two passes of a text where it has one row alone.
            ("task.r_drop", task.r_drop > 0.0 && asked != Asked::Class),
        ],
    )
}

/// What the loss of each class is multiplied with: of mean one over what is learned from.
fn class_weights(
    asked: &ClassWeights,
    examples: &[Example],
    n: usize,
) -> Result<Vec<f32>, Failure> {
    let counts = if n == 0 { Vec::new() } else { tasks::class_counts(examples, n) };
    let wrong = |problem: String| Err(refused("task.class_weights", problem));
    let weights: Vec<f64> = match asked {
        ClassWeights::One => return Ok(Vec::new()),
        _ if n == 0 => return wrong("this task has no classes".into()),
        ClassWeights::Named(name) if name == "balanced" => {
            counts.iter().map(|&n| 1.0 / n.max(1) as f64).collect()
        }
        ClassWeights::Named(name) => {
            return wrong(format!("`{name}` is neither `balanced` nor a list of numbers"));
        }
        ClassWeights::Each(each) if each.len() != n => {
            return wrong(format!("{} numbers for {n} classes", each.len()));
        }
        ClassWeights::Each(each) => each.iter().map(|w| f64::from(*w)).collect(),
    };
    if !weights.iter().all(|w| *w > 0.0 && w.is_finite()) {
        return wrong("one of them is not above 0".into());
    }
    Ok(tasks::mean_one(&weights, &counts))
}

fn head_of(set: &Dataset) -> HeadKind {
    let labels = || set.labels.clone();
    match set.task {
        Task::Classify => HeadKind::Classes { labels: labels() },
        Task::Score | Task::Rank => HeadKind::Score,
        Task::Choice => HeadKind::Choice,
        Task::Tag => HeadKind::Tags { labels: labels() },
        Task::Span => HeadKind::Spans,
        other => panic!("labelled: {other}"),
    }
}

/// A sample as the model is shown it, and what it is asked: tags stand behind their tokens.
fn shown(example: &Example, (head, tokenizer): (&HeadKind, &Tokenizer), env: &Env) -> String {
    let labels = head.labels();
    // Of documents that are ranked, how good each is.
    let gain = |bits: u32| f32::from_bits(bits).to_string();
    let label = |class: u32| match head {
        HeadKind::Score => gain(class),
        _ => labels.get(class as usize).cloned().unwrap_or_else(|| class.to_string()),
    };
    let strong =
        |text: String| if env.color { format!("\u{1b}[1;32m{text}\u{1b}[0m") } else { text };
    let token = |(at, id): (usize, &u32)| {
        let token = printable(&tokenizer.token(*id).unwrap_or_default(), false);
        match (example.targets.get(at), example.label) {
            (Some(&class), _) if class != data::IGNORED => {
                format!("{token}{}", strong(format!("/{}", label(class))))
            }
            (_, Label::Span([first, last])) if (first..=last).contains(&(at as u32)) => {
                strong(token)
            }
            _ => token,
        }
    };
    let from = match example.label {
        Label::Span([first, _]) => (first as usize).saturating_sub(SHOWN_TOKENS / 2),
        _ => 0,
    };
    let ids = example.input.ids.iter().enumerate().skip(from);
    let mut text: Vec<String> = ids.take(SHOWN_TOKENS).map(token).collect();
    if from > 0 {
        text.insert(0, "..".to_owned());
    }
    if example.input.ids.len() - from > SHOWN_TOKENS {
        text.push("..".to_owned());
    }
    let answer = match example.label {
        Label::Class(class) => format!(" => {}", strong(label(class))),
        Label::Value(value) => format!(" => {}", strong(value.to_string())),
        Label::Span(ends) => format!(" => tokens {} to {}", ends[0], ends[1]),
        Label::None => String::new(),
    };
    text.join(" ") + &answer
}
