//! A family of `transformers`, told by its `config.json` as it is.

use nn::ConfigError;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::{Family, decoder, encoder, vit};
use crate::import::{Import, Table};
use crate::stack::StackConfig;

/// What a family is.
pub struct Spec {
    /// Its values of `model_type`.
    pub model_types: &'static [&'static str],
    /// The stack that fields amount to.
    pub stack: fn(&Fields) -> Result<StackConfig, ConfigError>,
    /// External names; those of the base model with `prefix` in front.
    pub table: fn(&Fields, &StackConfig, &mut Table),
    /// What the base model is called inside its classes with heads.
    pub prefix: fn(&Fields) -> &'static str,
    /// The class of the base model, without a head.
    pub base: &'static str,
}

const SPECS: [&Spec; 3] = [&decoder::SPEC, &encoder::SPEC, &vit::SPEC];

/// A config of such a family.
#[derive(Clone)]
pub struct HfConfig {
    spec: &'static Spec,
    model_type: &'static str,
    /// `config.json`.
    pub fields: Fields,
}

impl std::fmt::Debug for HfConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.fields.fmt(f)
    }
}

impl PartialEq for HfConfig {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl HfConfig {
    /// The family of that `model_type`, if there is one.
    pub fn new(model_type: &str, fields: Map<String, Value>) -> Option<Self> {
        let known = |spec: &&'static Spec| {
            Some((*spec, *spec.model_types.iter().find(|known| **known == model_type)?))
        };
        let (spec, model_type) = SPECS.iter().find_map(known)?;
        Some(Self { spec, model_type, fields: Fields(fields) })
    }

    /// Every known `model_type`.
    pub fn known() -> impl Iterator<Item = &'static str> {
        SPECS.iter().flat_map(|spec| spec.model_types).copied()
    }
}

impl Family for HfConfig {
    fn model_type(&self) -> &'static str {
        self.model_type
    }

    fn stack(&self) -> Result<StackConfig, ConfigError> {
        (self.spec.stack)(&self.fields)
    }

    fn imports(&self) -> Vec<Import> {
        let stack = self.stack().expect("imports of a config that was built");
        let mut table = Table::default();
        (self.spec.table)(&self.fields, &stack, &mut table);
        table.0
    }

    fn prefix(&self) -> Option<&'static str> {
        Some((self.spec.prefix)(&self.fields))
    }

    fn end(&self) -> Option<u32> {
        let end = self.fields.get("eos_token_id")?;
        let end = end.as_array().map_or(Some(end), |list| list.first())?;
        end.as_u64().and_then(|id| id.try_into().ok())
    }

    fn is_base(&self) -> bool {
        self.fields.class().is_some_and(|class| class.ends_with(self.spec.base))
    }

    fn ignores(&self, name: &str) -> bool {
        // Buffers that older versions stored, and copies of what is tied.
        name.ends_with(".position_ids")
            || name.ends_with(".rotary_emb.inv_freq")
            || (name == "lm_head.weight" || name.ends_with("decoder.weight"))
            || (name.ends_with("decoder.bias"))
    }

    fn to_json(&self) -> Value {
        let mut json = Value::Object(self.fields.0.clone());
        json["model_type"] = json!(self.model_type);
        json
    }
}
