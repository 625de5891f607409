//! One step: accumulate, look, update.

use std::cell::{Cell, RefCell};

use kernels::reduce::sum_squares;
use models::Model;
use optim::{AdamW, AdamWConfig, Average, Schedule, clip_scale};
use tasks::{Counts, Example, Losses, MicroBatch, Objective};
use tensor::{DType, Device, Grads, NotFinite, Precision, Rng, Tape};

use crate::error::{StepError, TrainError};
use crate::regime::{Mixout, Regime};
use crate::state::TrainerState;

/// A model, where it computes, and in what.
pub type At<'m> = (&'m Model, &'m Device, Precision);

/// How a step is done.
#[derive(Clone, Copy, Debug)]
pub struct StepConfig {
    /// Storage and products of activations.
    pub precision: Precision,
    /// Learning rate by step.
    pub schedule: Schedule,
    /// The optimizer's own.
    pub adamw: AdamWConfig,
    /// The mean gradient is scaled down to this length.
    pub max_grad_norm: f64,
    /// Examples that go through the model at once.
    pub micro_batch: usize,
    /// Whether these follow one another in one row, instead of filling up rows of their own.
    pub flat: bool,
    /// Keep only each block's input for backward.
    pub recompute: bool,
    /// Dropout's seed.
    pub seed: u64,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Losses of the whole batch.
    pub losses: Losses,
    /// What was in it.
    pub counts: Counts,
    /// Length of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// The learning rate.
    pub lr: f32,
    /// Whether an f16 overflow skipped the update and halved the loss scale.
    pub skipped: bool,
}

/// f16 starts here and finds its scale: Micikevicius et al., "Mixed Precision Training",
/// arXiv:1710.03740, section 3.2.
const FIRST_LOSS_SCALE: f32 = 65_536.0;
/// Steps without overflow after which the scale doubles.
const STEPS_TO_DOUBLE: u64 = 2000;

/// A model that learns: weights, gradients, moments.
pub struct Trainer<'o> {
    /// The model.
    pub model: Model,
    /// Where it computes.
    pub device: Device,
    /// How far it is.
    pub state: TrainerState,
    /// How it steps.
    pub config: StepConfig,
    pub(crate) optimizer: AdamW,
    pub(crate) average: Option<Average>,
    mixout: Option<Mixout>,
    objective: &'o dyn Objective,
    grads: RefCell<Grads>,
    audited: bool,
}

impl<'o> Trainer<'o> {
    /// Gradients and moments for `model`, before its first step.
    pub fn new(
        model: Model,
        objective: &'o dyn Objective,
        device: Device,
        config: StepConfig,
    ) -> Self {
        let f16 = config.precision.compute == DType::F16;
        Self {
            grads: RefCell::new(Grads::new(&model.params)),
            optimizer: AdamW::new(&model.params, config.adamw),
            average: None,
            mixout: None,
            state: TrainerState::start(if f16 { FIRST_LOSS_SCALE } else { 1.0 }),
            audited: false,
            model,
            objective,
            device,
            config,
        }
    }

    /// The same, whose weights are treated as `regime` says; before its first step.
    ///
    /// # Errors
    /// Where a pattern names nothing that learns.
    pub fn with_regime(mut self, regime: &Regime) -> Result<Self, TrainError> {
        let params = &self.model.params;
        let rates = regime.rates_of(params)?;
        self.optimizer.set_rates(params, |name| rates[name]);
        self.average = (regime.ema > 0.0).then(|| Average::new(params, regime.ema));
        self.mixout = (regime.mixout > 0.0).then(|| Mixout::new(params, regime.mixout));
        Ok(self)
    }

    /// What `look` sees with the running mean of the weights in their place, where there is one.
    pub fn averaged<T>(&mut self, look: impl FnOnce(&Self) -> T) -> T {
        self.swap_average();
        let seen = look(self);
        self.swap_average();
        seen
    }

