//! A family of `transformers`, told by its `config.json` as it is.

use checkpoint::{CheckpointError, Weights};
use nn::ConfigError;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::{Family, bart, decoder, dual, electra, encoder, t5, vit, whisper};
use crate::architecture::ArchitectureConfig;
use crate::detector::DetectorConfig;
use crate::dual_encoder::DualEncoderConfig;
use crate::encoder_decoder::EncoderDecoderConfig;
use crate::import::{Import, Table};
use crate::stack::StackConfig;

/// What a family is.
pub struct Spec {
    /// Its values of `model_type`.
    pub model_types: &'static [&'static str],
    /// How it computes.
    pub parts: Parts,
    /// What the base model is called inside its classes with heads.
    pub prefix: fn(&Fields) -> &'static str,
    /// How classes of base models, without a head, end.
    pub bases: &'static [&'static str],
    /// Settles what the fields leave to the weights, of which it is told the names.
    pub fit: Option<Fit>,
}

/// Told which names the weights have.
pub type Fit = fn(&mut Fields, &dyn Fn(&str) -> bool);

/// What fields amount to, and external names; those of the base model with `prefix` in front.
pub enum Parts {
    /// A stack.
    Stack(fn(&Fields) -> Result<StackConfig, ConfigError>, fn(&Fields, &StackConfig, &mut Table)),
    /// An encoder with a decoder.
    EncoderDecoder(
        fn(&Fields) -> Result<EncoderDecoderConfig, ConfigError>,
        fn(&Fields, &EncoderDecoderConfig, &mut Table),
    ),
    /// One for texts and one for images.
    DualEncoder(
        fn(&Fields) -> Result<DualEncoderConfig, ConfigError>,
        fn(&Fields, &DualEncoderConfig, &mut Table),
    ),
    /// A stack, or, where there are fields of a generator, a detector: both are made alike.
    Detector(
        fn(&Fields) -> Result<Option<Fields>, ConfigError>,
        fn(&Fields) -> Result<StackConfig, ConfigError>,
        fn(&Fields, &StackConfig, &mut Table),
    ),
}

const SPECS: [&Spec; 8] = [
    &decoder::SPEC,
    &encoder::SPEC,
    &electra::SPEC,
    &t5::SPEC,
    &bart::SPEC,
    &whisper::SPEC,
    &vit::SPEC,
    &dual::SPEC,
];

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

    pub(super) fn fit(&mut self, open: impl FnOnce() -> Result<Weights, CheckpointError>) {
        if let Some(fit) = self.spec.fit
            && let Ok(weights) = open()
        {
            fit(&mut self.fields, &|name| weights.contains(name));
        }
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

    fn architecture(&self) -> Result<ArchitectureConfig, ConfigError> {
        Ok(match &self.spec.parts {
            Parts::Stack(build, _) => ArchitectureConfig::Stack(Box::new(build(&self.fields)?)),
            Parts::EncoderDecoder(build, _) => {
                ArchitectureConfig::EncoderDecoder(Box::new(build(&self.fields)?))
            }
            Parts::DualEncoder(build, _) => {
                ArchitectureConfig::DualEncoder(Box::new(build(&self.fields)?))
            }
            Parts::Detector(generator, build, _) => {
                let discriminator = build(&self.fields)?;
                match generator(&self.fields)? {
                    None => ArchitectureConfig::Stack(Box::new(discriminator)),
                    Some(fields) => {
                        let generator = build(&fields)?;
                        let pair = DetectorConfig { generator, discriminator };
                        ArchitectureConfig::Detector(Box::new(pair))
                    }
                }
            }
        })
    }

    fn imports(&self) -> Vec<Import> {
        let (fields, mut table) = (&self.fields, Table::default());
        let built = "imports of a config that was built";
        match &self.spec.parts {
            Parts::Stack(build, names) => names(fields, &build(fields).expect(built), &mut table),
            Parts::EncoderDecoder(build, names) => {
                names(fields, &build(fields).expect(built), &mut table);
            }
            Parts::DualEncoder(build, names) => {
                names(fields, &build(fields).expect(built), &mut table);
            }
            Parts::Detector(generator, build, names) => {
                names(fields, &build(fields).expect(built), &mut table);
                if let Some(fields) = generator(fields).expect(built) {
                    let mut own = Table::default();
                    names(&fields, &build(&fields).expect(built), &mut own);
                    table.part("generator", own, &["embed.tokens", "embed.positions"]);
                }
            }
        }
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
        let is = |class: &str| self.spec.bases.iter().any(|base| class.ends_with(base));
        self.fields.class().is_some_and(is)
    }

    fn ignores(&self, name: &str) -> bool {
        // Buffers that older versions stored, what no layer but the first of T5 reads, and copies
        // of what is tied.
        name.ends_with(".position_ids")
            || name.ends_with(".embed_positions.weight")
            || name.ends_with("coder.embed_tokens.weight")
            || name.ends_with(".EncDecAttention.relative_attention_bias.weight")
            || name.ends_with(".rotary_emb.inv_freq")
            || (name == "lm_head.weight"
                || name == "proj_out.weight"
                || name == "generator_lm_head.weight"
                || name.ends_with("decoder.weight"))
            || (name.ends_with("decoder.bias"))
    }

    fn to_json(&self) -> Value {
        let mut json = Value::Object(self.fields.0.clone());
        json["model_type"] = json!(self.model_type);
        json
    }
}
