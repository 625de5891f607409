//! The samples of a run: read, split, made examples, looked at before anything is learned.

use std::path::Path;
use std::sync::Arc;

use datasets::{BYTES_MAX, Dataset, Named, Notes, Overview, Record, Split, Table, Task, hold_out};
use models::{HeadKind, ModelConfig};
use rayon::prelude::*;
use tasks::{Asked, Example, Frame, Framed, Label};
use tokenize::{TokenizeError, Tokenizer};
use train::DataHashes;
use train::report::format::grouped;

use crate::commands::table::printable;
use crate::environment::Env;
use crate::failure::Failure;
use crate::recipe::{ClassWeights, FinetuneRecipe, refused};

/// Tokens of a text that are worth reading.
const MIN_LEN: usize = 8;

/// Tokens of a sample that are shown.
const SHOWN_TOKENS: usize = 64;

/// What a run learns from, and is judged by.
pub struct Samples {
    /// What the model's head has to give.
    pub head: HeadKind,
    /// What is learned from.
    pub train: Arc<[Example]>,
    /// What it is judged by; of a context that was cut, each of its windows.
    pub validation: Vec<Example>,
    /// The same, and how it belongs to the records.
    judged: Vec<Framed>,
    records: Vec<Record>,
    /// Metrics, of which the first decides.
    metrics: Vec<String>,
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
        let set = dataset(recipe, env)?;
        let head = head_of(&set)?;
        overview(&set, data.max_shared, env)?;
        let stack = model.family().stack()?;
        let Some(tokens) = stack.embed.tokens() else {
            return Err(refused("model.from", "it reads no text"));
        };
        let most = tokens.max_len.saturating_sub(recipe.n_virtual());
        if most < MIN_LEN {
            let (n, all) = (recipe.n_virtual(), tokens.max_len);
            let problem = format!("{n} of the {all} positions that the model knows leave too few");
            return Err(refused("method.n_virtual", problem));
        }
        if data.max_len > most {
            let problem = format!("{} tokens, and the model knows {most} positions", data.max_len);
            return Err(refused("data.max_len", problem));
        }
        let frame = Frame {
            tokenizer,
            max_len: if data.max_len == 0 { most } else { data.max_len },
            overlap: data.overlap,
            has_types: !tokens.types.is_empty(),
        };
        let framed = |split: &Split| framed(&frame, split, data.max_cut, env);
        let train: Arc<[Example]> = framed(set.split(TRAIN)?)?.into_iter().map(example).collect();
        let judged = set.splits.iter().find(|split| split.name.starts_with(VALIDATION));
        let judged = judged.map(framed).transpose()?.unwrap_or_default();
        env.say(&format!("for instance: {}", shown(&train[0], (&head, tokenizer), env)));
        let records = set.splits.iter().find(|split| split.name.starts_with(VALIDATION));
        let records = records.map(|split| split.records.clone()).unwrap_or_default();
        let validation = judged.iter().map(|framed| framed.example.clone()).collect();
        let mut metrics: Vec<String> = recipe.task.metrics.clone();
        if metrics.is_empty() {
            let usual = tasks::usual_metrics(Asked::of(&head), head.labels().len());
            let known = if set.metrics.is_empty() { usual } else { &set.metrics };
            metrics = known.iter().map(|name| (*name).to_owned()).collect();
        }
        let samples = Self { head, train, validation, judged, records, metrics };
        samples.check_metrics()?;
        Ok(samples)
    }

    /// What the loss of each class is multiplied with: of mean one over what is learned from.
    ///
    /// # Errors
    /// Where there are not as many as classes, or one is not above 0.
    pub fn class_weights(&self, asked: &ClassWeights) -> Result<Vec<f32>, Failure> {
        let n = self.head.labels().len();
        let counts = if n == 0 { Vec::new() } else { tasks::class_counts(&self.train, n) };
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

    /// Hashes of what a resumed run has to find again.
    pub fn hashes(&self, tokenizer: &Tokenizer) -> DataHashes {
        DataHashes::from([
            ("tokenizer".to_owned(), tokenizer.hash().to_owned()),
            ("training samples".to_owned(), tasks::digest(&self.train)),
            ("validation samples".to_owned(), tasks::digest(&self.validation)),
        ])
    }

    /// What the scores of `validation` come to.
    pub fn metrics(&self, scores: &[Vec<f32>]) -> Vec<(String, Option<f64>)> {
        let labels = self.head.labels();
        let of = |name: &String| {
            let parts = (&self.judged[..], &self.records[..], labels);
            (name.clone(), tasks::metric(name, Asked::of(&self.head), parts, scores).ok())
        };
        self.metrics.iter().map(of).collect()
    }

    /// Refuses a metric that the task does not have, before anything is learned.
    fn check_metrics(&self) -> Result<(), Failure> {
        for name in &self.metrics {
            let found =
                tasks::metric(name, Asked::of(&self.head), (&[], &[], self.head.labels()), &[]);
            if let Err(error @ metrics::MetricError::Unknown { .. }) = found {
                let text = error.to_string();
                let (problem, hint) = text.split_once("\n\nhint: ").unwrap_or((&text, ""));
                return Err(refused("task.metrics", problem).hint(hint));
            }
        }
        Ok(())
    }
}

