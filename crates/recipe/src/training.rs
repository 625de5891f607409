//! The sections that every kind of training has: how weights move, how long, what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use optim::{AdamWConfig, Schedule, ScheduleError};
use serde::{Deserialize, Serialize};
use tensor::{Isa, Precision};
use train::{Portion, Regime, RunConfig, StepConfig};

use super::sections::shortest;
use super::{refused, within};
use terminal::failure::Failure;

/// The shape of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// The same at every step.
    Constant,
    /// Up in a line, down along half a cosine.
    WarmupCosine,
    /// Up in a line, down in a line.
    WarmupLinear,
    /// Up in a line, level, down at the end.
    WarmupStableDecay,
}

/// How weights move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimSection {
    /// The shape of the learning rate.
    pub schedule: ScheduleKind,
    /// The highest learning rate.
    #[serde(serialize_with = "shortest")]
    pub peak_lr: f32,
    /// The learning rate at the end.
    #[serde(serialize_with = "shortest")]
    pub last_lr: f32,
    /// Steps going up.
    pub warmup_steps: u64,
    /// Steps going down, where the schedule is level between.
    pub decay_steps: u64,
    /// The mean gradient is scaled down to this length.
    pub max_grad_norm: f64,
    /// Decay of the first moment.
    #[serde(serialize_with = "shortest")]
    pub beta1: f32,
    /// Decay of the second moment.
    #[serde(serialize_with = "shortest")]
    pub beta2: f32,
    /// Added to the root of the second moment.
    #[serde(serialize_with = "shortest")]
    pub eps: f32,
    /// Decay of matrices, times the learning rate.
    #[serde(serialize_with = "shortest")]
    pub weight_decay: f32,
    /// What each block's learning rate is of that of the block above it, the head on top.
    #[serde(serialize_with = "shortest")]
    pub layer_decay: f32,
    /// What learning rates are multiplied with: `"heads.*" = 10.0`, by own names in which `*`
    /// stands for anything.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
}

impl Default for OptimSection {
    fn default() -> Self {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = AdamWConfig::default();
        Self {
            schedule: ScheduleKind::WarmupCosine,
            peak_lr: 1e-3,
            last_lr: 1e-4,
            warmup_steps: 20,
            decay_steps: 0,
            max_grad_norm: 1.0,
            beta1,
            beta2,
            eps,
            weight_decay,
            layer_decay: 1.0,
            rates: BTreeMap::new(),
        }
    }
}

impl OptimSection {
    /// The learning rate by step, of a run of `total_steps`.
    pub fn schedule(&self, total_steps: u64) -> Schedule {
        let Self { peak_lr, last_lr, warmup_steps, decay_steps, .. } = *self;
        match self.schedule {
            ScheduleKind::Constant => Schedule::Constant { peak_lr },
            ScheduleKind::WarmupCosine => {
                Schedule::WarmupCosine { peak_lr, last_lr, warmup_steps, total_steps }
            }
            ScheduleKind::WarmupLinear => {
                Schedule::WarmupLinear { peak_lr, last_lr, warmup_steps, total_steps }
            }
            ScheduleKind::WarmupStableDecay => Schedule::WarmupStableDecay {
                peak_lr,
                last_lr,
                warmup_steps,
                decay_steps,
                total_steps,
            },
        }
    }

    /// Refuses a learning rate that cannot be, of a run of `total_steps`.
    ///
    /// # Errors
    /// With the field at fault.
    pub fn check_schedule(&self, total_steps: u64) -> Result<(), Failure> {
        let Err(error) = self.schedule(total_steps).check() else { return Ok(()) };
        let field = match error {
            ScheduleError::Peak(_) => "optim.peak_lr",
            ScheduleError::Last { .. } => "optim.last_lr",
            ScheduleError::TooLong { .. } => "optim.warmup_steps",
        };
        let hint = error.hint();
        Err(hint.into_iter().fold(refused(field, error), Failure::hint))
    }

    /// The optimizer's own.
    pub fn adamw(&self) -> AdamWConfig {
        let Self { beta1, beta2, eps, weight_decay, .. } = *self;
        AdamWConfig { beta1, beta2, eps, weight_decay }
    }
}

/// How long, how much at once, what is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSection {
    /// Optimizer steps in all.
    pub steps: u64,
    /// Windows a step.
    pub batch_size: usize,
    /// Tokens a step, instead: as many samples as have so many together, one at least.
    pub batch_tokens: Option<usize>,
    /// Windows that go through the model at once; 0 is all of them. Changes nothing but rounding.
    pub micro_batch: usize,
    /// `auto`, `f32`, `bf16` or `f16`; `auto` is resolved for the machine, and stored.
    pub precision: String,
    /// Keep only each block's input for backward: less memory, a third more time.
    pub recompute: bool,
    /// Of weights, order of data, and dropout.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, beside the best one.
    pub keep_last: usize,
    /// Steps between samples of what the model writes; 0 for none.
    pub sample_every: u64,
    /// Saves and ends (exit code 3) after so many hours.
    pub max_hours: Option<f64>,
    /// Steps between evaluations.
    pub eval_every: u64,
    /// Ends after so many evaluations in a row that found nothing better; 0 for never.
    pub patience: u64,
    /// By how much what decides must be better to count.
    pub min_delta: f64,
    /// Judges and keeps a running mean of the weights that forgets so slowly, such as 0.999; 0 for
    /// the weights themselves.
    #[serde(serialize_with = "shortest")]
    pub ema: f32,
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            steps: 300,
            batch_size: 32,
            batch_tokens: None,
            micro_batch: 0,
            precision: "auto".into(),
            recompute: false,
            seed: 1,
            checkpoint_every: 100,
            keep_last: 2,
            sample_every: 100,
            max_hours: None,
            eval_every: 50,
            patience: 0,
            min_delta: 0.0,
            ema: 0.0,
        }
    }
}

