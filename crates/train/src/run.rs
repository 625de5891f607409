//! A run: the step over and over, with everything around it, in a directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checkpoint::{
    Best, Checkpoint, CheckpointError, Entry, Origin, RunDir, StagedDir, Values, trainer,
};
use models::{Model, ModelError, TRAINED};
use tasks::Losses;
use tensor::Param;

use crate::error::{StepError, TrainError};
use crate::feed::Feed;
use crate::metrics::{
    self, EvalRow, Log, LogError, METRICS_FILE, MetricsLog, MetricsRow, SAMPLES_FILE, SampleLog,
    SampleRow, Scores, StepRow,
};
use crate::replay;
use crate::state::{DataHashes, TrainerState};
use crate::tensorboard::EventWriter;
use crate::trainer::Trainer;

/// What happens when.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunConfig {
    /// Steps in all.
    pub steps: u64,
    /// Steps between checkpoints; the last step always has one, with 0 it alone.
    pub checkpoint_every: u64,
    /// Steps between evaluations; the last step always has one, with 0 it alone.
    pub eval_every: u64,
    /// Steps between samples; 0 for none.
    pub sample_every: u64,
    /// Checkpoints that are kept, beside the best one.
    pub keep_last: usize,
    /// Judges, saves and ends after this step, as if a run were asked to stop there.
    pub until: Option<u64>,
    /// Saves and ends after so long.
    pub max_time: Option<Duration>,
    /// Ends after so many evaluations in a row that found nothing better; 0 for never. What is
    /// better has a checkpoint then.
    pub patience: u64,
    /// By how much it must be better to count as that, in the number that decides.
    pub min_delta: f64,
    /// GFLOP of the model's arithmetic for each target, and GFLOP/s of the machine: for the share
    /// of the peak.
    pub gflop: Option<(f64, f64)>,
}

/// What a run is made of.
pub struct RunParts<'o> {
    /// The model that learns.
    pub trainer: Trainer<'o>,
    /// Where it is written.
    pub dir: RunDir,
    /// What it learns from, and is judged by.
    pub feed: Box<dyn Feed + 'o>,
    /// What happens when.
    pub config: RunConfig,
    /// Files that every checkpoint carries beside weights and config: the tokenizer's, a card.
    pub files: Vec<(String, Vec<u8>)>,
    /// Who writes the checkpoints.
    pub origin: Origin,
    /// Reads the model of a checkpoint, of which the same learns.
    pub load: &'o dyn Fn(&Path) -> Result<Model, ModelError>,
}

/// A checkpoint that is a whole model, all of which learns.
///
/// # Errors
/// As [`Model::load`].
pub fn load_whole(dir: &Path) -> Result<Model, ModelError> {
    Model::load(dir).map(|(model, _)| model)
}

/// Sees what a run does; what it does not care for, it need not name.
pub trait Observer {
    /// A step was done.
    fn step(&mut self, row: &StepRow);
    /// The model was judged.
    fn eval(&mut self, _row: &EvalRow) {}
    /// A sample of what the model writes by now, if this run wants any.
    fn sample(&mut self, _trainer: &Trainer, _step: u64) -> Option<String> {
        None
    }
    /// A checkpoint was written.
    fn checkpoint(&mut self, _step: u64, _dir: &Path) {}
    /// Something people should know.
    fn say(&mut self, _message: &str) {}
    /// Bytes of memory in use, where that can be known.
    fn memory_bytes(&self) -> Option<u64> {
        None
    }
}

/// Where a run began.
#[derive(Debug)]
pub struct Started {
    /// The checkpoint it goes on from; none for a fresh start.
    pub from: Option<Checkpoint>,
    /// Newer ones that were passed over, and why; also a note of the best one.
    pub skipped: Vec<CheckpointError>,
    /// Damaged lines of the logs, which later steps had written.
    pub dropped: Vec<LogError>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every step was done.
    Finished,
    /// Somebody asked it to stop; a checkpoint was saved.
    Interrupted,
    /// Its time was over; a checkpoint was saved.
    OutOfTime,
    /// It is as far as it was to go for now; a checkpoint was saved.
    Paused,
    /// It no longer got better; the best has a checkpoint, and so has the last.
    Stopped,
}

