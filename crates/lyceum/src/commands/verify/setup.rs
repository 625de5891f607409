//! What the laws are held against: the recipe's own model, some of its own text, a few steps.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use checkpoint::{Origin, RunDir};
use data::{Batch, BatchConfig, Batches, Cursor, Source, Store, StoreMeta};
use models::{Model, ModelConfig};
use tasks::NextToken;
use tempfile::TempDir;
use tensor::{DType, Device};
use tokenize::{Tokenizer, safe_cut};
use train::metrics::{EvalRow, StepRow};
use train::{Observer, Run, RunConfig, RunParts, StepConfig, TrainError, Trainer};

use super::super::pretrain::{self, corpus};
use crate::environment::Env;
use crate::estimate::Estimate;
use crate::failure::Failure;
use crate::recipe::{Recipe, RecipeError};

/// Text that is used, at least.
const TEXT_BYTES: usize = 1 << 20;
/// Windows of a step, at most: more would prove nothing else, and take longer.
const ROWS_MAX: usize = 8;
const STEPS: u64 = 4;
/// Floating-point operations above which half the steps must do.
const MANY_FLOPS: f64 = 2e12;

/// The recipe's own model and text.
pub struct Setup {
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
    /// Threads of the pool.
    pub n_threads: usize,
    /// The uninterrupted training, once it was done.
    pub whole: Option<Trace>,
    config: ModelConfig,
    without_dropout: ModelConfig,
    objective: NextToken,
    device: Device,
    origin: Origin,
    dir: TempDir,
}

/// What a training did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Loss and length of the gradient, step by step.
    pub steps: Vec<[f64; 2]>,
    /// Every weight at the end.
    pub weights: Vec<f32>,
}

impl Setup {
    /// Reads some text, and makes tokens of it.
    ///
    /// # Errors
    /// Where the text cannot be read, or model or memory refuse.
    pub fn new(recipe: &Recipe, env: &Env) -> Result<Self, Failure> {
        let dir = TempDir::new().map_err(|error| {
            Failure::new("failed to make a temporary directory").because(error.to_string())
        })?;
        let (vocab_size, end) = pretrain::asked_vocabulary(recipe)?;
        let model = |recipe: &Recipe| recipe.model.config(vocab_size, recipe.data.seq_len, end);
        let config = model(recipe)?;
        let mut plain = recipe.clone();
        plain.model.dropout = 0.0;
        let without_dropout = model(&plain)?;
        let batch = recipe.train.batch_size.clamp(2, ROWS_MAX) / 2 * 2;
        let mut step = pretrain::step_config(recipe, env)?;
        step.micro_batch = step.micro_batch.min(batch);
        let mut shape = pretrain::shape(recipe, env, Some(TEXT_BYTES as u64))?;
        // Half of all laws show the model the whole batch at once.
        (shape.batch, shape.micro_batch, shape.eval_batch) = (batch, batch, 0);
        let estimate = Estimate::new(&config, shape).map_err(RecipeError::model)?;
        pretrain::refuse_too_large(&estimate)?;
        let flops = estimate.flops_per_token * (batch * recipe.data.seq_len) as f64;
        let (store, meta) = store(recipe, dir.path(), env)?;
        Ok(Self {
            n_steps: if flops > MANY_FLOPS { STEPS / 2 } else { STEPS },
            step,
            batches: BatchConfig { batch, ..recipe.batches() },
            store: Arc::new(store),
            meta,
            n_threads: env.n_threads,
            whole: None,
            config,
            without_dropout,
            objective: NextToken { smoothing: recipe.task.label_smoothing },
            device: env.device(),
            origin: pretrain::origin(env),
            dir,
        })
    }

    /// Windows of a step.
    pub fn n_rows(&self) -> usize {
        self.batches.batch
    }

    /// Storage of activations.
    pub fn precision(&self) -> DType {
        self.step.precision.compute
    }

