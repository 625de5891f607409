//! What a model directory has, and what another head takes of it.

use std::collections::HashSet;
use std::path::Path;

use checkpoint::Weights;
use nn::ConfigError;
use tensor::Entry;

use crate::adapted::Plan;
use crate::coded::Coding;
use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::families::heads::HeadKind;
use crate::gguf;
use crate::import::{self, Import};
use crate::model::{Model, Unused};

/// A directory that was opened: what it says, and where everything lies in its files.
pub(crate) struct Opened {
    pub config: ModelConfig,
    pub weights: Weights,
    /// Names as they are in the files.
    pub table: Vec<Import>,
}

/// What became of heads, and of the rest, when a model was loaded as another class.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// Tensors that the files lack, and that were drawn: of the new head.
    pub fresh: Vec<String>,
    /// Tensors of heads, and of a generator, that fell away: nothing to warn of.
    pub dropped: Vec<String>,
    /// Tensors that nothing here is made of.
    pub unused: Unused,
    /// Own names of frozen linear maps that were to be rounded and are as they were stored: their
    /// rows are no whole blocks.
    pub unrounded: Vec<String>,
}

impl Opened {
    /// Looks at the config and the weights of `dir`.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        // What is wrong with the config is said before what is wrong with the weights.
        if dir.join("config.json").exists() {
            Model::load_config(dir)?;
        }
        let weights = Weights::open(dir)?;
        let (config, is_gguf) = Model::config_of(dir, &weights)?;
        let config_error = |source| ModelError::Config { path: dir.join("config.json"), source };
        let family = config.family();
        // Tables of names are those of configs that were checked.
        Model::register(&config).map_err(config_error)?;
        let mut table = family.imports();
        if is_gguf {
            table = gguf::table(table, &config, &family.stack().map_err(config_error)?);
        } else {
            import::strip(&mut table, bare(&config, &weights));
        }
        Ok(Self { config, weights, table })
    }

    /// What the names of the base model begin with in the files.
    fn prefix(&self) -> &'static str {
        match bare(&self.config, &self.weights) {
            Some(_) => "",
            None => self.config.family().prefix().unwrap_or_default(),
        }
    }

    /// Whether a head of `config` is that of the files: the same class, and the same labels.
    fn has_head_of(&self, config: &ModelConfig) -> bool {
        let class = |config: &ModelConfig| config.family().to_json()["architectures"][0].clone();
        config.head() == self.config.head() && class(config) == class(&self.config)
    }
}

/// What names of files lack that have the base model alone.
fn bare(config: &ModelConfig, weights: &Weights) -> Option<&'static str> {
    config.family().prefix().filter(|p| !weights.names().any(|n| n.starts_with(p)))
}

/// Opened tensors that are not `known`, and no buffers or copies.
pub(crate) fn unused(
    config: &ModelConfig,
    weights: &Weights,
    known: impl Fn(&str) -> bool,
) -> Unused {
    let surprises = weights.names().filter(|n| !known(n) && !config.family().ignores(n));
    surprises.map(Into::into).collect()
}

/// Whether a parameter is of a head.
fn is_of_head(import: &Import) -> bool {
    let own = import.source.own().unwrap_or_default();
    own.strip_prefix("decoder.").unwrap_or(own).starts_with("heads.")
}

/// How a model of `config` lies in files of another class: the table, and the entries of its head
/// that the files lack.
fn fit(opened: &Opened, config: &ModelConfig, registered: &[Entry]) -> (Vec<Import>, Vec<Import>) {
    let own: HashSet<&str> = registered.iter().map(|entry| entry.name.as_str()).collect();
    let mut table: Vec<Import> = opened.table.clone();
    table.retain(|i| !is_of_head(i) && i.source.own().is_none_or(|name| own.contains(name)));
    let there: HashSet<String> =
        table.iter().filter_map(|i| i.source.own()).map(Into::into).collect();
    let prefix = config.family().prefix().unwrap_or_default();
    let takes = config.head() == Some(HeadKind::Tokens) || opened.has_head_of(config);
    let mut fresh = Vec::new();
    for import in config.family().imports() {
        if !is_of_head(&import) {
            // What the files say otherwise is there already; the rest is found missing.
            if import.source.own().is_some_and(|own| !there.contains(own)) {
                table.push(import);
            }
            continue;
        }
        // A pooler is of the base model, whatever head is on it.
        let rest = import.name.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        let name = rest.map(|rest| format!("{}{rest}", opened.prefix()));
        match name.or_else(|| takes.then(|| import.name.clone())) {
            Some(name) if opened.weights.contains(&name) => table.push(Import { name, ..import }),
            _ => fresh.push(import),
        }
    }
    (table, fresh)
}

