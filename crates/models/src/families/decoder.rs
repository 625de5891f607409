//! `LLaMA` and what descends from it: Mistral, Mixtral, Qwen, `SmolLM`, Gemma.
//!
//! Touvron et al., "`LLaMA`", arXiv:2302.13971; Jiang et al., "Mistral 7B", arXiv:2310.06825; Jiang
//! et al., "Mixtral of Experts", arXiv:2401.04088; Yang et al., "Qwen2 Technical Report",
//! arXiv:2407.10671; Yang et al., "Qwen3 Technical Report", arXiv:2505.09388; Gemma Team, "Gemma 3
//! Technical Report", arXiv:2503.19786.

use nn::{
    AttnPositions, BiasConfig, ConfigError, DropoutConfig, ExpertsConfig, FfnKind, HeadConfig,
    LayerConfig, NormKind, NormPlacement, TokenEmbedConfig, TokenHeadConfig, TransformerConfig,
    WeightInit,
};
use serde_json::{Value, json};
use tensor::Init;

use super::fields::{FULL, Fields, SLIDING};
use super::heads;
use super::hf::{Parts, Spec};
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &[
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "gemma",
        "gemma3_text",
    ],
    parts: Parts::Stack(stack, table),
    prefix,
    bases: &["Model"],
    fit: None,
};

/// Some answer questions by another name.
fn prefix(f: &Fields) -> &'static str {
    const OTHERS: [&str; 5] = ["llama", "qwen2", "qwen3", "qwen3_moe", "smollm3"];
    let is_other = |model_type| OTHERS.contains(&model_type);
    if f.task() == "QuestionAnswering" && f.text_or("model_type", "llama").is_ok_and(is_other) {
        "transformer."
    } else {
        "model."
    }
}

