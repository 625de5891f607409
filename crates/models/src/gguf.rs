//! GGUF files as models: what their metadata says as a config, and their names for tensors.
//!
//! The format: ggml-org, "GGUF", `docs/gguf.md` of the `ggml` repository. Tensors of a `llama` have
//! the rows of queries and keys arranged so that rotary pairs lie side by side.

use checkpoint::Weights;
use checkpoint::gguf::Value as Meta;
use nn::{
    AttnPositions, ConfigError, HeadConfig, NormKind, RopeScaling, TokenEmbedConfig,
    TokenHeadConfig,
};
use serde_json::{Map, Value, json};

use crate::families::ModelConfig;
use crate::families::hf::HfConfig;
use crate::import::{Import, Source};
use crate::stack::StackConfig;

/// `general.architecture`, and the `model_type` and class it stands for.
const ARCHITECTURES: [(&str, &str, &str); 5] = [
    ("llama", "llama", "LlamaForCausalLM"),
    ("qwen2", "qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "qwen3", "Qwen3ForCausalLM"),
    ("gemma", "gemma", "GemmaForCausalLM"),
    ("gemma3", "gemma3_text", "Gemma3ForCausalLM"),
];

type Result<T> = std::result::Result<T, ConfigError>;

/// What a file says, and which tensors it has.
struct Said<'f> {
    metadata: &'f dyn Fn(&str) -> Option<Meta<'f>>,
    has: &'f dyn Fn(&str) -> bool,
    /// Rows of the table of tokens, where there is one.
    vocab_size: Option<usize>,
}

/// Reads the keys of one architecture.
struct Keys<'f> {
    said: &'f Said<'f>,
    architecture: String,
}

impl<'f> Keys<'f> {
    fn get(&self, key: &str) -> Option<Meta<'f>> {
        (self.said.metadata)(&format!("{}.{key}", self.architecture))
    }

    fn maybe_size(&self, key: &'static str) -> Result<Option<u64>> {
        let wrong = || ConfigError::new(key, "is not a whole number");
        self.get(key).map(|value| value.to_u64().ok_or_else(wrong)).transpose()
    }

    fn size(&self, key: &'static str) -> Result<u64> {
        self.maybe_size(key)?.ok_or_else(|| ConfigError::new(key, "is missing"))
    }

    fn maybe_real(&self, key: &'static str) -> Result<Option<f64>> {
        let wrong = || ConfigError::new(key, "is not a number");
        // Through text: the 1e-5 of an f32 is 1e-5.
        let exact = |value: Meta| match value {
            Meta::F32(x) => x.to_string().parse().ok(),
            other => other.to_f64(),
        };
        self.get(key).map(|value| exact(value).ok_or_else(wrong)).transpose()
    }
}

