//! Why a model could not be loaded.

use std::path::PathBuf;

use checkpoint::CheckpointError;
use nn::ConfigError;
use thiserror::Error;

use crate::base::BASE_FILE;

/// Why a model could not be loaded.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum ModelError {
    #[error("failed to read `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is not the JSON of a model's config")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` has no `model_type`")]
    NoModelType { path: PathBuf },
    #[error("`{path}` is a `{found}`, which is not known")]
    UnknownModelType { path: PathBuf, found: String },
    #[error("`{path}` cannot be built")]
    Config { path: PathBuf, source: ConfigError },
    #[error("tensor `{name}` differs from what the config makes of it")]
    Constant { name: String },
    #[error("adapter `{name}`: {problem}")]
    Adapter { name: String, problem: String },
    #[error("`{pattern}` of `freeze` names no parameter")]
    Freeze { pattern: String, names: String },
    #[error("nothing learns: every parameter is frozen")]
    NothingLearns,
    #[error("the merged model differs by {difference:.2e}, more than {tolerance:.2e}")]
    Merge { difference: f32, tolerance: f32 },
    #[error("the adapter in `{adapter}` was trained beside other weights than those of `{base}`")]
    OtherBase { adapter: PathBuf, base: PathBuf },
    #[error("the adapter in `{adapter}` is not in the weights of `{base}`: it was trained on them")]
    NotMerged { adapter: PathBuf, base: PathBuf },
    #[error("the adapter in `{adapter}` was trained beside a base rounded otherwise than another")]
    Forms { adapter: PathBuf },
    #[error("model {number} has no mean with the first: {problem}")]
    Average { number: usize, problem: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(e) => e.hint(),
            Self::Read { .. } => Some(
                "a model directory has `config.json` and `model.safetensors`; a run directory has \
                 `checkpoints/`"
                    .into(),
            ),
            Self::NoModelType { .. } | Self::UnknownModelType { .. } => {
                let known: Vec<_> = crate::ModelConfig::known().collect();
                Some(format!("known model types are {}", known.join(", ")))
            }
            Self::Adapter { .. } => Some(
                "an adapter fits the base that it was trained on, or one of the same names and \
                 shapes; a head that it brings is told by a `config.json` beside it, or by its \
                 `task_type` and weights"
                    .into(),
            ),
            Self::Freeze { names, .. } => {
                Some(format!("`*` is anything, and names are as {names}"))
            }
            Self::NothingLearns => {
                Some("a head that is the embedding's table cannot learn alone".into())
            }
            Self::Merge { .. } => {
                Some("keep the adapter beside its base; stored in f32 a model is nearer".into())
            }
            Self::NotMerged { .. } => Some(
                "give what `convert --adapter` made of it: this would take away too much".into(),
            ),
            Self::Forms { .. } => Some(format!(
                "use one at a time; without `rounded` in its `{BASE_FILE}`, an adapter takes the \
                 base as it is"
            )),
            Self::OtherBase { .. } => Some(format!(
                "give it the base that it was trained on; without `{BASE_FILE}` beside it, shapes \
                 alone decide"
            )),
            Self::Average { .. } => {
                Some("average what one model became in several runs of one recipe".into())
            }
            Self::Constant { .. } => {
                Some("the table of positions is fixed: were the weights changed by hand?".into())
            }
            Self::Json { .. } | Self::Config { .. } => {
                Some("fetch `config.json` again, or correct it".into())
            }
        }
    }
}
