//! The samples of a run: read, split, made examples, looked at before anything is learned.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use data::Permutation;
use datasets::{BYTES_MAX, Input, Label as Said, Record, Schema, Table, Task};
use models::{HeadKind, ModelConfig};
use rayon::prelude::*;
use tasks::{Example, Frame, Framed, Label};
use tokenize::{TokenizeError, Tokenizer};
use train::DataHashes;
use train::report::format::grouped;

use super::max_len;
use crate::environment::Env;
use crate::failure::Failure;
use crate::recipe::{ClassWeights, FinetuneRecipe, refused};

/// What a run learns from, and is judged by.
pub struct Samples {
    /// What the model's head has to give.
    pub head: HeadKind,
    /// What is learned from.
    pub train: Arc<[Example]>,
    /// What it is judged by; of a context that was cut, each of its windows.
    pub validation: Vec<Example>,
}

impl Samples {
    /// Reads what the recipe names, for a model and its tokenizer.
    ///
    /// # Errors
    /// Where a table cannot be read, holds something else, or more is wrong with it than the recipe
    /// puts up with.
    pub fn read(
        recipe: &FinetuneRecipe,
        model: &ModelConfig,
        tokenizer: &Tokenizer,
        env: &Env,
    ) -> Result<Self, Failure> {
        let data = &recipe.data;
        let table = Table::open(&data.train, None)?;
        let schema = Schema::guess(&table, &recipe.wanted()?)?;
        env.say(&schema.to_string());
        let head = head_of(&schema)?;
        let mut train = read(&schema, &table, "learn from", env)?;
        let validation = if data.validation.is_empty() {
            let held = held_out(&train, data.validation_fraction, recipe.train.seed);
            let (held, kept): (Vec<_>, Vec<_>) =
                train.into_iter().enumerate().partition(|(i, _)| held.contains(i));
            train = kept.into_iter().map(|(_, record)| record).collect();
            held.into_iter().map(|(_, record)| record).collect()
        } else {
            read(&schema, &Table::open(&data.validation, None)?, "judge by", env)?
        };
        overlap(&train, &validation, data.max_shared, env)?;
        let most = max_len(model)?;
        if data.max_len > most {
            let problem = format!("{} tokens, and the model knows {most} positions", data.max_len);
            return Err(refused("data.max_len", problem));
        }
        let types = model.family().stack()?.embed.tokens().map_or(0, |t| t.types.len());
        let frame = Frame {
            tokenizer,
            max_len: if data.max_len == 0 { most } else { data.max_len },
            overlap: data.overlap,
            has_types: types > 0,
        };
        let [train, validation] = [(&train, "learn from"), (&validation, "judge by")]
            .map(|(records, what)| framed(&frame, records, (what, data.max_cut), env));
        let examples = |framed: Vec<Framed>| framed.into_iter().map(|f| f.example);
        let (train, validation) = (train?, validation?);
        let train: Arc<[Example]> = examples(train).collect();
        Ok(Self { head, train, validation: examples(validation).collect() })
    }

    /// What the loss of each class is multiplied with: of mean one over what is learned from.
    ///
    /// # Errors
    /// Where there are not as many as classes, or one is not above 0.
    pub fn class_weights(&self, asked: &ClassWeights) -> Result<Vec<f32>, Failure> {
        let labels = match &self.head {
            HeadKind::Classes { labels } | HeadKind::Tags { labels } => labels.len(),
            _ if *asked == ClassWeights::One => return Ok(Vec::new()),
            _ => return Err(refused("task.class_weights", "this task has no classes")),
        };
        let mut counts = vec![0u64; labels];
        for example in self.train.iter() {
            let targets = example.targets.iter().copied().chain([example.label.class()]);
            for class in targets.filter(|class| *class != data::IGNORED) {
                counts[class as usize] += 1;
            }
        }
        let weights: Vec<f64> = match asked {
            ClassWeights::One => return Ok(Vec::new()),
            ClassWeights::Named(name) if name == "none" => return Ok(Vec::new()),
            ClassWeights::Named(name) if name == "balanced" => {
                counts.iter().map(|&n| 1.0 / n.max(1) as f64).collect()
            }
            ClassWeights::Named(name) => {
                let problem = format!("`{name}` is neither `balanced` nor a list of numbers");
                return Err(refused("task.class_weights", problem));
            }
            ClassWeights::Each(each) if each.len() != labels => {
                let problem = format!("{} numbers for {labels} classes", each.len());
                return Err(refused("task.class_weights", problem));
            }
            ClassWeights::Each(each) => each.iter().map(|w| f64::from(*w)).collect(),
        };
        if weights.iter().any(|w| w.is_nan() || *w <= 0.0 || w.is_infinite()) {
            return Err(refused("task.class_weights", "one of them is not above 0"));
        }
        let n: u64 = counts.iter().sum();
        let sum: f64 = weights.iter().zip(&counts).map(|(w, n)| w * *n as f64).sum();
        Ok(weights.iter().map(|w| (w * n as f64 / sum) as f32).collect())
    }

