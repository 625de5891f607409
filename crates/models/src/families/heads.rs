//! What a model is asked for: the classes of `transformers` with heads for tasks, by family.

use nn::{ConfigError, HeadConfig, Pool, PooledHeadConfig, TagHeadConfig};
use serde_json::{Map, Value, json};
use tensor::Activation;

use super::ModelConfig;
use super::fields::Fields;
use super::hf::HfConfig;
use crate::import::Table;

/// What comes out of a head that scores where an answer starts and ends.
pub const SPANS: &str = "spans";
/// What comes out of a head that scores each of some choices.
pub const CHOICES: &str = "choices";

/// What a model is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Which of these a text is.
    Classes {
        /// Their names.
        labels: Vec<String>,
    },
    /// A number of a text: regression, or a reward.
    Score,
    /// Which of these each token is.
    Tags {
        /// Their names.
        labels: Vec<String>,
    },
    /// Where in a text the answer to a question starts, and where it ends.
    Spans,
    /// Which of some texts goes with another: a number of each.
    Choice,
    /// Tokens of the vocabulary: language modelling.
    Tokens,
    /// Hidden states alone, of which vectors of texts are made.
    Vectors,
}

const SEQUENCE: &str = "SequenceClassification";
const TOKENS: &str = "TokenClassification";
const QUESTIONS: &str = "QuestionAnswering";
const CHOICE: &str = "MultipleChoice";
const IMAGES: &str = "ImageClassification";

const OF_DECODER: &[&str] = &[SEQUENCE, TOKENS, QUESTIONS];
const OF_ENCODER: &[&str] = &[SEQUENCE, TOKENS, QUESTIONS, CHOICE];
const OF_PAIR: &[&str] = &[SEQUENCE, QUESTIONS];

/// A family: its `model_type`, what its classes begin with, that over tokens, and tasks of others.
type Classes = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Every family with heads for tasks.
const FAMILIES: &[Classes] = &[
    ("gpt2", "GPT2", "GPT2LMHeadModel", OF_DECODER),
    ("llama", "Llama", "LlamaForCausalLM", OF_DECODER),
    ("mistral", "Mistral", "MistralForCausalLM", OF_DECODER),
    ("mixtral", "Mixtral", "MixtralForCausalLM", OF_DECODER),
    ("qwen2", "Qwen2", "Qwen2ForCausalLM", OF_DECODER),
    ("qwen2_moe", "Qwen2Moe", "Qwen2MoeForCausalLM", OF_DECODER),
    ("qwen3", "Qwen3", "Qwen3ForCausalLM", OF_DECODER),
    ("qwen3_moe", "Qwen3Moe", "Qwen3MoeForCausalLM", OF_DECODER),
    ("smollm3", "SmolLM3", "SmolLM3ForCausalLM", OF_DECODER),
    ("gemma", "Gemma", "GemmaForCausalLM", &[SEQUENCE, TOKENS]),
    ("gemma3_text", "Gemma3Text", "Gemma3ForCausalLM", &[SEQUENCE]),
    ("bert", "Bert", "BertForMaskedLM", OF_ENCODER),
    ("roberta", "Roberta", "RobertaForMaskedLM", OF_ENCODER),
    ("ernie", "Ernie", "ErnieForMaskedLM", OF_ENCODER),
    ("distilbert", "DistilBert", "DistilBertForMaskedLM", OF_ENCODER),
    ("albert", "Albert", "AlbertForMaskedLM", OF_ENCODER),
    ("electra", "Electra", "ElectraForMaskedLM", OF_ENCODER),
    ("t5", "T5", "T5ForConditionalGeneration", OF_PAIR),
    ("bart", "Bart", "BartForConditionalGeneration", OF_PAIR),
    ("vit", "ViT", "", &[IMAGES]),
];

