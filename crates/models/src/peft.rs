//! Adapters of any kind in the words of `adapter_config.json`: of low rank (see `lora`), learned
//! tokens, and bottlenecks, which `peft` does not know.

use checkpoint::Weights;
use nn::{Beside, BottleneckConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map as Json, Value, json};

use crate::families::heads::HeadKind;
use crate::import::Import;
use crate::lora::{LoraConfig, PREFIX, Placed, saved};
use crate::stack::StackConfig;

/// An adapter.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterConfig {
    /// Changes of low rank.
    Lora(LoraConfig),
    /// Something else beside the weights.
    Beside(BesideConfig),
}

/// Learned tokens before each text, or bottlenecks behind sublayers.
#[derive(Clone, Debug, PartialEq)]
pub struct BesideConfig {
    /// What is learned beside the trunk.
    pub beside: Beside,
    /// Modules that learn as a whole and are stored with the adapter: heads.
    pub modules_to_save: Option<Vec<String>>,
    /// What `peft` wraps the model for: `CAUSAL_LM`, `SEQ_CLS`, `TOKEN_CLS` ...
    pub task_type: Option<String>,
    /// Where the base came from.
    pub base: Option<String>,
}

/// Most learned tokens, and the widest bottleneck.
const MOST: usize = 1 << 16;

impl From<LoraConfig> for AdapterConfig {
    fn from(config: LoraConfig) -> Self {
        Self::Lora(config)
    }
}

impl AdapterConfig {
    /// Reads `adapter_config.json`.
    ///
    /// # Errors
    /// With what is wrong, or is asked for and not known.
    pub fn from_json(json: &Json<String, Value>) -> Result<Self, String> {
        match json.get("peft_type").and_then(Value::as_str) {
            Some("PROMPT_TUNING" | "PREFIX_TUNING" | BOTTLENECK) => {
                BesideConfig::from_json(json).map(Self::Beside)
            }
            _ => LoraConfig::from_json(json).map(Self::Lora),
        }
    }

    /// Where the base came from.
    pub fn base(&self) -> Option<&str> {
        match self {
            Self::Lora(config) => config.base.as_deref(),
            Self::Beside(config) => config.base.as_deref(),
        }
    }

    /// The head that `weights` hold beside it, by the task that it says it is for. Of classes it
    /// tells how many there are; they are called as `transformers` calls what has no name.
    pub(crate) fn head(&self, weights: &Weights) -> Option<HeadKind> {
        let task = match self {
            Self::Lora(config) => config.task_type.as_deref()?,
            Self::Beside(config) => config.task_type.as_deref()?,
        };
        let is_scores = |name: &&str| SCORES.iter().any(|scores| name.ends_with(scores));
        let scores = weights.get(weights.names().find(is_scores)?).ok()?;
        let n = *scores.shape.first()?;
        let labels = || (0..n).map(|i| format!("LABEL_{i}")).collect();
        match task {
            "SEQ_CLS" if n == 1 => Some(HeadKind::Score),
            "SEQ_CLS" => Some(HeadKind::Classes { labels: labels() }),
            "TOKEN_CLS" => Some(HeadKind::Tags { labels: labels() }),
            "QUESTION_ANS" => Some(HeadKind::Spans),
            _ => None,
        }
    }

    /// What stands before the names of a model in its file.
    pub(crate) fn outer(&self) -> &'static str {
        match self {
            Self::Lora(_) => PREFIX,
            Self::Beside(_) => OUTER,
        }
    }

    /// What it has beside the trunk that is no change of its maps.
    pub(crate) fn beside(&self) -> Beside {
        match self {
            Self::Lora(_) => Beside::Nothing,
            Self::Beside(config) => config.beside,
        }
    }
}

/// How the names of what scores classes end, in every family; each class is a row of it.
const SCORES: [&str; 5] = [
    ".classifier.weight",
    ".classifier.out_proj.weight",
    ".classification_head.out_proj.weight",
    ".score.weight",
    ".qa_outputs.weight",
];

/// What names a kind that `peft` does not know.
const BOTTLENECK: &str = "BOTTLENECK";

/// The fields that count; what else there is says how training began, or the sizes of the base.
#[derive(Serialize, Deserialize)]
struct Fields {
    peft_type: String,
    num_virtual_tokens: Option<usize>,
    /// Of both sides of an encoder-decoder: 2.
    num_transformer_submodules: Option<usize>,
    width: Option<usize>,
    after_attention: Option<bool>,
    modules_to_save: Option<Vec<String>>,
    task_type: Option<String>,
    base_model_name_or_path: Option<String>,
}

