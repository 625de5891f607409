//! The recipe of a model that learns a task: from which model, of which samples, how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::{Task, Wanted};
use models::{BesideConfig, HeadKind, LoraConfig, Method, Quantised, Targets, Tuning};
use nn::{Beside, BottleneckConfig};
use serde::{Deserialize, Serialize};
use toml::Table;
use train::Regime;

use super::align::AlignSection;
use super::override_::Kind;
use super::sections::shortest;
use super::training::{OptimSection, TrainSection};
use super::{model_dir, refused, within};
use terminal::failure::{Context, Failure};

/// Recipes of tasks. What is not said is as in `transformers`' own examples, but for a warmup.
const KIND: Kind = Kind {
    sections: "a recipe of a task is TOML with the sections model, data, task, method, optim \
               and train",
    example: "train.batch_size=16",
    base: "
        [optim]
        schedule = 'warmup_linear'
        peak_lr = 5e-5
        last_lr = 0.0
        warmup_steps = 0
        beta2 = 0.999
        weight_decay = 0.01
        [train]
        steps = 0
        checkpoint_every = 0
        eval_every = 0
        sample_every = 0
    ",
    embedded: &[],
};

/// Every key, at what it is when nothing is said, and what it does.
pub const FINETUNE_KEYS: &str = include_str!("../../../recipes/finetune.toml");

/// A whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneRecipe {
    /// What is tuned.
    pub model: TunedSection,
    /// What it learns from, and is judged by.
    pub data: LabelledSection,
    /// What is asked.
    pub task: TuneSection,
    /// How it is learned which answers are good.
    pub align: AlignSection,
    /// What of the model learns.
    pub method: MethodSection,
    /// How weights move.
    pub optim: OptimSection,
    /// How long, how much at once, what is kept; `steps`, `checkpoint_every` and `eval_every` of 0
    /// are what `data.epochs` says, and an epoch.
    pub train: TrainSection,
}

/// What is tuned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunedSection {
    /// A model directory or a run.
    pub from: PathBuf,
}

/// What is learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelledSection {
    /// A set of GLUE or `SuperGLUE`, such as `sst2`, whose folder `train` names.
    pub set: Option<String>,
    /// Files, folders and patterns.
    pub train: Vec<String>,
    /// The same, to judge by; none is a share of `train`.
    pub validation: Vec<String>,
    /// That share, of each class; 0 for none.
    pub validation_fraction: f64,
    /// Which column is what, where their names do not say it: `text = ["review"]`.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Classes or tags, in the order of their numbers; else those of the data.
    pub labels: Vec<String>,
    /// Tokens of a text or a pair of them, at most; 0 is what the model reads.
    pub max_len: usize,
    /// Tokens that two windows of a context have in common.
    pub overlap: usize,
    /// How often the samples are read.
    pub epochs: f64,
    /// The share of samples that may lose tokens because they are too long.
    pub max_cut: f64,
    /// The share of rows that may be left out or have no text, and of samples that may ask for a
    /// text which nothing ends.
    pub max_spoiled: f64,
    /// The share of texts to judge by that may be learned from, too.
    pub max_shared: f64,
}

impl Default for LabelledSection {
    fn default() -> Self {
        Self {
            set: None,
            train: vec![],
            validation: vec![],
            validation_fraction: 0.1,
            columns: BTreeMap::new(),
            labels: vec![],
            max_len: 0,
            overlap: 128,
            epochs: 3.0,
            max_cut: 0.1,
            max_spoiled: 0.1,
            max_shared: 0.01,
        }
    }
}

/// What of the model learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodKind {
    /// Every weight.
    #[default]
    Full,
    /// The head alone.
    Head,
    /// Changes of low rank beside the weights, and the head.
    Lora,
    /// Tokens before each text, and the head.
    Prompt,
    /// Keys and values of tokens before each text, and the head.
    Prefix,
    /// Small networks behind sublayers, and the head.
    Adapter,
}