impl HeadKind {
    /// What `peft` calls the task that such a head is for.
    pub fn peft_task(&self) -> &'static str {
        match self {
            Self::Tokens => "CAUSAL_LM",
            Self::Classes { .. } | Self::Score | Self::Choice => "SEQ_CLS",
            Self::Tags { .. } => "TOKEN_CLS",
            Self::Spans => "QUESTION_ANS",
            Self::Vectors => "FEATURE_EXTRACTION",
        }
    }

    /// What the task is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classes { .. } => "classification",
            Self::Score => "regression",
            Self::Tags { .. } => "token classification",
            Self::Spans => "question answering",
            Self::Choice => "multiple choice",
            Self::Tokens => "language modelling",
            Self::Vectors => "vectors of texts",
        }
    }

    /// What a model with it is for, in the words of the Hugging Face hub.
    pub fn pipeline(&self) -> &'static str {
        match self {
            Self::Classes { .. } | Self::Score => "text-classification",
            Self::Tags { .. } => "token-classification",
            Self::Spans => "question-answering",
            Self::Choice => "multiple-choice",
            Self::Tokens => "text-generation",
            Self::Vectors => "sentence-similarity",
        }
    }

    /// The names of classes or tags.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classes { labels } | Self::Tags { labels } => labels,
            Self::Score | Self::Spans | Self::Choice | Self::Tokens | Self::Vectors => &[],
        }
    }

    /// The class of a family that does it.
    fn class_in(&self, (_, stem, tokens, tasks): Classes) -> Option<String> {
        let wanted: &[&str] = match self {
            Self::Tokens => return (!tokens.is_empty()).then(|| tokens.to_owned()),
            // Encoders are those that choose.
            Self::Vectors => return tasks.contains(&CHOICE).then(|| format!("{stem}Model")),
            Self::Classes { .. } | Self::Score => &[SEQUENCE, IMAGES],
            Self::Tags { .. } => &[TOKENS],
            Self::Spans => &[QUESTIONS],
            Self::Choice => &[CHOICE],
        };
        let task = tasks.iter().find(|task| wanted.contains(task))?;
        Some(format!("{stem}For{task}"))
    }

    /// Labels that are some, each with a name of its own.
    fn check(&self) -> Result<(), ConfigError> {
        let (labels, least) = match self {
            Self::Classes { labels } => (labels, 2),
            Self::Tags { labels } => (labels, 1),
            Self::Score | Self::Spans | Self::Choice | Self::Tokens | Self::Vectors => {
                return Ok(());
            }
        };
        if labels.len() < least {
            let problem = format!("{} labels, at least {least} are wanted", labels.len());
            return Err(ConfigError::new("id2label", problem));
        }
        let mut sorted: Vec<&String> = labels.iter().collect();
        sorted.sort();
        match sorted.windows(2).find(|two| two[0] == two[1]) {
            Some(two) => Err(ConfigError::new("id2label", format!("`{}` twice", two[0]))),
            None => Ok(()),
        }
    }

    /// Fields of a `config.json` that say it, in place of those that said another.
    fn say(&self, fields: &mut Map<String, Value>, class: &str) {
        for key in ["id2label", "label2id", "num_labels", "problem_type", "generator"] {
            fields.remove(key);
        }
        fields.insert("architectures".into(), json!([class]));
        let unnamed = ["LABEL_0".to_owned()];
        let (labels, problem) = match self {
            Self::Classes { labels } => (&labels[..], Some("single_label_classification")),
            Self::Score => (&unnamed[..], Some("regression")),
            Self::Tags { labels } => (&labels[..], None),
            Self::Spans | Self::Choice | Self::Tokens | Self::Vectors => return,
        };
        let names = labels.iter().enumerate();
        let by_id: Map<_, _> = names.clone().map(|(i, l)| (i.to_string(), json!(l))).collect();
        let by_name: Map<_, _> = names.map(|(i, l)| (l.clone(), json!(i))).collect();
        fields.insert("id2label".into(), by_id.into());
        fields.insert("label2id".into(), by_name.into());
        if let Some(problem) = problem {
            fields.insert("problem_type".into(), json!(problem));
        }
    }
}