impl BesideConfig {
    fn from_json(json: &Json<String, Value>) -> Result<Self, String> {
        let fields: Fields =
            serde_json::from_value(Value::Object(json.clone())).map_err(|e| e.to_string())?;
        if fields.num_transformer_submodules.is_some_and(|n| n != 1) {
            return Err("`num_transformer_submodules` above 1 is not supported".into());
        }
        let size = |field: &str, n: Option<usize>| match n {
            Some(n @ 1..=MOST) => Ok(n),
            Some(n) => Err(format!("`{field}` is {n}; it is from 1 to {MOST}")),
            None => Err(format!("there is no `{field}`")),
        };
        let n_tokens = || size("num_virtual_tokens", fields.num_virtual_tokens);
        let beside = match fields.peft_type.as_str() {
            "PROMPT_TUNING" => Beside::Prompt(n_tokens()?),
            "PREFIX_TUNING" => Beside::Prefix(n_tokens()?),
            _ => Beside::Bottleneck(BottleneckConfig {
                width: size("width", fields.width)?,
                after_attention: fields.after_attention.unwrap_or(false),
            }),
        };
        Ok(Self {
            beside,
            modules_to_save: fields.modules_to_save,
            task_type: fields.task_type,
            base: fields.base_model_name_or_path,
        })
    }

    /// The text of `adapter_config.json`, with the sizes of the model that it is beside.
    pub(crate) fn to_json(&self, stack: &StackConfig) -> String {
        let trunk = &stack.trunk;
        let mut json = json!({
            "base_model_name_or_path": self.base,
            "inference_mode": true,
            "modules_to_save": self.modules_to_save,
            "task_type": self.task_type,
        });
        let tokens = |kind: &str, n: usize| {
            vec![
                ("peft_type", json!(kind)),
                ("num_virtual_tokens", json!(n)),
                ("num_layers", json!(trunk.n_layers)),
                ("num_transformer_submodules", json!(1)),
            ]
        };
        let facts = match self.beside {
            Beside::Nothing => Vec::new(),
            Beside::Prompt(n) => [
                tokens("PROMPT_TUNING", n),
                vec![
                    ("token_dim", json!(stack.tokens().width())),
                    ("num_attention_heads", json!(trunk.n_heads)),
                    ("prompt_tuning_init", json!("RANDOM")),
                ],
            ]
            .concat(),
            // What `peft` shares out among the heads that keys and values have.
            Beside::Prefix(n) => [
                tokens("PREFIX_TUNING", n),
                vec![
                    ("token_dim", json!(trunk.n_kv_heads * trunk.d_head)),
                    ("num_attention_heads", json!(trunk.n_kv_heads)),
                    ("encoder_hidden_size", json!(trunk.n_kv_heads * trunk.d_head)),
                    ("prefix_projection", json!(false)),
                ],
            ]
            .concat(),
            Beside::Bottleneck(BottleneckConfig { width, after_attention }) => vec![
                ("peft_type", json!(BOTTLENECK)),
                ("width", json!(width)),
                ("after_attention", json!(after_attention)),
            ],
        };
        for (key, value) in facts {
            json[key] = value;
        }
        format!("{json:#}\n")
    }

    /// Places it: over external names `imports`, where `own` are the names of all parameters.
    ///
    /// # Errors
    /// Where a module cannot learn alone.
    pub(crate) fn place(&self, imports: &[Import], own: &[String]) -> Result<Placed, String> {
        let is_inside = |name: &&String| name.split('.').any(|part| part == nn::BOTTLENECK);
        let last = |name: &&String, leaf: &str| name.rsplit('.').next() == Some(leaf);
        let mut table = match self.beside {
            Beside::Nothing => Vec::new(),
            Beside::Prompt(_) => vec![Import::param(EMBEDDINGS, "lead.prompt")],
            Beside::Prefix(_) => vec![Import::param(EMBEDDINGS, "prefix")],
            Beside::Bottleneck(_) => {
                let maps = own.iter().filter(is_inside).filter(|name| !last(name, nn::BY));
                maps.map(|name| Import::param(name.clone(), name.clone())).collect()
            }
        };
        let save = self.modules_to_save.clone().unwrap_or_default();
        let (saved, heads) = saved(&save, imports, OUTER)?;
        table.extend(heads);
        let is_by =
            |name: &&String| last(name, nn::BY) && (is_inside(name) || name.starts_with("lead."));
        let switches = own.iter().filter(is_by).cloned().collect();
        Ok(Placed { saved, table, switches, ..Placed::default() })
    }
}

/// What `peft` puts before a name of a model in which nothing is changed, and that it does not wrap
/// twice.
const OUTER: &str = "base_model.";

/// The one tensor of learned tokens.
const EMBEDDINGS: &str = "prompt_embeddings";
