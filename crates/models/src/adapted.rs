//! What learns of a model, and adapters beside one that stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use checkpoint::{Dtype, Entry, Weights};
use nn::Beside;
use regex::Regex;
use serde_json::Value;
use tensor::{Device, Isa, LowRankPart, Param, Params, ParamsBuilder};

use crate::base;
use crate::coded::{Coding, Quantised};
use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::families::heads::HeadKind;
use crate::import::{self, Import, Source, strip, widened};
use crate::lora::{LoraConfig, Placed, inside, place};
use crate::model::{Model, Unused};
use crate::opened::Fitted;
use crate::peft::{AdapterConfig, BesideConfig};

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
    /// Learned tokens, or bottlenecks.
    Beside(BesideConfig),
}

impl Method {
    /// The adapter that learns, where the weights do not.
    pub fn adapter(&self) -> Option<AdapterConfig> {
        match self {
            Self::Full | Self::Head => None,
            Self::Lora(config) => Some(AdapterConfig::Lora(config.clone())),
            Self::Beside(config) => Some(AdapterConfig::Beside(config.clone())),
        }
    }
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
    pub config: AdapterConfig,
    /// What the maps of the base that do not learn were rounded to when it was trained.
    pub rounded: Option<Quantised>,
    placed: Placed,
}

/// The name of the one that is trained.
pub const TRAINED: &str = "default";

/// How the name of a copy of the base ends in an adapter's file.
const COPIED: &str = ".base_layer.weight";

const CONFIG: &str = "adapter_config.json";
const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// How a model is built: its parameters' rules, and what is beside them.
#[derive(Default)]
pub(crate) struct Plan {
    pub builder: ParamsBuilder,
    pub adapters: Vec<Adapter>,
    pub beside: Beside,
}

impl From<ParamsBuilder> for Plan {
    fn from(builder: ParamsBuilder) -> Self {
        Self { builder, ..Self::default() }
    }
}

impl Adapter {
    /// Places adapters over the names of a family, bare ones where they are `stripped`; of what is
    /// theirs learns what `trains` says. Those with weights are held against what these are, before
    /// any memory is taken for them.
    fn plan(
        config: &ModelConfig,
        adapters: Vec<(String, AdapterConfig, Option<&Weights>)>,
        stripped: bool,
        trains: impl Fn(&str) -> bool + 'static,
    ) -> Result<Plan, ModelError> {
        let config_error = |source| ModelError::Config { path: PathBuf::new(), source };
        let mut besides = adapters.iter().map(|(_, config, _)| config.beside());
        let beside = besides.find(|beside| *beside != Beside::Nothing).unwrap_or_default();
        let (_, first) =
            Model::register_in(config, ParamsBuilder::default(), beside).map_err(config_error)?;
        let names: Vec<String> = first.entries().iter().map(|e| e.name.clone()).collect();
        let family = config.family();
        let mut imports = family.imports();
        strip(&mut imports, family.prefix().filter(|_| stripped || family.is_base()));
        let mut changes = BTreeMap::<String, Vec<_>>::new();
        let (mut placed, mut learned) = (Vec::<Self>::new(), BTreeSet::new());
        for (name, config, weights) in adapters {
            let problem = |problem| ModelError::Adapter { name: name.clone(), problem };
            let own = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(own) {
                return Err(problem("a name has letters, digits, `-` and `_`".into()));
            }
            if placed.iter().any(|there| there.name == name) {
                return Err(problem("there is one of that name".into()));
            }
            let is_second = config.beside() != Beside::Nothing
                && placed.iter().any(|there| there.config.beside() != Beside::Nothing);
            if is_second {
                return Err(problem("only one may be of learned tokens or bottlenecks".into()));
            }
            let at = match &config {
                AdapterConfig::Lora(lora) => place((&name, lora), &imports, first.maps()),
                AdapterConfig::Beside(beside) => beside.place(&imports, &names),
            };
            let at = at.map_err(problem)?;
            if !at.saved.is_empty() && placed.iter().any(|there| !there.placed.saved.is_empty()) {
                let text = "it replaces a head, as another does: only one may";
                return Err(problem(text.into()));
            }
            for (own, spec) in &at.changes {
                changes.entry(own.clone()).or_default().push(spec.clone());
            }
            learned.extend(at.table.iter().filter_map(|i| i.source.own()).map(str::to_owned));
            let adapter = Self { name, config, rounded: None, placed: at };
            if let Some(weights) = weights {
                adapter.check(weights, first.entries())?;
            }
            placed.push(adapter);
        }
        let trains = move |name: &str| learned.contains(name) && trains(name);
        let builder = ParamsBuilder::training(trains).with_low_rank(changes);
        Ok(Plan { builder, adapters: placed, beside })
    }