const TRAIN: &str = "train";
const VALIDATION: &str = "validation";

fn example(framed: Framed) -> Example {
    framed.example
}

/// The set that a recipe names, with what it is judged by.
fn dataset(recipe: &FinetuneRecipe, env: &Env) -> Result<Dataset, Failure> {
    let data = &recipe.data;
    let mut set = if let Some(name) = &data.set {
        let [folder] = &data.train[..] else {
            let problem = format!("the set `{name}` is in one folder");
            return Err(refused("data.train", problem));
        };
        Named::find(name)?.load(Path::new(folder), BYTES_MAX)?
    } else {
        let mut tables = vec![(TRAIN, Table::open(&data.train, None)?)];
        if !data.validation.is_empty() {
            tables.push((VALIDATION, Table::open(&data.validation, None)?));
        }
        let (set, schema) = Dataset::read("data", &tables, &recipe.wanted()?, BYTES_MAX)?;
        env.say(&schema.to_string());
        set
    };
    for split in &set.splits {
        for (why, places) in &split.notes {
            let first = places.first.join("; ");
            env.warn(&format!("{}: {} rows: {why}; the first: {first}", split.name, places.n));
        }
    }
    let is_judged = set.splits.iter().any(|split| split.name.starts_with(VALIDATION));
    if !is_judged && data.validation_fraction > 0.0 {
        let train = set.splits.iter_mut().find(|split| split.name == TRAIN);
        if let Some(train) = train {
            let records = std::mem::take(&mut train.records);
            let sides = hold_out(records, data.validation_fraction, recipe.train.seed)?;
            train.records = sides.0;
            let (name, records, notes) = (VALIDATION.to_owned(), sides.1, Notes::default());
            set.splits.push(Split { name, records, notes });
        }
    }
    Ok(set)
}

fn head_of(set: &Dataset) -> Result<HeadKind, Failure> {
    let labels = || set.labels.clone();
    Ok(match set.task {
        Task::Classify => HeadKind::Classes { labels: labels() },
        Task::Score => HeadKind::Score,
        Task::Choice => HeadKind::Choice,
        Task::Tag => HeadKind::Tags { labels: labels() },
        Task::Span => HeadKind::Spans,
        other => {
            let problem = format!("`{other}` is not learned here");
            return Err(refused("task.kind", problem)
                .hint("there are `classify`, `score`, `choice`, `tag` and `span`"));
        }
    })
}

