//! BERT and what descends from it: `RoBERTa`, ERNIE, `DistilBERT`, ALBERT, ELECTRA.
//!
//! Devlin et al., "BERT", arXiv:1810.04805; Liu et al., "`RoBERTa`", arXiv:1907.11692; Sun et al.,
//! "ERNIE 2.0", arXiv:1907.12412; Sanh et al., "`DistilBERT`", arXiv:1910.01108; Lan et al.,
//! "ALBERT", arXiv:1909.11942.

use nn::{
    AttnPositions, BiasConfig, ConfigError, DropoutConfig, FfnKind, HeadConfig, LayerConfig,
    NormConfig, NormKind, NormPlacement, PooledHeadConfig, Sharing, TagHeadConfig,
    TokenEmbedConfig, TokenHeadConfig, TokenPositions, TransformerConfig, WeightInit,
};
use tensor::{Activation, Init, Pattern};

use super::fields::Fields;
use super::heads;
use super::hf::{Parts, Spec};
use crate::import::Table;
use crate::stack::StackConfig;

pub(super) const SPEC: Spec = Spec {
    model_types: &["bert", "roberta", "ernie", "distilbert", "albert"],
    parts: Parts::Stack(stack, table),
    prefix: |f| words(f).prefix,
    bases: &["Model"],
    fit: None,
};

