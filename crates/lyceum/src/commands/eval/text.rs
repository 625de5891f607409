//! How well a model predicts a text.
//!
//! Windows of the model's context slide over each document, `stride` tokens at a time; a window is
//! asked only for the tokens that no window before it was. So every token is predicted once, and
//! but for the first window from at least `context - stride` tokens.

use std::path::{Path, PathBuf};

use ::data::{Batch, IGNORED, ReadOptions, Source};
use serde_json::{Value, json};
use tasks::{MicroBatch, NextToken, Objective, TextObjective, bits_per_byte};
use tensor::{Loss, Tape};
use tokenize::Tokenizer;
use train::report::format::grouped;

use crate::cli::Eval;
use crate::commands::load::Loaded;
use crate::commands::pretrain::corpus::warn_of_skipped;
use crate::commands::show;
use crate::commands::table::Table;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Tokens that go through the model at once, where a window is no longer.
const TOKENS_AT_ONCE: usize = 4096;

/// Measures every file.
///
/// # Errors
/// Where a file or the model is refused, or there is nothing to predict.
pub fn run(model: &Path, args: &Eval, env: &Env) -> Result<Exit, Failure> {
    let loaded = Loaded::with(model, &args.adapters, args.precision, env)?.scores_tokens()?;
    let max_len = loaded.max_len();
    let stride = args.stride.unwrap_or(max_len.div_ceil(2));
    if stride > max_len {
        let problem = format!("`--stride` is {stride}, the model's context is {max_len}");
        return Err(Failure::new(problem).hint("a longer stride would leave tokens out"));
    }
    let tokenizer = loaded.tokenizer()?;
    let start = tokenizer.beginning().or_else(|| loaded.end(&tokenizer));
    let judge = Judge { loaded, tokenizer, start, stride, env };
    let head = ["file", "bytes", "tokens", "bits/byte", "nats/token", "perplexity"];
    let (mut total, mut table, mut files) = (Score::default(), Table::new(&head), vec![]);
    for path in &args.files {
        let (name, score) = (path.display(), judge.file(path)?);
        if score.loss.n_targets == 0 {
            return Err(Failure::new(format!("`{name}` has no token that can be predicted"))
                .hint("a text of at least two tokens is needed"));
        }
        total.loss += score.loss;
        total.n_bytes += score.n_bytes;
        let mut json = score.add_to(&mut table, &name.to_string());
        json["file"] = json!(name.to_string());
        files.push(json);
    }
    let mut unseen = Table::default();
    let in_table = if files.len() > 1 { &mut table } else { &mut unseen };
    let mut json = total.add_to(in_table, "total");
    json["files"] = files.into();
    show(args.json, (table.text(), json))
}

/// How well something was predicted.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    loss: Loss,
    /// Bytes of the tokens that were predicted.
    n_bytes: u64,
    n_windows: usize,
}

impl Score {
    /// A row of `table`, and an object.
    fn add_to(self, table: &mut Table, name: &str) -> Value {
        let Self { loss, n_bytes, .. } = self;
        let nats = loss.mean().unwrap_or(f64::NAN);
        let bits = bits_per_byte(loss, n_bytes).unwrap_or(f64::NAN);
        table.row(&[
            name,
            &grouped(n_bytes),
            &grouped(loss.n_targets),
            &format!("{bits:.4}"),
            &format!("{nats:.4}"),
            &format!("{:.3}", nats.exp()),
        ]);
        json!({
            "bits_per_byte": bits,
            "nats_per_token": nats,
            "perplexity": nats.exp(),
            "n_bytes": n_bytes,
            "n_tokens": loss.n_targets,
        })
    }
}

/// The model that predicts.
struct Judge<'e> {
    loaded: Loaded,
    tokenizer: Tokenizer,
    /// Stands before a document.
    start: Option<u32>,
    stride: usize,
    env: &'e Env,
}