/// What of the model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodSection {
    /// `full`, `head`, `lora`, `prompt`, `prefix` or `adapter`.
    pub kind: MethodKind,
    /// Of that, what stays as it is: own names, in which `*` stands for anything.
    pub freeze: Vec<String>,
    /// The probability that a weight is, for a step, what it was at the start (mixout); 0 for none.
    #[serde(serialize_with = "shortest")]
    pub mixout: f32,
    /// What weights that do not learn are rounded to: `int8` or `nf4`.
    pub quantise: Option<String>,
    /// Of a change of low rank.
    pub rank: usize,
    /// It is multiplied with this over its rank.
    pub alpha: f64,
    /// Probability of dropping from what it reads.
    pub dropout: f64,
    /// What is changed, by the names of `transformers`: how they end, or `all-linear` for all.
    pub targets: Vec<String>,
    /// Whether alpha is over the root of the rank.
    pub rank_stabilised: bool,
    /// Whether lengths and directions learn apart.
    pub dora: bool,
    /// How many tokens `prompt` and `prefix` learn.
    pub n_virtual: usize,
    /// The width of the networks of `adapter`.
    pub bottleneck: usize,
    /// Whether there is one behind attention, too, as Houlsby et al. have it; else behind the
    /// feed-forward network alone (Pfeiffer et al.).
    pub after_attention: bool,
}

impl Default for MethodSection {
    fn default() -> Self {
        Self {
            kind: MethodKind::Full,
            freeze: vec![],
            mixout: 0.0,
            quantise: None,
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: vec!["all-linear".into()],
            rank_stabilised: false,
            dora: false,
            n_virtual: 20,
            bottleneck: 64,
            after_attention: false,
        }
    }
}

impl MethodKind {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Head => "head",
            Self::Lora => "lora",
            Self::Prompt => "prompt",
            Self::Prefix => "prefix",
            Self::Adapter => "adapter",
        }
    }
}

impl MethodSection {
    /// Refuses a field that would do nothing.
    fn check(&self) -> Result<(), Failure> {
        use MethodKind::{Adapter, Full, Head, Lora, Prefix, Prompt};
        const USED_BY: [(&str, &[MethodKind]); 11] = [
            ("mixout", &[Full]),
            ("quantise", &[Head, Lora, Prompt, Prefix, Adapter]),
            ("rank", &[Lora]),
            ("alpha", &[Lora]),
            ("dropout", &[Lora]),
            ("targets", &[Lora]),
            ("rank_stabilised", &[Lora]),
            ("dora", &[Lora]),
            ("n_virtual", &[Prompt, Prefix]),
            ("bottleneck", &[Adapter]),
            ("after_attention", &[Adapter]),
        ];
        for (field, kinds) in USED_BY {
            // Frozen maps are rounded, whatever the rest does.
            let is_used = kinds.contains(&self.kind)
                || field == "quantise" && self.kind == Full && !self.freeze.is_empty();
            if is_used || !is_said(self, field) {
                continue;
            }
            let place = format!("`method.kind` is {}", self.kind.name());
            let users: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
            return Err(does_nothing(&format!("method.{field}"), &place, &users));
        }
        self.check_low_rank()
    }

    /// Refuses what no change of low rank is made of.
    fn check_low_rank(&self) -> Result<(), Failure> {
        let Self { rank, alpha, dropout, .. } = self;
        if self.targets.iter().all(String::is_empty) {
            return Err(refused("method.targets", "names no module")
                .hint("take all: `--set 'method.targets=[\"all-linear\"]'`"));
        }
        within(&[
            ("method.rank", rank, (1..=1 << 16).contains(rank), "in [1, 65536]"),
            ("method.alpha", alpha, alpha.is_finite(), "a number"),
            ("method.dropout", dropout, (0.0..1.0).contains(dropout), "in [0, 1)"),
        ])
    }
}

