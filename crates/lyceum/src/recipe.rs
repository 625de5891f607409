//! The recipe: everything a run is made of, as TOML.
//!
//! Read, overridden by `--set`, resolved (what is `auto` becomes a value), checked, and stored in
//! the run, from which it can be run again.

mod override_;
mod sections;

use std::path::{Path, PathBuf};

use data::BatchConfig;
use nn::ConfigError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::sections::{
    DataSection, EvalSection, ModelSection, OptimSection, TaskSection, TokenizerSection,
    TrainSection,
};

/// Its name in a run directory.
pub const FILE_NAME: &str = "recipe.toml";

/// The recipes in the binary, by name.
const EMBEDDED: [(&str, &str); 3] = [
    ("austen", include_str!("../../../recipes/austen.toml")),
    ("tang", include_str!("../../../recipes/tang.toml")),
    ("seed", include_str!("../../../recipes/seed.toml")),
];

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

/// Why a recipe is refused.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum RecipeError {
    #[error("failed to read recipe `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("no recipe `{name}`: there is no such file, and none in the program")]
    Unknown { name: String },
    #[error("recipe `{origin}`: {problem}")]
    Parse { origin: String, problem: String, nearest: Option<String> },
    #[error("`--set {given}` is not of the form `section.key=value`")]
    Override { given: String },
    #[error("recipe: `{field}`: {problem}")]
    Value { field: String, problem: String, hint: Option<String> },
    #[error("the run in `{dir}` was made with another recipe: {}", differences.join(", "))]
    Differs { dir: PathBuf, differences: Vec<String> },
}

impl RecipeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => {
                let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
                Some(format!("give a TOML file, or one of {}", names.join(", ")))
            }
            Self::Parse { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::Parse { .. } => Some(
                "a recipe is TOML with the sections model, tokenizer, data, task, optim, train \
                 and eval"
                    .into(),
            ),
            Self::Override { .. } => Some("for instance `--set train.steps=100`".into()),
            Self::Value { hint: Some(hint), .. } => Some(hint.clone()),
            Self::Value { field, .. } => Some(value_hint(field)),
            Self::Differs { .. } => Some(
                "a resumed run may change `train.steps` and `train.max_hours` alone; start another \
                 run with another `--out`"
                    .into(),
            ),
            Self::Read { .. } => None,
        }
    }

    /// A model that cannot be built.
    pub(crate) fn model(error: ConfigError) -> Self {
        let field = match error.field {
            "vocab_size" => "tokenizer.vocab_size".to_owned(),
            "max_len" => "data.seq_len".to_owned(),
            // As the family's own config has it.
            "nhead" => "model.n_heads".to_owned(),
            field => format!("model.{field}"),
        };
        Self::value(&field, error.problem)
    }

    pub(crate) fn value(field: &str, problem: impl Into<String>) -> Self {
        Self::Value { field: field.into(), problem: problem.into(), hint: None }
    }
}

fn value_hint(field: &str) -> String {
    match field {
        "model.n_heads" => "make `model.d_model` a multiple of `model.n_heads`".into(),
        field if field.contains('.') => {
            format!("change it in the recipe, or with `--set {field}=VALUE`")
        }
        _ => "change it in the recipe, or with `--set KEY=VALUE`".into(),
    }
}

/// The recipe that is taken where none is named.
pub const DEFAULT: &str = "austen";

/// Keys that a resumed run may change.
const MAY_CHANGE: [&str; 2] = ["train.steps", "train.max_hours"];

impl Recipe {
    /// The recipe `name`: a file, or one in the program; with `sets` on top.
    ///
    /// # Errors
    /// Where it cannot be read, or a key or value is unknown.
    pub fn load(name: &str, sets: &[String]) -> Result<Self, RecipeError> {
        let path = Path::new(name);
        let embedded = EMBEDDED.iter().find(|(known, _)| *known == name);
        let text = match embedded {
            Some((_, text)) if !path.exists() => (*text).to_owned(),
            _ if !path.exists() && path.extension().is_none() => {
                return Err(RecipeError::Unknown { name: name.into() });
            }
            _ => {
                let read = |source| RecipeError::Read { path: path.into(), source };
                std::fs::read_to_string(path).map_err(read)?
            }
        };
        Self::parse(&text, name, sets)
    }