impl ModelConfig {
    /// What the class that was saved is asked for; none for a base model, and what is none of
    /// [`HeadKind`].
    pub fn head(&self) -> Option<HeadKind> {
        let Some(said) = self.said() else { return Some(HeadKind::Tokens) };
        Some(match said.task() {
            SEQUENCE | IMAGES if said.n_labels() == 1 => HeadKind::Score,
            SEQUENCE | IMAGES => HeadKind::Classes { labels: said.labels() },
            TOKENS => HeadKind::Tags { labels: said.labels() },
            QUESTIONS => HeadKind::Spans,
            CHOICE => HeadKind::Choice,
            "MaskedLM" | "CausalLM" | "ConditionalGeneration" => HeadKind::Tokens,
            _ if matches!(self, Self::Gpt2(_)) => HeadKind::Tokens,
            _ => return None,
        })
    }

    /// The same model, asked for something else: the class of its family that does it, and its
    /// labels.
    ///
    /// # Errors
    /// Where the family has no such class, or labels are missing or said twice.
    pub fn with_head(&self, head: &HeadKind) -> Result<Self, ConfigError> {
        head.check()?;
        if self.head().as_ref() == Some(head) {
            return Ok(self.clone());
        }
        let model_type = self.family().model_type();
        let Some(class) = classes(model_type).and_then(|family| head.class_in(family)) else {
            let has = |family: &&Classes| head.class_in(**family).is_some();
            let known: Vec<_> = FAMILIES.iter().filter(has).map(|(name, ..)| *name).collect();
            let (task, known) = (head.name(), known.join(", "));
            let problem = format!("`{model_type}` has no head for {task}; those that do: {known}");
            return Err(ConfigError::new("model_type", problem));
        };
        let mut config = self.clone();
        match &mut config {
            Self::Gpt2(c) => head.say(&mut c.head.0, &class),
            Self::Hf(HfConfig { fields, .. }) => head.say(&mut fields.0, &class),
            Self::Seed(_) => {}
        }
        Ok(config)
    }

    /// The id that fills up a batch, where the config says one.
    pub fn padding(&self) -> Option<u32> {
        let said = self.said()?;
        let usual = match self.family().model_type() {
            "roberta" | "bart" => Some(1),
            "gemma" | "gemma3_text" | "t5" | "bert" | "ernie" | "distilbert" | "albert"
            | "electra" => Some(0),
            "smollm3" => Some(128_004),
            _ => None,
        };
        said.id("pad_token_id", usual)
    }

    /// The id that the decoder of an encoder-decoder reads before anything else.
    pub fn start(&self) -> Option<u32> {
        self.said().and_then(start)
    }

    /// The id that ends a text which an encoder-decoder reads, where the config says one.
    pub fn end_of_source(&self) -> Option<u32> {
        let usual = if self.family().model_type() == "t5" { 1 } else { 2 };
        self.said()?.id("eos_token_id", usual)
    }

    /// What the config says of heads, and of special tokens.
    fn said(&self) -> Option<&Fields> {
        match self {
            Self::Gpt2(c) => Some(&c.head),
            Self::Hf(c) => Some(&c.fields),
            Self::Seed(_) => None,
        }
    }
}

fn classes(model_type: &str) -> Option<Classes> {
    FAMILIES.iter().find(|(known, ..)| *known == model_type).copied()
}

/// The head of a decoder's class; none where it is over tokens, or not known.
pub(super) fn of_decoder(f: &Fields) -> Result<Option<(&'static str, HeadConfig)>, ConfigError> {
    Ok(Some(match f.task() {
        SEQUENCE => {
            let n_classes = Some(f.n_labels());
            let head = PooledHeadConfig { n_classes, bias: false, ..PooledHeadConfig::first() };
            ("logits", HeadConfig::Pooled(PooledHeadConfig { at: Pool::Last, ..head }))
        }
        TOKENS => {
            let dropout = f.real_or("classifier_dropout", f.real_or("hidden_dropout", 0.1)?)?;
            tags(f.n_labels(), dropout)
        }
        QUESTIONS => spans(0.0),
        _ => return Ok(None),
    }))
}