/// What the loss of a class is multiplied with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    /// `balanced`: the rarer, the more.
    Named(String),
    /// One a class; their mean over the samples is made one.
    Each(Vec<f32>),
    /// One everywhere.
    #[default]
    One,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneSection {
    /// A task of `datasets`, such as `classify` or `chat`; guessed from the columns if nothing is
    /// said.
    pub kind: Option<String>,
    /// Label smoothing, in `[0, 1)`: of classes, tags, choices and what is written; of `dpo` the
    /// share of pairs that may be the wrong way round.
    #[serde(serialize_with = "shortest")]
    pub label_smoothing: f32,
    /// What the loss of a class is multiplied with: `balanced`, or a number each.
    #[serde(skip_serializing_if = "is_one")]
    pub class_weights: ClassWeights,
    /// How strongly two passes with other dropout are held together, of classes; 0 for one pass.
    #[serde(serialize_with = "shortest")]
    pub r_drop: f32,
    /// Metrics of an evaluation; the first decides which checkpoint is the best. Else those that
    /// are usual for the task.
    pub metrics: Vec<String>,
    /// Of triplets `contrastive` (if nothing is said) or `triplet`; of numbers for two texts their
    /// `cosine`, instead of a head that says them.
    pub loss: Option<String>,
    /// What cosines are multiplied with in a contrastive loss: 20.
    pub scale: Option<f64>,
    /// How much nearer a triplet's texts are to be: 5.
    pub margin: Option<f64>,
    /// Samples to judge by of which a text is written, the first, where a metric is of texts or
    /// they are problems: 200 if nothing is said.
    pub max_written: Option<usize>,
}

/// What weights are rounded to.
///
/// # Errors
/// Where there is no such form.
pub fn quantised(name: &str) -> Result<Quantised, Failure> {
    let unknown = || format!("`{name}` is neither `int8` nor `nf4`");
    Quantised::named(name).ok_or_else(|| refused("method.quantise", unknown()))
}

/// A table where a recipe is wanted.
fn refuse_table(name: &str) -> Result<(), Failure> {
    const TABLES: [&str; 7] = ["csv", "tsv", "json", "jsonl", "ndjson", "parquet", "conll"];
    let lower = name.to_lowercase();
    let packed = [".gz", ".zst", ".bz2"].iter().find_map(|end| lower.strip_suffix(end));
    let ending = packed.unwrap_or(&lower).rsplit_once('.').map_or("", |(_, ending)| ending);
    if !TABLES.contains(&ending) {
        return Ok(());
    }
    Err(Failure::new(format!("`{name}` looks like a table, where a recipe was wanted"))
        .hint(format!("a table is given with `--data {name}`")))
}

/// A field that others use.
fn does_nothing(field: &str, place: &str, users: &[String]) -> Failure {
    let hint = format!("leave it out; it is used by {}", users.join(", "));
    refused(field, format!("it does nothing where {place}")).hint(hint)
}

/// Whether a field of a section is another than it is by itself.
fn is_said<S: Serialize + Default>(section: &S, field: &str) -> bool {
    let table = |section: &S| Table::try_from(section).expect("a section is a table");
    table(section).get(field) != table(&S::default()).get(field)
}

fn is_one(weights: &ClassWeights) -> bool {
    *weights == ClassWeights::One
}

impl FinetuneRecipe {
    /// The recipe `name`: a file, or one in the program; nothing is an empty one; with `sets` on
    /// top.
    ///
    /// # Errors
    /// Where it cannot be read, or a key or value is unknown.
    pub fn load(name: Option<&str>, sets: &[String]) -> Result<Self, Failure> {
        name.map_or(Ok(()), refuse_table)?;
        let text = name.map_or_else(|| Ok(String::new()), |name| KIND.find(name))?;
        let read = KIND.read(&text, name.unwrap_or("--set"), sets);
        let mut recipe: Self = read.map_err(|failure| {
            if failure.text(false).contains("unknown variant `dora`") {
                return failure.hint("it is a form of `lora`: set `method.dora=true` beside it");
            }
            failure
        })?;
        if !recipe.model.from.as_os_str().is_empty() {
            // A run names its base, wherever it is looked at from.
            let from = model_dir(&recipe.model.from)?;
            recipe.model.from = std::path::absolute(from).context("there is no directory")?;
        }
        Ok(recipe)
    }