    /// A fresh model, the same each time, that learns as `step` says.
    ///
    /// # Errors
    /// Where the model cannot be built.
    pub fn trainer(&self, step: StepConfig) -> Result<Trainer<'_>, Failure> {
        self.trainer_of(self.config.clone(), step)
    }

    /// The same model without dropout, which is keyed by the row that a token is in.
    ///
    /// # Errors
    /// As [`Self::trainer`].
    pub fn plain_trainer(&self, step: StepConfig) -> Result<Trainer<'_>, Failure> {
        self.trainer_of(self.without_dropout.clone(), step)
    }

    fn trainer_of(&self, config: ModelConfig, step: StepConfig) -> Result<Trainer<'_>, Failure> {
        let model = Model::new(config, step.seed).map_err(RecipeError::model)?;
        let mut trainer = Trainer::new(model, &self.objective, self.device.clone(), step);
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

    fn shuffled(&self) -> Result<Batches, Failure> {
        Ok(Batches::new(Arc::clone(&self.store), self.batches, Cursor::default())?)
    }

    /// All steps, one after the other.
    ///
    /// # Errors
    /// Where a step is refused.
    pub fn train(&self, step: StepConfig) -> Result<Trace, Failure> {
        let (mut trainer, mut batches) = (self.trainer(step)?, self.shuffled()?);
        let mut trace = Trace::default();
        for _ in 0..self.n_steps {
            let report = trainer.step(&batches.next_batch()?).map_err(TrainError::from)?;
            trace.steps.push([report.loss.mean().unwrap_or(f64::NAN), report.grad_norm]);
        }
        trace.weights = trainer.model.params.values().to_vec();
        Ok(trace)
    }

    /// The same as a run that is saved half way, and resumed from its directory.
    ///
    /// # Errors
    /// Where a step is refused, or the temporary directory has no room.
    pub fn train_with_a_break(&self) -> Result<Trace, Failure> {
        let path = self.dir.path().join("run");
        let mut trace = Trace::default();
        for (steps, resume) in [(self.n_steps / 2, false), (self.n_steps, true)] {
            let dir = if resume { RunDir::resume(&path)? } else { RunDir::create(&path)? };
            let parts = RunParts {
                trainer: self.trainer(self.step)?,
                dir,
                store: Arc::clone(&self.store),
                validation: None,
                batches: self.batches,
                config: only_steps(steps),
                files: vec![],
                origin: self.origin.clone(),
            };
            let (mut run, _) = Run::start(parts, resume)?;
            run.go(&AtomicBool::new(false), &mut Recorder(&mut trace))?;
            trace.weights = run.trainer().model.params.values().to_vec();
        }
        Ok(trace)
    }
}

fn only_steps(steps: u64) -> RunConfig {
    RunConfig {
        steps,
        checkpoint_every: u64::MAX,
        eval_every: u64::MAX,
        sample_every: 0,
        keep_last: 1,
        eval_batch: 1,
        max_time: None,
        gflop: None,
    }
}

/// Tokens of the first text of the recipe.
fn store(recipe: &Recipe, dir: &Path, env: &Env) -> Result<(Store, StoreMeta), Failure> {
    let enough = recipe.data.seq_len.saturating_mul(ROWS_MAX * 8).max(TEXT_BYTES);
    let texts = texts(&corpus::source(recipe, dir)?, enough)?;
    let tokenizer = if let Some(path) = &recipe.tokenizer.path {
        Tokenizer::load(path)?
    } else {
        let size = recipe.tokenizer.vocab_size;
        env.say(&format!("training a vocabulary of {size} on some of the text .."));
        Tokenizer::train(texts.clone().into_iter(), size)?
    };
    let documents = tokenizer.encode_batch(&texts)?;
    let meta = StoreMeta::of(&tokenizer);
    Ok((Store::in_memory(&documents, &meta), meta))
}

/// Documents, up to so many bytes in all.
fn texts(source: &Source, enough: usize) -> Result<Vec<String>, Failure> {
    let (mut texts, mut n_bytes) = (vec![String::new()], 0);
    for document in source.open()? {
        let document = document?;
        let mut text = document.text;
        text.truncate(safe_cut(&text, enough - n_bytes));
        n_bytes += text.len();
        *texts.last_mut().expect("one at least") += &text;
        if n_bytes >= enough {
            break;
        }
        if document.ends {
            texts.push(String::new());
        }
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

/// Notes every step of a run.
struct Recorder<'t>(&'t mut Trace);

impl Observer for Recorder<'_> {
    fn step(&mut self, row: &StepRow) {
        self.0.steps.push([row.loss, row.grad_norm]);
    }

    fn eval(&mut self, _row: &EvalRow) {}

    fn sample(&mut self, _trainer: &Trainer, _step: u64) -> Option<String> {
        None
    }

    fn checkpoint(&mut self, _step: u64, _dir: &Path) {}

    fn say(&mut self, _message: &str) {}

    fn memory_bytes(&self) -> Option<u64> {
        None
    }
}