/// The config that a GGUF file amounts to.
///
/// # Errors
/// Its architecture is not known, a key is missing or of another type, or something is asked for
/// that would change the result and is not built.
fn config<'f>(said: &'f Said<'f>) -> Result<ModelConfig> {
    let architecture = (said.metadata)("general.architecture");
    let architecture = architecture.as_ref().and_then(Meta::as_str).unwrap_or("");
    let known = ARCHITECTURES.iter().find(|(name, ..)| *name == architecture);
    let Some(&(_, model_type, class)) = known else {
        let names: Vec<_> = ARCHITECTURES.iter().map(|(name, ..)| *name).collect();
        let problem = format!("`{architecture}` is not one of {}", names.join(", "));
        return Err(ConfigError::new("general.architecture", problem));
    };
    let missing = || ConfigError::new("token_embd.weight", "is missing");
    let vocab_size = said.vocab_size.ok_or_else(missing)?;
    if (said.has)("rope_freqs.weight") {
        let problem = "stretched frequencies that are stored as a tensor are not read";
        return Err(ConfigError::new("rope_freqs.weight", problem));
    }
    let keys = Keys { said, architecture: architecture.to_owned() };
    let n_heads = keys.size("attention.head_count")?;
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.into(), value);
    set("architectures", json!([class]));
    set("model_type", json!(model_type));
    set("vocab_size", json!(vocab_size));
    set("hidden_size", json!(keys.size("embedding_length")?));
    set("intermediate_size", json!(keys.size("feed_forward_length")?));
    set("num_hidden_layers", json!(keys.size("block_count")?));
    set("num_attention_heads", json!(n_heads));
    let n_kv_heads = keys.maybe_size("attention.head_count_kv")?.unwrap_or(n_heads);
    set("num_key_value_heads", json!(n_kv_heads));
    if let Some(d_head) = keys.maybe_size("attention.key_length")? {
        set("head_dim", json!(d_head));
    }
    set("max_position_embeddings", json!(keys.size("context_length")?));
    let eps = keys.maybe_real("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6);
    set("rms_norm_eps", json!(eps));
    let usual = if model_type == "gemma3_text" { 1e6 } else { 1e4 };
    set("rope_theta", json!(keys.maybe_real("rope.freq_base")?.unwrap_or(usual)));
    let scaling = keys.get("rope.scaling.type");
    match scaling.as_ref().and_then(Meta::as_str) {
        None | Some("none") => {}
        Some("linear") => {
            let factor = keys.maybe_real("rope.scaling.factor")?.unwrap_or(1.0);
            set("rope_scaling", json!({ "rope_type": "linear", "factor": factor }));
        }
        Some(other) => {
            let problem = format!("`{other}` is not one of none, linear");
            return Err(ConfigError::new("rope.scaling.type", problem));
        }
    }
    if model_type == "gemma3_text" {
        set("rope_local_base_freq", json!(1e4));
        set("sliding_window", json!(keys.size("attention.sliding_window")?));
        // No key says it, and the largest one, of 62 blocks, is scaled otherwise than the others.
        let scalar = match keys.size("block_count")? {
            62 => keys.size("embedding_length")? / n_heads.max(1),
            _ => keys.size("attention.key_length")?,
        };
        set("query_pre_attn_scalar", json!(scalar));
    }
    set("attention_bias", json!((said.has)("blk.0.attn_q.bias")));
    set("mlp_bias", json!((said.has)("blk.0.ffn_down.bias")));
    set("tie_word_embeddings", json!(!(said.has)("output.weight")));
    for (name, key) in [("bos", "bos_token_id"), ("eos", "eos_token_id")] {
        let id = (said.metadata)(&format!("tokenizer.ggml.{name}_token_id"));
        if let Some(id) = id.and_then(|id| id.to_u64()) {
            set(key, json!(id));
        }
    }
    Ok(ModelConfig::Hf(HfConfig::new(model_type, fields).expect("a known type")))
}