    /// What the run in `dir`, or of the checkpoint there, was asked for, where it tuned a model.
    pub fn of_run(dir: &Path) -> Option<Self> {
        let above = dir.parent().filter(|above| above.ends_with("checkpoints"));
        let run = above.and_then(Path::parent).unwrap_or(dir);
        let text = std::fs::read_to_string(run.join(crate::FILE_NAME)).ok()?;
        toml::from_str(&text).ok()
    }

    /// Refuses a field that would do nothing where `task` is learned.
    ///
    /// # Errors
    /// With that field, and the tasks that it is for.
    pub fn fits(&self, task: Task) -> Result<(), Failure> {
        use Task::{Chat, Judged, Pairs, Preference, Problem, Triplet};
        const OF_ALIGN: [(&str, &[Task]); 9] = [
            ("loss", &[Preference, Judged, Problem]),
            ("beta", &[Preference, Judged, Problem]),
            ("margin", &[Preference]),
            ("weights", &[Judged]),
            ("answers", &[Problem]),
            ("max_tokens", &[Problem]),
            ("temperature", &[Problem]),
            ("rewards", &[Problem]),
            ("max_failed", &[Problem]),
        ];
        const OF_TASK: [(&str, &[Task]); 3] = [
            ("scale", &[Triplet]),
            ("margin", &[Triplet]),
            ("max_written", &[Pairs, Chat, Problem]),
        ];
        let align = OF_ALIGN.iter().filter(|(field, _)| is_said(&self.align, field));
        let own = OF_TASK.iter().filter(|(field, _)| is_said(&self.task, field));
        let mut said = align.map(|one| ("align", one)).chain(own.map(|one| ("task", one)));
        let Some((section, (field, tasks))) = said.find(|(_, (_, all))| !all.contains(&task))
        else {
            return Ok(());
        };
        let users: Vec<_> = tasks.iter().map(ToString::to_string).collect();
        let place = format!("the task is `{task}`");
        Err(does_nothing(&format!("{section}.{field}"), &place, &users))
    }

