//! What learns of a model, and adapters beside one that stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{Dtype, Entry, Weights};
use nn::{Context, LORA};
use regex::Regex;
use serde_json::Value;
use tensor::{Device, Isa, LowRankPart, Param, Params, ParamsBuilder, Precision, Tape, Var};

use crate::architecture::Architecture;
use crate::coded::{Coding, Quantised};
use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::import::{self, Import, Source, strip, widened};
use crate::lora::{LoraConfig, Placed, place};
use crate::model::{Model, Unused};
use crate::opened::Fitted;

/// What learns.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::large_enum_variant)] // One a run.
pub enum Method {
    /// Every weight.
    #[default]
    Full,
    /// The heads alone.
    Head,
    /// A low-rank adapter beside the weights.
    Lora(LoraConfig),
}

/// How a model is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// What learns.
    pub method: Method,
    /// Of that, what stays as it is: own names, in which `*` stands for anything, as `embed*` or
    /// `blocks.0.*`.
    pub freeze: Vec<String>,
    /// What linear maps that do not learn are rounded to, where they are not coded in their file.
    pub quantise: Option<Quantised>,
}

impl From<Method> for Tuning {
    fn from(method: Method) -> Self {
        Self { method, ..Self::default() }
    }
}

/// An adapter that a model has beside its weights.
pub struct Adapter {
    /// What it is called here.
    pub name: String,
    /// What it is.
    pub config: LoraConfig,
    placed: Placed,
}

/// The name of the one that is trained.
pub const TRAINED: &str = "default";

const CONFIG: &str = "adapter_config.json";
const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// How a model is built: its parameters' rules, and the adapters beside them.
pub(crate) type Plan = (ParamsBuilder, Vec<Adapter>);

impl Adapter {
    /// Places adapters over the names of a family, bare ones where they are `stripped`.
    fn plan(
        config: &ModelConfig,
        adapters: Vec<(String, LoraConfig)>,
        stripped: bool,
        train: bool,
    ) -> Result<Plan, ModelError> {
        let config_error = |source| ModelError::Config { path: PathBuf::new(), source };
        let (_, first) = Model::register(config).map_err(config_error)?;
        let family = config.family();
        let mut imports = family.imports();
        strip(&mut imports, family.prefix().filter(|_| stripped || family.is_base()));
        let mut changes = BTreeMap::<String, Vec<_>>::new();
        let (mut placed, mut saved) = (Vec::<Self>::new(), BTreeSet::new());
        for (name, config) in adapters {
            let problem = |problem| ModelError::Adapter { name: name.clone(), problem };
            let own = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(own) {
                return Err(problem("a name has letters, digits, `-` and `_`".into()));
            }
            if placed.iter().any(|there| there.name == name) {
                return Err(problem("there is one of that name".into()));
            }
            let at = place((&name, &config), &imports, first.maps()).map_err(problem)?;
            if !at.saved.is_empty() && placed.iter().any(|there| !there.placed.saved.is_empty()) {
                let text = "it replaces a head, as another does: only one may";
                return Err(problem(text.into()));
            }
            for (own, spec) in &at.changes {
                changes.entry(own.clone()).or_default().push(spec.clone());
            }
            saved.extend(at.saved.iter().cloned());
            placed.push(Self { name, config, placed: at });
        }
        let inside = format!(".{LORA}.");
        let trains = move |name: &str| train && (name.contains(&inside) || saved.contains(name));
        Ok((ParamsBuilder::training(trains).with_low_rank(changes), placed))
    }

    /// The tensors of its file, in their order, and what they are here.
    pub fn table(&self) -> &[Import] {
        &self.placed.table
    }

    /// Holds ranks against what is stored, before any memory is taken for them.
    fn check(&self, weights: &Weights) -> Result<(), ModelError> {
        for Import { name, source } in self.table() {
            let shape = weights.get(name)?.shape;
            if let Source::Rows(_, rows) = source
                && shape.first() != Some(&rows.len())
            {
                let problem = format!("`{name}` is {shape:?}, but its rank {}", rows.len());
                return Err(ModelError::Adapter { name: self.name.clone(), problem });
            }
        }
        Ok(())
    }

