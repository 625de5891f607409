//! `lyceum pretrain`: from text to a model that writes.

pub mod corpus;
mod fresh;
pub mod observer;
pub mod preflight;
pub mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use checkpoint::{Manifest, Origin, OsDisk, RunDir, atomic};
use kernels::roof;
use models::{Model, ModelConfig};
use tensor::{DType, Precision};
use tokenize::Tokenizer;
use train::{
    Ended, Observer, Run, RunConfig, RunParts, Started, StepConfig, TextFeed, TrainError, Trainer,
};

use self::corpus::Corpora;
use self::fresh::Fresh;
use self::observer::RunObserver;
use crate::cli::{Pretrain, RecipeArgs};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::machine;
use crate::stop;
use recipe::estimate::Estimate;
use recipe::{self, Recipe, TrainSection};

const STOPPING: &str = "stopping after this step; again to stop at once";

/// Trains what the recipe says, from the start or where the run stands.
///
/// # Errors
/// Where recipe, data, memory or run directory refuse; nothing is half-written then.
pub fn run(args: &Pretrain, env: &Env) -> Result<Exit, Failure> {
    let (recipe, out) = resolve(args, env)?;
    let stop = stop::flag(on_second_signal(&out, env)).context("no handler")?;
    recipe.check()?;
    recipe.without_effect().into_iter().for_each(|what| env.warn(what));
    let step = step_config(&recipe, env)?;
    let is_prepared = corpus::is_prepared(&recipe, &out);
    let text_bytes = if is_prepared { Some(0) } else { corpus::text_bytes(&recipe)? };
    if !is_prepared {
        // Before anything is made; once more below, when the vocabulary has its true size.
        estimated(&asked_model(&recipe)?, &recipe, env, text_bytes)?;
    }
    let (mut fresh, dir) = open(&out, args.resume)?;
    let path = out.join(recipe::FILE_NAME);
    let store_recipe = || atomic::write_file(&OsDisk, &path, recipe.to_toml().as_bytes());
    if !args.resume {
        store_recipe()?;
    }
    env.say(&format!("text: {}", corpus::origin(&recipe.data)));
    let ended_early = || {
        let left = if fresh.remove() { "was made" } else { "is lost, `--resume` goes on" };
        env.warn(&format!("stopped before the first step: nothing {left}"));
    };
    let prepare = || Corpora::prepare(&recipe, dir.path(), env);
    let corpora = stop::at_once_during(&stop, ended_early, prepare)?;
    recipe.train.can_wait(corpora.sources.iter().any(|source| source.validation.is_some()))?;
    let tokenizer = &corpora.tokenizer;
    let config = recipe.model(Some(tokenizer))?;
    let estimate = estimated(&config, &recipe, env, text_bytes)?;

    let objective = recipe.task.objective(tokenizer, &config)?;
    let model = first_model(&recipe, &config, tokenizer)?;
    let files = files(tokenizer, &recipe, &model)?;
    let trainer = Trainer::new(model, &*objective, env.device(), step);
    let trainer = trainer.with_regime(&recipe.train.regime(&recipe.optim))?;
    let peak = peak_gflops(env, step.precision);
    let data = (corpora.sources.clone(), corpora.shares.clone());
    let windows = (recipe.batches()?, recipe.eval.batch_size);
    let feed = TextFeed::new(&*objective, data, windows, step.seed);
    let until = args.until.map(|until| until.step(recipe.train.steps));
    let parts = RunParts {
        trainer,
        dir,
        config: RunConfig { until, ..run_config(&recipe, (estimate.flops_per_token / 1e9, peak)) },
        files,
        origin: origin(env),
        feed: Box::new(feed),
        load: &train::load_whole,
    };
    let (mut run, started) = Run::start(parts, args.resume)?;
    if args.resume {
        // Not before the run has taken it.
        store_recipe()?;
    }
    let mut observer = RunObserver::new(env, recipe.train.steps, &corpora.tokenizer, run.trainer());
    announce(&started, args.resume, env, &mut observer);
    if let Some(why) = unsampled(&recipe, &corpora.tokenizer) {
        env.warn(&format!("`train.sample_every` has no effect: {why}"));
    }
    observer.intro((&recipe, recipe.batches()?), &estimate, &corpora);
    preflight::say(&recipe, &corpora, &*objective, &mut |what| observer.progress.say(what))?;
    fresh.keep();
    let ended = go(&mut run, &stop, &mut observer, env)?;
    let pipeline = recipe.task.pipeline(&run.trainer().model.architecture);
    summary::write(("pretrain", pipeline, &out), &run, (env, ended, &mut observer))?;
    Ok(exit(ended))
}

