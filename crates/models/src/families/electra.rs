//! ELECTRA: an encoder that learned to find the tokens that another one put in.
//!
//! Clark, Luong, Le, Manning, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
//! Generators", arXiv:2003.10555. A model that is still to learn is a `config.json` of the
//! discriminator with a field more, and tensors of the generator, which others pass over, as
//! `generator.NAME`.

use nn::ConfigError;
use serde_json::{Map, Value, json};

use super::encoder;
use super::fields::Fields;
use super::hf::{Parts, Spec};

pub(super) const SPEC: Spec = Spec {
    model_types: &["electra"],
    parts: Parts::Detector(generator, encoder::stack, encoder::table),
    prefix: |_| "electra.",
    bases: &["Model"],
    // Others keep the field, and not the tensors.
    fit: Some(|fields, has| {
        if !has("generator.generator_predictions.dense.weight") {
            fields.0.remove(GENERATOR);
        }
    }),
};

/// What a generator has otherwise than the discriminator: fields of `config.json`.
const GENERATOR: &str = "generator";
const DISCRIMINATOR_CLASS: &str = "ElectraForPreTraining";

/// The config of the generator, where there is one.
fn generator(f: &Fields) -> Result<Option<Fields>, ConfigError> {
    let Some(own) = f.part(GENERATOR)?.filter(|_| f.class() == Some(DISCRIMINATOR_CLASS)) else {
        return Ok(None);
    };
    let mut fields = f.0.clone();
    fields.remove(GENERATOR);
    fields.extend(own.0);
    fields.insert("architectures".into(), json!(["ElectraForMaskedLM"]));
    Ok(Some(Fields(fields)))
}

/// Makes fields of a BERT those of a discriminator, whose generator has about so large a share of
/// every width, and whole heads.
pub(super) fn fresh(bert: &mut Map<String, Value>, share: f64) {
    let size = |key: &str| bert[key].as_u64().unwrap_or(0) as f64 * share;
    let n_heads = size("num_attention_heads").round().max(1.0);
    let d_model = n_heads * (size("hidden_size") / n_heads).round().max(1.0);
    let d_ff = size("intermediate_size").round().max(1.0);
    let [d_model, n_heads, d_ff] = [d_model, n_heads, d_ff].map(|n| n as u64);
    let own = json!({
        "hidden_size": d_model, "num_attention_heads": n_heads, "intermediate_size": d_ff,
    });
    bert.insert("embedding_size".into(), bert["hidden_size"].clone());
    bert.insert("architectures".into(), json!([DISCRIMINATOR_CLASS]));
    bert.insert(GENERATOR.into(), own);
}
