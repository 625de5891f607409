//! How much text a recipe has, and about how many tokens that is.

use std::path::Path;

use data::{DataError, Source};
use tokenize::Tokenizer;

use super::super::pretrain::corpus;
use crate::environment::Env;
use crate::failure::Failure;
use crate::recipe::Recipe;

/// Text that tokens are counted in.
const SAMPLE_BYTES: usize = 1 << 20;
/// Text of unknown size is read so far.
const READ_BYTES: u64 = 64 << 20;

/// The text of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text {
    /// Bytes of text; none where that is more than is read for a plan.
    pub n_bytes: Option<u64>,
    /// About so many tokens: counted in a sample.
    pub n_tokens: Option<u64>,
}

impl Text {
    /// Reads some of it; none for standard input, which can be read but once. `n_bytes` are the
    /// files', where they are plain text.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn measure(
        recipe: &Recipe,
        n_bytes: Option<u64>,
        env: &Env,
    ) -> Result<Option<Self>, Failure> {
        if corpus::is_stdin(recipe)? {
            return Ok(None);
        }
        let source = corpus::source(recipe, Path::new(""))?;
        let sample = sample(&source)?;
        let n_bytes = n_bytes.map_or_else(|| counted(&source), |n| Ok(Some(n)))?;
        env.say("counting tokens in a sample of the text ..");
        let tokenizer = if let Some(path) = &recipe.tokenizer.path {
            Tokenizer::load(path)?
        } else {
            Tokenizer::train(std::iter::once(sample.clone()), recipe.tokenizer.vocab_size)?
        };
        let a_token = sample.len() as f64 / tokenizer.encode(&sample)?.len().max(1) as f64;
        let trained = 1.0 - recipe.data.validation_fraction;
        let n_tokens = n_bytes.map(|n| (n as f64 * trained / a_token) as u64);
        Ok(Some(Self { n_bytes, n_tokens }))
    }
}

/// The first [`SAMPLE_BYTES`], or all there is.
fn sample(source: &Source) -> Result<String, DataError> {
    let mut text = String::new();
    for document in source.open()? {
        text += &document?.text;
        if text.len() >= SAMPLE_BYTES {
            text.truncate(text.floor_char_boundary(SAMPLE_BYTES));
            break;
        }
    }
    Ok(text)
}

/// Bytes of text, by reading; none where there are more than [`READ_BYTES`].
fn counted(source: &Source) -> Result<Option<u64>, DataError> {
    let mut n_bytes = 0;
    for document in source.open()? {
        n_bytes += document?.text.len() as u64;
        if n_bytes > READ_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(n_bytes))
}