/// What a GGUF file says of a model, before its tokenizer.
///
/// # Errors
/// The family is none that GGUF has here.
pub(crate) fn metadata(
    config: &ModelConfig,
    stack: &StackConfig,
) -> Result<Vec<(String, Meta<'static>)>> {
    let model_type = config.family().model_type();
    let known = ARCHITECTURES.iter().find(|(_, known, _)| *known == model_type);
    // Mistral's is the same but for its window.
    let architecture = match (known, model_type) {
        (Some((architecture, ..)), _) => *architecture,
        (None, "mistral") => "llama",
        _ => {
            let problem = format!("a `{model_type}` is not written as GGUF");
            return Err(ConfigError::new("model_type", problem));
        }
    };
    if stack.heads.iter().any(|(_, head)| !matches!(head, HeadConfig::Token(_))) {
        let problem = "GGUF has no words for a head that scores no tokens";
        return Err(ConfigError::new("architectures", problem));
    }
    let trunk = &stack.trunk;
    let size = |n: usize| Meta::U32(n as u32);
    let mut all = vec![
        ("general.architecture".to_owned(), Meta::Str(architecture)),
        ("general.alignment".to_owned(), Meta::U32(32)),
    ];
    let mut set = |key: &str, value| all.push((format!("{architecture}.{key}"), value));
    set("context_length", size(stack.tokens().max_len));
    set("embedding_length", size(trunk.d_model));
    set("block_count", size(trunk.n_layers));
    set("feed_forward_length", size(trunk.d_ff));
    set("attention.head_count", size(trunk.n_heads));
    set("attention.head_count_kv", size(trunk.n_kv_heads));
    set("attention.key_length", size(trunk.d_head));
    set("attention.value_length", size(trunk.d_head));
    set("attention.layer_norm_rms_epsilon", Meta::F32(trunk.norm_eps));
    set("vocab_size", size(stack.tokens().vocab_size));
    for layer in &trunk.cycle {
        let unwritten = |what: &str| ConfigError::new("rope", format!("{what} is not written"));
        match (layer.pattern, layer.positions) {
            (tensor::Pattern::Window { size: window }, _) if architecture == "gemma3" => {
                set("attention.sliding_window", size(window));
            }
            (tensor::Pattern::Causal, AttnPositions::Rope(rope)) => {
                set("rope.freq_base", Meta::F32(rope.theta as f32));
                set("rope.dimension_count", size(rope.d_rot));
                match rope.scaling {
                    RopeScaling::None => {}
                    RopeScaling::Linear { factor } => {
                        set("rope.scaling.type", Meta::Str("linear"));
                        set("rope.scaling.factor", Meta::F32(factor as f32));
                    }
                    _ => return Err(unwritten("this stretching")),
                }
            }
            (pattern, _) => return Err(unwritten(&format!("{pattern:?} without turning"))),
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.dedup_by(|(a, _), (b, _)| a == b);
    refuse_unsaid(&all, stack)?;
    Ok(all)
}

/// Refuses what would be read back as another model.
fn refuse_unsaid(all: &[(String, Meta<'static>)], stack: &StackConfig) -> Result<()> {
    let get = |key: &str| all.iter().find(|(known, _)| known == key).map(|(_, v)| v.clone());
    let tied = stack
        .heads
        .iter()
        .any(|(_, head)| matches!(head, HeadConfig::Token(TokenHeadConfig { tied: true, .. })));
    let bias = stack.trunk.bias;
    let has = |name: &str| match name {
        "output.weight" => !tied,
        "blk.0.attn_q.bias" => bias.query_key_value,
        "blk.0.ffn_down.bias" => bias.ffn,
        _ => false,
    };
    let vocab_size = Some(stack.tokens().vocab_size);
    let mut read = config(&Said { metadata: &get, has: &has, vocab_size })?.family().stack()?;
    read.trunk.init = stack.trunk.init;
    read.trunk.dropout = stack.trunk.dropout;
    read.embed = TokenEmbedConfig { init: stack.tokens().init, ..read.tokens().clone() }.into();
    let layers =
        |s: &StackConfig| (0..s.trunk.n_layers).map(|i| s.trunk.layer(i)).collect::<Vec<_>>();
    if layers(&read) != layers(stack) {
        return Err(ConfigError::new("layer_types", "GGUF has no words for these layers"));
    }
    read.trunk.cycle.clone_from(&stack.trunk.cycle);
    if read != *stack {
        return Err(ConfigError::new("model_type", "GGUF has no words for all of this config"));
    }
    Ok(())
}

/// The same table under GGUF's names and arrangements.
pub(crate) fn table(table: Vec<Import>, config: &ModelConfig, stack: &StackConfig) -> Vec<Import> {
    let trunk = &stack.trunk;
    let paired = matches!(config.family().model_type(), "llama" | "mistral");
    let about_one = trunk.norm == NormKind::RmsNormAboutOne;
    let translate = |import: Import| {
        let name = rename(&import.name, trunk.placement);
        let source = match import.source {
            Source::Rows(own, rows) if paired && name.contains("attn_q.") => {
                Source::Pairs(own, rows, trunk.n_heads)
            }
            Source::Rows(own, rows) if paired && name.contains("attn_k.") => {
                Source::Pairs(own, rows, trunk.n_kv_heads)
            }
            Source::Param(own) if about_one && name.contains("norm") => Source::AboutOne(own),
            other => other,
        };
        Import { name, source }
    };
    table.into_iter().map(translate).collect()
}

/// `model.layers.3.self_attn.q_proj.weight` as `blk.3.attn_q.weight`.
fn rename(name: &str, placement: nn::NormPlacement) -> String {
    let whole = [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
    ];
    if let Some((_, own)) = whole.iter().find(|(theirs, _)| *theirs == name) {
        return (*own).into();
    }
    let rest = name.strip_prefix("model.layers.").expect("a decoder's name");
    let (layer, rest) = rest.split_once('.').expect("a layer's name");
    let (part, leaf) = rest.rsplit_once('.').expect("a leaf");
    let around = placement == nn::NormPlacement::Around;
    let own = match part {
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if around => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        other => panic!("gguf: no name for `{other}`"),
    };
    format!("blk.{layer}.{own}.{leaf}")
}

/// The config in a GGUF file, if it is one.
///
/// # Errors
/// As [`config`].
pub(crate) fn read(weights: &Weights) -> Option<Result<ModelConfig>> {
    let metadata = weights.metadata()?;
    let table = weights.get("token_embd.weight").ok();
    let vocab_size = table.and_then(|table| table.shape.first().copied());
    let get = |key: &str| metadata.get(key);
    let has = |name: &str| weights.contains(name);
    Some(config(&Said { metadata: &get, has: &has, vocab_size }))
}