    /// Hashes of what a resumed run has to find again.
    pub fn hashes(&self, tokenizer: &Tokenizer) -> DataHashes {
        let of = |examples: &[Example]| {
            let mut hasher = blake3::Hasher::new();
            for Example { input, targets, label, .. } in examples {
                let label = match *label {
                    Label::None => [0, 0, 0],
                    Label::Class(class) => [1, class, 0],
                    Label::Value(value) => [2, value.to_bits(), 0],
                    Label::Span([first, last]) => [3, first, last],
                };
                for list in [&input.ids[..], targets, &label] {
                    hasher.update(&(list.len() as u64).to_le_bytes());
                    for id in list {
                        hasher.update(&id.to_le_bytes());
                    }
                }
            }
            hasher.finalize().to_hex().to_string()
        };
        DataHashes::from([
            ("tokenizer".to_owned(), tokenizer.hash().to_owned()),
            ("training samples".to_owned(), of(&self.train)),
            ("validation samples".to_owned(), of(&self.validation)),
        ])
    }

    /// What the scores of `validation` come to.
    pub fn metrics(&self, scores: &[Vec<f32>]) -> Vec<(String, f64)> {
        let mut right = (0.0, 0.0);
        for (example, scores) in self.validation.iter().zip(scores) {
            if let Label::Class(class) = example.label {
                let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                right.0 += f64::from(u8::from(best == Some(class as usize)));
                right.1 += 1.0;
            }
        }
        if right.1 > 0.0 { vec![("accuracy".to_owned(), right.0 / right.1)] } else { vec![] }
    }
}

fn head_of(schema: &Schema) -> Result<HeadKind, Failure> {
    let labels = || schema.labels.clone();
    Ok(match schema.task {
        Task::Classify => HeadKind::Classes { labels: labels() },
        Task::Score => HeadKind::Score,
        Task::Choice => HeadKind::Choice,
        Task::Tag => HeadKind::Tags { labels: labels() },
        Task::Span => HeadKind::Spans,
        other => {
            let problem = format!("`{other}` is not learned here yet");
            return Err(refused("task.kind", problem)
                .hint("there are `classify`, `score`, `choice`, `tag` and `span`"));
        }
    })
}

fn read(schema: &Schema, table: &Table, what: &str, env: &Env) -> Result<Vec<Record>, Failure> {
    let loaded = schema.read(table, BYTES_MAX)?;
    for (why, places) in &loaded.notes {
        let first = places.first.join("; ");
        env.warn(&format!("to {what}: {} rows: {why}; the first: {first}", places.n));
    }
    Ok(loaded.records)
}

/// Which of the records are kept to judge by: the same share of each class.
fn held_out(records: &[Record], fraction: f64, seed: u64) -> HashSet<usize> {
    let mut by_class: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter().enumerate() {
        let class = match &record.input {
            Input::Classify { label: Some(Said::Class(class)), .. } => Some(*class),
            _ => None,
        };
        by_class.entry(class).or_default().push(i);
    }
    let of_class = |(class, all): (Option<usize>, Vec<usize>)| {
        let n = (fraction * all.len() as f64).round() as u64;
        let order = Permutation::new(all.len() as u64, seed, class.map_or(0, |c| c as u64 + 1));
        (0..n).map(move |i| all[order.at(i) as usize]).collect::<Vec<_>>()
    };
    by_class.into_iter().flat_map(of_class).collect()
}

/// Says how many of the texts to judge by are learned from too.
fn overlap(train: &[Record], judged: &[Record], most: f64, env: &Env) -> Result<(), Failure> {
    let key = |record: &Record| blake3::hash(record.input.texts().join("\u{1f}").as_bytes());
    let learned: HashSet<_> = train.iter().map(key).collect();
    let shared: Vec<&Record> = judged.iter().filter(|r| learned.contains(&key(r))).collect();
    let Some(first) = shared.first() else { return Ok(()) };
    let share = shared.len() as f64 / judged.len() as f64;
    let what = format!(
        "{} of {} texts to judge by are learned from, too ({:.1} %); the first: {}",
        shared.len(),
        judged.len(),
        100.0 * share,
        first.at
    );
    if share > most {
        return Err(refused("data.max_shared", what)
            .hint("take them out of one of the two, or raise `data.max_shared`"));
    }
    env.warn(&what);
    Ok(())
}

/// The examples of records, and what was lost of them.
fn framed(
    frame: &Frame,
    records: &[Record],
    (what, max_cut): (&str, f64),
    env: &Env,
) -> Result<Vec<Framed>, Failure> {
    let made: Result<Vec<Vec<Framed>>, TokenizeError> =
        records.par_iter().enumerate().map(|(i, record)| frame.examples(i, record)).collect();
    let made = made?;
    let cut: Vec<usize> =
        (0..made.len()).filter(|&i| made[i].iter().any(|f| f.n_cut > 0)).collect();
    let all: Vec<Framed> = made.into_iter().flatten().collect();
    let n_tokens: usize = all.iter().map(|framed| framed.example.input.ids.len()).sum();
    let longest = all.iter().map(|framed| framed.example.input.ids.len()).max().unwrap_or(0);
    env.say(&format!(
        "to {what}: {} samples, {} tokens, the longest {longest}",
        grouped(records.len() as u64),
        grouped(n_tokens as u64),
    ));
    if let Some(&first) = cut.first() {
        let share = cut.len() as f64 / records.len() as f64;
        let (at, n) = (&records[first].at, cut.len());
        let problem = format!(
            "{n} of {} samples to {what} are longer than {} tokens and lose their ends ({:.1} %); \
             the first: {at}",
            records.len(),
            frame.max_len,
            100.0 * share
        );
        if share > max_cut {
            return Err(refused("data.max_cut", problem)
                .hint("raise `data.max_len`, or `data.max_cut` if that is meant"));
        }
        env.warn(&problem);
    }
    Ok(all)
}