/// A run under way.
pub struct Run<'o> {
    parts: RunParts<'o>,
    metrics: MetricsLog,
    samples: SampleLog,
    events: EventWriter,
    began: Instant,
    seconds_before: f64,
    saved: Option<u64>,
    judged: Option<EvalRow>,
}

impl<'o> Run<'o> {
    /// Starts at step 0, or where the newest valid checkpoint stands if `resume`.
    ///
    /// # Errors
    /// Where logs or checkpoints cannot be read, or do not fit: they are as they were then.
    pub fn start(mut parts: RunParts<'o>, resume: bool) -> Result<(Self, Started), TrainError> {
        let mut started = Started { from: None, skipped: vec![], dropped: vec![] };
        if resume {
            let newest = parts.dir.newest_valid()?;
            (started.from, started.skipped) = (newest.checkpoint, newest.skipped);
        }
        let data = parts.feed.hashes();
        if let Some(from) = &started.from {
            let mismatch = |problem| TrainError::Mismatch { dir: from.dir.clone(), problem };
            let model = (parts.load)(&from.dir).map_err(|e| mismatch(e.to_string()))?;
            load(&mut parts.trainer, model, &from.dir)?;
            refuse_others(&parts, &data, &from.dir)?;
        }
        parts.trainer.state.data = data;
        let state = parts.trainer.state.clone();
        parts.feed.seek(&state.cursors)?;
        let (mut metrics, mut samples, events) = logs(parts.dir.path(), resume, state.step)?;
        started.dropped.append(&mut metrics.dropped);
        started.dropped.append(&mut samples.dropped);
        if resume {
            started.skipped.extend(renew_best(&parts.dir)?);
        }
        let saved = started.from.as_ref().map(|from| from.step);
        let (began, seconds_before, judged) = (Instant::now(), state.seconds, None);
        let run = Self { parts, metrics, samples, events, began, seconds_before, saved, judged };
        Ok((run, started))
    }

