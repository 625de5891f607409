//! A run that learns from what its own model writes: each step's prompts are answered several
//! times, answers are graded, and those better than the rest of their group become likelier.
//!
//! Shao et al., arXiv:2402.03300, algorithm 1, with one update for what was written. What is drawn
//! is a function of seed and step: a resumed run writes what it would have written.

use std::ops::ControlFlow;
use std::sync::Arc;

use data::{Cursor, Cursors, IGNORED};
use generate::{Event, GenerateError, Request, Sampling, generate_all};
use kernels::philox::philox4x32;
use models::Model;
use tasks::{Example, Label, Row, advantages, log_probs, spread};

use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::feed::Feed;
use crate::samples::{Judge, SamplePlan};
use crate::state::DataHashes;
use crate::trainer::{At, Trainer};

/// Rows that are written at once, at most: what they saw is kept in memory.
pub const ROWS_AT_ONCE: usize = 128;
/// Tokens that are shown at once where learning began.
const REFERENCE_TOKENS: usize = 4096;

/// An answer, and to which of the prompts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of the prompt.
    pub prompt: usize,
    /// The answer, without what ends it.
    pub tokens: Vec<u32>,
    /// What ended it, if anything did but its length.
    pub end: Option<u32>,
}

/// What answers are worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grades {
    /// One an answer.
    pub rewards: Vec<f64>,
    /// What is to be told of all, by name.
    pub told: Vec<(String, f64)>,
    /// Some of it, to be read.
    pub sample: String,
}

/// Says what answers are worth.
pub type Grade<'o> = dyn Fn(&[Written]) -> Result<Grades, TrainError> + 'o;

/// How prompts are answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Writing {
    /// Answers to each prompt.
    pub n: usize,
    /// How boldly.
    pub sampling: Sampling,
    /// Tokens of an answer, at most.
    pub max_tokens: usize,
    /// Each ends an answer.
    pub ends: Vec<u32>,
    /// Equal seeds, equal answers.
    pub seed: u64,
}

/// What a run of answers is made of.
pub struct RolloutParts<'o> {
    /// What is asked, in tokens.
    pub prompts: Arc<[Vec<u32>]>,
    /// The order of the prompts.
    pub plan: SamplePlan,
    /// How they are answered.
    pub writing: Writing,
    /// The model that learning began with, where it is held on to.
    pub reference: Option<Model>,
    /// What answers are worth.
    pub grade: Box<Grade<'o>>,
    /// Hashes of all that it is made of.
    pub hashes: DataHashes,
    /// How good the model is.
    pub judge: Box<Judge<'o>>,
}

/// Prompts, and what the model makes of them.
pub struct RolloutFeed<'o> {
    parts: RolloutParts<'o>,
    cursor: Cursor,
    told: Vec<(String, f64)>,
    sample: Option<String>,
}