    /// The name of a parameter of the change of `own`.
    fn leaf(&self, own: &str, leaf: &str) -> String {
        let scope = own.strip_suffix("weight").unwrap_or(own);
        format!("{scope}{LORA}.{}.{leaf}", self.name)
    }

    /// The change of a weight: `A` and its parts.
    fn change(&self, params: &Params, own: &str) -> Option<(Param, Vec<LowRankPart>)> {
        let spec = self.placed.changes.get(own)?;
        let find = |leaf: &str| Some(params.find(&self.leaf(own, leaf))?.param.clone());
        let n_rows = params.find(own)?.param.shape()[0];
        let part = |(i, part): (usize, &tensor::PartSpec)| {
            Some(LowRankPart {
                rows: part.rows.clone().unwrap_or(0..n_rows),
                b: find(&format!("b.{i}"))?,
                scale: part.scale,
                magnitude: find(&format!("magnitude.{i}")),
            })
        };
        Some((find("a")?, spec.parts.iter().enumerate().map(part).collect::<Option<_>>()?))
    }
}

/// Reads the config of an adapter's directory, and opens its weights.
///
/// # Errors
/// Where they are not there, or are no low-rank adapter.
pub fn open_adapter(dir: &Path) -> Result<(LoraConfig, Weights), ModelError> {
    let path = dir.join(CONFIG);
    let read = |source| ModelError::Read { path: path.clone(), source };
    let text = mapped::read_small(&path, MAX_CONFIG_BYTES).map_err(read)?;
    let json: serde_json::Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|source| ModelError::Json { path: path.clone(), source })?;
    let name = dir.display().to_string();
    let config =
        LoraConfig::from_json(&json).map_err(|problem| ModelError::Adapter { name, problem })?;
    let file = FILES.map(|name| dir.join(name)).into_iter().find(|file| file.exists());
    Ok((config, Weights::open(&file.unwrap_or_else(|| dir.join(FILES[0])))?))
}

/// What a pattern with `*` says of a name.
fn glob(pattern: &str) -> Regex {
    let pattern = regex::escape(pattern).replace(r"\*", ".*");
    Regex::new(&format!("^{pattern}$")).expect("an escaped pattern")
}

impl Model {
    /// Loads a model directory, to be trained. What the directory lacks is drawn from `seed`;
    /// linear maps that do not learn stay in the blocks of a GGUF file.
    ///
    /// # Errors
    /// As [`Model::load`]; where the method does not fit the model, a pattern names nothing, or
    /// nothing is left that learns.
    pub fn load_for(dir: &Path, tuning: &Tuning, seed: u64) -> Result<(Self, Unused), ModelError> {
        let (model, fitted) = Self::load_tuned(dir, None, tuning, seed)?;
        Ok((model, fitted.unused))
    }

    /// The same as a model of `config`, as [`Model::load_as`] has it.
    ///
    /// # Errors
    /// As both.
    pub fn load_tuned(
        dir: &Path,
        config: Option<ModelConfig>,
        tuning: &Tuning,
        seed: u64,
    ) -> Result<(Self, Fitted), ModelError> {
        let Tuning { method, freeze, quantise } = tuning;
        let coding = quantise.map_or(Coding::AsStored, Coding::Rounded);
        let (mut model, fitted) = Self::load_in(dir, config, (seed, coding), |config| {
            let globs: Vec<Regex> = freeze.iter().map(|pattern| glob(pattern)).collect();
            let (_, all) = Self::register(config)
                .map_err(|source| ModelError::Config { path: dir.to_owned(), source })?;
            let names = |glob: &Regex| all.entries().iter().any(|e| glob.is_match(&e.name));
            if let Some(i) = globs.iter().position(|glob| !names(glob)) {
                return Err(ModelError::Freeze { pattern: freeze[i].clone() });
            }
            let stays = move |name: &str| globs.iter().any(|glob| glob.is_match(name));
            let heads = |name: &str| name.split('.').any(|part| part == "heads");
            Ok(match method {
                Method::Full => (ParamsBuilder::training(move |name| !stays(name)), Vec::new()),
                Method::Head => {
                    let trains = move |name: &str| heads(name) && !stays(name);
                    (ParamsBuilder::training(trains), Vec::new())
                }
                Method::Lora(lora) => {
                    Adapter::plan(config, vec![(TRAINED.into(), lora.clone())], false, true)?
                }
            })
        })?;
        if model.params.values().is_empty() {
            return Err(ModelError::NothingLearns);
        }
        model.start_magnitudes();
        Ok((model, fitted))
    }

