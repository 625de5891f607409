//! What a person at the terminal sees of a run.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;

use data::{BatchConfig, Mode, Shares};
use generate::{Request, Sampling};
use tokenize::Tokenizer;
use train::metrics::{EvalRow, Scores, StepRow};
use train::report::energy::{EnergyMeter, POWERCAP};
use train::report::format::{bytes, compact};
use train::{Observer, RunSource, Trainer};

use super::corpus::Corpora;
use crate::environment::Env;
use crate::machine;
use crate::progress::Progress;
use recipe::Recipe;
use recipe::estimate::Estimate;

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 48;

/// Progress, samples and notes, on standard error.
pub struct RunObserver<'t> {
    /// What is redrawn.
    pub progress: Progress,
    tokenizer: &'t Tokenizer,
    /// What the processor used.
    pub energy: EnergyMeter,
}

impl<'t> RunObserver<'t> {
    /// Watches a run from where `trainer` stands.
    pub fn new(env: &Env, steps: u64, tokenizer: &'t Tokenizer, trainer: &Trainer) -> Self {
        let first = trainer.state.step;
        let on_terminal = std::io::stderr().is_terminal();
        Self {
            progress: Progress::new(env, on_terminal, first, steps),
            tokenizer,
            energy: EnergyMeter::start(Path::new(POWERCAP), first),
        }
    }

    /// How several sources are mixed.
    fn say_shares(&mut self, corpora: &Corpora) {
        let shares = corpora.shares.iter().filter(|shares| shares.weights.len() > 1);
        for Shares { from_step, weights } in shares {
            let total: f64 = weights.iter().sum();
            let share = |(source, weight): (&RunSource, &f64)| {
                let n_tokens = compact(source.store.n_tokens() as f64);
                format!("{:.1} % `{}` ({n_tokens} tokens)", 100.0 * weight / total, source.name)
            };
            let all: Vec<_> = corpora.sources.iter().zip(weights).map(share).collect();
            self.say(&format!("from step {from_step}: {}", all.join(", ")));
        }
    }

    /// What is about to happen.
    pub fn intro(
        &mut self,
        (recipe, batches): (&Recipe, BatchConfig),
        estimate: &Estimate,
        corpora: &Corpora,
    ) {
        let (train, seq_len) = (&recipe.train, recipe.data.seq_len);
        for RunSource { name, store, .. } in &corpora.sources {
            let predicted = store.n_tokens() - u64::from(store.end_of_text().is_none());
            let rest = predicted % (batches.seq_len - batches.around) as u64;
            if recipe.data.mode == Mode::Stream && rest > 0 {
                let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
                let what = format!("the last {rest} tokens{of} fill no window, and are left out");
                self.say(&what);
            }
        }
        self.say_shares(corpora);
        self.say(&format!(
            "{} parameters, {} tokens, {} steps of {} x {} tokens in {}, about {} of memory",
            compact(estimate.n_params as f64),
            compact(corpora.n_tokens() as f64),
            train.steps,
            train.batch_size,
            seq_len,
            train.precision,
            bytes(estimate.total_bytes()),
        ));
    }
}

/// How a model did, in words.
fn scores(eval: &Scores) -> String {
    let Scores { loss, bits_per_byte, accuracy, targets, parts, sources, metrics, .. } = eval;
    let by_source = || sources.iter().map(|(name, s)| format!("; {name}: loss {:.4}", s.loss));
    let by_source: String = by_source().collect();
    if let Some(bits) = bits_per_byte {
        return format!("{bits:.4} bits per byte, loss {loss:.4}{by_source}");
    }
    if !metrics.is_empty() {
        let said = |(name, value): &(String, Option<f64>)| match value {
            Some(value) => format!(", {name} {value:.4}"),
            None => format!(", {name} undefined"),
        };
        return format!("loss {loss:.4}{}", metrics.iter().map(said).collect::<String>());
    }
    let share = |accuracy: f64| format!("{:.1} % right", accuracy * 100.0);
    let parts = parts.iter().map(|(name, part)| {
        format!("; {name}: loss {:.4}, {} of {}", part.loss, share(part.accuracy), part.targets)
    });
    let own = match parts.len() {
        0 => format!(", {} of {targets}, perplexity {:.2}", share(*accuracy), loss.exp()),
        _ => String::new(),
    };
    format!("loss {loss:.4}{own}{}{by_source}", parts.collect::<String>())
}

impl Observer for RunObserver<'_> {
    fn step(&mut self, row: &StepRow) {
        self.energy.sample();
        self.progress.update(row);
    }

    fn eval(&mut self, row: &EvalRow) {
        self.progress.judged(&row.eval);
        self.say(&format!("step {}: validation {}", row.step, scores(&row.eval)));
    }

    fn sample(&mut self, trainer: &Trainer, step: u64) -> Option<String> {
        let request = Request {
            prompt: vec![self.tokenizer.end_of_text()?],
            max_tokens: SAMPLE_TOKENS,
            sampling: Sampling { temperature: 0.8, top_k: Some(50), ..Sampling::default() },
            seed: step,
            ends: self.tokenizer.end_of_text().into_iter().collect(),
            n_samples: 1,
        };
        let mut ids = vec![];
        let model = (&trainer.model, &trainer.device, trainer.config.precision);
        let written = generate::generate(model, &request, |_, token| {
            ids.push(token);
            ControlFlow::Continue(())
        });
        if let Err(error) = written {
            self.say(&format!("step {step} writes nothing: {error}"));
            return None;
        }
        let text = self.tokenizer.decode(&ids).ok()?;
        self.say(&format!("step {step} writes: {}", text.trim()));
        Some(text)
    }

    fn checkpoint(&mut self, step: u64, _dir: &Path) {
        if step == 0 {
            self.say("saved before the first step");
        }
    }

    fn say(&mut self, message: &str) {
        self.progress.say(message);
    }

    fn memory_bytes(&self) -> Option<u64> {
        machine::rss_bytes()
    }
}