impl TrainSection {
    /// The precision policy; `auto` is bf16 where the machine multiplies in it, else f32.
    ///
    /// # Errors
    /// Where the name is unknown.
    pub fn precision(&self, isa: Isa) -> Result<Precision, Failure> {
        match self.precision.as_str() {
            "auto" if isa == Isa::Avx512Bf16 => Ok(Precision::BF16),
            "auto" | "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::BF16),
            "f16" => Ok(Precision::F16),
            other => Err(refused(
                "train.precision",
                format!("`{other}` is not one of auto, f32, bf16, f16"),
            )),
        }
    }

    /// What can be wrong with single values of it, and of how weights move.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self, optim: &OptimSection) -> Result<(), Failure> {
        let (decay, hours) = (optim.weight_decay, self.max_hours.unwrap_or(1.0));
        let (micro_batch, of_batch) = (self.micro_batch, "at most `train.batch_size`");
        let (tokens, usual) = (self.batch_tokens.unwrap_or(1), Self::default().batch_size);
        if self.batch_tokens.is_some() && self.batch_size != usual {
            let problem = "a step is so many tokens, or `train.batch_size` samples";
            return Err(refused("train.batch_tokens", problem).hint("leave one of them out"));
        }
        let (layers, delta) = (optim.layer_decay, self.min_delta);
        // Of several, one that is wrong.
        let wrong = |rate: &&f64| !(**rate > 0.0 && **rate <= 1e6);
        let rate = optim.rates.values().find(wrong).copied().unwrap_or(1.0);
        let share = |x: f32| (0.0..1.0).contains(&x);
        let some = |n: usize| (1..=1 << 40).contains(&n);
        within(&[
            ("train.batch_size", &self.batch_size, some(self.batch_size), "in [1, 2^40]"),
            ("train.micro_batch", &micro_batch, micro_batch <= self.batch_size, of_batch),
            ("train.batch_tokens", &tokens, some(tokens), "in [1, 2^40]"),
            ("train.keep_last", &self.keep_last, some(self.keep_last), "in [1, 2^40]"),
            ("optim.max_grad_norm", &optim.max_grad_norm, optim.max_grad_norm > 0.0, "above 0"),
            ("optim.beta1", &optim.beta1, share(optim.beta1), "in [0, 1)"),
            ("optim.beta2", &optim.beta2, share(optim.beta2), "in [0, 1)"),
            ("optim.eps", &optim.eps, optim.eps > 0.0, "above 0"),
            ("optim.weight_decay", &decay, (0.0..=f32::MAX).contains(&decay), "in [0, inf)"),
            ("optim.layer_decay", &layers, layers > 0.0 && layers <= 1.0, "in (0, 1]"),
            ("optim.rates", &rate, rate > 0.0 && rate <= 1e6, "all in (0, 1e6]"),
            ("train.min_delta", &delta, (0.0..f64::MAX).contains(&delta), "in [0, inf)"),
            ("train.ema", &self.ema, share(self.ema), "in [0, 1)"),
            ("train.max_hours", &hours, hours > 0.0 && hours < 1e6, "a number of hours above 0"),
        ])
    }

    /// How a step is done, with what `optim` says.
    ///
    /// # Errors
    /// Where the precision is unknown.
    pub fn step_config(&self, optim: &OptimSection, isa: Isa) -> Result<StepConfig, Failure> {
        Ok(StepConfig {
            precision: self.precision(isa)?,
            schedule: optim.schedule(self.steps),
            adamw: optim.adamw(),
            max_grad_norm: optim.max_grad_norm,
            micro_batch: self.micro_batch(),
            flat: false,
            recompute: self.recompute,
            seed: self.seed,
        })
    }

    /// Refuses to wait for something better where nothing is judged.
    ///
    /// # Errors
    /// Then.
    pub fn can_wait(&self, is_judged: bool) -> Result<(), Failure> {
        if is_judged || self.patience == 0 {
            return Ok(());
        }
        let hint = "give a table or a share of the data for it, or leave it out";
        Err(refused("train.patience", "there is nothing to judge by").hint(hint))
    }

    /// How weights are treated, with what `optim` says.
    pub fn regime(&self, optim: &OptimSection) -> Regime {
        let (layer_decay, rates) = (optim.layer_decay, optim.rates.clone());
        Regime { layer_decay, rates, ema: self.ema, mixout: 0.0 }
    }

    /// What happens when, of a run that writes no samples.
    pub fn run_config(&self) -> RunConfig {
        RunConfig {
            steps: self.steps,
            checkpoint_every: self.checkpoint_every,
            eval_every: self.eval_every,
            sample_every: 0,
            keep_last: self.keep_last,
            until: None,
            max_time: self.max_hours.map(|hours| Duration::from_secs_f64(hours * 3600.0)),
            patience: self.patience,
            min_delta: self.min_delta,
            gflop: None,
        }
    }

    /// What a step reads of samples.
    pub fn portion(&self) -> Portion {
        self.batch_tokens.map_or(Portion::Samples(self.batch_size), Portion::Tokens)
    }

    /// Windows that go through the model at once.
    pub fn micro_batch(&self) -> usize {
        match (self.micro_batch, self.batch_tokens) {
            (0, Some(_)) => usize::MAX,
            (0, None) => self.batch_size,
            (n, _) => n.min(self.batch_size),
        }
    }
}

/// How the model is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSection {
    /// Windows shown at once.
    pub batch_size: usize,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self { batch_size: 8 }
    }
}