    /// Loads a model directory and adapters, each a name and a directory, to be run: the first is
    /// in use. The weights stay in their file and their type.
    ///
    /// # Errors
    /// As [`Model::load`]; where an adapter is none, or of another base.
    pub fn load_adapted(
        dir: &Path,
        adapters: &[(&str, &Path)],
    ) -> Result<(Self, Unused), ModelError> {
        Self::load_adapted_as(dir, None, adapters)
    }

    /// The same as a model of `config`, whose head comes with an adapter.
    ///
    /// # Errors
    /// As both.
    pub fn load_adapted_as(
        dir: &Path,
        config: Option<ModelConfig>,
        adapters: &[(&str, &Path)],
    ) -> Result<(Self, Unused), ModelError> {
        let opened: Vec<_> =
            adapters.iter().map(|(_, dir)| open_adapter(dir)).collect::<Result<_, _>>()?;
        let seed = (0, Coding::Plain);
        let (mut model, fitted) = Self::load_in(dir, config, seed, |config| {
            let named = adapters.iter().zip(&opened);
            let named = named.map(|((name, _), (lora, _))| ((*name).to_owned(), lora.clone()));
            // Who wraps a base model alone has names without what stands before it elsewhere.
            let prefix =
                config.family().prefix().map(|prefix| format!("base_model.model.{prefix}"));
            let bare = |prefix: &String| {
                opened.iter().all(|(_, w)| !w.names().any(|name| name.starts_with(prefix)))
            };
            let bare = prefix.as_ref().is_some_and(bare);
            let plan = Adapter::plan(config, named.collect(), bare, false)?;
            for (adapter, (_, weights)) in plan.1.iter().zip(&opened) {
                adapter.check(weights)?;
            }
            Ok(plan)
        })?;
        for ((name, _), (_, weights)) in adapters.iter().zip(&opened) {
            model.read_adapter(name, weights)?;
        }
        if let Some((name, _)) = adapters.first() {
            model.use_adapters(&[(name, 1.0)])?;
        }
        Ok((model, fitted.unused))
    }

    /// The adapter of that name.
    fn adapter(&self, name: &str) -> Result<&Adapter, ModelError> {
        self.adapters.iter().find(|adapter| adapter.name == name).ok_or_else(|| {
            let there: Vec<_> = self.adapters.iter().map(|a| format!("`{}`", a.name)).collect();
            let problem = format!("there is none of that name, but {}", there.join(", "));
            ModelError::Adapter { name: name.into(), problem }
        })
    }

    /// Gives an adapter the weights that are stored.
    ///
    /// # Errors
    /// Where a tensor is missing, has another shape, or has no place in this base.
    pub fn read_adapter(&mut self, name: &str, weights: &Weights) -> Result<(), ModelError> {
        let table = self.adapter(name)?.placed.table.clone();
        import::check(&table, weights, self.params.entries())?;
        if let Some(tensor) = weights.names().find(|n| !table.iter().any(|i| i.name == *n)) {
            let problem = format!("`{tensor}` has no place in this base");
            return Err(ModelError::Adapter { name: name.into(), problem });
        }
        import::read(&table, weights, &mut self.params, |_| Coding::Plain, Err)
    }