/// What the families call things.
struct Words {
    prefix: &'static str,
    d_model: &'static str,
    d_ff: &'static str,
    n_layers: &'static str,
    n_heads: &'static str,
    activation: &'static str,
    dropout: &'static str,
    attention_dropout: &'static str,
    /// Of layer or block `i`, after the prefix.
    layer: fn(usize, usize) -> String,
    /// Query, key, value, output, its norm, up, down, its norm.
    parts: [&'static str; 8],
    /// Transform, its norm, the bias of the scores.
    token_head: [&'static str; 3],
    /// Where the scores have a projection of their own.
    projection: &'static str,
    /// From the width of the tables to that of the stream.
    project: &'static str,
    /// The dense layer on the first position.
    pooler: &'static str,
    /// The dense layer of a classifier, and the classifier.
    classifier: [&'static str; 2],
    /// The same where choices are scored.
    choice: [&'static str; 2],
}

const BERT: Words = Words {
    prefix: "bert.",
    d_model: "hidden_size",
    d_ff: "intermediate_size",
    n_layers: "num_hidden_layers",
    n_heads: "num_attention_heads",
    activation: "hidden_act",
    dropout: "hidden_dropout_prob",
    attention_dropout: "attention_probs_dropout_prob",
    layer: |i, _| format!("encoder.layer.{i}"),
    parts: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ],
    token_head: [
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ],
    projection: "cls.predictions.decoder",
    project: "",
    pooler: "bert.pooler.dense",
    classifier: ["bert.pooler.dense", "classifier"],
    choice: ["bert.pooler.dense", "classifier"],
};

const ERNIE: Words = Words {
    prefix: "ernie.",
    pooler: "ernie.pooler.dense",
    classifier: ["ernie.pooler.dense", "classifier"],
    choice: ["ernie.pooler.dense", "classifier"],
    ..BERT
};

const ROBERTA: Words = Words {
    prefix: "roberta.",
    token_head: ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"],
    projection: "lm_head.decoder",
    pooler: "roberta.pooler.dense",
    choice: ["roberta.pooler.dense", "classifier"],
    classifier: ["classifier.dense", "classifier.out_proj"],
    ..BERT
};

const DISTILBERT: Words = Words {
    prefix: "distilbert.",
    d_model: "dim",
    d_ff: "hidden_dim",
    n_layers: "n_layers",
    n_heads: "n_heads",
    activation: "activation",
    dropout: "dropout",
    attention_dropout: "attention_dropout",
    layer: |i, _| format!("transformer.layer.{i}"),
    parts: [
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ],
    token_head: ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias"],
    projection: "vocab_projector",
    project: "",
    pooler: "",
    classifier: ["pre_classifier", "classifier"],
    choice: ["pre_classifier", "classifier"],
};

const ALBERT: Words = Words {
    prefix: "albert.",
    layer: |i, n| {
        format!("encoder.albert_layer_groups.{}.albert_layers.{}", i / n.max(1), i % n.max(1))
    },
    parts: [
        "attention.query",
        "attention.key",
        "attention.value",
        "attention.dense",
        "attention.LayerNorm",
        "ffn",
        "ffn_output",
        "full_layer_layer_norm",
    ],
    token_head: ["predictions.dense", "predictions.LayerNorm", "predictions.bias"],
    projection: "predictions.decoder",
    project: "encoder.embedding_hidden_mapping_in",
    pooler: "albert.pooler",
    classifier: ["albert.pooler", "classifier"],
    choice: ["albert.pooler", "classifier"],
    ..BERT
};

const ELECTRA: Words = Words {
    prefix: "electra.",
    token_head: [
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
    ],
    projection: "generator_lm_head",
    project: "embeddings_project",
    pooler: "",
    choice: ["sequence_summary.summary", "classifier"],
    classifier: ["classifier.dense", "classifier.out_proj"],
    ..BERT
};

fn words(f: &Fields) -> &'static Words {
    match f.text_or("model_type", "bert") {
        Ok("roberta") => &ROBERTA,
        Ok("ernie") => &ERNIE,
        Ok("distilbert") => &DISTILBERT,
        Ok("albert") => &ALBERT,
        Ok("electra") => &ELECTRA,
        _ => &BERT,
    }
}

pub(super) fn stack(f: &Fields) -> Result<StackConfig, ConfigError> {
    let (w, model_type) = (words(f), f.text_or("model_type", "bert")?);
    let (d_model, n_heads) = (f.size(w.d_model)?, f.size(w.n_heads)?);
    let dropout = f.real_or(w.dropout, 0.1)? as f32;
    let std = f.real_or("initializer_range", 0.02)? as f32;
    let is_distilbert = model_type == "distilbert";
    let eps = if is_distilbert { 1e-12 } else { f.real_or("layer_norm_eps", 1e-12)? as f32 };
    let d_embed = match model_type {
        "albert" => f.maybe_size("embedding_size")?,
        "electra" => Some(f.size_or("embedding_size", 128)?).filter(|&width| width != d_model),
        _ => None,
    };
    let norm = |width| NormConfig { kind: NormKind::LayerNorm, eps, width };
    let width = d_embed.unwrap_or(d_model);
    let max_len = f.size("max_position_embeddings")?;
    // RoBERTa counts positions from behind the id of padding, and passes padding over.
    let padding = if model_type == "roberta" { Some(f.size_or("pad_token_id", 1)?) } else { None };
    let first = padding.map_or(0, |id| id.saturating_add(1));
    let mut types = Vec::new();
    if !is_distilbert {
        types.push(f.size_or("type_vocab_size", 2)?);
    }
    if model_type == "ernie" && f.flag_or("use_task_id", false)? {
        types.push(f.size_or("task_type_vocab_size", 3)?);
    }
    let embed = TokenEmbedConfig {
        d_embed,
        positions: TokenPositions::Learned,
        first_position: first,
        padding: padding.map(|id| id as u32),
        types,
        norm: Some(norm(width)),
        init: Init::Normal { std },
        dropout,
        ..TokenEmbedConfig::base(f.size("vocab_size")?, d_model, max_len.saturating_sub(first))
    };
    let n_blocks = f.size_or("inner_group_num", 1)?;
    let n_groups = f.size_or("num_hidden_groups", 1)?;
    let is_albert = model_type == "albert";
    let n_layers = f.size(w.n_layers)?.saturating_mul(if is_albert { n_blocks } else { 1 });
    let activation = f.activation_or(w.activation, if is_albert { "gelu_new" } else { "gelu" })?;
    let trunk = TransformerConfig {
        d_head: f.d_head([d_model, n_heads], None)?,
        norm: NormKind::LayerNorm,
        norm_eps: eps,
        placement: NormPlacement::Post,
        final_norm: false,
        ffn: FfnKind::Plain(activation),
        cycle: vec![LayerConfig { pattern: Pattern::Full, positions: AttnPositions::None }],
        sharing: is_albert.then_some(Sharing { n_groups, n_blocks }),
        bias: BiasConfig::all(true),
        dropout: DropoutConfig {
            residual: dropout,
            attention: f.real_or(w.attention_dropout, 0.1)? as f32,
            ffn: 0.0,
        },
        init: WeightInit::Gpt2 { std },
        ..TransformerConfig::base(n_layers, d_model, n_heads, f.size(w.d_ff)?)
    };
    let heads = heads(f, activation, norm(width))?;
    Ok(StackConfig { embed: embed.into(), trunk, heads })
}

/// The heads of the class that was saved.
fn heads(
    f: &Fields,
    activation: Activation,
    norm: NormConfig,
) -> Result<Vec<(&'static str, HeadConfig)>, ConfigError> {
    let model_type = f.text_or("model_type", "bert")?;
    let tied = f.flag_or("tie_word_embeddings", true)?;
    let token_activation = match model_type {
        "roberta" | "distilbert" | "electra" => Activation::GeluErf,
        _ => activation,
    };
    let token = TokenHeadConfig {
        bias: true,
        transform: Some((token_activation, norm)),
        ..TokenHeadConfig::plain(tied)
    };
    let token = HeadConfig::Token(token);
    let dense = Some(match model_type {
        "distilbert" => Activation::Relu,
        "electra" => Activation::GeluErf,
        _ => Activation::Tanh,
    });
    let pooled = |n_classes, dropout: [f64; 2]| {
        let dropout = dropout.map(|p| p as f32);
        let base = PooledHeadConfig::first();
        HeadConfig::Pooled(PooledHeadConfig { dense, n_classes, dropout, ..base })
    };
    Ok(match f.task() {
        "MaskedLM" => vec![("logits", token)],
        "PreTraining" if model_type == "electra" => {
            let tags = TagHeadConfig { dense: Some(activation), ..TagHeadConfig::plain(1) };
            vec![("logits", HeadConfig::Tag(tags))]
        }
        "PreTraining" => {
            let pair = pooled(Some(2), [0.0; 2]);
            vec![("prediction_logits", token), ("seq_relationship_logits", pair)]
        }
        "SequenceClassification" => {
            let p = dropout(f, "seq_classif_dropout", 0.2)?;
            // Before the dense layer, too, where that is the head's own.
            let first = if matches!(model_type, "roberta" | "electra") { p } else { 0.0 };
            vec![("logits", pooled(Some(f.n_labels()), [first, p]))]
        }
        "TokenClassification" => vec![heads::tags(f.n_labels(), dropout(f, "dropout", 0.1)?)],
        "QuestionAnswering" => vec![heads::spans(match model_type {
            "distilbert" => f.real_or("qa_dropout", 0.1)?,
            _ => 0.0,
        })],
        "MultipleChoice" => {
            let dropout = match model_type {
                "electra" => summary_dropout(f)?,
                "roberta" => [0.0, f.real_or("hidden_dropout_prob", 0.1)?],
                _ => [0.0, dropout(f, "seq_classif_dropout", 0.2)?],
            };
            vec![(heads::CHOICES, pooled(Some(1), dropout))]
        }
        "" if matches!(model_type, "distilbert" | "electra") => Vec::new(),
        "" => vec![("pooler_output", pooled(None, [0.0; 2]))],
        other => {
            let known = "MaskedLM, PreTraining, SequenceClassification, TokenClassification, \
                QuestionAnswering, MultipleChoice";
            let problem = format!("a head for `{other}` is not one of {known}");
            return Err(ConfigError::new("architectures", problem));
        }
    })
}

/// Probability of dropping before classes; `DistilBERT` has a field of its own for each head.
fn dropout(f: &Fields, own: &'static str, usual: f64) -> Result<f64, ConfigError> {
    let hidden = || f.real_or("hidden_dropout_prob", 0.1);
    Ok(match f.text_or("model_type", "bert")? {
        "distilbert" => f.real_or(own, usual)?,
        "albert" => f.real_or("classifier_dropout_prob", 0.1)?,
        _ => f.maybe_real("classifier_dropout")?.map_or_else(hidden, Ok)?,
    })
}

/// The same around ELECTRA's summary of a sequence, which is built in one way alone.
fn summary_dropout(f: &Fields) -> Result<[f64; 2], ConfigError> {
    for (key, built) in [("summary_type", "first"), ("summary_activation", "gelu")] {
        let said = f.text_or(key, built)?;
        if said != built {
            let problem = format!("`{said}` is not supported, only `{built}`");
            return Err(ConfigError::new(key, problem));
        }
    }
    if !f.flag_or("summary_use_proj", true)? {
        return Err(ConfigError::new("summary_use_proj", "false is not supported, only true"));
    }
    Ok([f.real_or("summary_first_dropout", 0.0)?, f.real_or("summary_last_dropout", 0.1)?])
}

pub(super) fn table(f: &Fields, stack: &StackConfig, table: &mut Table) {
    let (w, trunk) = (words(f), &stack.trunk);
    let base = |name: &str| format!("{}{name}", w.prefix);
    table.param(base("embeddings.word_embeddings.weight"), "embed.tokens");
    table.param(base("embeddings.position_embeddings.weight"), "embed.positions");
    let names = ["token_type_embeddings", "task_type_embeddings"];
    for (i, name) in names.iter().take(stack.tokens().types.len()).enumerate() {
        table.param(base(&format!("embeddings.{name}.weight")), format!("embed.types.{i}"));
    }
    table.layer(&base("embeddings.LayerNorm"), "embed.norm", true);
    if stack.tokens().d_embed.is_some() {
        table.layer(&base(w.project), "embed.project", true);
    }
    let n_blocks = trunk.sharing.map_or(1, |sharing| sharing.n_blocks);
    for i in 0..trunk.n_blocks() {
        let (layer, ours) = (base(&(w.layer)(i, n_blocks)), format!("blocks.{i}"));
        let [q, k, v, out, attn_norm, up, down, ffn_norm] =
            w.parts.map(|part| format!("{layer}.{part}"));
        let d = trunk.d_model;
        let packed = format!("{ours}.attn.query_key_value");
        table.stacked([(q, d), (k, d), (v, d)], &packed, true);
        let layers = [
            (out, "attn.output"),
            (attn_norm, "attn_norm"),
            (up, "ffn.up"),
            (down, "ffn.down"),
            (ffn_norm, "ffn_norm"),
        ];
        for (theirs, own) in layers {
            table.layer(&theirs, &format!("{ours}.{own}"), true);
        }
    }
    for (name, head) in &stack.heads {
        let ours = |leaf: &str| format!("heads.{name}.{leaf}");
        match head {
            HeadConfig::Token(head) => {
                let [dense, norm, bias] = w.token_head;
                table.layer(dense, &ours("dense"), true);
                table.layer(norm, &ours("norm"), true);
                table.param(bias, ours("bias"));
                if !head.tied {
                    table.param(format!("{}.weight", w.projection), ours("weight"));
                }
            }
            HeadConfig::Tag(head) => {
                let classes = if head.dense.is_some() {
                    table.layer("discriminator_predictions.dense", &ours("dense"), true);
                    "discriminator_predictions.dense_prediction"
                } else if *name == heads::SPANS {
                    "qa_outputs"
                } else {
                    "classifier"
                };
                table.layer(classes, &ours("classes"), true);
            }
            HeadConfig::Embedding(_) => {}
            HeadConfig::Pooled(head) => {
                let [dense, classes] = match *name {
                    "logits" => w.classifier,
                    heads::CHOICES => w.choice,
                    _ => [w.pooler, "cls.seq_relationship"],
                };
                table.layer(dense, &ours("dense"), true);
                if head.n_classes.is_some() {
                    table.layer(classes, &ours("classes"), true);
                }
            }
        }
    }
}