/// Says what is in a set, and refuses more texts on both sides than `max_shared`.
fn overview(set: &Dataset, max_shared: f64, env: &Env) -> Result<(), Failure> {
    let overview = Overview::of(set);
    for split in overview.splits.iter().filter(|split| !split.name.starts_with("test")) {
        let n: u64 = split.by_label.iter().map(|(_, n)| n).sum();
        let share = |n_of: u64| 100.0 * n_of as f64 / n.max(1) as f64;
        let label =
            |(name, n): &(String, u64)| format!("{name} {} ({:.1} %)", grouped(*n), share(*n));
        let has_classes = matches!(set.task, Task::Classify | Task::Tag);
        if let (1..=16, true) = (split.by_label.len(), has_classes) {
            let labels: Vec<_> = split.by_label.iter().map(label).collect();
            env.say(&format!("{}: {}", split.name, labels.join(", ")));
        }
        let missing = split.by_label.iter().find(|(_, n)| *n == 0);
        if let (TRAIN, Some((name, _)), true) = (&*split.name, missing, has_classes) {
            env.warn(&format!("no sample of `{}` is `{name}`: it cannot be learned", split.name));
        }
        let noted = [
            (&split.repeated, "are there before, but for case and blanks"),
            (&split.conflicting, "are there before with another label"),
            (&split.empty, "have no text"),
        ];
        for (places, what) in noted {
            if places.n > 0 {
                let first = places.first.join("; ");
                env.warn(&format!(
                    "{}: {} samples {what}; the first: {first}",
                    split.name, places.n
                ));
            }
        }
    }
    for (first, second, places) in &overview.overlaps {
        let n = set.split(second)?.records.len();
        let share = places.n as f64 / n.max(1) as f64;
        let what = format!(
            "{} of {n} texts of `{second}` are in `{first}`, too ({:.1} %); the first: {}",
            places.n,
            100.0 * share,
            places.first.join("; ")
        );
        if share > max_shared && first == TRAIN && second.starts_with(VALIDATION) {
            return Err(refused("data.max_shared", what)
                .hint("take them out of one of the two, or raise `data.max_shared`"));
        }
        env.warn(&what);
    }
    Ok(())
}

/// A sample as the model is shown it, and what it is asked: tags stand behind their tokens.
fn shown(example: &Example, (head, tokenizer): (&HeadKind, &Tokenizer), env: &Env) -> String {
    let labels = head.labels();
    let label =
        |class: u32| labels.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
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
    let mut text: Vec<String> =
        example.input.ids.iter().enumerate().take(SHOWN_TOKENS).map(token).collect();
    if example.input.ids.len() > SHOWN_TOKENS {
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

/// The examples of records, and what was lost of them.
fn framed(
    frame: &Frame,
    Split { name, records, .. }: &Split,
    max_cut: f64,
    env: &Env,
) -> Result<Vec<Framed>, Failure> {
    if records.is_empty() {
        return Err(Failure::new(format!("`{name}` has no samples")).hint("name another file"));
    }
    let made: Result<Vec<Vec<Framed>>, TokenizeError> =
        records.par_iter().enumerate().map(|(i, record)| frame.examples(i, record)).collect();
    let made = made?;
    let cut: Vec<usize> =
        (0..made.len()).filter(|&i| made[i].iter().any(|f| f.n_cut > 0)).collect();
    let all: Vec<Framed> = made.into_iter().flatten().collect();
    let n_tokens: usize = all.iter().map(|framed| framed.example.input.ids.len()).sum();
    let longest = all.iter().map(|framed| framed.example.input.ids.len()).max().unwrap_or(0);
    env.say(&format!(
        "{name}: {} samples, {} tokens, the longest {longest}",
        grouped(records.len() as u64),
        grouped(n_tokens as u64),
    ));
    if let Some(&first) = cut.first() {
        let share = cut.len() as f64 / records.len() as f64;
        let (at, n) = (&records[first].at, cut.len());
        let problem = format!(
            "{name}: {n} of {} samples are longer than {} tokens and lose their ends ({:.1} %); \
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
