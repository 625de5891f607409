//! What the laws are held against: the recipe's own model, some of its own text, a few steps.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use checkpoint::RunDir;
use data::{Batch, BatchConfig, Batches, Cursors, Document, Encoder, Shares, Store, StoreMeta};
use models::{Model, ModelConfig};
use tasks::{Example, TextObjective};
use train::metrics::StepRow;
use train::{
    Observer, Regime, Run, RunConfig, RunParts, RunSource, StepConfig, TextFeed, TrainError,
    Trainer,
};

use super::super::pretrain::{self, corpus};
use crate::environment::Env;
use crate::failure::Failure;
use recipe::{ObjectiveKind, Recipe};
use tokenize::Tokenizer;

/// Text that is used, at least.
const TEXT_BYTES: usize = 1 << 20;
/// Windows of a step, at most: more would prove nothing else, and take longer.
const ROWS_MAX: usize = 8;
const STEPS: u64 = 4;
/// Floating-point operations above which half the steps must do.
const MANY_FLOPS: f64 = 2e12;

/// The recipe's own model and text.
pub struct Setup<'a> {
    /// Threads and instruction set.
    pub env: &'a Env,
    /// Steps of a whole training.
    pub n_steps: u64,
    /// How a step is done.
    pub step: StepConfig,
    /// How data comes.
    pub batches: BatchConfig,
    /// Tokens of some of the text.
    pub store: Arc<Store>,
    /// What [`Self::store`] was made with.
    pub meta: StoreMeta,
    /// The uninterrupted training, once it was done.
    pub whole: Option<Trace>,
    /// The recipe's model.
    pub config: ModelConfig,
    /// The same without dropout, which is keyed by the row that a token is in.
    pub without_dropout: ModelConfig,
    /// Whether what is asked is the next token and nothing else.
    pub is_plain: bool,
    regime: Regime,
    objective: Box<dyn TextObjective>,
    dir: &'a Path,
}

/// What a training did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Loss and length of the gradient, step by step.
    pub steps: Vec<[f64; 2]>,
    /// Every weight at the end.
    pub weights: Vec<f32>,
}

impl<'a> Setup<'a> {
    /// Reads some text, and makes tokens of it; `dir` is for what has to be written.
    ///
    /// # Errors
    /// Where the text cannot be read, or model or memory refuse.
    pub fn new(recipe: &Recipe, dir: &'a Path, env: &'a Env) -> Result<Self, Failure> {
        let (store, meta, tokenizer) = store(recipe, dir, env)?;
        let config = recipe.model(Some(&tokenizer))?;
        let mut small = recipe.clone();
        small.train.batch_size = recipe.train.batch_size.clamp(2, ROWS_MAX) / 2 * 2;
        let step = pretrain::step_config(&small, env)?;
        let batches = small.batches()?;
        // Half of all laws show the model the whole batch at once.
        (small.train.micro_batch, small.data.validation_fraction) = (0, 0.0);
        let estimate = pretrain::estimated(&config, &small, env, Some(TEXT_BYTES as u64))?;
        let flops = estimate.flops_per_token * (batches.batch * batches.seq_len) as f64;
        small.model.dropout = 0.0;
        let without_dropout = small.model(Some(&tokenizer))?;
        let objective = recipe.task.objective(&tokenizer, &config)?;
        Ok(Self {
            env,
            n_steps: if flops > MANY_FLOPS { STEPS / 2 } else { STEPS },
            step,
            batches,
            store: Arc::new(store),
            meta,
            whole: None,
            config,
            without_dropout,
            is_plain: recipe.task.objective == ObjectiveKind::NextToken,
            regime: recipe.train.regime(&recipe.optim),
            objective,
            dir,
        })
    }

