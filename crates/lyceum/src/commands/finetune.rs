//! `lyceum finetune`: from a model that is there to one that does a task.

mod preflight;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{OsDisk, atomic};
use datasets::Task;
use models::{
    BASE_FILE, Fitted, HeadKind, Import, Model, ModelConfig, ModelError, TRAINED, Tuning, base_file,
};
use tasks::Example;
use tokenize::Tokenizer;
use train::report::format::compact;
use train::{
    Feed, Observer, Portion, REFERENCE_FILE, Run, RunConfig, RunParts, SampleFeed, SamplePlan,
    StepConfig, TrainError, Trainer,
};

use super::pretrain::{self, observer::RunObserver, summary};
use crate::cli::Finetune;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::stop;
use recipe::{self, FinetuneRecipe, MethodKind, same_run};
use tune::{Goal, Source};

const GENERATION_FILE: &str = "generation_config.json";
/// Such a file is small.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Tunes what the recipe says, from the start or where the run stands.
///
/// # Errors
/// Where recipe, data, model or run directory refuse; nothing is half-written then.
pub fn run(args: &Finetune, env: &Env) -> Result<Exit, Failure> {
    let (mut recipe, out) = resolve(args, env)?;
    let stop = stop::flag(pretrain::on_second_signal(&out, env)).context("no handler")?;
    recipe.check()?;
    let base = Model::load_config(&recipe.model.from)?;
    let tokenizer = Tokenizer::load(&recipe.model.from)?;
    let asked = recipe.clone();
    let resumed = args.resume.then_some(&*out);
    let (model, only_judges) = (&base, false);
    let source = Source { recipe: &asked, model, tokenizer: &tokenizer, resumed, only_judges, env };
    let stopped = || env.warn("stopped before the first step: nothing was changed");
    let (mut goal, task, tried) = stop::at_once_during(&stop, stopped, || Goal::of(&source))?;
    let config = base.with_head(&goal.head).map_err(|e| Failure::of(&e, None))?;
    let plan = plan(&mut recipe, task, &goal.train);
    let tuning = tuning(&recipe, &config, &goal.head)?;
    let seed = recipe.train.seed;
    let base = || Model::load_tuned(&recipe.model.from, Some(config.clone()), &tuning, seed);
    let (mut model, mut fitted) = base().map_err(of_method(&recipe))?;
    let load = |dir: &Path| again(dir, (&recipe, &tuning), &base);
    let step = step_config(&recipe, goal.copies, env)?;

    let (mut fresh, dir) = pretrain::open(&out, args.resume)?;
    let path = out.join(recipe::FILE_NAME);
    let store_recipe = || atomic::write_file(&OsDisk, &path, recipe.to_toml().as_bytes());
    if !args.resume {
        store_recipe()?;
    }
    preflight::say(&recipe, (&model, &plan), &goal, env)?;
    if let Some(anchor) = goal.anchor.take() {
        // Another model beside it is more than was said.
        drop(model);
        let ended = || {
            fresh.remove();
            stopped();
        };
        let find = || (anchor.find)(Arc::make_mut(&mut goal.train));
        store(&out.join(REFERENCE_FILE), &stop::at_once_during(&stop, ended, find)?)?;
        (model, fitted) = base()?;
    }
    let Goal { pipeline, objective, train, copies, hashes, judge, files: more, .. } = goal;
    let mut files = files((&recipe, &model, pipeline), &tokenizer, &goal.head)?;
    files.extend(more);
    let feed: Box<dyn Feed> = match goal.rollouts {
        Some(rollouts) => Box::new((rollouts.feed)(plan, hashes, judge)),
        None => Box::new(SampleFeed::new(train, (plan, copies), hashes, judge)),
    };
    let parts = RunParts {
        trainer: Trainer::new(model, &*objective, env.device(), step)
            .with_regime(&recipe.regime())?,
        dir,
        config: RunConfig {
            until: args.until.map(|until| until.step(recipe.train.steps)),
            sample_every: recipe.train.sample_every,
            ..recipe.train.run_config()
        },
        files,
        origin: pretrain::origin(env),
        feed,
        load: &load,
    };
    let (mut run, started) = Run::start(parts, args.resume).map_err(of_tables(&recipe))?;
    if args.resume {
        store_recipe()?;
    }
    let mut observer = RunObserver::new(env, recipe.train.steps, &tokenizer, run.trainer());
    pretrain::announce(&started, args.resume, env, &mut observer);
    intro((&recipe, &fitted), &run, &mut observer);
    fresh.keep();
    let ended = pretrain::go(&mut run, &stop, &mut observer, env)?;
    summary::write(("finetune", tried.way(pipeline), &out), &run, (env, ended, &mut observer))?;
    Ok(pretrain::exit(ended))
}

