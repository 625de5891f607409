//! Texts that are written: translations, summaries, answers, what an assistant says.

use std::collections::BTreeSet;
use std::iter::repeat;
use std::sync::Arc;

use datasets::{Dataset, Input, Record, Split, Task};
use metrics::registry;
use models::{ArchitectureConfig, HeadKind, StackConfig};
use nn::HeadConfig;
use tasks::{Dialogue, DialogueError, Example, Framed, Label, NextToken, Row, Writing, losses_of};
use tensor::Pattern;
use tokenize::{ChatTemplate, Tokenizer};
use train::{At, Evaluation, TrainError};

use super::goal::{EVAL_TOKENS, Goal, Source, refuse_unused};
use super::set::{TRAIN, validation};
use recipe::{ClassWeights, FinetuneRecipe, TuneSection, refused};
use terminal::environment::Env;
use terminal::failure::Failure;
use terminal::table::printable;

/// Tokens of a sample that are shown.
const SHOWN_TOKENS: usize = 128;
/// Texts that are written of what a model is judged by, if nothing is said.
pub const MAX_WRITTEN: usize = 200;
/// What is measured of the loss; everything else is of what the model writes.
const OF_LOSS: [&str; 2] = ["perplexity", "accuracy"];

/// What a model is judged by.
struct Judged<'t> {
    examples: Vec<Example>,
    /// The first decides.
    metrics: Vec<String>,
    /// What it is given to write from, and what would be right.
    given: Vec<Vec<u32>>,
    right: Vec<String>,
    writing: Writing,
    tokenizer: &'t Tokenizer,
}

/// The goal of pairs or of conversations.
///
/// # Errors
/// Where the model does not write, or is not shown such texts.
pub fn goal<'s>(source: &Source<'s>, set: &Dataset) -> Result<Goal<'s>, Failure> {
    let Source { recipe, tokenizer, .. } = *source;
    let template = tokenizer.chat_template()?;
    let dialogue = dialogue(source, template.as_ref())?;
    if set.task == Task::Chat {
        if dialogue.start.is_some() {
            return Err(DialogueError::Encoder.into());
        }
        if template.is_none() {
            return Err(DialogueError::NoTemplate.into());
        }
    }
    let metrics = metrics(source)?;
    let framed = |split: &Split| {
        let of = |i, record: &Record| {
            let framed = dialogue.example(i, record)?;
            let is_asked = framed.example.is_asked() && !says_nothing(&record.input);
            Ok(if is_asked { vec![framed] } else { Vec::new() })
        };
        source.framed(split, dialogue.max_len, of)
    };
    let train: Arc<[Example]> = framed(set.split(TRAIN)?)?.into_iter().map(|f| f.example).collect();
    show(source, &train);
    let judged =
        validation(set).map(|split| Ok::<_, Failure>((framed(split)?, &split.records[..])));
    let (judged, records) = judged.transpose()?.unwrap_or_default();
    let most = recipe.task.max_written.unwrap_or(MAX_WRITTEN);
    let written =
        &judged[..if metrics.iter().all(|m| is_of_loss(m)) { 0 } else { most.min(judged.len()) }];
    let judged = Judged {
        given: written.iter().map(|framed| framed.example.given().to_vec()).collect(),
        right: written.iter().map(|framed| right(&records[framed.record].input)).collect(),
        writing: writing(written, &dialogue),
        examples: judged.into_iter().map(|framed| framed.example).collect(),
        tokenizer,
        metrics,
    };
    Ok(Goal {
        head: HeadKind::Tokens,
        pipeline: match dialogue.start {
            Some(_) => "text2text-generation",
            None => HeadKind::Tokens.pipeline(),
        },
        objective: Box::new(NextToken {
            smoothing: recipe.task.label_smoothing,
            ..NextToken::default()
        }),
        hashes: source.hashes(&train, &judged.examples),
        train,
        files: Vec::new(),
        copies: 1,
        n_judged: judged.examples.len(),
        judge: Box::new(move |model| judged.judge(model)),
        anchor: None,
        rollouts: None,
    })
}

/// Whether nothing but an end is to be written.
fn says_nothing(input: &Input) -> bool {
    matches!(input, Input::Pairs { target, .. } if target.trim().is_empty())
}

/// The text that a model should write last.
fn right(input: &Input) -> String {
    match input {
        Input::Pairs { target, .. } => target.clone(),
        Input::Chat { messages, .. } => {
            messages.last().map_or_else(String::new, |m| m.content.clone())
        }
        other => panic!("written: {other:?}"),
    }
}

