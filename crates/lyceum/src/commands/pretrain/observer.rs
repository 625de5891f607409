//! What a person at the terminal sees of a run.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use generate::{Request, Sampling};
use tokenize::Tokenizer;
use train::metrics::{EvalRow, StepRow};
use train::report::energy::{Energy, EnergyMeter, POWERCAP};
use train::report::format::{bytes, compact, duration};
use train::{Observer, Trainer};

use super::corpus::Corpora;
use crate::environment::Env;
use crate::estimate::Estimate;
use crate::machine;
use crate::progress::{Display, Progress, Reading};
use crate::recipe::Recipe;

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 48;

/// Progress, samples and notes, on standard error.
pub struct RunObserver<'t> {
    progress: Option<Progress>,
    tokenizer: &'t Tokenizer,
    bits_per_byte: Option<f64>,
    energy: EnergyMeter,
    /// The last step's row.
    pub last: Option<StepRow>,
    /// Where the last checkpoint is.
    pub saved: Option<PathBuf>,
}

impl<'t> RunObserver<'t> {
    /// Watches a run from where `trainer` stands.
    pub fn new(env: &Env, recipe: &Recipe, tokenizer: &'t Tokenizer, trainer: &Trainer) -> Self {
        let first = trainer.state.step;
        let display = Display::choose(env.is_quiet(), std::io::stderr().is_terminal(), env.color);
        Self {
            progress: Some(Progress::new(display, first, recipe.train.steps)),
            tokenizer,
            bits_per_byte: None,
            energy: EnergyMeter::start(Path::new(POWERCAP), first),
            last: None,
            saved: None,
        }
    }

    /// What is about to happen.
    pub fn intro(&mut self, recipe: &Recipe, estimate: &Estimate, corpora: &Corpora) {
        let train = &recipe.train;
        self.say(&format!(
            "{} parameters, {} tokens, {} steps of {} x {} tokens in {}, about {} of memory",
            compact(estimate.n_params as f64),
            compact(corpora.train.n_tokens() as f64),
            train.steps,
            train.batch_size,
            recipe.data.seq_len,
            train.precision,
            bytes(estimate.total_bytes()),
        ));
    }

    /// Clears the bar.
    pub fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    /// Energy used so far.
    pub fn energy(&mut self) -> Energy {
        self.energy.energy()
    }
}

impl Observer for RunObserver<'_> {
    fn step(&mut self, row: &StepRow) {
        self.energy.sample();
        if let Some(progress) = &mut self.progress {
            progress.update(&Reading {
                step: row.step,
                loss: row.loss,
                bits_per_byte: self.bits_per_byte,
                tokens_per_s: row.tokens_per_s,
                share_of_peak: row.share_of_peak,
                memory_bytes: row.memory_bytes,
            });
        }
        self.last = Some(row.clone());
    }

    fn eval(&mut self, row: &EvalRow) {
        self.bits_per_byte = Some(row.bits_per_byte);
        let EvalRow { step, loss, bits_per_byte: bits } = row;
        self.say(&format!("step {step}: validation {bits:.4} bits per byte, loss {loss:.4}"));
    }

    fn sample(&mut self, trainer: &Trainer, step: u64) -> Option<String> {
        let request = Request {
            prompt: vec![self.tokenizer.end_of_text()?],
            max_tokens: SAMPLE_TOKENS,
            sampling: Sampling { temperature: 0.8, top_k: Some(50), ..Sampling::default() },
            seed: step,
            end: self.tokenizer.end_of_text(),
            n_samples: 1,
        };
        let mut ids = vec![];
        let model = (&trainer.model, &trainer.device, trainer.config.precision);
        generate::generate(model, &request, |_, token| {
            ids.push(token);
            ControlFlow::Continue(())
        });
        let text = self.tokenizer.decode(&ids).ok()?;
        self.say(&format!("step {step} writes: {}", text.trim()));
        Some(text)
    }

    fn checkpoint(&mut self, step: u64, dir: &Path) {
        self.saved = Some(dir.to_owned());
        if step == 0 {
            self.say("saved before the first step");
        }
    }

    fn say(&mut self, message: &str) {
        if let Some(progress) = &mut self.progress {
            progress.say(message);
        }
    }

    fn memory_bytes(&self) -> Option<u64> {
        machine::rss_bytes()
    }
}

/// `1 h 2 min` of a run, for its last line.
pub fn took(seconds: f64) -> String {
    duration(seconds)
}