/// What does not fit the model, in the recipe's words.
fn of_method(recipe: &FinetuneRecipe) -> impl Fn(ModelError) -> Failure {
    |error| match error {
        ModelError::Adapter { problem, .. } if recipe.method.kind == MethodKind::Lora => {
            recipe::refused("method.targets", problem).hint(
                "name modules as `transformers` does, by how they end, such as `q_proj` or \
                 `query`, or take all: `--set 'method.targets=[\"all-linear\"]'`",
            )
        }
        error => error.into(),
    }
}

/// Samples that are others than a run began with, by the tables that they are read from.
fn of_tables(recipe: &FinetuneRecipe) -> impl Fn(TrainError) -> Failure {
    |error| {
        let data = &recipe.data;
        let files = match &error {
            TrainError::OtherData { what, .. } if what.starts_with("validation") => {
                &data.validation
            }
            TrainError::OtherData { what, .. } if what.starts_with("training") => &data.train,
            _ => return error.into(),
        };
        // Without a table of their own, samples to judge by are a share of the others.
        let files = if files.is_empty() { &data.train } else { files };
        let hint = format!("bring back `{}` as it was, or start another run", files.join("`, `"));
        Failure::from(error).hint(hint)
    }
}

/// What learns.
fn tuning(
    recipe: &FinetuneRecipe,
    config: &ModelConfig,
    head: &HeadKind,
) -> Result<Tuning, Failure> {
    let lacks = Model::lacking(&recipe.model.from, config)?;
    let mut tuning = recipe.tuning(heads(config, head, &lacks), head)?;
    if *head == HeadKind::Vectors && !config.family().stack()?.heads.is_empty() {
        // What a model of sentences has beside its hidden states is not asked.
        tuning.freeze.push("heads.*".to_owned());
    }
    Ok(tuning)
}

/// Writes what is kept with a run.
fn store(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context(format!("cannot make `{}`", folder.display()))?;
    }
    Ok(atomic::write_file(&OsDisk, path, bytes)?)
}

/// The model of a checkpoint: an adapter lies beside the base that it began with, all else is a
/// model by itself.
fn again(
    dir: &Path,
    (recipe, tuning): (&FinetuneRecipe, &Tuning),
    base: &dyn Fn() -> Result<(Model, Fitted), ModelError>,
) -> Result<Model, ModelError> {
    models::check_base(dir, &recipe.model.from)?;
    if tuning.method.adapter().is_none() {
        return Model::load_tuned(dir, None, tuning, recipe.train.seed).map(|(model, _)| model);
    }
    let (mut model, _) = base()?;
    model.read_adapter(TRAINED, &models::open_adapter(dir)?.1)?;
    Ok(model)
}

/// The recipe as it will be stored, and the run directory.
fn resolve(args: &Finetune, env: &Env) -> Result<(FinetuneRecipe, PathBuf), Failure> {
    let stored = args.out.as_ref().map(|out| out.join(recipe::FILE_NAME));
    let stored = stored.filter(|path| args.resume && path.exists());
    let stored = stored.map(|path| path.to_string_lossy().into_owned());
    if let (Some(out), true, None) = (&args.out, args.resume, &stored) {
        let problem = format!("no run to resume in `{}`: it has no recipe", out.display());
        return Err(Failure::new(problem).hint("check `--out`"));
    }
    let name = args.recipe.as_deref().or(stored.as_deref());
    let mut recipe = FinetuneRecipe::load(name, &args.sets())?;
    let before = stored.as_ref().map(|path| FinetuneRecipe::load(Some(path), &[])).transpose()?;
    if recipe.train.precision == "auto" {
        recipe.train.precision = match &before {
            Some(before) => before.train.precision.clone(),
            None => recipe.train.precision(env.isa)?.compute.to_string(),
        };
    }
    if let (Some(before), Some(out)) = (&before, &args.out) {
        // What a recipe leaves to the samples was settled when the run began.
        if recipe.task.kind.is_none() {
            recipe.task.kind.clone_from(&before.task.kind);
        }
        let (train, before_train) = (&mut recipe.train, &before.train);
        for (asked, settled) in [
            (&mut train.steps, before_train.steps),
            (&mut train.checkpoint_every, before_train.checkpoint_every),
            (&mut train.eval_every, before_train.eval_every),
        ] {
            if *asked == 0 {
                *asked = settled;
            }
        }
        same_run(&[before.to_table(), recipe.to_table()], out)?;
    }
    let stem = name.map_or_else(|| "finetune".to_owned(), ToOwned::to_owned);
    Ok((recipe, args.out.clone().unwrap_or_else(|| pretrain::fresh_dir(&stem))))
}

/// The order of the samples; settles what the recipe leaves to them.
fn plan(recipe: &mut FinetuneRecipe, task: Task, samples: &[Example]) -> SamplePlan {
    if recipe.data.set.is_none() {
        recipe.task.kind.get_or_insert_with(|| task.to_string());
    }
    let train = &mut recipe.train;
    let plan = SamplePlan {
        lengths: samples.iter().map(|e| e.n_tokens() as u32).collect(),
        portion: train.portion(),
        shuffled: true,
        seed: train.seed,
    };
    let an_epoch = plan.n_steps(0);
    for every in [&mut train.checkpoint_every, &mut train.eval_every] {
        if *every == 0 {
            *every = an_epoch;
        }
    }
    if train.steps == 0 {
        train.steps = (recipe.data.epochs * an_epoch as f64).ceil() as u64;
    }
    plan
}