    /// The recipe written in `text`; `origin` names it in messages.
    ///
    /// # Errors
    /// Where a key or value is unknown.
    pub fn parse(text: &str, origin: &str, sets: &[String]) -> Result<Self, RecipeError> {
        // Once as it stands, so that a message can point at line and column.
        let _: Self = toml::from_str(text).map_err(|e| override_::explain(&e, origin))?;
        let mut table: toml::Table =
            toml::from_str(text).map_err(|e| override_::explain(&e, origin))?;
        for set in sets {
            override_::apply(&mut table, set)?;
        }
        table.try_into().map_err(|e| override_::explain(&e, "--set"))
    }

    /// Everything that can be wrong with single values, before anything is read or built.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self) -> Result<(), RecipeError> {
        let (data, train, optim) = (&self.data, &self.train, &self.optim);
        let sizes = [
            ("data.seq_len", data.seq_len),
            ("train.batch_size", train.batch_size),
            ("train.keep_last", train.keep_last),
            ("eval.batch_size", self.eval.batch_size),
            ("train.steps", train.steps as usize),
            ("train.checkpoint_every", train.checkpoint_every as usize),
            ("train.eval_every", train.eval_every as usize),
        ];
        for (field, value) in sizes {
            if value == 0 || value > 1 << 40 {
                return Err(RecipeError::value(field, format!("{value} is not at least 1")));
            }
        }
        let fraction = data.validation_fraction;
        if !(0.0..=0.5).contains(&fraction) {
            let problem = format!("{fraction} is not in [0, 0.5]");
            return Err(RecipeError::value("data.validation_fraction", problem));
        }
        let smoothing = self.task.label_smoothing;
        if !(0.0..1.0).contains(&smoothing) {
            let problem = format!("{smoothing} is not in [0, 1)");
            return Err(RecipeError::value("task.label_smoothing", problem));
        }
        if optim.max_grad_norm.is_nan() || optim.max_grad_norm <= 0.0 {
            let problem = format!("{} is not above 0", optim.max_grad_norm);
            return Err(RecipeError::value("optim.max_grad_norm", problem));
        }
        for (field, beta) in [("optim.beta1", optim.beta1), ("optim.beta2", optim.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(RecipeError::value(field, format!("{beta} is not in [0, 1)")));
            }
        }
        if !(optim.eps > 0.0 && optim.weight_decay >= 0.0 && optim.weight_decay.is_finite()) {
            let problem = "`eps` must be above 0, `weight_decay` finite and not below";
            return Err(RecipeError::value("optim", problem));
        }
        if train.max_hours.is_some_and(|hours| !(hours > 0.0 && hours < 1e6)) {
            return Err(RecipeError::value("train.max_hours", "is not a number of hours above 0"));
        }
        optim.schedule(train.steps).check().map_err(|e| RecipeError::Value {
            field: "optim".into(),
            problem: e.to_string(),
            hint: e.hint(),
        })
    }

    /// How the data comes.
    pub fn batches(&self) -> BatchConfig {
        BatchConfig {
            batch: self.train.batch_size,
            seq_len: self.data.seq_len,
            seed: self.train.seed,
            mode: self.data.mode,
        }
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is a table")
    }

    /// Refuses a resumption that would change what the run in `dir` is.
    ///
    /// # Errors
    /// [`RecipeError::Differs`] with every key that differs.
    pub fn same_run(&self, stored: &Self, dir: &Path) -> Result<(), RecipeError> {
        let differences: Vec<String> = override_::differences(stored, self)
            .into_iter()
            .filter(|(key, ..)| !MAY_CHANGE.contains(&key.as_str()))
            .map(|(key, was, is)| format!("`{key}` was {was} and is {is}"))
            .collect();
        let dir = dir.to_owned();
        if differences.is_empty() { Ok(()) } else { Err(RecipeError::Differs { dir, differences }) }
    }
}

#[cfg(test)]
mod tests;