    fn swap_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.swap(&mut self.model.params);
        }
    }

    /// The objective.
    pub fn objective(&self) -> &'o dyn Objective {
        self.objective
    }

    /// The gradients of the last step, as sums over its targets.
    pub fn grads(&self) -> &RefCell<Grads> {
        &self.grads
    }

    /// First and second moment of every weight, laid out as [`tensor::Params::values`].
    pub fn moments(&self) -> [&[f32]; 2] {
        self.optimizer.moments()
    }

    /// The model as it stands.
    pub fn at(&self) -> At<'_> {
        (&self.model, &self.device, self.config.precision)
    }

    /// One optimizer step over a batch of `examples`.
    ///
    /// # Errors
    /// Where nothing would be learned, or numbers are not finite. The weights are untouched then.
    pub fn step(&mut self, examples: &[Example]) -> Result<StepReport, StepError> {
        let step = self.state.step + 1;
        self.grads.get_mut().reset();
        let mut losses = Losses::default();
        self.mix();
        for micro in self.micro_batches(examples) {
            losses += self.accumulate(&micro);
        }
        let audited = self.audit(step);
        self.grads.get_mut().zero_unwritten(&self.model.params);
        self.unmix();
        audited?;
        let Some(mean) = losses.mean() else { return Err(StepError::NoTargets { step }) };
        // The gradients are scaled sums until here.
        let to_mean = 1.0 / (losses.first().n_targets as f64 * f64::from(self.state.loss_scale));
        let isa = self.device.isa;
        let grad_norm = sum_squares(isa, self.grads.get_mut().values()).sqrt() * to_mean;
        let lr = self.config.schedule.at(self.state.step);
        let overflow = !grad_norm.is_finite() && self.state.loss_scale > 1.0 && mean.is_finite();
        if !overflow {
            if !mean.is_finite() || !grad_norm.is_finite() {
                return Err(self.find_not_finite(examples, mean, grad_norm));
            }
            let clip = f64::from(clip_scale(grad_norm, self.config.max_grad_norm));
            let scale = (to_mean * clip) as f32;
            let weights = (&mut self.model.params, &*self.grads.get_mut());
            self.state.updates += 1;
            self.optimizer.step(isa, weights, (lr, scale), self.state.updates);
            if let Some(average) = &mut self.average {
                average.update(&self.model.params, self.state.updates);
            }
        }
        self.adapt_loss_scale(overflow);
        self.state.step = step;
        let counts = Counts::of(examples);
        self.state.tokens += counts.n_tokens;
        Ok(StepReport { losses, counts, grad_norm, lr, skipped: overflow })
    }

    /// Mixes weights of the start in, for a step.
    fn mix(&mut self) {
        if let Some(mixout) = &mut self.mixout {
            mixout.mix(&mut self.model.params, [self.config.seed, self.state.step]);
        }
    }

    /// Takes them out again, and from the gradients what they learned.
    fn unmix(&mut self) {
        if let Some(mixout) = &mut self.mixout {
            let key = [self.config.seed, self.state.step];
            mixout.unmix((&mut self.model.params, self.grads.get_mut()), key);
        }
    }

    fn micro_batches(&self, examples: &[Example]) -> Vec<MicroBatch> {
        let (seed, step) = (self.config.seed, self.state.step);
        let rng = Rng { seed, step, first_sample: 0, first_token: 0 };
        let n_rows = examples.len();
        let step = self.config.micro_batch.clamp(1, n_rows.max(1));
        let rows = (0..n_rows).step_by(step).map(|start| start..n_rows.min(start + step));
        rows.map(|rows| {
            let lay_out = if self.config.flat { MicroBatch::flat } else { MicroBatch::new };
            let mut micro = lay_out(examples, rows, Some(rng));
            for shown in [Some(&mut micro.input), micro.output.as_mut()].into_iter().flatten() {
                shown.call.recompute = self.config.recompute;
            }
            micro
        })
        .collect()
    }

    /// Adds the gradients of one micro-batch.
    fn accumulate(&self, micro: &MicroBatch) -> Losses {
        let tape = self.tape();
        let loss = self.objective.loss(&tape, &self.model, micro);
        tape.backward();
        loss
    }

    fn tape(&self) -> Tape<'_> {
        let (params, precision) = (&self.model.params, self.config.precision);
        Tape::recording(&self.device, params, precision, &self.grads)
            .with_loss_scale(self.state.loss_scale)
    }

    /// Once a session: every parameter was written by backward. Written, not non-zero: the key's
    /// bias rightly has a gradient of zero.
    fn audit(&mut self, step: u64) -> Result<(), StepError> {
        if !self.audited {
            let unwritten = self.grads.get_mut().unwritten(&self.model.params);
            if !unwritten.is_empty() {
                let names = unwritten.iter().map(|name| format!("`{name}`")).collect();
                return Err(StepError::Unwritten { step, names });
            }
            self.audited = true;
        }
        Ok(())
    }

    fn adapt_loss_scale(&mut self, overflow: bool) {
        let state = &mut self.state;
        if self.config.precision.compute != DType::F16 {
            return;
        }
        state.steps_at_scale += 1;
        if overflow {
            state.loss_scale = (state.loss_scale / 2.0).max(1.0);
            state.steps_at_scale = 0;
        } else if state.steps_at_scale == STEPS_TO_DOUBLE {
            state.loss_scale *= 2.0;
            state.steps_at_scale = 0;
        }
    }

    /// Runs the micro-batches once more, looking at every result, to name the op.
    fn find_not_finite(&mut self, examples: &[Example], loss: f64, grad_norm: f64) -> StepError {
        let mut at: Option<NotFinite> = None;
        let mut sample_ids = examples.iter().map(|example| example.sample_id).collect();
        self.grads.borrow_mut().reset();
        self.mix();
        for micro in self.micro_batches(examples) {
            let found = Cell::new(None);
            let tape = self.tape().with_checks(&found);
            self.objective.loss(&tape, &self.model, &micro);
            tape.backward();
            at = found.take();
            if at.is_some() {
                sample_ids = micro.sample_ids;
                break;
            }
        }
        self.unmix();
        StepError::NotFinite { step: self.state.step + 1, loss, grad_norm, at, sample_ids }
    }
}
