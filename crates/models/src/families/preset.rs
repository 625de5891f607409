//! Configs of fresh models, as `transformers` would write them.

use serde_json::{Map, Value, json};

use super::electra;
use super::hf::HfConfig;

/// What decides a fresh model's config.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// `V`.
    pub vocab_size: usize,
    /// Positions.
    pub max_len: usize,
    /// Layers; of an encoder-decoder, on each side.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Heads.
    pub n_heads: usize,
    /// Width of the feed-forward network; what is usual in the family where nothing is said.
    pub d_ff: Option<usize>,
    /// Dropout, everywhere the family has it.
    pub dropout: f32,
    /// Whether a class of two texts is asked for beside tokens.
    pub pair: bool,
    /// The share that a generator has of every width, where there is one.
    pub generator: f64,
    /// Ids of the tokens that begin a text, end it, and fill up a batch.
    pub ids: [Option<u32>; 3],
}

impl HfConfig {
    /// The families that [`HfConfig::fresh`] knows.
    pub const FRESH: [&'static str; 8] =
        ["llama", "bert", "ernie", "distilbert", "roberta", "electra", "t5", "bart"];

    /// A fresh model of a family; none where that is not one of [`HfConfig::FRESH`].
    pub fn fresh(family: &str, sizes: &Sizes) -> Option<Self> {
        let fields = match family {
            "llama" => llama(sizes),
            "bert" => bert(sizes, "Bert"),
            "ernie" => bert(sizes, "Ernie"),
            "distilbert" => distilbert(sizes),
            "roberta" => roberta(sizes),
            "electra" => bert(sizes, "Electra"),
            "t5" => t5(sizes),
            "bart" => bart(sizes),
            _ => return None,
        };
        let Value::Object(mut fields) = fields else { unreachable!("an object") };
        if family == "electra" {
            electra::fresh(&mut fields, sizes.generator);
        }
        let names = ["bos_token_id", "eos_token_id", "pad_token_id"];
        for (name, id) in names.into_iter().zip(sizes.ids) {
            if let (Some(id), false) = (id, fields.contains_key(name)) {
                fields.insert(name.into(), id.into());
            }
        }
        fields.insert("model_type".into(), family.into());
        fields.insert("vocab_size".into(), sizes.vocab_size.into());
        Self::new(family, fields)
    }
}

impl Sizes {
    fn d_ff_or(&self, usual: usize) -> usize {
        self.d_ff.unwrap_or(usual)
    }

    /// How weights start where the stream is normalised after each sublayer: 0.023 at the width of
    /// BERT, more below it, or a narrow model's attention says nothing for thousands of steps.
    /// Nguyen and Salazar, "Transformers without Tears", arXiv:1910.05895, section 2.2.
    fn std(&self) -> f64 {
        ((0.4 / self.d_model as f64).sqrt() * 1e4).round() / 1e4
    }

    /// A float by its own shortest digits.
    fn dropout(&self) -> Value {
        self.dropout.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }
}

fn llama(s: &Sizes) -> Value {
    // Two thirds of four times the width, as gates are a third matrix.
    let d_ff = s.d_ff_or((s.d_model * 8 / 3).next_multiple_of(64));
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": s.d_model, "intermediate_size": d_ff,
        "num_hidden_layers": s.n_layers, "num_attention_heads": s.n_heads,
        "num_key_value_heads": s.n_heads, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": s.max_len, "initializer_range": 0.02,
        "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
        "attention_dropout": s.dropout(),
    })
}

fn bert(s: &Sizes, class: &str) -> Value {
    let head = if s.pair { "PreTraining" } else { "MaskedLM" };
    json!({
        "architectures": [format!("{class}For{head}")], "hidden_size": s.d_model,
        "intermediate_size": s.d_ff_or(4 * s.d_model), "num_hidden_layers": s.n_layers,
        "num_attention_heads": s.n_heads, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": s.dropout(), "attention_probs_dropout_prob": s.dropout(),
        "max_position_embeddings": s.max_len, "type_vocab_size": 2,
        "initializer_range": s.std(),
    })
}

