//! Fields of a `config.json` that would change what a model computes, and are not built.

use nn::ConfigError;
use serde_json::Value;

/// Families (none is every one), a field of theirs, and the one value that is built; a field that
/// is not there, or null, says that value.
const ONLY: &[(&[&str], &str, &str)] = &[
    // Weights that are not what their names say.
    (&[], "quantization_config", "null"),
    (&["bert", "roberta", "ernie", "albert", "electra"], "position_embedding_type", "\"absolute\""),
    (&["bert", "roberta", "ernie", "electra"], "is_decoder", "false"),
    (&["bert", "roberta", "ernie", "electra", "gpt2"], "add_cross_attention", "false"),
];

/// Classes of GPT-2.
const GPT2: [&str; 5] = [
    "GPT2Model",
    "GPT2LMHeadModel",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
    "GPT2ForQuestionAnswering",
];

/// Refuses what [`ONLY`] does not allow.
///
/// # Errors
/// With the field, what it says, and what is supported.
pub fn check(model_type: &str, config: &Value) -> Result<(), ConfigError> {
    for (families, key, supported) in ONLY {
        let value: Value = serde_json::from_str(supported).expect("JSON");
        let found = &config[key];
        let concerned = families.is_empty() || families.contains(&model_type);
        if !concerned || found.is_null() || *found == value {
            continue;
        }
        let mut found = found.to_string();
        if found.len() > 80 {
            found = "something long".into();
        }
        let problem = format!("{found} is not supported, only {supported}");
        return Err(ConfigError::new(key, problem));
    }
    let class = config["architectures"][0].as_str();
    match class {
        Some(class) if model_type == "gpt2" && !GPT2.contains(&class) => {
            let problem = format!("`{class}` is not one of {}", GPT2.join(", "));
            Err(ConfigError::new("architectures", problem))
        }
        _ => Ok(()),
    }
}