    /// The model, and how far it is.
    pub fn trainer(&self) -> &Trainer<'o> {
        &self.parts.trainer
    }

    /// Steps until all are done, `stop` is set, or time is over.
    ///
    /// # Errors
    /// Where a step is refused, what it learns from or is judged by fails, or something cannot be
    /// written. What was learned until then is saved, if it can be, and the model still writes.
    pub fn go(
        &mut self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        let ended = self.advance(stop, observer);
        // Nothing is saved on a full disk, nor what is no model any more.
        let is_lost = matches!(
            ended,
            Err(TrainError::Checkpoint(_) | TrainError::Log(_) | TrainError::Generate(_))
        );
        if ended.is_err() && !is_lost && self.step_idx() > 0 {
            // The first error is the one to hear of.
            if let Err(error) = self.save(observer) {
                observer.say(&format!("step {} is not saved: {error}", self.step_idx()));
            }
        }
        ended
    }

    fn advance(
        &mut self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        let config = self.parts.config;
        if self.parts.trainer.state.unjudged {
            self.look(observer)?;
            // The one that is there does not know of it.
            self.saved = None;
            self.save(observer)?;
        }
        while self.step_idx() < config.steps {
            let over = config.max_time.is_some_and(|most| self.began.elapsed() >= most);
            let waited = self.parts.trainer.state.waited;
            let ended = if config.patience > 0 && waited >= config.patience {
                Some(Ended::Stopped)
            } else if stop.load(Ordering::Relaxed) {
                Some(Ended::Interrupted)
            } else if config.until.is_some_and(|until| self.step_idx() >= until) {
                if self.judged.as_ref().is_none_or(|judged| judged.step != self.step_idx()) {
                    self.evaluate(observer)?;
                }
                Some(Ended::Paused)
            } else {
                over.then_some(Ended::OutOfTime)
            };
            if let Some(ended) = ended {
                self.save(observer)?;
                return Ok(ended);
            }
            self.step(observer)?;
            let is_best = self.look(observer)?;
            let (step, last) = (self.step_idx(), self.step_idx() == config.steps);
            let keeps = is_best && config.patience > 0;
            if last || keeps || step.is_multiple_of(config.checkpoint_every) {
                self.save(observer)?;
            }
        }
        Ok(Ended::Finished)
    }

    /// Judges the model and samples from it, where that is due; whether it is the best so far.
    fn look(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let (config, step) = (self.parts.config, self.step_idx());
        let is_due = |every| step == config.steps || step.is_multiple_of(every);
        self.parts.trainer.state.unjudged = is_due(config.eval_every);
        let is_best = is_due(config.eval_every) && self.evaluate(observer)? && self.is_best();
        self.parts.trainer.state.unjudged = false;
        if config.sample_every > 0 && is_due(config.sample_every) {
            self.sample(observer)?;
        }
        Ok(is_best)
    }

    fn step_idx(&self) -> u64 {
        self.parts.trainer.state.step
    }

    fn step(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let began = Instant::now();
        let examples = self.parts.feed.next(&self.parts.trainer)?;
        let trainer = &mut self.parts.trainer;
        let report = match trainer.step(&examples) {
            Ok(report) => report,
            Err(error @ StepError::NotFinite { .. }) => {
                let step = trainer.state.step;
                self.save(observer)?;
                let replay = replay::write(&self.parts.dir, step + 1, &error, &examples)?;
                let checkpoint = self.parts.dir.checkpoint_dir(step);
                return Err(TrainError::Refused { step: error, replay, checkpoint });
            }
            Err(error) => return Err(error.into()),
        };
        trainer.state.cursors = self.parts.feed.cursors();
        trainer.state.seconds = self.seconds_before + self.began.elapsed().as_secs_f64();
        let tokens_per_s = report.counts.n_tokens as f64 / began.elapsed().as_secs_f64();
        let row = StepRow {
            step: trainer.state.step,
            loss: report.losses.mean().unwrap_or(f64::NAN),
            accuracy: report.losses.first().accuracy().unwrap_or(f64::NAN),
            targets: report.losses.first().n_targets,
            grad_norm: report.grad_norm,
            lr: f64::from(report.lr),
            tokens: trainer.state.tokens,
            tokens_per_s,
            share_of_peak: self.parts.config.gflop.map(|(gflop, peak)| gflop * tokens_per_s / peak),
            memory_bytes: observer.memory_bytes(),
            told: told(&report.losses, &*self.parts.feed),
        };
        if report.skipped {
            let scale = trainer.state.loss_scale;
            let step = row.step;
            observer.say(&format!("step {step}: overflow in f16, loss scale now {scale}"));
        }
        self.metrics.append(&MetricsRow::Step(row.clone()))?;
        self.events.step(&row)?;
        observer.step(&row);
        Ok(())
    }

    /// Judges the model, where there is something to judge by.
    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let RunParts { trainer, feed, .. } = &mut self.parts;
        let Some(found) = trainer.averaged(|trainer| feed.judge(trainer))? else {
            return Ok(false);
        };
        let row = EvalRow { step: trainer.state.step, eval: Scores::of(&found) };
        self.metrics.append(&MetricsRow::Eval(row.clone()))?;
        self.events.eval(&row)?;
        observer.eval(&row);
        self.judged = Some(row);
        Ok(true)
    }

    /// Whether what was just judged is better than ever before; counts where it is not.
    fn is_best(&mut self) -> bool {
        let by = self.judged.as_ref().map_or(f64::NAN, |row| row.eval.best_by());
        let (state, delta) = (&mut self.parts.trainer.state, self.parts.config.min_delta);
        let is_best = by.is_finite() && state.best.is_none_or(|best| by < best - delta);
        state.waited = if is_best { 0 } else { state.waited + 1 };
        if is_best {
            state.best = Some(by);
        }
        is_best
    }

    /// What it learns from.
    pub fn feed(&self) -> &dyn Feed {
        &*self.parts.feed
    }

    fn sample(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.step_idx();
        let (_, own) = self.parts.feed.told();
        let text = match own.inspect(|text| observer.say(text)) {
            Some(own) => Some(own),
            None => self.parts.trainer.averaged(|trainer| observer.sample(trainer, step)),
        };
        if let Some(text) = text {
            self.samples.append(&SampleRow { step, text })?;
        }
        Ok(())
    }

    /// Writes a checkpoint of the current step, unless there is one.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.step_idx();
        if self.saved == Some(step) {
            return Ok(());
        }
        self.metrics.sync()?;
        self.samples.sync()?;
        let RunParts { trainer, dir, files, origin, config, .. } = &mut self.parts;
        trainer.averaged(|trainer| write(dir.stage(step)?, trainer, files, origin))?;
        note_best(dir, self.judged.as_slice())?;
        dir.prune(step, config.keep_last.max(1))?;
        self.saved = Some(step);
        observer.checkpoint(step, &self.parts.dir.checkpoint_dir(step));
        Ok(())
    }
}

