//! Low-rank adapters as `peft` knows them: which maps of a model they change, and under which names
//! their weights are stored.
//!
//! Hu et al., "LoRA", arXiv:2106.09685; Kalajdzievski, "A Rank Stabilization Scaling Factor for
//! Fine-Tuning with LoRA", arXiv:2312.03732; Liu et al., "DoRA", arXiv:2402.09353.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use nn::{BY, LORA};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map as Json, Value, json};
use tensor::{LowRankSpec, PartSpec};

use crate::import::{Import, Source};

/// Which modules an adapter changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// `all-linear`, or a regular expression of whole names.
    Pattern(String),
    /// Names, or how they end: `q_proj` is that of every layer.
    Names(Vec<String>),
}

/// A low-rank adapter, in the words of `adapter_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraConfig {
    /// Rows of `A`.
    #[serde(rename = "r")]
    pub rank: usize,
    /// The change is multiplied with this over the rank, or over its root.
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    /// Probability of dropping from what `A` reads.
    #[serde(rename = "lora_dropout")]
    pub dropout: f64,
    /// What is changed, by external names.
    #[serde(rename = "target_modules")]
    pub targets: Option<Targets>,
    /// What is not.
    #[serde(rename = "exclude_modules")]
    pub exclude: Option<Targets>,
    /// Modules that learn as a whole and are stored with the adapter: heads.
    pub modules_to_save: Option<Vec<String>>,
    /// The layers that are changed, where not all are; names alone are picked so, no patterns.
    #[serde(rename = "layers_to_transform")]
    pub layers: Option<Layers>,
    /// What stands before the number of a layer, where it is not the first number of a name.
    pub layers_pattern: Option<Targets>,
    /// Another rank, by names or patterns of how they end.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Another alpha, likewise.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Whether alpha is over the root of the rank.
    #[serde(rename = "use_rslora")]
    pub rank_stabilised: bool,
    /// Whether lengths and directions learn apart.
    #[serde(rename = "use_dora")]
    pub dora: bool,
    /// What `peft` wraps the model for: `CAUSAL_LM`, `SEQ_CLS`, `TOKEN_CLS` ...
    pub task_type: Option<String>,
    /// Where the base came from.
    #[serde(rename = "base_model_name_or_path")]
    pub base: Option<String>,
}

/// One layer, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Layers {
    /// One.
    One(usize),
    /// Several.
    Some(Vec<usize>),
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 8.0,
            dropout: 0.0,
            targets: None,
            exclude: None,
            modules_to_save: None,
            layers: None,
            layers_pattern: None,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            rank_stabilised: false,
            dora: false,
            task_type: None,
            base: None,
        }
    }
}

/// What may be said by a config that changes nothing here.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "ensure_weight_tying",
    "fan_in_fan_out",
    "inference_mode",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Ranks above this are taken for a mistake.
const MAX_RANK: usize = 1 << 16;

