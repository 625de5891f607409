//! The recipe: everything a run is made of, as TOML.
//!
//! Read, overridden by `--set`, resolved (what is `auto` becomes a value), checked, and stored in
//! the run, from which it can be run again.

mod align;
mod crawl;
pub mod estimate;
mod finetune;
mod override_;
mod sections;
mod task;
mod training;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use data::BatchConfig;
use models::ModelConfig;
use serde::{Deserialize, Serialize};
use tokenize::{MAX_VOCAB_SIZE, Scheme, Tokenizer};
use toml::Table;

pub use self::align::Aligned;
pub use self::crawl::{CrawlRecipe, PersonalAction};
pub use self::finetune::{
    ClassWeights, FINETUNE_KEYS, FinetuneRecipe, MethodKind, TuneSection, quantised,
};
use self::override_::Kind;
pub use self::override_::differences;
pub use self::sections::{DataSection, ModelSection, SourceSection, TokenizerSection, Words};
pub use self::task::{ObjectiveKind, TaskSection};
pub use self::training::{EvalSection, OptimSection, TrainSection};
use terminal::failure::Failure;
pub use terminal::failure::{refused, within};

/// Its name in a run directory.
pub const FILE_NAME: &str = "recipe.toml";

/// The recipes in the binary, by name.
const EMBEDDED: [(&str, &str); 8] = [
    ("austen", include_str!("../../../recipes/austen.toml")),
    ("tang", include_str!("../../../recipes/tang.toml")),
    ("seed", include_str!("../../../recipes/seed.toml")),
    ("bert", include_str!("../../../recipes/bert.toml")),
    ("ernie", include_str!("../../../recipes/ernie.toml")),
    ("electra", include_str!("../../../recipes/electra.toml")),
    ("t5", include_str!("../../../recipes/t5.toml")),
    ("gpt-crawl", include_str!("../../../recipes/gpt-crawl.toml")),
];

/// Whether a directory is that of a run.
pub fn is_run(path: &Path) -> bool {
    path.join("checkpoints").is_dir()
}

/// The directory of a model: of a run that of its best checkpoint, else of its newest.
///
/// # Errors
/// Where the run has none.
pub fn model_dir(path: &Path) -> Result<PathBuf, Failure> {
    Ok(if is_run(path) { checkpoint::resolve(path)?.dir } else { path.to_owned() })
}

/// Recipes of training.
const KIND: Kind = Kind {
    sections: "a recipe is TOML with the sections model, tokenizer, data, task, optim, train and \
               eval",
    example: "train.steps=100",
    base: "",
    embedded: &EMBEDDED,
};

/// A whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What is trained.
    pub model: ModelSection,
    /// How text becomes tokens.
    pub tokenizer: TokenizerSection,
    /// Where text comes from, and how it is cut.
    pub data: DataSection,
    /// What is asked of the model.
    pub task: TaskSection,
    /// How weights move.
    pub optim: OptimSection,
    /// How long, how much at once, what is kept.
    pub train: TrainSection,
    /// When and how the model is judged.
    pub eval: EvalSection,
}

/// The recipe that is taken where none is named.
pub const DEFAULT: &str = "austen";

/// Keys that a resumed run may change.
const MAY_CHANGE: [&str; 2] = ["train.steps", "train.max_hours"];

