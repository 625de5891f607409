//! The fields of a `config.json`, read with their types checked.

use nn::AttnPositions;
use nn::{ConfigError, LayerConfig, RopeConfig, RopeScaling};
use serde::Serialize;
use serde_json::{Map, Value};
use tensor::{Activation, Pattern};

/// A `config.json` as it was read; it is written again as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fields(pub Map<String, Value>);

type Result<T> = std::result::Result<T, ConfigError>;

fn wrong(key: &'static str, value: &Value, expected: &str) -> ConfigError {
    let mut found = value.to_string();
    if found.len() > 60 {
        found = "something long".into();
    }
    ConfigError::new(key, format!("{found} is not {expected}"))
}

impl Fields {
    /// The value of a key; null is nothing.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let read = |value| read(value).ok_or_else(|| wrong(key, value, expected));
        self.get(key).map(read).transpose()
    }

    /// A size that need not be there.
    pub fn maybe_size(&self, key: &'static str) -> Result<Option<usize>> {
        self.read(key, "a whole number", |v| v.as_u64().map(|n| n as usize))
    }

    /// A size that has to be there.
    pub fn size(&self, key: &'static str) -> Result<usize> {
        self.maybe_size(key)?.ok_or_else(|| ConfigError::new(key, "is missing"))
    }

    /// A size, or what is usual.
    pub fn size_or(&self, key: &'static str, usual: usize) -> Result<usize> {
        Ok(self.maybe_size(key)?.unwrap_or(usual))
    }

    /// Sizes; none where nothing is said.
    pub fn sizes(&self, key: &'static str) -> Result<Vec<usize>> {
        let list = |v: &Value| {
            v.as_array()?.iter().map(|n| n.as_u64().map(|n| n as usize)).collect::<Option<_>>()
        };
        Ok(self.read(key, "a list of whole numbers", list)?.unwrap_or_default())
    }

    /// A number that need not be there.
    pub fn maybe_real(&self, key: &'static str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A number, or what is usual.
    pub fn real_or(&self, key: &'static str, usual: f64) -> Result<f64> {
        Ok(self.maybe_real(key)?.unwrap_or(usual))
    }

    /// Yes or no, or what is usual.
    pub fn flag_or(&self, key: &'static str, usual: bool) -> Result<bool> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(usual))
    }

    /// A text, or what is usual.
    pub fn text_or<'a>(&'a self, key: &'static str, usual: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(usual),
            Some(value) => value.as_str().ok_or_else(|| wrong(key, value, "a text")),
        }
    }

    /// An activation, or what is usual.
    pub fn activation_or(&self, key: &'static str, usual: &str) -> Result<Activation> {
        activation(key, self.text_or(key, usual)?)
    }

    /// A part that has fields of its own.
    pub fn part(&self, key: &'static str) -> Result<Option<Self>> {
        self.read(key, "an object", |v| v.as_object().cloned().map(Self))
    }

    /// With the fields of an object where nothing is said.
    #[must_use]
    pub fn filled(mut self, usual: Value) -> Self {
        if let Value::Object(usual) = usual {
            for (key, value) in usual {
                self.0.entry(key).or_insert(value);
            }
        }
        self
    }

    /// The class that was saved: the first of `architectures`.
    pub fn class(&self) -> Option<&str> {
        self.get("architectures")?.get(0)?.as_str()
    }

    /// The id of a token; what is usual where nothing is said: null is none.
    pub fn id(&self, key: &str, usual: impl Into<Option<u32>>) -> Option<u32> {
        match self.0.get(key) {
            None => usual.into(),
            Some(id) => id.as_u64().and_then(|id| id.try_into().ok()),
        }
    }

    /// What follows `For` in that class; nothing for a base model.
    pub fn task(&self) -> &str {
        self.class().and_then(|class| class.split_once("For")).map_or("", |(_, task)| task)
    }

    /// Labels of a classifier, by number.
    pub fn labels(&self) -> Vec<String> {
        let label = |i: usize| {
            let said = self.get("id2label").and_then(|labels| labels.get(i.to_string()));
            said.and_then(Value::as_str).map_or_else(|| format!("LABEL_{i}"), str::to_owned)
        };
        (0..self.n_labels().min(MAX_LABELS)).map(label).collect()
    }

    /// Labels of a classifier.
    pub fn n_labels(&self) -> usize {
        let labels = self.get("id2label").and_then(Value::as_object).map(Map::len);
        let number = || self.get("num_labels").and_then(Value::as_u64).map(|n| n as usize);
        labels.or_else(number).unwrap_or(2)
    }

    /// Width of a head: said, or what `heads` divide `width` into.
    pub fn d_head(&self, [width, n_heads]: [usize; 2], usual: Option<usize>) -> Result<usize> {
        if let Some(said) = self.maybe_size("head_dim")?.or(usual) {
            return Ok(said);
        }
        if n_heads == 0 || !width.is_multiple_of(n_heads) {
            let problem = format!("{n_heads} heads do not divide a width of {width}");
            return Err(ConfigError::new("num_attention_heads", problem));
        }
        Ok(width / n_heads)
    }

    /// Rotary positions of layers of a type: `rope_parameters` of version 5, by type or for all, or
    /// `rope_theta` and `rope_scaling` of version 4.
    pub fn rope(&self, layer_type: &'static str, d_head: usize) -> Result<RopeConfig> {
        let mut theta = self.real_or("rope_theta", 10_000.0)?;
        let mut scaling = self.part("rope_scaling")?;
        if layer_type == SLIDING
            && let Some(local) = self.maybe_real("rope_local_base_freq")?
        {
            (theta, scaling) = (local, None);
        }
        if let Some(parameters) = self.part("rope_parameters")? {
            let own = parameters.part(layer_type)?.unwrap_or(parameters);
            theta = own.real_or("rope_theta", theta)?;
            scaling = Some(own);
        }
        for said in scaling.iter().chain([self]) {
            let part = said.real_or("partial_rotary_factor", 1.0)?;
            if (part - 1.0).abs() > 0.0 {
                let problem = format!("{part} is not supported, only 1");
                return Err(ConfigError::new("partial_rotary_factor", problem));
            }
        }
        let scaling = scaling.map_or(Ok(RopeScaling::None), |s| self.rope_scaling(&s))?;
        Ok(RopeConfig { theta, d_rot: d_head, scaling })
    }

    fn rope_scaling(&self, s: &Self) -> Result<RopeScaling> {
        let max_len = self.size_or("max_position_embeddings", 2048)? as f64;
        let old_len = s.maybe_real("original_max_position_embeddings")?;
        let kind = s.text_or("rope_type", s.text_or("type", "default")?)?;
        Ok(match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: s.real_or("factor", 1.0)? },
            "dynamic" => RopeScaling::Dynamic {
                factor: s.real_or("factor", 1.0)?,
                old_len: old_len.unwrap_or(max_len),
            },
            "llama3" => RopeScaling::ByWavelength {
                factor: s.real_or("factor", 1.0)?,
                low: s.real_or("low_freq_factor", 1.0)?,
                high: s.real_or("high_freq_factor", 4.0)?,
                old_len: old_len.unwrap_or(max_len),
            },
            "yarn" => {
                let factor = match (old_len, s.maybe_real("factor")?) {
                    (_, Some(factor)) => factor,
                    (Some(old_len), None) => max_len / old_len,
                    (None, None) => 1.0,
                };
                let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
                let usual = match (s.maybe_real("mscale")?, s.maybe_real("mscale_all_dim")?) {
                    (Some(one), Some(all)) if one != 0.0 && all != 0.0 => grown(one) / grown(all),
                    _ => grown(1.0),
                };
                RopeScaling::Yarn {
                    factor,
                    fast: s.real_or("beta_fast", 32.0)?,
                    slow: s.real_or("beta_slow", 1.0)?,
                    old_len: old_len.unwrap_or(max_len),
                    attention_factor: s.real_or("attention_factor", usual)?,
                    truncate: s.flag_or("truncate", true)?,
                }
            }
            other => {
                let problem = format!("`{other}` is not one of {ROPE_TYPES}");
                return Err(ConfigError::new("rope_type", problem));
            }
        })
    }

    /// Pattern and positions of each layer: `layer_types`, or one type for all.
    pub fn layers(
        &self,
        n_layers: usize,
        usual: &'static str,
        positions: impl Fn(usize, &'static str) -> Result<AttnPositions>,
    ) -> Result<Vec<LayerConfig>> {
        let types = match self.get("layer_types") {
            None => vec![usual],
            Some(value) => Self::layer_types(n_layers, value)?,
        };
        let layer = |(i, layer_type): (usize, &&'static str)| {
            let pattern = match *layer_type {
                SLIDING => Pattern::Window { size: self.size("sliding_window")? },
                _ => Pattern::Causal,
            };
            Ok(LayerConfig { pattern, positions: positions(i, layer_type)? })
        };
        types.iter().enumerate().map(layer).collect()
    }

    fn layer_types(n_layers: usize, value: &Value) -> Result<Vec<&'static str>> {
        let of = |value: &Value| match value.as_str() {
            Some(FULL) => Ok(FULL),
            Some(SLIDING) => Ok(SLIDING),
            _ => Err(wrong("layer_types", value, "full_attention or sliding_attention")),
        };
        let types: Vec<_> = value
            .as_array()
            .ok_or_else(|| wrong("layer_types", value, "a list"))?
            .iter()
            .map(of)
            .collect::<Result<_>>()?;
        if types.len() != n_layers {
            let problem = format!("{} of them, and {n_layers} layers", types.len());
            return Err(ConfigError::new("layer_types", problem));
        }
        Ok(types)
    }
}

/// A config that says more is refused when it is built.
const MAX_LABELS: usize = 1 << 20;

/// Layers that see everything before them.
pub const FULL: &str = "full_attention";
/// Layers that see a window.
pub const SLIDING: &str = "sliding_attention";

const ROPE_TYPES: &str = "default, linear, dynamic, llama3, yarn";

/// The activation of a name that `transformers` knows.
pub fn activation(key: &'static str, name: &str) -> Result<Activation> {
    Ok(match name {
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" => Activation::GeluTanh,
        "gelu" | "gelu_python" => Activation::GeluErf,
        "quick_gelu" => Activation::QuickGelu,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        other => {
            let problem = format!("`{other}` is not one of gelu, gelu_new, quick_gelu, relu, silu");
            return Err(ConfigError::new(key, problem));
        }
    })
}