/// What a step tells beside its loss: means of later parts, and what the feed saw. What is not
/// finite is left out.
fn told(losses: &Losses, feed: &dyn Feed) -> BTreeMap<String, f64> {
    let parts = losses.0.iter().skip(1);
    let means = parts.filter_map(|part| Some((part.name, part.loss.mean()?)));
    let all = means.chain(feed.told().0).filter(|(_, value)| value.is_finite());
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Writes a checkpoint. Where there is a running mean, it is in the place of the weights now.
fn write(
    mut staged: StagedDir,
    trainer: &Trainer,
    files: &[(String, Vec<u8>)],
    origin: &Origin,
) -> Result<(), CheckpointError> {
    let model = &trainer.model;
    staged.write("config.json", model.config_json().as_bytes())?;
    for (name, bytes) in files {
        staged.write(name, bytes)?;
    }
    let (name, entries) = if model.adapters.is_empty() {
        ("model", model.entries())
    } else {
        let files = model.adapter_files(TRAINED);
        let (config, entries) = files.expect("the one that is trained");
        staged.write("adapter_config.json", config.as_bytes())?;
        ("adapter_model", entries)
    };
    let most = checkpoint::weights::MAX_SHARD_BYTES;
    checkpoint::weights::save(&mut staged, name, &entries, most)?;
    let mut tensors = moments(trainer);
    if let Some(average) = &trainer.average {
        tensors.extend(learned(trainer, WEIGHTS, average.values()));
    }
    trainer::save(&mut staged, &tensors, &trainer.state)?;
    staged.commit(origin.clone()).map(|_| ())
}

/// Refuses data, or a number of steps, that a checkpoint cannot go on with.
fn refuse_others(parts: &RunParts, data: &DataHashes, dir: &Path) -> Result<(), TrainError> {
    let (state, steps, dir) = (&parts.trainer.state, parts.config.steps, dir.to_owned());
    let mut names = data.keys().chain(state.data.keys());
    let other = names.find(|name| data.get(*name) != state.data.get(*name));
    // An early build noted none.
    if let Some(what) = other.filter(|_| !state.data.is_empty()).cloned() {
        return Err(TrainError::OtherData { dir, what });
    }
    if state.step > steps {
        return Err(TrainError::Beyond { dir, step: state.step, steps });
    }
    Ok(())
}

/// Notes the best of all that the log has: who wrote it may have died before it was noted. A note
/// that is damaged is returned, and written anew.
fn renew_best(dir: &RunDir) -> Result<Option<CheckpointError>, TrainError> {
    let damage = match dir.best() {
        Err(error @ CheckpointError::Json { .. }) => {
            dir.forget_best()?;
            Some(error)
        }
        found => found.map(|_| None)?,
    };
    let (_, evals) = metrics::split(metrics::read(&dir.path().join(METRICS_FILE))?);
    note_best(dir, &evals)?;
    Ok(damage)
}

/// Notes the best of `evals` that has a checkpoint, where none before was as good.
fn note_best(dir: &RunDir, evals: &[EvalRow]) -> Result<(), TrainError> {
    let saved = dir.checkpoints()?;
    let is_saved = |row: &&EvalRow| saved.iter().any(|found| found.step == row.step);
    let all = evals.iter().filter(is_saved);
    let all = all.map(|row| Best { step: row.step, metric: row.eval.best_by() });
    let finite = all.filter(|best| best.metric.is_finite());
    let Some(new) = finite.min_by(|a, b| a.metric.total_cmp(&b.metric)) else { return Ok(()) };
    if dir.best()?.is_none_or(|best| new.metric < best.metric) {
        dir.record_best(new)?;
    }
    Ok(())
}

fn logs(
    dir: &Path,
    resume: bool,
    step: u64,
) -> Result<(MetricsLog, SampleLog, EventWriter), TrainError> {
    let (metrics, samples) = (dir.join(METRICS_FILE), dir.join(SAMPLES_FILE));
    Ok(if resume {
        let metrics = Log::resume(&metrics, step)?;
        (metrics, Log::resume(&samples, step)?, EventWriter::resume(dir, step)?)
    } else {
        (Log::create(&metrics)?, Log::create(&samples)?, EventWriter::create(dir)?)
    })
}

/// What the names of weights begin with, of a run that stores their running mean as its model.
const WEIGHTS: &str = "weights";

/// Of every parameter that learns its part of `values`, by the project's own names.
fn learned<'t>(trainer: &'t Trainer, prefix: &str, values: &'t [f32]) -> Vec<Entry<'t>> {
    let entry = |name: &str, param: &Param| {
        let values = Values::F32(&values[param.range()]);
        Entry::new(format!("{prefix}.{name}"), param.shape(), values)
    };
    trainer.model.params.trained().map(|e| entry(&e.name, &e.param)).collect()
}

/// Both moments of every parameter that learns.
fn moments<'t>(trainer: &'t Trainer) -> Vec<Entry<'t>> {
    let [first, second] = trainer.optimizer.moments();
    let mut all = learned(trainer, "first", first);
    all.extend(learned(trainer, "second", second));
    all
}