impl LoraConfig {
    /// Reads `adapter_config.json`.
    ///
    /// # Errors
    /// With what is wrong, or is asked for and not known.
    pub fn from_json(json: &Json<String, Value>) -> Result<Self, String> {
        let kind = json.get("peft_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != "LORA") {
            return Err(format!("`peft_type` is `{}`, no LORA", kind.unwrap_or_default()));
        }
        let config: Self =
            serde_json::from_value(Value::Object(json.clone())).map_err(|e| e.to_string())?;
        let known = json!(Self::default());
        for (key, value) in json {
            let says_nothing = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::String(text) => key == "bias" && text == "none",
                Value::Bool(true) => key == "init_lora_weights",
                Value::Number(_) => false,
            };
            let is_known = known.get(key).is_some() || HARMLESS.contains(&key.as_str());
            // How weights started is past, where the base stayed as it was.
            let started = key == "init_lora_weights" && value == "gaussian";
            if !(says_nothing || is_known || started) {
                return Err(format!("`{key}` = {value} is not supported"));
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Everything that can be wrong with it alone.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), String> {
        let ranks = self.rank_pattern.values().chain([&self.rank]);
        if let Some(rank) = ranks.into_iter().find(|rank| !(1..=MAX_RANK).contains(*rank)) {
            return Err(format!("`r` is {rank}; a rank is from 1 to {MAX_RANK}"));
        }
        let mut alphas = self.alpha_pattern.values().chain([&self.alpha]);
        if let Some(alpha) = alphas.find(|alpha| !alpha.is_finite()) {
            return Err(format!("`lora_alpha` is {alpha}"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!("`lora_dropout` is {}; it is from 0 to below 1", self.dropout));
        }
        let empty = |targets: &Targets| match targets {
            Targets::Pattern(pattern) => pattern.is_empty(),
            Targets::Names(names) => names.is_empty(),
        };
        match &self.targets {
            Some(targets) if !empty(targets) => Ok(()),
            _ => Err("`target_modules` names no module".into()),
        }
    }

    /// The text of `adapter_config.json`; `fan_in_fan_out` says that weights are stored transposed.
    pub(crate) fn to_json(&self, fan_in_fan_out: bool) -> String {
        let mut json = json!(self);
        let facts = [
            ("peft_type", json!("LORA")),
            ("bias", json!("none")),
            ("init_lora_weights", json!(true)),
            ("inference_mode", json!(true)),
            ("fan_in_fan_out", json!(fan_in_fan_out)),
        ];
        for (key, value) in facts {
            json[key] = value;
        }
        format!("{json:#}\n")
    }

    /// Rank and scale of a module.
    fn sizes(&self, module: &str) -> Result<(usize, f32), String> {
        let rank = by_pattern(&self.rank_pattern, module)?.unwrap_or(self.rank);
        let alpha = by_pattern(&self.alpha_pattern, module)?.unwrap_or(self.alpha);
        let by = if self.rank_stabilised { (rank as f64).sqrt() } else { rank as f64 };
        Ok((rank, (alpha / by) as f32))
    }

    /// Whether a module of that name is to be changed; `all-linear` is every name.
    fn is_target(&self, module: &str) -> Result<bool, String> {
        if let Some(exclude) = &self.exclude
            && exclude.name(module)?
        {
            return Ok(false);
        }
        let Some(targets) = &self.targets else { return Ok(false) };
        if !(targets.is_all() || targets.name(module)?) {
            return Ok(false);
        }
        let picks = targets.is_all() || matches!(targets, Targets::Names(_));
        let layers = match &self.layers {
            Some(Layers::One(layer)) if picks => std::slice::from_ref(layer),
            Some(Layers::Some(layers)) if picks && !layers.is_empty() => layers,
            _ => return Ok(true),
        };
        let layer = layer_of(module, self.layers_pattern.as_ref())?;
        Ok(layer.is_some_and(|layer| layers.contains(&layer)))
    }
}

impl Targets {
    /// Whether they are every linear map.
    fn is_all(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.eq_ignore_ascii_case("all-linear"))
    }

    /// Whether they are a module's name, as `peft` compares.
    fn name(&self, module: &str) -> Result<bool, String> {
        match self {
            Self::Pattern(pattern) => Ok(regex(&format!("^(?:{pattern})$"))?.is_match(module)),
            Self::Names(names) => Ok(names.iter().any(|name| ends_with(module, name))),
        }
    }
}

/// Whether a name is another, or ends in it.
fn ends_with(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|e| format!("`{pattern}` is no pattern: {e}"))
}