/// How far a model writes: half as much again as the longest that would be right.
fn writing(written: &[Framed], dialogue: &Dialogue) -> Writing {
    let asked = |framed: &Framed| framed.example.targets.len() - framed.example.given().len();
    let longest = match dialogue.start {
        Some(_) => written.iter().map(|framed| framed.example.targets.len()).max(),
        None => written.iter().map(|framed| 1 + asked(framed)).max(),
    };
    let last =
        |framed: &Framed| framed.example.targets.iter().rfind(|id| **id != data::IGNORED).copied();
    let ends = written.iter().filter_map(last).filter(|id| dialogue.tokenizer.is_special(*id));
    let ends: BTreeSet<u32> = ends.chain([dialogue.end]).collect();
    Writing {
        start: dialogue.start,
        ends: ends.into_iter().collect(),
        max_tokens: longest.unwrap_or(0) * 3 / 2 + 8,
        n_tokens: EVAL_TOKENS,
    }
}

/// How the model is shown texts.
pub fn dialogue<'s>(
    source: &Source<'s>,
    template: Option<&'s ChatTemplate>,
) -> Result<Dialogue<'s>, Failure> {
    let Source { model, tokenizer, .. } = *source;
    let lacks = |what: &str| refused("model.from", what);
    if model.family().model_type() == "marian" {
        return Err(lacks(
            "a Marian reads and writes with a vocabulary each, and is not tuned here",
        )
        .hint("begin with a T5 or a BART"));
    }
    let writes = |stack: &StackConfig| {
        let looks_back = stack.trunk.cycle.iter().all(|l| !matches!(l.pattern, Pattern::Full));
        let has_tokens = |(_, head): &(&str, HeadConfig)| matches!(head, HeadConfig::Token(_));
        let writes = looks_back && stack.heads.iter().any(has_tokens);
        stack.embed.tokens().filter(|_| writes).map(|tokens| tokens.max_len)
    };
    let end = tokenizer.end_of_text().or_else(|| model.end_of_source());
    let end = end.ok_or_else(|| lacks("its tokenizer has no token that ends a text"))?;
    let (most, start) = match model.family().architecture()? {
        ArchitectureConfig::Stack(stack) => (writes(&stack), None),
        ArchitectureConfig::EncoderDecoder(pair) => {
            let read = pair.encoder.embed.tokens().map(|tokens| tokens.max_len);
            let start = model.start();
            let start = start.ok_or_else(|| lacks("it has no `decoder_start_token_id`"))?;
            (read.zip(writes(&pair.decoder)).map(|(a, b)| a.min(b)), Some(start))
        }
        _ => (None, None),
    };
    let most = most.ok_or_else(|| {
        lacks("it does not write").hint("begin with a decoder or an encoder-decoder: gpt2, t5 ..")
    })?;
    Ok(Dialogue { tokenizer, template, max_len: source.max_len(most)?, end, start })
}

fn is_of_loss(name: &str) -> bool {
    OF_LOSS.contains(&name)
}

/// Refuses what a recipe says of labels.
///
/// # Errors
/// With the first field that has no part in texts.
pub fn refuse_labels(task: &TuneSection) -> Result<(), Failure> {
    refuse_unused(
        "what is written",
        &[
            ("task.class_weights", task.class_weights != ClassWeights::One),
            ("task.r_drop", task.r_drop > 0.0),
        ],
    )
}

/// Refuses to drop from answers that are weighed, as nothing was where learning began, or where
/// they were drawn.
///
/// # Errors
/// Where a recipe says so.
pub fn refuse_dropout(recipe: &FinetuneRecipe) -> Result<(), Failure> {
    refuse_unused("answers that are weighed", &[("method.dropout", recipe.method.dropout > 0.0)])
}

/// What is to be measured.
fn metrics(source: &Source) -> Result<Vec<String>, Failure> {
    let task = &source.recipe.task;
    refuse_labels(task)?;
    for name in task.metrics.iter().filter(|name| !is_of_loss(name)) {
        if registry::of_texts(name).is_err() {
            let known =
                OF_LOSS.into_iter().chain(registry::OF_TEXTS.iter().map(|named| named.name));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(refused(
                "task.metrics",
                format!("`{name}` is not measured of what is written"),
            )
            .hint(format!("there are {known}")));
        }
    }
    Ok(match &task.metrics[..] {
        [] => vec![OF_LOSS[0].to_owned()],
        some => some.to_vec(),
    })
}