impl Judge<'_> {
    fn file(&self, path: &Path) -> Result<Score, Failure> {
        let source = if path == Path::new("-") {
            Source::Stdin
        } else {
            Source::Paths { paths: vec![PathBuf::from(path)], options: ReadOptions::default() }
        };
        warn_of_skipped(&source, self.env)?;
        let (mut score, mut text, mut waiting) = (Score::default(), String::new(), vec![]);
        for document in source.open()? {
            let document = document?;
            text += &document.text;
            if document.ends {
                let (ids, n_bytes) = self.ids(&text)?;
                score.n_bytes += n_bytes;
                text.clear();
                // Windows wait until a batch is full, across documents.
                for window in windows(&ids, self.loaded.max_len(), self.stride) {
                    waiting.push(window);
                    if waiting.len() == self.rows() {
                        self.judge(&waiting, &mut score, path)?;
                        waiting.clear();
                    }
                }
            }
        }
        if !waiting.is_empty() {
            self.judge(&waiting, &mut score, path)?;
        }
        Ok(score)
    }

    /// Adds how well `windows` are predicted.
    fn judge(&self, windows: &[Window], to: &mut Score, path: &Path) -> Result<(), Failure> {
        let loss = self.loss(windows);
        if !loss.sum.is_finite() {
            let is_at_fault = |window| !self.loss(std::slice::from_ref(window)).sum.is_finite();
            let first = to.n_windows + windows.iter().position(is_at_fault).unwrap_or(0) + 1;
            let (path, loss) = (path.display(), loss.sum);
            let problem = format!("the loss of window {first} of `{path}` is {loss}");
            let hint = "a weight is not finite, or bf16 holds too little: try `--precision f32`";
            return Err(Failure::new(problem).hint(hint));
        }
        to.loss += loss;
        to.n_windows += windows.len();
        Ok(())
    }

    /// What is read of a document, and the bytes of what is predicted: without a token that begins
    /// a text, the first is given.
    fn ids(&self, text: &str) -> Result<(Vec<u32>, u64), Failure> {
        let mut ids = self.tokenizer.encode(text)?;
        let given = match (self.start, ids.first()) {
            (Some(start), _) => {
                ids.insert(0, start);
                0
            }
            (None, Some(&first)) => self.tokenizer.decode(&[first])?.len() as u64,
            (None, None) => 0,
        };
        Ok((ids, text.len() as u64 - given.min(text.len() as u64)))
    }

    fn rows(&self) -> usize {
        (TOKENS_AT_ONCE / self.loaded.max_len()).max(1)
    }

    fn loss(&self, windows: &[Window]) -> Loss {
        let model = &self.loaded.model;
        let objective = NextToken::default();
        let examples = objective.examples(&batch(windows), 0);
        let micro = MicroBatch::new(&examples, 0..windows.len(), None);
        let device = self.env.device();
        let tape = Tape::new(&device, &model.params, self.loaded.precision);
        objective.loss(&tape, model, &micro).first()
    }
}

/// A piece of a document as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

/// Windows of at most `max_len` over `ids`, every id but the first being a target once.
pub fn windows(ids: &[u32], max_len: usize, stride: usize) -> impl Iterator<Item = Window> {
    let n_targets = ids.len().saturating_sub(1);
    let mut asked = 0;
    std::iter::from_fn(move || {
        if asked == n_targets {
            return None;
        }
        // As much before what is asked as fits; the last window ends with the document.
        let wanted = if asked == 0 { max_len } else { asked + stride };
        let end = wanted.min(n_targets);
        let start = end.saturating_sub(max_len);
        let mut targets = ids[start + 1..=end].to_vec();
        targets[..asked - start].fill(IGNORED);
        asked = end;
        Some(Window { inputs: ids[start..end].to_vec(), targets })
    })
}

/// Windows as rows, the shorter ones padded where nothing is asked.
pub fn batch(windows: &[Window]) -> Batch {
    let seq_len = windows.iter().map(|window| window.inputs.len()).max().unwrap_or(0);
    let mut batch = Batch { seq_len, ..Batch::default() };
    for (id, window) in (0..).zip(windows) {
        batch.inputs.extend(&window.inputs);
        batch.targets.extend(&window.targets);
        let n = batch.sample_ids.len() * seq_len + seq_len;
        batch.inputs.resize(n, 0);
        batch.targets.resize(n, IGNORED);
        batch.sample_ids.push(id);
    }
    batch.n_targets = batch.targets.iter().filter(|&&target| target != IGNORED).count() as u64;
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_a_target_once_and_in_order() {
        let ids: Vec<u32> = (0..23).collect();
        for (max_len, stride) in [(4, 2), (4, 4), (4, 1), (5, 3), (22, 11), (64, 32), (1, 1)] {
            let windows: Vec<_> = windows(&ids, max_len, stride).collect();
            let asked = windows.iter().flat_map(|window| &window.targets);
            let asked: Vec<u32> = asked.filter(|&&target| target != IGNORED).copied().collect();
            assert_eq!(asked, ids[1..], "context {max_len}, stride {stride}");
            for window in &windows {
                assert!(window.inputs.len() <= max_len);
                let pairs = window.inputs.iter().zip(&window.targets);
                assert!(pairs.clone().all(|(i, t)| *t == IGNORED || *t == i + 1), "{window:?}");
            }
            for window in &windows[1..] {
                let context = window.targets.iter().position(|&target| target != IGNORED);
                assert!(context.is_some_and(|n| n + stride >= max_len), "{window:?}");
            }
        }
    }

    #[test]
    fn too_short_a_text_has_no_window() {
        assert_eq!(windows(&[], 4, 2).count(), 0);
        assert_eq!(windows(&[7], 4, 2).count(), 0);
    }

    #[test]
    fn rows_of_a_batch_are_padded_where_nothing_is_asked() {
        let batch = batch(&windows(&[1, 2, 3, 4, 5, 6], 3, 2).collect::<Vec<_>>());
        assert_eq!(batch.seq_len, 3);
        assert_eq!(batch.inputs, [1, 2, 3, 3, 4, 5]);
        assert_eq!(batch.targets, [2, 3, 4, IGNORED, 5, 6]);
        assert_eq!((batch.n_targets, batch.n_rows()), (5, 2));
    }
}