/// What the first pattern that fits the end of a name says.
fn by_pattern<T: Copy>(of: &BTreeMap<String, T>, module: &str) -> Result<Option<T>, String> {
    for (pattern, value) in of {
        if regex(&format!(r"^(?:.*\.)?(?:{pattern})$"))?.is_match(module) {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// The number of the layer that a module is in: the first of its name, the others are of experts.
fn layer_of(module: &str, patterns: Option<&Targets>) -> Result<Option<usize>, String> {
    let named: &[String] = match patterns {
        Some(Targets::Pattern(pattern)) if !pattern.is_empty() => std::slice::from_ref(pattern),
        Some(Targets::Names(names)) => names,
        _ => &[],
    };
    let mut patterns: Vec<String> =
        named.iter().map(|name| format!(r"^(?:.*?\.)?{name}\.(\d+)\.")).collect();
    if patterns.is_empty() {
        patterns.push(r"^.*?\.[^.]*\.(\d+)\.".into());
    }
    for pattern in &patterns {
        let found = regex(pattern)?;
        let number = found.captures(module).and_then(|found| found[1].parse().ok());
        if number.is_some() {
            return Ok(number);
        }
    }
    Ok(None)
}

/// A map of a model that can be changed, or a part of one that is stored apart.
struct Module<'t> {
    /// Its external name.
    name: &'t str,
    /// The weight that it is, or is part of.
    own: &'t str,
    rows: Option<Range<usize>>,
}

/// What an adapter amounts to over a family's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    /// Changes by own weights.
    pub changes: BTreeMap<String, LowRankSpec>,
    /// Names of what learns beside them, as a whole.
    pub saved: BTreeSet<String>,
    /// What its file holds.
    pub table: Vec<Import>,
    /// Of one number each: what parts of it are multiplied with.
    pub switches: Vec<String>,
    /// Whether a weight that is changed is stored transposed.
    pub fan_in_fan_out: bool,
}

/// What `peft` puts before a name.
pub(crate) const PREFIX: &str = "base_model.model.";

/// Places an adapter of that name: over external names `imports`, where `maps` are the weights that
/// can be changed.
///
/// # Errors
/// With a module that cannot be changed, or where there is none.
pub(crate) fn place(
    (name, config): (&str, &LoraConfig),
    imports: &[Import],
    maps: &[String],
) -> Result<Placed, String> {
    config.check()?;
    let all = config.targets.as_ref().is_some_and(Targets::is_all);
    let save = config.modules_to_save.clone().unwrap_or_default();
    let (mut parts, mut fan_in_fan_out) = (BTreeMap::<&str, Vec<Module>>::new(), false);
    for Import { name: tensor, source } in imports {
        let Some(module) = tensor.strip_suffix(".weight") else { continue };
        let own = source.own().filter(|own| maps.iter().any(|map| map == own));
        let rows = match source {
            Source::Rows(_, rows) => Some(rows.clone()),
            _ => None,
        };
        let is_saved = saves(&save, tensor).is_some();
        let plain = matches!(source, Source::Param(_) | Source::Rows(..) | Source::Transposed(_));
        match own.filter(|_| plain && !is_saved) {
            // All linear maps are no tables.
            Some(own) if all && !own.ends_with(".weight") => {}
            Some(own) if config.is_target(module)? => {
                fan_in_fan_out |= matches!(source, Source::Transposed(_));
                parts.entry(own).or_default().push(Module { name: module, own, rows });
            }
            None if !all && !is_saved && config.is_target(module)? => {
                return Err(format!(
                    "`{module}` of `target_modules` is no map that can be changed"
                ));
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return Err(format!("`target_modules` are in none of the names, as `{}`", some(imports)));
    }
    let (mut changes, mut table) = (BTreeMap::new(), Vec::new());
    for (own, mut modules) in parts {
        modules.sort_by_key(|module| module.rows.as_ref().map_or(0, |rows| rows.start));
        let spec = spec((name, config), &modules, &mut table)?;
        changes.insert(own.to_owned(), spec);
    }
    let (saved, heads) = saved(&save, imports, PREFIX)?;
    table.extend(heads);
    let switch = |own: &String| inside(own, name, BY);
    let switches = changes.keys().map(switch).collect();
    Ok(Placed { changes, saved, table, switches, fan_in_fan_out })
}

/// Own names of what learns as a whole, and how it is stored: by external names behind a prefix.
///
/// # Errors
/// With a part of a weight, which cannot.
pub(crate) fn saved(
    save: &[String],
    imports: &[Import],
    prefix: &str,
) -> Result<(BTreeSet<String>, Vec<Import>), String> {
    let (mut names, mut table) = (BTreeSet::new(), Vec::new());
    for Import { name, source } in imports {
        let Some((module, own)) = saves(save, name).zip(source.own()) else { continue };
        if matches!(source, Source::Rows(..) | Source::Pairs(..)) {
            return Err(format!("`{module}` of `modules_to_save` cannot learn alone"));
        }
        names.insert(own.to_owned());
        table.push(Import { name: format!("{prefix}{name}"), source: source.clone() });
    }
    Ok((names, table))
}

/// The name of a parameter of the change of `own`.
pub(crate) fn inside(own: &str, adapter: &str, leaf: &str) -> String {
    let scope = own.rsplit_once('.').map_or("", |(scope, _)| scope);
    format!("{scope}.{LORA}.{adapter}.{leaf}")
}

/// The change of one map, whose external names are added to `table`.
fn spec(
    (name, config): (&str, &LoraConfig),
    modules: &[Module],
    table: &mut Vec<Import>,
) -> Result<LowRankSpec, String> {
    let (mut parts, mut first) = (Vec::new(), 0);
    for (i, Module { name: module, own, rows }) in modules.iter().enumerate() {
        let (rank, scale) = config.sizes(module)?;
        let ours = |leaf: &str| inside(own, name, leaf);
        let theirs = |leaf: &str| format!("{PREFIX}{module}.{leaf}");
        if !own.ends_with(".weight") {
            if config.dora {
                return Err(format!("`use_dora` is not supported of `{module}`, a table"));
            }
            table.push(Import::transposed(theirs("lora_embedding_A"), ours("b")));
            table.push(Import::param(theirs("lora_embedding_B"), ours("a")));
            parts.push(PartSpec { rows: None, rank, scale, magnitude: false });
            continue;
        }
        let a = Source::Rows(ours("a"), first..first + rank);
        table.push(Import { name: theirs("lora_A.weight"), source: a });
        table.push(Import::param(theirs("lora_B.weight"), ours(&format!("b.{i}"))));
        if config.dora {
            let own = ours(&format!("magnitude.{i}"));
            table.push(Import::param(theirs("lora_magnitude_vector"), own));
        }
        parts.push(PartSpec { rows: rows.clone(), rank, scale, magnitude: config.dora });
        first += rank;
    }
    Ok(LowRankSpec { adapter: name.to_owned(), dropout: config.dropout as f32, parts })
}

/// The name among `modules` that a tensor is under.
fn saves<'m>(modules: &'m [String], tensor: &str) -> Option<&'m str> {
    let ends = tensor.match_indices('.').map(|(at, _)| &tensor[..at]);
    let of = |module: &String| ends.clone().any(|name| name.ends_with(module.as_str()));
    modules.iter().find(|module| of(module)).map(String::as_str)
}

/// Some name of a module, to show what they look like.
fn some(imports: &[Import]) -> &str {
    let layer = imports.iter().find(|import| import.name.chars().any(|c| c.is_ascii_digit()));
    let name = layer.or(imports.first()).map_or("", |import| &import.name);
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &Value) -> Result<LoraConfig, String> {
        LoraConfig::from_json(json.as_object().expect("an object"))
    }

    #[test]
    fn modules_are_named_as_peft_names_them() {
        let name = "model.layers.3.self_attn.q_proj";
        let fits = |extra: Value| {
            let mut json = json!({ "target_modules": ["q_proj"] });
            json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            config(&json).unwrap().is_target(name).unwrap()
        };
        assert!(fits(json!({})));
        assert!(!fits(json!({ "target_modules": ["proj"] })));
        assert!(fits(json!({ "target_modules": [name] })));
        assert!(fits(json!({ "target_modules": r".*\.3\..*q_proj" })));
        assert!(!fits(json!({ "target_modules": "q_proj" })));
        assert!(!fits(json!({ "exclude_modules": ["self_attn.q_proj"] })));
        assert!(fits(json!({ "layers_to_transform": 3 })));
        assert!(!fits(json!({ "layers_to_transform": [1, 2] })));
        assert!(!fits(json!({ "layers_to_transform": [3], "layers_pattern": "h" })));
        assert!(fits(json!({ "layers_to_transform": [], "layers_pattern": "h" })));
        let layer = |module: &str, pattern: &str| {
            layer_of(module, Some(&Targets::Pattern(pattern.into()))).unwrap()
        };
        // As `peft` 0.21.2 finds it: an expert has a number behind that of its layer.
        let expert = "model.layers.1.mlp.experts.0.up_proj";
        assert_eq!((layer(expert, ""), layer(expert, "layers")), (Some(1), Some(1)));
        assert_eq!((layer(expert, "experts"), layer("h.2.attn", "h")), (Some(0), Some(2)));
        assert_eq!(layer("h.2.attn", ""), None);
        let ranks = config(&json!({
            "target_modules": ["q_proj"], "lora_alpha": 6, "use_rslora": true,
            "rank_pattern": { r"layers\.3\.self_attn\..*": 4 },
        }));
        assert_eq!(ranks.clone().unwrap().sizes(name).unwrap(), (4, 3.0));
        assert_eq!(ranks.unwrap().sizes("model.layers.2.self_attn.q_proj").unwrap().0, 8);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let refusal = |extra: (&str, Value)| {
            let mut json = json!({ "target_modules": ["q"] });
            json[extra.0] = extra.1;
            config(&json).unwrap_err()
        };
        assert_eq!(refusal(("bias", json!("all"))), "`bias` = \"all\" is not supported");
        assert!(refusal(("init_lora_weights", json!("pissa"))).contains("pissa"));
        assert!(refusal(("use_qalora", json!(true))).contains("use_qalora"));
        assert!(refusal(("peft_type", json!("LOHA"))).contains("LOHA"));
        assert!(refusal(("r", json!(0))).contains("`r` is 0"));
        assert!(refusal(("r", json!(-1))).contains("invalid value"));
        assert!(refusal(("lora_dropout", json!(1))).contains("`lora_dropout` is 1"));
        assert!(refusal(("target_modules", json!([]))).contains("names no module"));
        let pattern = config(&json!({ "target_modules": "(" })).unwrap();
        assert!(pattern.is_target("x").unwrap_err().contains("is no pattern"));
    }
}