    /// A fresh model, the same each time, that learns as `step` says.
    ///
    /// # Errors
    /// Where the model cannot be built.
    pub fn trainer(&self, config: &ModelConfig, step: StepConfig) -> Result<Trainer<'_>, Failure> {
        let model = Model::new(config.clone(), step.seed)?;
        let trainer = Trainer::new(model, &*self.objective, self.env.device(), step);
        let mut trainer = trainer.with_regime(&self.regime)?;
        // In f16 the first steps look for the scale, and learn nothing.
        trainer.state.loss_scale = 1.0;
        Ok(trainer)
    }

    /// The first batch.
    ///
    /// # Errors
    /// Where the text is too short for one.
    pub fn first_batch(&self) -> Result<Batch, Failure> {
        Ok(self.shuffled()?.next_batch()?)
    }

    /// What is asked of a batch.
    pub fn examples(&self, batch: &Batch) -> Vec<Example> {
        self.objective.examples(batch, self.step.seed)
    }

    fn shuffled(&self) -> Result<Batches, Failure> {
        Ok(Batches::new(Arc::clone(&self.store), self.batches, Cursors::default())?)
    }

    /// All steps, one after the other.
    ///
    /// # Errors
    /// Where a step is refused.
    pub fn train(&self, step: StepConfig) -> Result<Trace, Failure> {
        let (mut trainer, mut batches) = (self.trainer(&self.config, step)?, self.shuffled()?);
        let mut trace = Trace::default();
        for _ in 0..self.n_steps {
            let report =
                trainer.step(&self.examples(&batches.next_batch()?)).map_err(TrainError::from)?;
            trace.steps.push([report.losses.mean().unwrap_or(f64::NAN), report.grad_norm]);
        }
        trace.weights = trainer.model.params.values().to_vec();
        Ok(trace)
    }

    /// The same as a run that is saved half way, and resumed from its directory.
    ///
    /// # Errors
    /// Where a step is refused, or the temporary directory has no room.
    pub fn train_with_a_break(&self) -> Result<Trace, Failure> {
        let path = self.dir.join("run");
        let mut trace = Trace::default();
        for (steps, resume) in [(self.n_steps / 2, false), (self.n_steps, true)] {
            let dir = if resume { RunDir::resume(&path)? } else { RunDir::create(&path)? };
            let sources = vec![RunSource::only(Arc::clone(&self.store), None)];
            let shares = vec![Shares { from_step: 0, weights: vec![1.0] }];
            let (data, windows) = ((sources, shares), (self.batches, 1));
            let feed = TextFeed::new(&*self.objective, data, windows, self.step.seed);
            let parts = RunParts {
                trainer: self.trainer(&self.config, self.step)?,
                dir,
                feed: Box::new(feed),
                load: &train::load_whole,
                config: RunConfig { steps, keep_last: 1, ..RunConfig::default() },
                files: vec![],
                origin: pretrain::origin(self.env),
            };
            let (mut run, _) = Run::start(parts, resume)?;
            run.go(&AtomicBool::new(false), &mut Recorder(&mut trace))?;
            trace.weights = run.trainer().model.params.values().to_vec();
        }
        Ok(trace)
    }
}

/// Tokens of the first text of the recipe.
fn store(recipe: &Recipe, dir: &Path, env: &Env) -> Result<(Store, StoreMeta, Tokenizer), Failure> {
    let enough = recipe.data.seq_len.saturating_mul(ROWS_MAX * 8).max(TEXT_BYTES);
    let texts = corpus::first_texts(&corpus::source(recipe, dir)?, enough)?;
    if recipe.tokenizer_dir().is_none() {
        let size = recipe.tokenizer.vocab_size;
        env.say(&format!("training a vocabulary of {size} on some of the text .."));
    }
    let tokenizer = corpus::tokenizer_of(recipe, &texts)?;
    let marker = corpus::marker(recipe)?;
    let encoder = Encoder { tokenizer: &tokenizer, marker: marker.as_ref() };
    let texts: Vec<_> = texts.into_iter().map(|text| Document::new(text, true)).collect();
    let (encoded, meta) = (encoder.encode(&texts.iter().collect::<Vec<_>>())?, encoder.meta());
    Ok((Store::in_memory_marked(&encoded, &meta), meta, tokenizer))
}

/// Notes every step of a run.
struct Recorder<'t>(&'t mut Trace);

impl Observer for Recorder<'_> {
    fn step(&mut self, row: &StepRow) {
        self.0.steps.push([row.loss, row.grad_norm]);
    }
}