/// What a config of `transformers` takes where it is silent, and others would not: a key that is
/// null is not silent.
fn usual(model_type: &str) -> Value {
    match model_type {
        "mistral" => json!({ "sliding_window": 4096, "num_key_value_heads": 8 }),
        "mixtral" => {
            json!({ "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6 })
        }
        "qwen2" => json!({ "num_key_value_heads": 32, "sliding_window": 4096 }),
        "qwen2_moe" => json!({ "num_key_value_heads": 16, "sliding_window": 4096 }),
        "qwen3" => json!({ "num_key_value_heads": 32, "sliding_window": 4096, "head_dim": 128 }),
        "qwen3_moe" => json!({ "num_key_value_heads": 4, "sliding_window": 4096 }),
        "smollm3" => {
            json!({ "num_key_value_heads": 4, "rope_theta": 2e6, "tie_word_embeddings": true })
        }
        "gemma" => {
            json!({ "num_key_value_heads": 16, "head_dim": 256, "tie_word_embeddings": true })
        }
        "gemma3_text" => json!({
            "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": true,
            "query_pre_attn_scalar": 256, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
            "sliding_window": 4096,
        }),
        _ => Value::Null,
    }
}

fn stack(f: &Fields) -> Result<StackConfig, ConfigError> {
    let model_type = f.text_or("model_type", "llama")?;
    let f = &f.clone().filled(usual(model_type));
    let (is_gemma, is_gemma3) = (model_type.starts_with("gemma"), model_type == "gemma3_text");
    let (n_layers, d_model) = (f.size("num_hidden_layers")?, f.size("hidden_size")?);
    let n_heads = f.size("num_attention_heads")?;
    let d_head = f.d_head([d_model, n_heads], None)?;
    let std = f.real_or("initializer_range", 0.02)? as f32;
    let embed = TokenEmbedConfig {
        scale: if is_gemma { (d_model as f32).sqrt() } else { 1.0 },
        init: Init::Normal { std },
        ..TokenEmbedConfig::base(f.size("vocab_size")?, d_model, f.size("max_position_embeddings")?)
    };
    let scale = match f.maybe_real("query_pre_attn_scalar")? {
        Some(scalar) if is_gemma3 => Some(scalar.powf(-0.5) as f32),
        _ => None,
    };
    refuse_unknown(f)?;
    let trunk = TransformerConfig {
        n_kv_heads: f.size_or("num_key_value_heads", n_heads)?,
        d_head,
        norm: if is_gemma { NormKind::RmsNormAboutOne } else { NormKind::RmsNorm },
        norm_eps: f.real_or("rms_norm_eps", 1e-6)? as f32,
        placement: if is_gemma3 { NormPlacement::Around } else { NormPlacement::Pre },
        ffn: FfnKind::Gated(if is_gemma {
            f.activation_or("hidden_activation", f.text_or("hidden_act", "gelu_pytorch_tanh")?)?
        } else {
            f.activation_or("hidden_act", "silu")?
        }),
        experts: experts(f, model_type)?,
        cycle: layers(f, n_layers, d_head)?,
        qk_norm: is_gemma3 || matches!(model_type, "qwen3" | "qwen3_moe"),
        bias: bias(f, model_type)?,
        scale,
        dropout: DropoutConfig {
            attention: f.real_or("attention_dropout", 0.0)? as f32,
            ..DropoutConfig::default()
        },
        init: WeightInit::Gpt2 { std },
        ..TransformerConfig::base(n_layers, d_model, n_heads, f.size("intermediate_size")?)
    };
    Ok(StackConfig { embed: embed.into(), trunk, heads: heads(f)? })
}

/// The head of the class that was saved.
fn heads(f: &Fields) -> Result<Vec<(&'static str, HeadConfig)>, ConfigError> {
    let head = TokenHeadConfig::plain(f.flag_or("tie_word_embeddings", false)?);
    if let Some(head) = heads::of_decoder(f)? {
        return Ok(vec![head]);
    }
    match f.class() {
        Some(class) if class.ends_with("Model") => Ok(Vec::new()),
        Some(class) if !class.ends_with("ForCausalLM") => {
            let (_, head) = class.split_once("For").unwrap_or(("", class));
            let known = "CausalLM, SequenceClassification, TokenClassification, QuestionAnswering";
            let problem = format!("a head for `{head}` is not one of {known}");
            Err(ConfigError::new("architectures", problem))
        }
        _ => Ok(vec![("logits", HeadConfig::Token(head))]),
    }
}

fn bias(f: &Fields, model_type: &str) -> Result<BiasConfig, ConfigError> {
    let attention = f.flag_or("attention_bias", false)?;
    Ok(match model_type {
        "mistral" | "mixtral" => BiasConfig::all(false),
        "qwen2" | "qwen2_moe" => BiasConfig {
            query_key_value: model_type == "qwen2" || f.flag_or("qkv_bias", true)?,
            output: false,
            ffn: false,
        },
        _ => BiasConfig {
            query_key_value: attention,
            output: attention,
            ffn: f.flag_or("mlp_bias", false)?,
        },
    })
}

/// The experts of a family that has them.
fn experts(f: &Fields, model_type: &str) -> Result<Option<ExpertsConfig>, ConfigError> {
    let balance = f.real_or("router_aux_loss_coef", 0.001)? as f32;
    let config = match model_type {
        "mixtral" => ExpertsConfig::base(
            f.size_or("num_local_experts", 8)?,
            f.size_or("num_experts_per_tok", 2)?,
            f.size("intermediate_size")?,
        ),
        "qwen2_moe" | "qwen3_moe" => {
            let is_second = model_type == "qwen2_moe";
            let [n, k, d_ff] = if is_second { [60, 4, 1408] } else { [128, 8, 768] };
            let n_experts = f.size_or("num_experts", f.size_or("num_local_experts", n)?)?;
            let per_token = f.size_or("num_experts_per_tok", k)?;
            let shared = f.size_or("shared_expert_intermediate_size", 5632)?;
            ExpertsConfig {
                normalise: f.flag_or("norm_topk_prob", false)?,
                shared: is_second.then_some(shared),
                every: f.size_or("decoder_sparse_step", 1)?,
                dense: f.sizes("mlp_only_layers")?,
                ..ExpertsConfig::base(
                    n_experts,
                    per_token,
                    f.size_or("moe_intermediate_size", d_ff)?,
                )
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(ExpertsConfig { balance, ..config }))
}

/// What would change the result, and is not built.
fn refuse_unknown(f: &Fields) -> Result<(), ConfigError> {
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if f.maybe_real(key)?.is_some() {
            return Err(ConfigError::new(key, "soft caps are not supported"));
        }
    }
    if f.flag_or("use_bidirectional_attention", false)? {
        let problem = "attention both ways is not supported in a decoder";
        return Err(ConfigError::new("use_bidirectional_attention", problem));
    }
    Ok(())
}

/// Pattern and rotary positions of every layer, in the words of any version.
fn layers(f: &Fields, n_layers: usize, d_head: usize) -> Result<Vec<LayerConfig>, ConfigError> {
    let model_type = f.text_or("model_type", "llama")?;
    let unturned = match model_type {
        "smollm3" => f.size_or("no_rope_layer_interval", 4)?,
        _ => 0,
    };
    let turns = |layer: usize| match f.get("no_rope_layers").and_then(Value::as_array) {
        Some(flags) => flags.get(layer).is_none_or(|flag| flag.as_u64() != Some(0)),
        None => unturned == 0 || !(layer + 1).is_multiple_of(unturned),
    };
    let positions = |layer: usize, kind| {
        let rope = || Ok(AttnPositions::Rope(f.rope(kind, d_head)?));
        if turns(layer) { rope() } else { Ok(AttnPositions::None) }
    };
    let has_window = f.get("sliding_window").is_some();
    if f.get("layer_types").is_some() {
        return f.layers(n_layers, FULL, positions);
    }
    // Before `layer_types`: every layer of Mistral, every but each sixth of Gemma 3, those from
    // some layer on of Qwen, and those of SmolLM3 that do not turn.
    let window = f.size_or("sliding_window", 0)?;
    let slides = |layer: usize| -> Result<bool, ConfigError> {
        Ok(match model_type {
            _ if !has_window => false,
            "mistral" | "mixtral" => true,
            "smollm3" => f.flag_or("use_sliding_window", false)? && !turns(layer),
            "qwen3_moe" => f.flag_or("use_sliding_window", false)?,
            "gemma3_text" => {
                let usual = f.size_or("_sliding_window_pattern", 6)?;
                !(layer + 1).is_multiple_of(f.size_or("sliding_window_pattern", usual)?.max(1))
            }
            "qwen2" | "qwen3" | "qwen2_moe" => {
                f.flag_or("use_sliding_window", false)?
                    && layer >= f.size_or("max_window_layers", 28)?
            }
            _ => false,
        })
    };
    if n_layers > 4096 {
        return f.layers(n_layers, FULL, positions);
    }
    let layer = |i: usize| {
        let (pattern, kind) = if slides(i)? {
            (tensor::Pattern::Window { size: window }, SLIDING)
        } else {
            (tensor::Pattern::Causal, FULL)
        };
        Ok(LayerConfig { pattern, positions: positions(i, kind)? })
    };
    (0..n_layers).map(layer).collect()
}

fn table(f: &Fields, stack: &StackConfig, table: &mut Table) {
    let (trunk, base) = (&stack.trunk, prefix(f));
    let [q, kv] = [trunk.n_heads, trunk.n_kv_heads].map(|n| n * trunk.d_head);
    table.param(format!("{base}embed_tokens.weight"), "embed.tokens");
    for i in 0..trunk.n_layers {
        let (theirs, ours) = (format!("{base}layers.{i}"), format!("blocks.{i}"));
        let projection = |name: &str| format!("{theirs}.self_attn.{name}_proj");
        table.stacked(
            [(projection("q"), q), (projection("k"), kv), (projection("v"), kv)],
            &format!("{ours}.attn.query_key_value"),
            trunk.bias.query_key_value,
        );
        table.layer(&projection("o"), &format!("{ours}.attn.output"), trunk.bias.output);
        if trunk.qk_norm {
            for (name, own) in [("q_norm", "query_norm"), ("k_norm", "key_norm")] {
                let name = format!("{theirs}.self_attn.{name}.weight");
                table.param(name, format!("{ours}.attn.{own}"));
            }
        }
        let mlp = format!("{theirs}.mlp");
        match trunk.experts.as_ref().filter(|experts| experts.serve(i)) {
            None => dense(table, &mlp, (&format!("{ours}.ffn"), trunk.d_ff, trunk.bias.ffn)),
            Some(experts) if f.text_or("model_type", "") == Ok("mixtral") => {
                let theirs = format!("{theirs}.block_sparse_moe");
                sparse(table, &theirs, (&ours, experts, trunk.d_model), ["w1", "w3", "w2"]);
            }
            Some(experts) => {
                let names = ["gate_proj", "up_proj", "down_proj"];
                sparse(table, &mlp, (&ours, experts, trunk.d_model), names);
                if let Some(d_ff) = experts.shared {
                    let ours = format!("{ours}.ffn");
                    let shared = format!("{mlp}.shared_expert");
                    dense(table, &shared, (&format!("{ours}.shared"), d_ff, false));
                    let gate = format!("{mlp}.shared_expert_gate");
                    table.layer(&gate, &format!("{ours}.shared_gate"), false);
                }
            }
        }
        let norms: &[(&str, &str)] = match trunk.placement {
            NormPlacement::Around => &[
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "attn_norm_after"),
                ("pre_feedforward_layernorm", "ffn_norm"),
                ("post_feedforward_layernorm", "ffn_norm_after"),
            ],
            _ => &[("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")],
        };
        for (name, own) in norms {
            table.layer(&format!("{theirs}.{name}"), &format!("{ours}.{own}"), false);
        }
    }
    table.layer(&format!("{base}norm"), "final_norm", false);
    heads::decoder_names(&stack.heads, "score", table);
    if let Some((_, HeadConfig::Token(TokenHeadConfig { tied: false, .. }))) = stack.heads.first() {
        table.param("lm_head.weight", "heads.logits.weight");
    }
}

/// A gated feed-forward network of this width.
fn dense(table: &mut Table, theirs: &str, (ours, d_ff, bias): (&str, usize, bool)) {
    let projection = |name: &str| format!("{theirs}.{name}_proj");
    let up = [(projection("gate"), d_ff), (projection("up"), d_ff)];
    table.stacked(up, &format!("{ours}.gate_up"), bias);
    table.layer(&projection("down"), &format!("{ours}.down"), bias);
}

/// A router and its experts, whose projections are called `gate`, `up` and `down`.
fn sparse(
    table: &mut Table,
    theirs: &str,
    (ours, experts, d_model): (&str, &ExpertsConfig, usize),
    [gate, up, down]: [&str; 3],
) {
    table.layer(&format!("{theirs}.gate"), &format!("{ours}.ffn.router"), false);
    let d_ff = experts.d_ff;
    for e in 0..experts.n_experts {
        let name = |leaf: &str| format!("{theirs}.experts.{e}.{leaf}.weight");
        let both = format!("{ours}.ffn.experts.gate_up");
        table.rows(name(gate), &both, 2 * e * d_ff..(2 * e + 1) * d_ff);
        table.rows(name(up), &both, (2 * e + 1) * d_ff..(2 * e + 2) * d_ff);
        table.rows(name(down), &format!("{ours}.ffn.experts.down"), e * d_model..(e + 1) * d_model);
    }
}