/// How the program ends by how a run did.
pub(super) fn exit(ended: Ended) -> Exit {
    match ended {
        Ended::Finished | Ended::Paused | Ended::Stopped => Exit::Done,
        Ended::Interrupted | Ended::OutOfTime => Exit::Interrupted,
    }
}

/// The directory of a run, made or gone on with; a fresh one goes again if the run does not begin.
pub(super) fn open(out: &Path, resume: bool) -> Result<(Fresh, RunDir), Failure> {
    let mut fresh = Fresh::watch(out);
    let opened = if resume { RunDir::resume(out) } else { RunDir::create(out) };
    // Another process may have made it meanwhile.
    let dir = opened.inspect_err(|_| fresh.keep())?;
    Ok((fresh, dir))
}

/// Steps until all are done or `stop` is set, which is said.
pub(super) fn go(
    run: &mut Run,
    stop: &Arc<AtomicBool>,
    observer: &mut RunObserver,
    env: &Env,
) -> Result<Ended, TrainError> {
    let bar = observer.progress.bar();
    let tell = || bar.map_or_else(|| env.say(STOPPING), |bar| bar.println(STOPPING));
    let ended = stop::during(stop, tell, || run.go(stop, observer));
    observer.progress.finish();
    ended
}

/// Says what is left in `out` by a run that ends at once.
pub(super) fn on_second_signal(out: &Path, env: &Env) -> impl Fn() + Send + use<> {
    let (out, env) = (out.to_owned(), env.clone());
    move || {
        let saved = RunDir::open(&out).and_then(|run| run.checkpoints()).unwrap_or_default();
        env.say(&saved.last().map_or_else(
            || "stopped at once: there is no checkpoint yet".to_owned(),
            |newest| format!("stopped at once: `--resume` goes on from step {}", newest.step),
        ));
    }
}

/// The recipe as it will be stored, and the run directory.
fn resolve(args: &Pretrain, env: &Env) -> Result<(Recipe, PathBuf), Failure> {
    let RecipeArgs { name, set } = &args.recipe;
    let stored = args.out.as_ref().map(|out| out.join(recipe::FILE_NAME));
    let stored = stored.filter(|path| args.resume && path.exists());
    let stored = stored.map(|path| path.to_string_lossy().into_owned());
    let before = stored.as_ref().map(|path| Recipe::load(path, &[])).transpose()?;
    if let (Some(out), true) = (&args.out, args.resume && name.is_none() && stored.is_none()) {
        let problem = format!("no run to resume in `{}`: it has no recipe", out.display());
        return Err(Failure::new(problem)
            .hint("check `--out`; where no run is yet, name a recipe to begin with"));
    }
    let asked = name.as_ref().or(stored.as_ref()).map_or(recipe::DEFAULT, String::as_str);
    let mut recipe = Recipe::load(asked, set)?;
    if recipe.train.precision == "auto" {
        // Resolved once: another machine goes on in what the run began with.
        recipe.train.precision = match &before {
            Some(before) => before.train.precision.clone(),
            None => recipe.train.precision(env.isa)?.compute.to_string(),
        };
    }
    if let (Some(before), Some(out)) = (&before, &args.out) {
        recipe.same_run(before, out)?;
    }
    Ok((recipe, args.out.clone().unwrap_or_else(|| fresh_dir(asked))))
}

/// `runs/NAME-1`, or the first number that is free.
pub(super) fn fresh_dir(recipe: &str) -> PathBuf {
    let stem = Path::new(recipe).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let dir = |n: u32| Path::new("runs").join(format!("{stem}-{n}"));
    (1..=u32::MAX).map(dir).find(|dir| !dir.exists()).expect("a free number")
}

pub(super) fn step_config(recipe: &Recipe, env: &Env) -> Result<StepConfig, Failure> {
    recipe.train.step_config(&recipe.optim, env.isa)
}

/// Why samples that are asked for cannot be had.
fn unsampled(recipe: &Recipe, tokenizer: &Tokenizer) -> Option<&'static str> {
    let (asked, usual) = (recipe.train.sample_every, TrainSection::default().sample_every);
    match recipe.task.writes() {
        _ if asked == 0 => None,
        false => (asked != usual).then_some("this task makes no model that writes"),
        true => (tokenizer.end_of_text().is_none())
            .then_some("the tokenizer has no token that ends a text, where a sample would begin"),
    }
}

