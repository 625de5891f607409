//! From a source to a vocabulary and to token stores.

use std::path::Path;

use tokenize::{Tokenizer, safe_cut};

use crate::source::PART_BYTES;
use crate::split::{Piece, Side, Splitter};
use crate::{DataError, Document, Source, StoreMeta, StoreSummary, StoreWriter};

/// Text that is tokenized at once, in parallel; what bounds memory.
const BATCH_BYTES: usize = 8 << 20;

/// What [`build`] makes.
#[derive(Clone, Copy, Debug)]
pub struct BuildConfig<'a> {
    /// Turns text into ids.
    pub tokenizer: &'a Tokenizer,
    /// Where the store to train on goes.
    pub train: &'a Path,
    /// Where the store to validate on goes, and the fraction of the text it gets.
    pub validation: Option<(&'a Path, f64)>,
}

/// How far [`build`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Documents read.
    pub n_documents: u64,
    /// Bytes of text tokenized.
    pub n_text_bytes: u64,
    /// Tokens written.
    pub n_tokens: u64,
}

/// The stores that [`build`] made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// To train on.
    pub train: StoreSummary,
    /// To validate on.
    pub validation: Option<StoreSummary>,
}

/// Trains a byte-level BPE on the text of `source`: see [`Tokenizer::train`].
///
/// # Errors
/// When the text cannot be read, or `vocab_size` is out of range.
pub fn train_tokenizer(source: &Source, vocab_size: usize) -> Result<Tokenizer, DataError> {
    let mut failure = None;
    let texts = source.open()?.map_while(|document| match document {
        Ok(document) => Some(document.text),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let tokenizer = Tokenizer::train(texts, vocab_size);
    failure.map_or(Ok(tokenizer?), Err)
}

/// Tokenizes `source` into a store, or into two.
///
/// Validation text is the tail of long documents and whole short ones, evenly spread, so that a
/// corpus of one file has some too. The stores are the same whatever the number of threads.
/// `on_progress` is called now and then.
///
/// # Errors
/// When the text cannot be read or a store not be written; then neither store is there, or what was
/// there before still is.
pub fn build(
    source: &Source,
    config: &BuildConfig,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Built, DataError> {
    let fraction = config.validation.map_or(0.0, |(_, fraction)| fraction);
    if !(0.0..=0.5).contains(&fraction) || (config.validation.is_some() && fraction == 0.0) {
        let problem = "it must be above 0, and at most 0.5";
        let value = fraction.to_string();
        return Err(DataError::Config { field: "validation_fraction", value, problem });
    }
    let documents = source.open()?;
    let meta = StoreMeta::of(config.tokenizer);
    let mut builder = Builder {
        tokenizer: config.tokenizer,
        train: StoreWriter::create(config.train, &meta)?,
        validation: config
            .validation
            .map(|(path, _)| StoreWriter::create(path, &meta))
            .transpose()?,
        progress: Progress::default(),
    };
    let mut splitter = Splitter::new(fraction);
    let (mut pieces, mut n_bytes) = (Vec::new(), 0);
    for document in documents {
        let document = document?;
        builder.progress.n_documents += u64::from(document.ends);
        n_bytes += document.text.len();
        push_parts(document, &mut splitter, &mut pieces);
        if n_bytes >= BATCH_BYTES {
            builder.write(&pieces)?;
            on_progress(builder.progress);
            pieces.clear();
            n_bytes = 0;
        }
    }
    splitter.finish(&mut pieces);
    builder.write(&pieces)?;
    on_progress(builder.progress);
    builder.finish()
}

/// A document from JSONL or Parquet may be of any length, and is cut as text files are.
fn push_parts(document: Document, splitter: &mut Splitter, pieces: &mut Vec<Piece>) {
    let Document { mut text, origin, ends } = document;
    while text.len() > PART_BYTES * 2 {
        let rest = text.split_off(safe_cut(&text, PART_BYTES));
        splitter.push(Document { text, origin: origin.clone(), ends: false }, pieces);
        text = rest;
    }
    splitter.push(Document { text, origin, ends }, pieces);
}

struct Builder<'a> {
    tokenizer: &'a Tokenizer,
    train: StoreWriter,
    validation: Option<StoreWriter>,
    progress: Progress,
}

impl Builder<'_> {
    fn write(&mut self, pieces: &[Piece]) -> Result<(), DataError> {
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let ids = self.tokenizer.encode_batch(&texts)?;
        for (piece, ids) in pieces.iter().zip(ids) {
            let writer = match (piece.side, &mut self.validation) {
                (Side::Validation, Some(writer)) => writer,
                _ => &mut self.train,
            };
            writer.push(&ids, piece.text.len() as u64)?;
            if piece.ends {
                writer.end_document()?;
            }
            self.progress.n_text_bytes += piece.text.len() as u64;
        }
        let n_validation = self.validation.as_ref().map_or(0, StoreWriter::n_tokens);
        self.progress.n_tokens = self.train.n_tokens() + n_validation;
        Ok(())
    }

    /// Names the stores. The one to train on comes last: where it is, both are.
    fn finish(self) -> Result<Built, DataError> {
        let validation = self.validation.map(StoreWriter::finish).transpose()?;
        Ok(Built { train: self.train.finish()?, validation })
    }
}

#[cfg(test)]
mod tests;