    /// Uses these adapters, each times a number, and no others; the base is not touched.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn use_adapters(&mut self, of: &[(&str, f32)]) -> Result<(), ModelError> {
        of.iter().try_for_each(|(name, _)| self.adapter(name).map(|_| ()))?;
        for adapter in &self.adapters {
            let found = of.iter().filter(|(name, _)| *name == adapter.name);
            let by = found.map(|(_, by)| by).sum();
            for own in adapter.placed.changes.keys() {
                let entry = self.params.find(&adapter.leaf(own, "by")).expect("registered");
                let param = entry.param.clone();
                self.params.get_mut(&param)[0] = by;
            }
        }
        Ok(())
    }

    /// What an adapter's directory holds: the text of `adapter_config.json`, and every tensor.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn adapter_files(&self, name: &str) -> Result<(String, Vec<Entry<'_>>), ModelError> {
        let Adapter { config, placed, .. } = self.adapter(name)?;
        let entries = import::entries(&placed.table, &self.params, None, |_, _| Dtype::F32.into());
        Ok((config.to_json(placed.fan_in_fan_out), entries))
    }

    /// Lengths that learn apart start as those of the weights.
    fn start_magnitudes(&mut self) {
        let device = Device::cpu(Isa::Portable);
        for adapter in &self.adapters {
            for own in adapter.placed.changes.keys() {
                let (_, parts) = adapter.change(&self.params, own).expect("registered");
                let weight = self.params.find(own).expect("registered").param.clone();
                for LowRankPart { rows, magnitude, .. } in parts {
                    if let Some(magnitude) = magnitude {
                        let norms = self.params.row_norms(&device, &weight, rows);
                        self.params.get_mut(&magnitude).copy_from_slice(&norms);
                    }
                }
            }
        }
    }

    /// The same model, to be run, whose weights are what adapters in use make of them; there are no
    /// adapters beside it. It may differ from this one by rounding: on `probe`, ids of tokens,
    /// what comes out is compared, relative to the largest number. Returns that difference, too.
    ///
    /// # Errors
    /// Where it is above `tolerance`, or the model does not read tokens.
    pub fn merged(
        &self,
        device: &Device,
        probe: &[u32],
        tolerance: f32,
    ) -> Result<(Self, f32), ModelError> {
        let config_error = |source| ModelError::Config { path: PathBuf::new(), source };
        let (architecture, builder) =
            Self::register_in(&self.config, ParamsBuilder::frozen()).map_err(config_error)?;
        let mut params = builder.build_zeroed();
        for entry in params.entries().to_vec() {
            let old = &self.params.find(&entry.name).expect("the same parameters").param;
            let changes = self.adapters.iter().filter_map(|adapter| {
                let (a, parts) = adapter.change(&self.params, &entry.name)?;
                let by = self.params.find(&adapter.leaf(&entry.name, "by"))?;
                Some((a, parts, self.params.get(&by.param)[0]))
            });
            let changes: Vec<_> = changes.filter(|(.., by)| *by != 0.0).collect();
            if changes.is_empty() && old.is_frozen() {
                params.freeze(&entry.param, self.params.frozen(old).clone());
                continue;
            }
            let mut values = widened(&self.params, old).into_owned();
            for (a, parts, by) in &changes {
                self.params.merge_low_rank(device, (&mut values, old), a, (parts, *by));
            }
            params.put(&entry.param, values);
        }
        let merged =
            Self { config: self.config.clone(), architecture, params, adapters: Vec::new() };
        let [before, after] = [self.probe(device, probe)?, merged.probe(device, probe)?];
        let largest = before.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
        let difference = before.iter().zip(&after).map(|(a, b)| (a - b).abs() / largest);
        // Not `max`, which passes over NaN.
        let worst = difference.fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m });
        if worst <= tolerance {
            return Ok((merged, worst));
        }
        Err(ModelError::Merge { difference: worst, tolerance })
    }

    /// What comes out for some tokens, in f32.
    fn probe(&self, device: &Device, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        let (ids, shape): (Arc<[u32]>, _) = (ids.into(), [1, ids.len()]);
        let tape = Tape::new(device, &self.params, Precision::F32);
        let mut ctx = Context::plain(1, ids.len());
        let (stack, x): (_, Var) = match &self.architecture {
            Architecture::EncoderDecoder(pair) => {
                let memory = pair.encode(&tape, nn::Input::Tokens(&ids, shape), ctx.call.clone());
                ctx.call.memory = Some(memory);
                (&pair.decoder, pair.decode(&tape, &ids, shape, &mut ctx))
            }
            other => {
                let stack = other
                    .stack()
                    .map_err(|source| ModelError::Config { path: PathBuf::new(), source })?;
                (stack, stack.forward(&tape, &ids, shape, &mut ctx))
            }
        };
        let logits = stack.token_head().map(|head| head.logits(&tape, &x));
        Ok(logits.unwrap_or(x).value().to_vec())
    }
}