impl Model {
    /// Loads a model directory as a model of `config`: the same but for its head, see
    /// [`ModelConfig::with_head`].
    ///
    /// What the files have is taken. What they lack of the head is drawn from `seed` as in a fresh
    /// model; the head that is there is taken where it is of the same class and labels, a head over
    /// tokens always.
    ///
    /// # Errors
    /// As [`Model::load`]; a tensor that is missing elsewhere is an error, so is another family.
    pub fn load_as(
        dir: &Path,
        config: ModelConfig,
        seed: u64,
    ) -> Result<(Self, Fitted), ModelError> {
        Self::load_in(dir, Some(config), (seed, Coding::Plain), |_| Ok(Plan::default()))
    }

    /// What a model directory lacks of the head of a model of `config`, by the names that it would
    /// have there: what [`Model::load_as`] draws.
    ///
    /// # Errors
    /// As there.
    pub fn lacking(dir: &Path, config: &ModelConfig) -> Result<Vec<String>, ModelError> {
        let opened = Opened::open(dir)?;
        if *config == opened.config {
            return Ok(Vec::new());
        }
        let config_error = |source| ModelError::Config { path: dir.join("config.json"), source };
        let (_, builder) = Self::register(config).map_err(config_error)?;
        let (_, fresh) = fit(&opened, config, builder.entries());
        Ok(fresh.into_iter().map(|import| import.name).collect())
    }

    /// Loads a model directory, as a model of `config` where one is given, built as `plan` says for
    /// its config; what the files do not hold is drawn from a seed; linear maps that are
    /// frozen are kept as `coding` says.
    pub(crate) fn load_in(
        dir: &Path,
        config: Option<ModelConfig>,
        (seed, coding): (u64, Coding),
        plan: impl FnOnce(&ModelConfig) -> Result<Plan, ModelError>,
    ) -> Result<(Self, Fitted), ModelError> {
        let opened = Opened::open(dir)?;
        let config_error = |source| ModelError::Config { path: dir.join("config.json"), source };
        let config = config.unwrap_or_else(|| opened.config.clone());
        let [wanted, found] = [&config, &opened.config].map(|c| c.family().model_type());
        if wanted != found {
            let problem = format!("a `{found}`, and not a `{wanted}`");
            return Err(config_error(ConfigError::new("model_type", problem)));
        }
        let Plan { builder, adapters, beside } = plan(&config)?;
        let (architecture, builder) =
            Self::register_in(&config, builder, beside).map_err(config_error)?;
        let (table, fresh) = if config == opened.config {
            (opened.table.clone(), Vec::new())
        } else {
            fit(&opened, &config, builder.entries())
        };
        import::check(&table, &opened.weights, builder.entries())?;
        let maps = builder.maps().iter().filter(|name| name.ends_with(".weight"));
        let maps: HashSet<String> = maps.cloned().collect();
        let params = builder.build_zeroed();
        let mut model = Self { config, architecture, params, adapters };
        let stored: HashSet<&str> = table.iter().filter_map(|i| i.source.own()).collect();
        model.params.draw(seed, |name| !stored.contains(name));
        let unrounded = coding.misfits(&model.params, |name| maps.contains(name));
        let mut waves = model.architecture.waves_mut();
        let coding = |own: &str| if maps.contains(own) { coding } else { Coding::Plain };
        import::read(
            &table,
            &opened.weights,
            &mut model.params,
            coding,
            |found| match &mut waves {
                Some(waves) if import::close_waves(&found, waves.values()) => {
                    waves.set(found);
                    Ok(())
                }
                _ => Err(found),
            },
        )?;
        let taken: HashSet<&str> = table.iter().map(|i| &*i.name).collect();
        let names = opened.table.iter().map(|i| i.name.as_str());
        let fallen = names.filter(|n| !taken.contains(n) && opened.weights.contains(n));
        let dropped: Vec<String> = fallen.map(Into::into).collect();
        let known = |name: &str| taken.contains(name) || dropped.iter().any(|n| n == name);
        let unused = unused(&opened.config, &opened.weights, known);
        let fresh = fresh.into_iter().map(|import| import.name).collect();
        Ok((model, Fitted { fresh, dropped, unused, unrounded }))
    }
}