/// The model with the vocabulary that a recipe asks for: a small corpus may give a smaller one.
pub(super) fn asked_model(recipe: &Recipe) -> Result<ModelConfig, Failure> {
    let tokenizer = recipe.tokenizer_dir().map(Tokenizer::load).transpose()?;
    recipe.model(tokenizer.as_ref())
}

/// The model as a run begins: fresh, or one that is there, with rows for new tokens.
pub(super) fn first_model(
    recipe: &Recipe,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
) -> Result<Model, Failure> {
    let Some(dir) = &recipe.model.from else {
        return Ok(Model::new(config.clone(), recipe.train.seed)?);
    };
    let (model, _) = Model::load(dir)?;
    if model.config == *config {
        return Ok(model);
    }
    let old = Tokenizer::load(recipe.tokenizer_dir().unwrap_or(dir))?;
    let parts = |id: u32| {
        let text = tokenizer.token(id).filter(|_| !tokenizer.is_special(id));
        text.and_then(|text| old.encode(&text).ok()).unwrap_or_default()
    };
    Ok(model.grow(tokenizer.vocab_size(), parts)?)
}

/// What a run takes, which must be there.
pub(super) fn estimated(
    config: &ModelConfig,
    recipe: &Recipe,
    env: &Env,
    text_bytes: Option<u64>,
) -> Result<Estimate, Failure> {
    let estimate = Estimate::new(config, recipe, env.isa, text_bytes)?;
    // Weights, their gradients, and two moments of each.
    let fixed = (estimate.n_params as u64).saturating_mul(16);
    let is_too_large = machine::memory().is_some_and(|memory| fixed > memory.available_bytes);
    let (what, hint) = if is_too_large {
        ("recipe: `model`", "take a smaller model: its weights and moments alone do not fit")
    } else {
        ("recipe: `train`", "lower `train.micro_batch`, or set `train.recompute=true`")
    };
    machine::refuse_beyond_memory(what, estimate.total_bytes(), hint)?;
    Ok(estimate)
}

fn run_config(recipe: &Recipe, gflop: (f64, f64)) -> RunConfig {
    let sample_every = if recipe.task.writes() { recipe.train.sample_every } else { 0 };
    RunConfig { sample_every, gflop: Some(gflop), ..recipe.train.run_config() }
}

/// What every checkpoint carries beside weights and config.
fn files(
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    model: &Model,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let end = tokenizer.end_of_text();
    let generation = serde_json::json!({ "bos_token_id": end, "eos_token_id": end });
    let mut files = tokenizer.files()?;
    files.push(("generation_config.json", format!("{generation:#}\n").into_bytes()));
    let pipeline = recipe.task.pipeline(&model.architecture);
    let card = summary::card(("Pretrained", pipeline), &recipe.to_toml(), model);
    files.push(("README.md", card.into_bytes()));
    Ok(files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect())
}

/// What the machine's multipliers could do, measured: milliseconds.
pub(super) fn peak_gflops(env: &Env, precision: Precision) -> f64 {
    let bf16 = (precision.compute == DType::Bf16).then(|| roof::bf16_gflops(env.isa));
    bf16.flatten().unwrap_or_else(|| roof::f32_gflops(env.isa))
}

pub(super) fn origin(env: &Env) -> Origin {
    Origin { build: format!("lyceum {}", env!("CARGO_PKG_VERSION")), isa: env.isa.to_string() }
}

pub(super) fn announce(started: &Started, resume: bool, env: &Env, observer: &mut RunObserver) {
    let from = started.from.as_ref();
    let used = from.map_or_else(String::new, |from| format!("; step {} is used", from.step));
    for skipped in &started.skipped {
        env.warn(&format!("passed over: {skipped}{used}"));
    }
    for dropped in &started.dropped {
        env.warn(&format!("cut off, as what comes after the checkpoint is: {dropped}"));
    }
    let manifest = started.from.as_ref().and_then(|from| Manifest::load(&from.dir).ok());
    let (now, before) = (origin(env), manifest.map(|manifest| manifest.origin));
    if let Some(before) = before.filter(|before| *before != now) {
        let text = |o: &Origin| format!("{} on {}", o.build, o.isa);
        let (before, now) = (text(&before), text(&now));
        env.warn(&format!("the run was made by {before}, this is {now}: roundings may differ"));
    }
    match &started.from {
        Some(from) => observer.say(&format!("resuming at step {}", from.step)),
        None if resume => observer.say("no checkpoint yet: starting at step 0"),
        None => {}
    }
}