    /// Whether it adds to weights and does nothing else, so that it can be taken away again: where
    /// they were rounded for it, they do not come back.
    pub fn is_a_sum(&self) -> bool {
        let is_lora = matches!(&self.config, AdapterConfig::Lora(lora) if !lora.dora);
        is_lora && self.placed.saved.is_empty() && self.rounded.is_none()
    }

    /// The tensors of its file, in their order, and what they are here.
    pub fn table(&self) -> &[Import] {
        &self.placed.table
    }

    /// Holds ranks against what is stored, before any memory is taken for them.
    fn check(&self, weights: &Weights, registered: &[tensor::Entry]) -> Result<(), ModelError> {
        if self.config.beside() != Beside::Nothing {
            return import::check(self.table(), weights, registered);
        }
        for Import { name, source } in self.table() {
            let shape = weights.get(name)?.shape;
            let rank = match source {
                Source::Rows(_, rows) => Some(rows.len()),
                Source::Transposed(own) => self.table_rank(own),
                _ => None,
            };
            if let Some(rank) = rank.filter(|rank| shape.first() != Some(rank)) {
                let problem = format!("`{name}` is {shape:?}, but its rank {rank}");
                return Err(ModelError::Adapter { name: self.name.clone(), problem });
            }
        }
        Ok(())
    }

    /// The name of a parameter of the change of `own`.
    pub(crate) fn leaf(&self, own: &str, leaf: &str) -> String {
        inside(own, &self.name, leaf)
    }

    /// Whether it changes that weight.
    pub(crate) fn changes(&self, own: &str) -> bool {
        self.placed.changes.contains_key(own)
    }

    /// The rank of a change of a table, by the name of its rows.
    fn table_rank(&self, rows: &str) -> Option<usize> {
        let mut changes = self.placed.changes.iter();
        let (_, spec) = changes.find(|(own, _)| self.leaf(own, "b") == rows)?;
        Some(spec.parts[0].rank)
    }

    /// The change of a table: `a` `[D, r]`, `b` `[V, r]`, and what it is multiplied with.
    pub(crate) fn rows(&self, params: &Params, own: &str) -> Option<(Param, Param, f32)> {
        let spec = self.placed.changes.get(own)?;
        let find = |leaf: &str| Some(params.find(&self.leaf(own, leaf))?.param.clone());
        Some((find("a")?, find("b")?, spec.parts[0].scale))
    }