/// Takes weights, moments and state from a checkpoint.
fn load(trainer: &mut Trainer, model: Model, dir: &Path) -> Result<(), TrainError> {
    let mismatch = |problem: String| TrainError::Mismatch { dir: dir.to_owned(), problem };
    if model.config.family().to_json() != trainer.model.config.family().to_json() {
        return Err(mismatch("its config is of another model".into()));
    }
    trainer.model = model;
    let (weights, state) = trainer::load::<TrainerState>(dir)?;
    if let Some(average) = &mut trainer.average {
        average.swap(&mut trainer.model.params);
        for entry in trainer.model.params.entries().to_vec() {
            if entry.param.is_trained() {
                let (name, shape) = (format!("{WEIGHTS}.{}", entry.name), entry.param.shape());
                weights.read_f32(&name, shape, trainer.model.params.get_mut(&entry.param))?;
            }
        }
    }
    for entry in trainer.model.params.trained() {
        let (range, shape) = (entry.param.range(), entry.param.shape());
        let names = ["first", "second"].map(|moment| format!("{moment}.{}", entry.name));
        let moments = trainer.optimizer.moments_mut();
        for (name, values) in names.iter().zip(moments) {
            weights.read_f32(name, shape, &mut values[range.clone()])?;
        }
    }
    trainer.state = state;
    Ok(())
}