impl Recipe {
    /// The recipe that is asked for: a file, or one in the program; checked.
    ///
    /// # Errors
    /// Where it cannot be read, or a key or value is refused.
    pub fn asked(name: Option<&str>, sets: &[String]) -> Result<Self, Failure> {
        let recipe = Self::load(name.unwrap_or(DEFAULT), sets)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The recipe `name`: a file, or one in the program; with `sets` on top.
    ///
    /// # Errors
    /// Where it cannot be read, or a key or value is unknown.
    pub fn load(name: &str, sets: &[String]) -> Result<Self, Failure> {
        let text = KIND.find(name)?;
        let mut recipe = Self::parse(&text, name, sets)?;
        // A run means one of its checkpoints; which, is stored.
        let dirs = [&mut recipe.model.from, &mut recipe.tokenizer.path];
        for dir in dirs.into_iter().flatten() {
            *dir = model_dir(dir)?;
        }
        Ok(recipe)
    }

    /// The recipe written in `text`; `origin` names it in messages.
    ///
    /// # Errors
    /// Where a key or value is unknown.
    pub fn parse(text: &str, origin: &str, sets: &[String]) -> Result<Self, Failure> {
        let mut recipe: Self = KIND.read(text, origin, sets)?;
        // Which text it is, is stored: one of the program, or the user's own.
        let data = &mut recipe.data;
        let is_default = data.paths.is_empty() && data.sources.is_empty();
        if is_default {
            data.corpus = Some(data.corpus.unwrap_or_default());
        } else if data.sources.is_empty() {
            data.corpus = None;
        }
        for source in &mut data.sources {
            source.corpus = source.paths.is_empty().then(|| source.corpus.unwrap_or_default());
        }
        Ok(recipe)
    }

    /// Everything that can be wrong with single values, before anything is read or built.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self) -> Result<(), Failure> {
        let Self { data, train, optim, eval, .. } = self;
        if data.paths.len() > 1 && data.paths.iter().any(|path| path == Path::new("-")) {
            return Err(refused("data.paths", "`-` is standard input, and stands alone"));
        }
        if train.batch_tokens.is_some() {
            let problem = "windows are all of one length: `train.batch_size` says how many";
            return Err(refused("train.batch_tokens", problem));
        }
        let (fraction, smoothing) = (data.validation_fraction, self.task.label_smoothing);
        let share = |x: f32| (0.0..1.0).contains(&x);
        let (saves, vocab_size) = (train.checkpoint_every, self.tokenizer.vocab_size);
        let is_made = self.tokenizer_dir().is_none();
        let least = self.scheme().min_vocab_size();
        let fits_vocab = !is_made || (least..=MAX_VOCAB_SIZE).contains(&vocab_size);
        let vocab_range = format!("in [{least}, 2^20]");
        let some = |n: u64| (1..=1 << 40).contains(&n);
        let values: [(_, &dyn Display, _, _); 9] = [
            ("data.seq_len", &data.seq_len, some(data.seq_len as u64), "in [1, 2^40]"),
            ("tokenizer.vocab_size", &vocab_size, fits_vocab, vocab_range.as_str()),
            ("eval.batch_size", &eval.batch_size, some(eval.batch_size as u64), "in [1, 2^40]"),
            ("train.steps", &train.steps, some(train.steps), "in [1, 2^40]"),
            ("train.checkpoint_every", &saves, some(saves), "in [1, 2^40]"),
            ("train.eval_every", &train.eval_every, some(train.eval_every), "in [1, 2^40]"),
            ("data.validation_fraction", &fraction, (0.0..=0.5).contains(&fraction), "in [0, 0.5]"),
            ("data.max_empty", &data.max_empty, (0.0..=1.0).contains(&data.max_empty), "in [0, 1]"),
            ("task.label_smoothing", &smoothing, share(smoothing), "in [0, 1)"),
        ];
        within(&values)?;
        train.check(optim)?;
        data.check_sources()?;
        self.task.check(data)?;
        self.batches()?;
        optim.check_schedule(train.steps)
    }

    /// What is set and does nothing, which a person should know.
    pub fn without_effect(&self) -> Option<&'static str> {
        let ModelSection { depth, n_layers, d_model, n_heads, .. } = self.model;
        let all = depth.is_some() && n_layers.is_some() && d_model.is_some() && n_heads.is_some();
        all.then_some("`model.depth` has no effect: every size is set")
    }

    /// How the data comes.
    ///
    /// # Errors
    /// Where the task leaves no room for text.
    pub fn batches(&self) -> Result<BatchConfig, Failure> {
        self.task.room(BatchConfig {
            batch: self.train.batch_size,
            seq_len: self.data.seq_len,
            around: 0,
            seed: self.train.seed,
            mode: self.data.mode,
        })
    }

    /// The family's config, for a tokenizer; where there is none yet, for a vocabulary of the size
    /// that is asked for.
    ///
    /// # Errors
    /// As [`ModelSection::config`], and where the task cannot be asked of it.
    pub fn model(&self, tokenizer: Option<&Tokenizer>) -> Result<ModelConfig, Failure> {
        let words = Words {
            vocab_size: tokenizer.map_or(self.tokenizer.vocab_size, Tokenizer::vocab_size),
            ids: tokenizer.map(Tokenizer::special_ids).unwrap_or_default(),
            pair: self.task.pair.is_some(),
        };
        let config = self.model.config(words, self.data.seq_len)?;
        self.task.fits(&config)?;
        Ok(config)
    }

    /// How a vocabulary is trained for it.
    pub fn scheme(&self) -> Scheme {
        task::scheme(&self.model.family, self.tokenizer.lowercase)
    }

    /// Where a tokenizer comes from that is not trained.
    pub fn tokenizer_dir(&self) -> Option<&Path> {
        self.tokenizer.path.as_deref().or(self.model.from.as_deref())
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is a table")
    }

    /// As a table, in which only what is set is there.
    pub fn to_table(&self) -> Table {
        Table::try_from(self).expect("a recipe is a table")
    }

    /// Refuses a resumption that would change what the run in `dir` is.
    ///
    /// # Errors
    /// With every key that differs.
    pub fn same_run(&self, stored: &Self, dir: &Path) -> Result<(), Failure> {
        same_run(&[stored.to_table(), self.to_table()], dir)
    }
}

/// Refuses a resumption that would change what the run in `dir` is, of which the first recipe is
/// stored there and the second asked for.
///
/// # Errors
/// With every key that differs.
pub fn same_run(recipes: &[Table; 2], dir: &Path) -> Result<(), Failure> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
    let differences: Vec<String> = differences(recipes)
        .into_iter()
        .filter(|(key, _)| !MAY_CHANGE.contains(&key.as_str()))
        .map(|(key, values)| {
            format!("`{key}` was {} and is {}", text(&values[0]), text(&values[1]))
        })
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let (dir, differences) = (dir.display(), differences.join(", "));
    let problem = format!("the run in `{dir}` was made with another recipe: {differences}");
    Err(Failure::new(problem).hint(
        "a resumed run may change `train.steps` and `train.max_hours` alone; start another \
         run with another `--out`",
    ))
}

#[cfg(test)]
mod tests;