    /// The change of a weight: `A` and its parts.
    pub(crate) fn change(&self, params: &Params, own: &str) -> Option<(Param, Vec<LowRankPart>)> {
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
/// Where they are not there, or are of no kind that is known.
pub fn open_adapter(dir: &Path) -> Result<(AdapterConfig, Weights), ModelError> {
    let path = dir.join(CONFIG);
    let read = |source| ModelError::Read { path: path.clone(), source };
    let text = mapped::read_small(&path, MAX_CONFIG_BYTES).map_err(read)?;
    let json: serde_json::Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|source| ModelError::Json { path: path.clone(), source })?;
    let name = dir.display().to_string();
    let config =
        AdapterConfig::from_json(&json).map_err(|problem| ModelError::Adapter { name, problem })?;
    let file = FILES.map(|name| dir.join(name)).into_iter().find(|file| file.exists());
    Ok((config, Weights::open(&file.unwrap_or_else(|| dir.join(FILES[0])))?))
}

/// What a pattern says of a name, in which `*` stands for anything.
///
/// # Panics
/// Never: what else there is in it stands for itself.
pub fn glob(pattern: &str) -> Regex {
    let pattern = regex::escape(pattern).replace(r"\*", ".*");
    Regex::new(&format!("^{pattern}$")).expect("an escaped pattern")
}

/// How many names are enough to see how they are made.
const N_NAMES: usize = 16;

/// Some of the names of parameters, for a message: those outside of blocks and of the first.
pub fn some_names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let is_one = |name: &&str| {
        let is_later = |part: &str| part.parse::<u32>().is_ok_and(|n| n > 0);
        !name.split('.').any(|part| part == "bias" || is_later(part))
    };
    let mut some: Vec<String> = names.filter(is_one).map(|name| format!("`{name}`")).collect();
    let n = some.len();
    if n > N_NAMES {
        // Heads come last.
        some.splice(N_NAMES - 2..n - 1, ["..".to_owned()]);
    }
    some.join(", ")
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
                let names = some_names(all.entries().iter().map(|e| &*e.name));
                return Err(ModelError::Freeze { pattern: freeze[i].clone(), names });
            }
            let stays = move |name: &str| globs.iter().any(|glob| glob.is_match(name));
            let heads = |name: &str| name.split('.').any(|part| part == "heads");
            if let Some(adapter) = method.adapter() {
                let adapters = vec![(TRAINED.into(), adapter, None)];
                return Adapter::plan(config, adapters, false, move |name| !stays(name));
            }
            let only_heads = *method == Method::Head;
            let trains = move |name: &str| !stays(name) && (heads(name) || !only_heads);
            Ok(ParamsBuilder::training(trains).into())
        })?;
        if model.params.values().is_empty() {
            return Err(ModelError::NothingLearns);
        }
        model.adapters.iter_mut().for_each(|adapter| adapter.rounded = *quantise);
        model.start_magnitudes();
        model.start_prompt();
        Ok((model, fitted))
    }

    /// Loads a model directory and adapters, each a name and a directory, to be run: the first is
    /// in use. The weights stay in their file and their type, but where an adapter was trained
    /// beside rounded ones: they are rounded again, so that what runs is what was judged.
    ///
    /// # Errors
    /// As [`Model::load`]; where an adapter is none, or of another base.
    pub fn load_adapted(
        dir: &Path,
        adapters: &[(&str, &Path)],
    ) -> Result<(Self, Unused), ModelError> {
        let times = |(i, (name, dir)): (usize, &(_, _))| (*name, *dir, f32::from(u8::from(i == 0)));
        Self::load_times(dir, None, &adapters.iter().enumerate().map(times).collect::<Vec<_>>())
    }

    /// The same, each adapter so many times, as a model of `config`, whose head comes with one;
    /// without a config, of the head that an adapter's own weights tell of, if the base has
    /// another.
    pub(crate) fn load_times(
        dir: &Path,
        config: Option<ModelConfig>,
        adapters: &[(&str, &Path, f32)],
    ) -> Result<(Self, Unused), ModelError> {
        let opened: Vec<_> =
            adapters.iter().map(|(_, dir, _)| open_adapter(dir)).collect::<Result<_, _>>()?;
        let told = || Self::told_head(dir, &opened).transpose();
        let config = config.map(Ok).or_else(told).transpose()?;
        let forms: Vec<_> =
            adapters.iter().map(|(_, dir, _)| base::rounded(dir)).collect::<Result<_, _>>()?;
        // What is taken out of weights says nothing of their form.
        let mut beside = adapters.iter().zip(&forms).filter(|((_, _, by), _)| *by >= 0.0);
        let form = beside.next().and_then(|(_, form)| *form);
        if let Some(((_, other, _), _)) = beside.find(|(_, other)| **other != form) {
            return Err(ModelError::Forms { adapter: other.to_path_buf() });
        }
        let seed = (0, form.map_or(Coding::Plain, Coding::Rounded));
        let (mut model, fitted) = Self::load_in(dir, config, seed, |config| {
            let named = adapters.iter().zip(&opened).map(|((name, ..), (config, weights))| {
                ((*name).to_owned(), config.clone(), Some(weights))
            });
            // Who wraps a base model alone has names without what stands before it elsewhere.
            let bare = config.family().prefix().is_some_and(|prefix| {
                let has = |(config, weights): &(AdapterConfig, Weights)| {
                    let prefix = format!("{}{prefix}", config.outer());
                    weights.names().any(|name| name.starts_with(&prefix))
                };
                !opened.iter().any(has)
            });
            Adapter::plan(config, named.collect(), bare, |_| false)
        })?;
        for ((name, ..), (_, weights)) in adapters.iter().zip(&opened) {
            model.read_adapter(name, weights)?;
        }
        model.adapters.iter_mut().zip(forms).for_each(|(adapter, form)| adapter.rounded = form);
        let mut lost = fitted.fresh.iter().filter(|tensor| !model.is_saved(tensor));
        if let (Some((name, ..)), Some(lost)) = (adapters.first(), lost.next()) {
            let problem = format!(
                "neither it nor the base has `{lost}`: what it learned with is lost, train it again"
            );
            return Err(ModelError::Adapter { name: (*name).into(), problem });
        }
        let times: Vec<_> = adapters.iter().map(|(name, _, by)| (*name, *by)).collect();
        model.use_adapters(&times)?;
        Ok((model, fitted.unused))
    }

    /// The config of `dir` with the head that adapters tell of, where they do.
    fn told_head(
        dir: &Path,
        adapters: &[(AdapterConfig, Weights)],
    ) -> Result<Option<ModelConfig>, ModelError> {
        let Some(head) = adapters.iter().find_map(|(config, weights)| config.head(weights)) else {
            return Ok(None);
        };
        let (config, _) = Self::config_of(dir, &Weights::open(dir)?)?;
        let names = |head: &HeadKind| (head.name(), head.labels().len());
        // It is the base that knows what classes are called.
        if config.head().is_some_and(|there| names(&there) == names(&head)) {
            return Ok(None);
        }
        let config_error = |source| ModelError::Config { path: dir.to_owned(), source };
        config.with_head(&head).map(Some).map_err(config_error)
    }

    /// Whether the tensor of that external name is stored with an adapter as a whole.
    fn is_saved(&self, tensor: &str) -> bool {
        let imports = self.config.family().imports();
        let own = imports.iter().find(|i| i.name == tensor).and_then(|i| i.source.own());
        own.is_some_and(|own| self.adapters.iter().any(|a| a.placed.saved.contains(own)))
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
        for tensor in weights.names().filter(|n| !table.iter().any(|i| i.name == *n)) {
            let problem = match tensor.strip_suffix(COPIED) {
                None => format!("`{tensor}` has no place in this base"),
                Some(module) if self.is_as(module, &table, &weights.to_f32(tensor)?) => continue,
                Some(_) => format!("`{tensor}` differs from what this base has there"),
            };
            return Err(ModelError::Adapter { name: name.into(), problem });
        }
        import::read(&table, weights, &mut self.params, |_| Coding::Plain, Err)
    }

    /// Whether `values` are those of the table that an adapter changes under that name, but for
    /// rounding: `peft` stores such a table with what changes it.
    fn is_as(&self, module: &str, table: &[Import], values: &[f32]) -> bool {
        let theirs = format!("{module}.lora_embedding_A");
        let rows = table.iter().find(|i| i.name == theirs).and_then(|i| i.source.own());
        let is_it = |e: &&tensor::Entry| {
            rows.is_some_and(|rows| self.adapters.iter().any(|a| a.leaf(&e.name, "b") == rows))
                && self.adapters.iter().any(|a| a.changes(&e.name))
        };
        let Some(entry) = self.params.entries().iter().find(is_it) else { return false };
        let own = widened(&self.params, &entry.param);
        let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= a.abs() / 128.0 + f32::MIN_POSITIVE;
        own.len() == values.len() && own.iter().zip(values).all(is_near)
    }

    /// Uses these adapters, each times a number, and no others; the base is not touched.
    ///
    /// # Errors
    /// Where there is none of that name, or one of learned tokens is to count in part.
    pub fn use_adapters(&mut self, of: &[(&str, f32)]) -> Result<(), ModelError> {
        for (name, by) in of {
            let whole = self.adapter(name)?.config.beside().n_tokens() > 0;
            if whole && *by != 0.0 && *by != 1.0 {
                let problem = format!("learned tokens are there or not, and not {by} times");
                return Err(ModelError::Adapter { name: (*name).into(), problem });
            }
        }
        for adapter in &self.adapters {
            let found = of.iter().filter(|(name, _)| *name == adapter.name);
            let by = found.map(|(_, by)| by).sum();
            for own in &adapter.placed.switches {
                let entry = self.params.find(own).expect("registered");
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
        let json = match config {
            AdapterConfig::Lora(config) => config.to_json(placed.fan_in_fan_out),
            AdapterConfig::Beside(config) => config.to_json(self.stack().config()),
        };
        Ok((json, entries))
    }

    /// Learned tokens start as rows of the table of tokens, as Lester et al. (section 3.2) found
    /// them to learn best, as the trunk reads these; which, the numbers say that were drawn for
    /// them.
    fn start_prompt(&mut self) {
        let Some(prompt) = self.params.find("lead.prompt").map(|e| e.param.clone()) else { return };
        let nn::Embed::Token(embed) = &self.stack().embed else { return };
        let table = widened(&self.params, &embed.table).into_owned();
        let (n_rows, width) = (embed.table.shape()[0], embed.table.shape()[1]);
        let scale = self.stack().config().tokens().scale;
        for row in self.params.get_mut(&prompt).chunks_exact_mut(width) {
            let from = row[0].to_bits() as usize % n_rows;
            for (to, x) in row.iter_mut().zip(&table[from * width..][..width]) {
                *to = x * scale;
            }
        }
    }

    /// Lengths that learn apart start as those of the weights.
    fn start_magnitudes(&mut self) {
        let device = Device::cpu(Isa::Portable);
        for adapter in &self.adapters {
            for own in adapter.placed.changes.keys() {
                // Of a table there are none.
                let Some((_, parts)) = adapter.change(&self.params, own) else { continue };
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
}