/// Names of such a head, a `score`; that of tags is called `tags`.
pub(super) fn decoder_names(heads: &[(&str, HeadConfig)], tags: &str, table: &mut Table) {
    for (name, head) in heads {
        let ours = format!("heads.{name}.classes");
        match head {
            HeadConfig::Pooled(head) => table.layer("score", &ours, head.bias),
            HeadConfig::Tag(_) if *name == SPANS => table.layer("qa_outputs", &ours, true),
            HeadConfig::Tag(_) => table.layer(tags, &ours, true),
            HeadConfig::Token(_) | HeadConfig::Embedding(_) => {}
        }
    }
}

/// The head of the class of an encoder-decoder: the last position is that of the token that ends
/// the text.
pub(super) fn of_pair(f: &Fields) -> Result<Option<(&'static str, HeadConfig)>, ConfigError> {
    Ok(Some(match f.task() {
        SEQUENCE => {
            check_start(f)?;
            let head = PooledHeadConfig {
                at: Pool::Last,
                dense: Some(Activation::Tanh),
                n_classes: Some(f.n_labels()),
                bias: true,
                dropout: [f.real_or("classifier_dropout", 0.0)? as f32; 2],
            };
            ("logits", HeadConfig::Pooled(head))
        }
        QUESTIONS => {
            check_start(f)?;
            spans(0.0)
        }
        _ => return Ok(None),
    }))
}

/// What reads the same text a position later has to start from something.
fn check_start(f: &Fields) -> Result<(), ConfigError> {
    let (id, vocab_size) = (start(f), f.size("vocab_size")?);
    if id.is_some_and(|id| (id as usize) < vocab_size) {
        return Ok(());
    }
    let problem = id.map_or("is missing".into(), |id| format!("{id} is no token of {vocab_size}"));
    Err(ConfigError::new("decoder_start_token_id", problem))
}

/// The id that a decoder reads before anything else.
fn start(f: &Fields) -> Option<u32> {
    f.id("decoder_start_token_id", if f.text_or("model_type", "") == Ok("t5") { 0 } else { 2 })
}

/// Names of such a head.
pub(super) fn pair_names(heads: &[(&str, HeadConfig)], table: &mut Table) {
    for (name, head) in heads {
        let ours = |leaf: &str| format!("decoder.heads.{name}.{leaf}");
        match head {
            HeadConfig::Pooled(_) => {
                table.layer("classification_head.dense", &ours("dense"), true);
                table.layer("classification_head.out_proj", &ours("classes"), true);
            }
            HeadConfig::Tag(_) => table.layer("qa_outputs", &ours("classes"), true),
            HeadConfig::Token(_) | HeadConfig::Embedding(_) => {}
        }
    }
}

/// A head over every position.
pub(super) fn tags(n_classes: usize, dropout: f64) -> (&'static str, HeadConfig) {
    let head = TagHeadConfig { dropout: dropout as f32, ..TagHeadConfig::plain(n_classes) };
    ("logits", HeadConfig::Tag(head))
}

/// A head over where an answer starts and where it ends.
pub(super) fn spans(dropout: f64) -> (&'static str, HeadConfig) {
    (SPANS, tags(2, dropout).1)
}

/// The keys of a `config.json` that are of heads or special tokens, for a config that reads no
/// others.
const KEYS: [&str; 7] = [
    "architectures",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "classifier_dropout",
    "pad_token_id",
];

/// Those of the keys that are left.
pub(super) fn read<'de, D: serde::Deserializer<'de>>(rest: D) -> Result<Fields, D::Error> {
    let mut all: Map<String, Value> = serde::Deserialize::deserialize(rest)?;
    all.retain(|key, _| KEYS.contains(&key.as_str()));
    let mut fields = Fields(all);
    if fields.task().is_empty() {
        fields.0.remove("architectures");
    }
    Ok(fields)
}