fn distilbert(s: &Sizes) -> Value {
    json!({
        "architectures": ["DistilBertForMaskedLM"], "dim": s.d_model,
        "hidden_dim": s.d_ff_or(4 * s.d_model), "n_layers": s.n_layers, "n_heads": s.n_heads,
        "activation": "gelu", "dropout": s.dropout(), "attention_dropout": s.dropout(),
        "max_position_embeddings": s.max_len, "initializer_range": s.std(),
        "sinusoidal_pos_embds": false,
    })
}

fn roberta(s: &Sizes) -> Value {
    // Positions are counted from behind the id of padding.
    let first = s.ids[2].map_or(2, |pad| pad as usize + 1);
    let Value::Object(mut fields) = bert(s, "Roberta") else { unreachable!("an object") };
    let own: Map<String, Value> = Map::from_iter([
        ("architectures".into(), json!(["RobertaForMaskedLM"])),
        ("layer_norm_eps".into(), json!(1e-5)),
        ("max_position_embeddings".into(), json!(s.max_len + first)),
        ("type_vocab_size".into(), json!(1)),
        ("pad_token_id".into(), json!(first - 1)),
    ]);
    fields.extend(own);
    Value::Object(fields)
}

/// T5 1.1, with the tied and scaled projection of the first version.
fn t5(s: &Sizes) -> Value {
    let pad = s.ids[2].unwrap_or(0);
    json!({
        "architectures": ["T5ForConditionalGeneration"], "d_model": s.d_model,
        "d_kv": s.d_model / s.n_heads.max(1),
        "d_ff": s.d_ff_or((s.d_model * 8 / 3).next_multiple_of(64)),
        "num_layers": s.n_layers, "num_decoder_layers": s.n_layers, "num_heads": s.n_heads,
        "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0, "dropout_rate": s.dropout(), "tie_word_embeddings": true,
        "is_encoder_decoder": true, "pad_token_id": pad, "decoder_start_token_id": pad,
    })
}

fn bart(s: &Sizes) -> Value {
    let d_ff = s.d_ff_or(4 * s.d_model);
    let start = s.ids[1].unwrap_or(2);
    json!({
        "architectures": ["BartForConditionalGeneration"], "d_model": s.d_model,
        "encoder_layers": s.n_layers, "decoder_layers": s.n_layers,
        "encoder_attention_heads": s.n_heads, "decoder_attention_heads": s.n_heads,
        "encoder_ffn_dim": d_ff, "decoder_ffn_dim": d_ff, "activation_function": "gelu",
        "dropout": s.dropout(), "attention_dropout": s.dropout(), "activation_dropout": 0.0,
        "max_position_embeddings": s.max_len, "init_std": s.std(), "scale_embedding": false,
        "is_encoder_decoder": true, "tie_word_embeddings": true,
        "decoder_start_token_id": start, "forced_eos_token_id": start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::ModelConfig;
    use crate::families::{Family, refused};
    use crate::model::Model;

    #[test]
    fn every_fresh_config_is_built_and_is_one_that_is_read() {
        let sizes = Sizes {
            vocab_size: 100,
            max_len: 32,
            n_layers: 2,
            d_model: 64,
            n_heads: 2,
            d_ff: None,
            dropout: 0.1,
            pair: false,
            generator: 0.25,
            ids: [Some(0), Some(2), Some(1)],
        };
        for family in HfConfig::FRESH {
            for pair in [false, true] {
                let config = HfConfig::fresh(family, &Sizes { pair, ..sizes.clone() }).unwrap();
                let json = config.to_json();
                refused::check(family, &json).unwrap();
                let model = Model::new(ModelConfig::Hf(config), 1).unwrap();
                assert!(!model.entries().is_empty(), "{family}");
            }
        }
        assert!(HfConfig::fresh("none", &sizes).is_none());
    }
}