/// Answers of a model to `which` of `prompts`, those of a prompt side by side, in
/// the order of `which`.
///
/// # Errors
/// When the model's scores are not finite.
///
/// # Panics
/// When a prompt is empty, or longer than the model's context.
pub fn write(
    at: At<'_>,
    (prompts, which): (&[Vec<u32>], &[usize]),
    writing: &Writing,
) -> Result<Vec<Written>, GenerateError> {
    let Writing { n, sampling, max_tokens, ref ends, seed } = *writing;
    let request = |(place, &prompt): (u64, &usize)| Request {
        prompt: prompts[prompt].clone(),
        max_tokens,
        sampling,
        seed: seed_of(seed, place),
        ends: Vec::new(),
        n_samples: n,
    };
    let requests: Vec<Request> = (0..).zip(which).map(request).collect();
    let blank = |&prompt: &usize| Written { prompt, tokens: Vec::new(), end: None };
    let mut all: Vec<Written> = which.iter().flat_map(|at| vec![blank(at); n]).collect();
    generate_all(at, &requests, ROWS_AT_ONCE, |[place, row], event| {
        let Event::Token(token) = event else { return ControlFlow::Continue(()) };
        let written = &mut all[place * n + row];
        if ends.contains(&token) {
            written.end = Some(token);
            return ControlFlow::Break(());
        }
        written.tokens.push(token);
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

impl<'o> RolloutFeed<'o> {
    /// Of `parts`.
    pub fn new(parts: RolloutParts<'o>) -> Self {
        Self { parts, cursor: Cursor::default(), told: Vec::new(), sample: None }
    }

    /// What the model is shown of its answers: advantages are their labels.
    fn examples(&self, written: &[Written], rewards: &[f64], step: u64) -> Vec<Example> {
        let RolloutParts { prompts, writing, .. } = &self.parts;
        let advantages = rewards.chunks(writing.n).flat_map(advantages);
        let of = |(at, (written, advantage)): (usize, (&Written, f64))| {
            let prompt = &prompts[written.prompt];
            let ids = prompt.iter().chain(&written.tokens).copied();
            let mut ids: Vec<u32> = ids.chain(written.end).collect();
            let mut targets = vec![IGNORED; prompt.len() - 1];
            targets.extend(&ids[prompt.len()..]);
            ids.pop();
            let label = Label::Value(advantage as f32);
            let sample_id = step << 24 | at as u64;
            Example { input: Row::plain(ids), targets, label, ..Example::of(sample_id) }
        };
        written.iter().zip(advantages).enumerate().map(of).collect()
    }
}

/// The seed of a step, or of a prompt in it: drawn so that those of neighbours have nothing in
/// common.
fn seed_of(seed: u64, step: u64) -> u64 {
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    let [low, high] = halves(step);
    let [a, b, ..] = philox4x32([low, high, 0, 0], halves(seed));
    u64::from(a) << 32 | u64::from(b)
}

/// Means that are told of all answers of a step.
fn told(written: &[Written], rewards: &[f64], n: usize) -> Vec<(String, f64)> {
    let count = written.len().max(1) as f64;
    let deviations: Vec<f64> = rewards.chunks(n).map(|group| spread(group).1).collect();
    let length: usize = written.iter().map(|written| written.tokens.len()).sum();
    let ended = written.iter().filter(|written| written.end.is_some()).count();
    let told = [
        ("reward", spread(rewards).0),
        ("reward_std", spread(&deviations).0),
        ("length", length as f64 / count),
        ("ended", ended as f64 / count),
    ];
    told.map(|(name, value)| (name.to_owned(), value)).into()
}

impl Feed for RolloutFeed<'_> {
    fn seek(&mut self, cursors: &Cursors) -> Result<(), TrainError> {
        self.cursor = cursors.0.first().copied().unwrap_or_default();
        let (window, n_windows) = (self.cursor.window, self.parts.prompts.len() as u64);
        if window >= n_windows {
            return Err(data::DataError::Cursor { window, n_windows }.into());
        }
        Ok(())
    }

    fn next(&mut self, trainer: &Trainer) -> Result<Vec<Example>, TrainError> {
        let RolloutParts { prompts, plan, writing, reference, grade, .. } = &self.parts;
        let (which, cursor) = plan.step(self.cursor);
        let step = trainer.state.step;
        let writing = Writing { seed: seed_of(writing.seed, step), ..writing.clone() };
        let written = write(trainer.at(), (prompts, &which), &writing)?;
        let grades = grade(&written)?;
        let mut examples = self.examples(&written, &grades.rewards, step);
        if let Some(model) = reference {
            let began = (model, &trainer.device, trainer.config.precision);
            let how = (REFERENCE_TOKENS, writing.sampling.temperature);
            let known = log_probs(began, &examples, how);
            for (example, known) in examples.iter_mut().zip(known) {
                example.reference = known;
            }
        }
        self.told = told(&written, &grades.rewards, writing.n);
        self.told.extend(grades.told);
        self.sample = Some(grades.sample);
        self.cursor = cursor;
        Ok(examples)
    }

    fn told(&self) -> (Vec<(&str, f64)>, Option<String>) {
        let told = self.told.iter().map(|(name, value)| (&**name, *value));
        (told.collect(), self.sample.clone())
    }

    fn cursors(&self) -> Cursors {
        self.cursor.into()
    }

    fn read(&self) -> Vec<(&str, u64, u64)> {
        let n = self.parts.prompts.len() as u64;
        vec![("", self.cursor.epoch * n + self.cursor.window, n)]
    }

    fn hashes(&self) -> DataHashes {
        self.parts.hashes.clone()
    }

    fn judge(&self, trainer: &Trainer) -> Result<Option<Evaluation>, TrainError> {
        (self.parts.judge)(trainer.at())
    }
}