impl Judged<'_> {
    fn judge(&self, model: At) -> Result<Option<Evaluation>, TrainError> {
        if self.examples.is_empty() {
            return Ok(None);
        }
        let losses = losses_of(model, &NextToken::default(), &self.examples, EVAL_TOKENS);
        let mut texts = Vec::with_capacity(self.given.len());
        for tokens in self.writing.all(model, &self.given)? {
            // A byte-level vocabulary can express whatever a model says.
            texts.push(self.tokenizer.decode(&tokens).unwrap_or_default().trim().to_owned());
        }
        let written: Vec<&str> = texts.iter().map(String::as_str).collect();
        let right: Vec<Vec<&str>> = self.right.iter().map(|text| vec![text.trim()]).collect();
        let all = losses.first();
        let value = |name: &str| match name {
            "perplexity" => all.mean().map(f64::exp),
            "accuracy" => Some(all.n_right as f64 / all.n_targets.max(1) as f64),
            name => registry::of_texts(name).and_then(|m| (m.compute)(&right, &written)).ok(),
        };
        let metrics = self.metrics.iter().map(|name| (name.clone(), value(name))).collect();
        let first = &self.metrics[0];
        let is_better_small = match registry::of_texts(first) {
            Ok(named) => !named.larger_is_better,
            Err(_) => first == "perplexity",
        };
        Ok(Some(Evaluation { metrics, is_better_small, ..Evaluation::of(losses) }))
    }
}

/// Says the first sample, and how much of all is learned.
pub fn show(source: &Source, train: &[Example]) {
    let Source { tokenizer, env, .. } = *source;
    let Some(first) = train.first() else { return };
    let asked = match first.label {
        Label::Value(value) => format!(" => {value}"),
        _ => String::new(),
    };
    env.say(&format!("for instance: {}{asked}", shown(first, tokenizer, env)));
    let targets = || train.iter().flat_map(|example| &example.targets);
    let n_learned = targets().filter(|target| **target != data::IGNORED).count();
    if n_learned > 0 {
        let share = 100.0 * n_learned as f64 / targets().count() as f64;
        env.say(&format!("{share:.1} % of the tokens are learned, and there is no padding"));
    }
}

/// A sample as the model is shown it: what is learned stands in brackets, and in colour; a line
/// for each of texts that do not see each other.
pub fn shown(example: &Example, tokenizer: &Tokenizer, env: &Env) -> String {
    let Some(segments) = &example.input.segments else {
        return shown_alone(example, tokenizer, env);
    };
    let text = |part: &[u32], from: usize| {
        let of = from..from + part.len();
        let input = Row::plain(example.input.ids[of.clone()].to_vec());
        let targets = example.targets.get(of).unwrap_or_default().to_vec();
        shown_alone(&Example { input, targets, ..Example::of(0) }, tokenizer, env)
    };
    let (mut from, mut lines) = (0, Vec::new());
    for part in segments.chunk_by(|a, b| a == b) {
        lines.push(text(part, from));
        from += part.len();
    }
    lines.join("\n  beside: ")
}

fn shown_alone(example: &Example, tokenizer: &Tokenizer, env: &Env) -> String {
    let strong = |is: bool| match (is, env.color) {
        (true, true) => "\u{1b}[1;32m[",
        (true, false) => "[",
        (false, true) => "]\u{1b}[0m",
        (false, false) => "]",
    };
    let token = |id: u32| printable(&tokenizer.token(id).unwrap_or_default(), false);
    let mut text: Vec<String> = Vec::new();
    let ids = &example.input.ids;
    let targets: Vec<(u32, bool)> = if example.output.is_some() {
        // All of what is read, then all of what is written.
        text.extend(ids.iter().take(SHOWN_TOKENS).map(|id| token(*id)));
        text.push("=>".to_owned());
        example.targets.iter().map(|&id| (id, true)).collect()
    } else {
        let last = example.targets.last().filter(|id| **id != data::IGNORED);
        let is_learned = example.targets.iter().map(|id| *id != data::IGNORED);
        let is_learned = [false].into_iter().chain(is_learned).chain(repeat(false));
        ids.iter().chain(last).copied().zip(is_learned).collect()
    };
    let first = targets.iter().position(|(_, is_learned)| *is_learned).unwrap_or(0);
    let targets = &targets[first.saturating_sub(SHOWN_TOKENS / 2)..];
    if first > SHOWN_TOKENS / 2 {
        text.push("..".to_owned());
    }
    let mut was = false;
    for &(id, is) in targets.iter().take(SHOWN_TOKENS) {
        if is != was {
            text.push(strong(is).to_owned());
        }
        was = is;
        text.push(token(id));
    }
    if was {
        text.push(strong(false).to_owned());
    }
    if targets.len() > SHOWN_TOKENS {
        text.push("..".to_owned());
    }
    text.join(" ")
}