    /// Everything that can be wrong with single values.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self) -> Result<(), Failure> {
        let Self { model, data, task, align, method, optim, train } = self;
        align.check()?;
        method.check()?;
        if train.sample_every != 0 && align.rewards.is_empty() {
            let problem = "a model that learns a task writes no samples";
            return Err(refused("train.sample_every", problem));
        }
        if model.from.as_os_str().is_empty() {
            return Err(refused("model.from", "there is no model to begin with")
                .hint("name one: `--model DIR`, a model directory or a run"));
        }
        if data.train.is_empty() {
            return Err(refused("data.train", "there is nothing to learn from")
                .hint("give a table of samples: `--data reviews.csv`"));
        }
        let (n_virtual, width) = (self.method.n_virtual, self.method.bottleneck);
        let some = |n: usize| (1..=1 << 16).contains(&n);
        let (scale, margin) = (task.scale.unwrap_or(1.0), task.margin.unwrap_or(0.0));
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let mixout = self.method.mixout;
        let (fraction, smoothing) = (data.validation_fraction, task.label_smoothing);
        let fits = (0.0..=0.5).contains(&fraction);
        within(&[
            ("data.validation_fraction", &fraction, fits, "in [0, 0.5]"),
            ("data.max_len", &data.max_len, data.max_len == 0 || data.max_len >= 8, "8 or more"),
            ("data.epochs", &data.epochs, data.epochs > 0.0 && data.epochs <= 1e6, "above 0"),
            ("data.max_cut", &data.max_cut, share(data.max_cut), "in [0, 1]"),
            ("data.max_spoiled", &data.max_spoiled, share(data.max_spoiled), "in [0, 1]"),
            ("data.max_shared", &data.max_shared, share(data.max_shared), "in [0, 1]"),
            ("task.label_smoothing", &smoothing, (0.0..1.0).contains(&smoothing), "in [0, 1)"),
            ("method.n_virtual", &n_virtual, some(n_virtual), "in [1, 65536]"),
            ("method.bottleneck", &width, some(width), "in [1, 65536]"),
            ("method.mixout", &mixout, (0.0..1.0).contains(&mixout), "in [0, 1)"),
            ("task.scale", &scale, scale > 0.0 && scale < 1e4, "above 0 and below 10000"),
            ("task.margin", &margin, (0.0..1e6).contains(&margin), "in [0, 1000000)"),
            ("task.r_drop", &task.r_drop, (0.0..1e3).contains(&task.r_drop), "in [0, 1000)"),
        ])?;
        train.check(optim)
    }

    /// Positions of the model that tokens of a text do not have.
    pub fn n_virtual(&self) -> usize {
        let is_led = matches!(self.method.kind, MethodKind::Prompt | MethodKind::Prefix);
        if is_led { self.method.n_virtual } else { 0 }
    }

    /// How weights are treated.
    pub fn regime(&self) -> Regime {
        Regime { mixout: self.method.mixout, ..self.train.regime(&self.optim) }
    }

    /// What learns, and what of the rest; a head that is drawn fresh is stored with what learns
    /// beside the base, by these names, as one of that kind.
    ///
    /// # Errors
    /// Where a value is unknown.
    pub fn tuning(&self, heads: Vec<String>, head: &HeadKind) -> Result<Tuning, Failure> {
        let m = &self.method;
        let quantise = m.quantise.as_deref().map(quantised).transpose()?;
        let base = Some(self.model.from.display().to_string());
        let heads = (!heads.is_empty()).then_some(heads);
        let beside = |beside| BesideConfig {
            beside,
            modules_to_save: heads.clone(),
            task_type: Some(head.peft_task().into()),
            base: base.clone(),
        };
        let bottleneck =
            BottleneckConfig { width: m.bottleneck, after_attention: m.after_attention };
        let lora = || LoraConfig {
            rank: m.rank,
            alpha: m.alpha,
            dropout: m.dropout,
            targets: Some(match &m.targets[..] {
                [one] if one == "all-linear" => Targets::Pattern(one.clone()),
                some => Targets::Names(some.to_vec()),
            }),
            modules_to_save: heads.clone(),
            rank_stabilised: m.rank_stabilised,
            dora: m.dora,
            base: base.clone(),
            ..LoraConfig::default()
        };
        let method = match m.kind {
            MethodKind::Full => Method::Full,
            MethodKind::Head => Method::Head,
            MethodKind::Lora => Method::Lora(lora()),
            MethodKind::Prompt => Method::Beside(beside(Beside::Prompt(m.n_virtual))),
            MethodKind::Prefix => Method::Beside(beside(Beside::Prefix(m.n_virtual))),
            MethodKind::Adapter => Method::Beside(beside(Beside::Bottleneck(bottleneck))),
        };
        Ok(Tuning { method, freeze: m.freeze.clone(), quantise })
    }

    /// What is said of the tables instead of guessed.
    ///
    /// # Errors
    /// Where there is no such task.
    pub fn wanted(&self) -> Result<Wanted, Failure> {
        let task = self.task.kind.as_deref().map(Task::named).transpose()?;
        let (columns, labels) = (self.data.columns.clone(), self.data.labels.clone());
        Ok(Wanted { task, columns, labels })
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is a table")
    }

    /// As a table, in which only what is set is there.
    pub fn to_table(&self) -> Table {
        Table::try_from(self).expect("a recipe is a table")
    }
}

#[cfg(test)]
mod tests;