fn step_config(recipe: &FinetuneRecipe, copies: usize, env: &Env) -> Result<StepConfig, Failure> {
    let step = recipe.train.step_config(&recipe.optim, env.isa)?;
    recipe.optim.check_schedule(recipe.train.steps)?;
    // Two passes of a text stay together.
    Ok(StepConfig { micro_batch: step.micro_batch.saturating_mul(copies), flat: true, ..step })
}

fn files(
    (recipe, model, pipeline): (&FinetuneRecipe, &Model, &str),
    tokenizer: &Tokenizer,
    head: &HeadKind,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let card = summary::card(("Fine-tuned", pipeline), &recipe.to_toml(), model);
    let mut files = tokenizer.files()?;
    files.push(("README.md", card.into_bytes()));
    if let Some(adapter) = model.adapters.first() {
        let mark = base_file(&recipe.model.from, adapter.rounded)?;
        files.extend(mark.map(|text| (BASE_FILE, text.into_bytes())));
    }
    if *head == HeadKind::Tokens {
        files.extend(generation_config(&recipe.model.from)?);
    }
    Ok(files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect())
}

/// How the base writes, which a model that writes goes on doing.
fn generation_config(base: &Path) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
    let path = base.join(GENERATION_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = mapped::read_small(&path, MAX_SETTINGS_BYTES).reading(&path)?;
    Ok(Some((GENERATION_FILE, bytes)))
}

/// The modules of a head that are stored beside the base, and that a change of low rank does not
/// reach: those of a task, which learn as a whole, and what the base `lacks`.
fn heads(config: &ModelConfig, head: &HeadKind, lacks: &[String]) -> Vec<String> {
    let (family, mut names) = (config.family(), BTreeSet::new());
    let is_task = !matches!(head, HeadKind::Vectors | HeadKind::Tokens);
    let prefix = family.prefix().filter(|prefix| !prefix.is_empty());
    for Import { name, source } in family.imports() {
        if !source.own().is_some_and(|own| own.contains("heads.")) {
            continue;
        }
        // A pooler is of the base model, whatever head is on it.
        let is_of_base = prefix.is_some_and(|prefix| name.starts_with(prefix));
        let module = if is_of_base { name.rsplit_once('.') } else { name.split_once('.') };
        let is_stored = is_task && !is_of_base || lacks.contains(&name);
        names.extend(module.filter(|_| is_stored).map(|(module, _)| module.to_owned()));
    }
    names.into_iter().collect()
}

fn intro((recipe, fitted): (&FinetuneRecipe, &Fitted), run: &Run, observer: &mut RunObserver) {
    for (what, names) in [("drawn fresh", &fitted.fresh), ("not used", &fitted.unused)] {
        if !names.is_empty() {
            observer.say(&format!("{what}: {}", names.join(", ")));
        }
    }
    if let [first, ..] = &fitted.unrounded[..] {
        let n = fitted.unrounded.len();
        observer.say(&format!("not rounded, as their rows are no whole blocks: {n}, `{first}` .."));
    }
    let params = &run.trainer().model.params;
    let [n, learned] = [params.n_values(), params.trained().map(|e| e.param.len()).sum()];
    observer.say(&format!(
        "{} parameters, of which {} learn, {} steps of {} in {}",
        compact(n as f64),
        compact(learned as f64),
        recipe.train.steps,
        match recipe.train.portion() {
            Portion::Samples(n) => format!("{n} samples"),
            Portion::Tokens(n) => format!("at most {n} tokens"),
        },
        recipe.train.precision,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_a_head_is_of_the_task_or_not_in_the_base() {
        let stored = |from: &str, head: &HeadKind, lacks: &[&str]| {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
            let config = Model::load_config(&golden.join(from)).expect("there");
            let config = config.with_head(head).expect("it has one");
            let lacks: Vec<String> = lacks.iter().map(|name| (*name).to_owned()).collect();
            heads(&config, head, &lacks)
        };
        let pooler = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"];
        // Scores of tokens that are no table of their own are the base's.
        assert_eq!(stored("llama-gqa", &HeadKind::Tokens, &[]), [""; 0]);
        assert_eq!(stored("llama-gqa", &HeadKind::Tokens, &["lm_head.weight"]), ["lm_head"]);
        assert_eq!(stored("bert-mlm", &HeadKind::Score, &[]), ["classifier"]);
        let with_pooler = ["bert.pooler.dense", "classifier"];
        assert_eq!(stored("bert-mlm", &HeadKind::Score, &pooler), with_pooler);
        assert_eq!(stored("bert-mlm", &HeadKind::Vectors, &pooler), with_pooler[..1]);
        assert_eq!(stored("t5", &HeadKind::Spans, &[]), ["qa_outputs"]);
    }
}
