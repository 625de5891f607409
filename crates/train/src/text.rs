//! A run that learns from plain text, in windows of token stores.

use std::sync::Arc;

use data::{BatchConfig, Batches, Cursors, Ingredient, Mixture, Shares, Store};
use tasks::{Example, TextObjective};

use crate::error::TrainError;
use crate::evaluate::{Evaluation, evaluate};
use crate::feed::Feed;
use crate::state::DataHashes;
use crate::trainer::Trainer;

/// A source of a run.
#[derive(Clone, Debug)]
pub struct RunSource {
    /// What it is called; nothing where it is the only one.
    pub name: String,
    /// What is learned from.
    pub store: Arc<Store>,
    /// What is judged by.
    pub validation: Option<Arc<Store>>,
    /// How often it is read, at most.
    pub max_epochs: Option<f64>,
}

impl RunSource {
    /// The only one.
    pub fn only(store: Arc<Store>, validation: Option<Arc<Store>>) -> Self {
        Self { name: String::new(), store, validation, max_epochs: None }
    }

    /// What is learned from of all of them.
    pub fn mixture(sources: &[Self], shares: &[Shares]) -> Mixture {
        let ingredient = |source: &Self| Ingredient {
            store: Arc::clone(&source.store),
            max_epochs: source.max_epochs,
        };
        let ingredients = sources.iter().map(ingredient).collect();
        Mixture { ingredients, shares: shares.to_vec() }
    }
}

/// Windows of stores, and the questions that an objective makes of them.
pub struct TextFeed<'o> {
    objective: &'o dyn TextObjective,
    sources: Vec<RunSource>,
    shares: Vec<Shares>,
    config: BatchConfig,
    eval_batch: usize,
    seed: u64,
    batches: Option<Batches>,
}

impl<'o> TextFeed<'o> {
    /// Of `sources`, of which so much is read by the step it holds from; an evaluation shows the
    /// model `eval_batch` rows at once, and `seed` is what questions are drawn by.
    pub fn new(
        objective: &'o dyn TextObjective,
        (sources, shares): (Vec<RunSource>, Vec<Shares>),
        (config, eval_batch): (BatchConfig, usize),
        seed: u64,
    ) -> Self {
        Self { objective, sources, shares, config, eval_batch, seed, batches: None }
    }

    fn batches(&self) -> &Batches {
        self.batches.as_ref().expect("`seek` comes first")
    }
}

impl Feed for TextFeed<'_> {
    fn seek(&mut self, cursors: &Cursors) -> Result<(), TrainError> {
        let mixture = RunSource::mixture(&self.sources, &self.shares);
        self.batches = Some(Batches::new(mixture, self.config, cursors.clone())?);
        Ok(())
    }

    fn next(&mut self, _: &Trainer) -> Result<Vec<Example>, TrainError> {
        let batch = self.batches.as_mut().expect("`seek` comes first").next_batch()?;
        Ok(self.objective.examples(&batch, self.seed))
    }

    fn cursors(&self) -> Cursors {
        self.batches().cursors()
    }

    fn read(&self) -> Vec<(&str, u64, u64)> {
        let counts = self.batches().n_read().into_iter().zip(self.batches().n_windows());
        let named = self.sources.iter().zip(counts);
        named.map(|(source, (n_read, n))| (source.name.as_str(), n_read, n)).collect()
    }

    fn hashes(&self) -> DataHashes {
        let mut hashes = DataHashes::new();
        for RunSource { name, store, validation, .. } in &self.sources {
            let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
            hashes.insert("tokenizer".into(), store.tokenizer_hash());
            hashes.insert(format!("training tokens{of}"), store.content_hash());
            if let Some(store) = validation {
                hashes.insert(format!("validation tokens{of}"), store.content_hash());
            }
        }
        hashes
    }

    fn judge(&self, trainer: &Trainer) -> Result<Option<Evaluation>, TrainError> {
        let model = (&trainer.model, &trainer.device, trainer.config.precision);
        let batches = BatchConfig { batch: self.eval_batch.max(1), ..self.config };
        let mut found: Option<Evaluation> = None;
        for source in &self.sources {
            let Some(store) = &source.validation else { continue };
            let judged = evaluate(model, self.objective, store, batches)?;
            let judged = judged.of_source(&source.name);
            found = Some(match found {
                None => judged,
                Some(found) => found.and(judged),
            });
        }
        Ok(found)
    }
}
