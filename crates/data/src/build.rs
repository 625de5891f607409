//! From a source to a vocabulary and to token stores.

use std::path::Path;

use rayon::prelude::*;
use tokenize::{Scheme, Tokenizer, safe_cut};

use crate::source::PART_BYTES;
use crate::split::{Piece, Side, Splitter};
use crate::{DataError, Document, Marker, Source, StoreMeta, StoreWriter};

/// Text that is tokenized at once, in parallel; what bounds memory.
const BATCH_BYTES: usize = 8 << 20;

/// Trains a vocabulary on the text of `source`: see [`Tokenizer::train_as`].
///
/// # Errors
/// When the text cannot be read, or `vocab_size` is out of range.
pub fn train_tokenizer(
    source: &Source,
    scheme: Scheme,
    vocab_size: usize,
) -> Result<Tokenizer, DataError> {
    let mut failure = None;
    let texts = source.open()?.map_while(|document| match document {
        Ok(document) => Some(document.text),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let tokenizer = Tokenizer::train_as(scheme, texts, vocab_size);
    failure.map_or(Ok(tokenizer?), Err)
}

/// Encodes `source` (with a tokenizer alone, or an [`Encoder`]) into the store `train`, and a fraction of it into `validation`.
///
/// Validation text is the tail of long documents and whole short ones, evenly spread, so that a
/// corpus of one file has some too. With a `marker`, every token is stored with its
/// [marks](crate::marks). The stores are the same whatever the number of threads.
///
/// # Errors
/// When the text cannot be read or a store not be written. What was at `train` before is there
/// still; where nothing was, nothing is, though `validation` may have got its name already.
pub fn build<'e>(
    source: &Source,
    encoder: impl Into<Encoder<'e>>,
    train: &Path,
    validation: Option<(&Path, f64)>,
) -> Result<(), DataError> {
    let encoder = encoder.into();
    let fraction = validation.map_or(0.0, |(_, fraction)| fraction);
    if validation.is_some() && (fraction.is_nan() || fraction <= 0.0 || fraction > 0.5) {
        let problem = "it must be above 0, and at most 0.5";
        let value = fraction.to_string();
        return Err(DataError::Config { field: "validation_fraction", value, problem });
    }
    let documents = source.open()?;
    let meta = encoder.meta();
    let mut stores = Stores {
        train: StoreWriter::create(train, &meta)?,
        validation: validation.map(|(path, _)| StoreWriter::create(path, &meta)).transpose()?,
    };
    let mut splitter = Splitter::new(fraction);
    let (mut pieces, mut n_bytes) = (Vec::new(), 0);
    for document in documents {
        let document = document?;
        n_bytes += document.text.len();
        push_parts(document, &mut splitter, &mut pieces);
        if n_bytes >= BATCH_BYTES {
            stores.write(&encoder, &pieces)?;
            pieces.clear();
            n_bytes = 0;
        }
    }
    splitter.finish(&mut pieces);
    stores.write(&encoder, &pieces)?;
    // The one to train on comes last: where it is, both are.
    stores.validation.map_or(Ok(()), StoreWriter::finish)?;
    stores.train.finish()
}

/// A document from JSONL or Parquet may be of any length, and is cut as text files are.
fn push_parts(document: Document, splitter: &mut Splitter, pieces: &mut Vec<Piece>) {
    let Document { mut text, ends } = document;
    while text.len() > PART_BYTES * 2 {
        let rest = text.split_off(safe_cut(&text, PART_BYTES));
        splitter.push(Document { text, ends: false }, pieces);
        text = rest;
    }
    splitter.push(Document { text, ends }, pieces);
}

struct Stores {
    train: StoreWriter,
    validation: Option<StoreWriter>,
}

impl Stores {
    fn write(&mut self, encoder: &Encoder, pieces: &[Piece]) -> Result<(), DataError> {
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        for (piece, (ids, marks)) in pieces.iter().zip(encoder.encode(&texts)?) {
            let writer = match (piece.side, &mut self.validation) {
                (Side::Validation, Some(writer)) => writer,
                _ => &mut self.train,
            };
            writer.push_marked(&ids, &marks, piece.text.len() as u64)?;
            if piece.ends {
                writer.end_document()?;
            }
        }
        Ok(())
    }
}

/// How text becomes what a store holds.
#[derive(Clone, Copy)]
pub struct Encoder<'e> {
    /// Gives the ids.
    pub tokenizer: &'e Tokenizer,
    /// Gives the marks, for a store with such.
    pub marker: Option<&'e Marker>,
}

impl<'e> From<&'e Tokenizer> for Encoder<'e> {
    fn from(tokenizer: &'e Tokenizer) -> Self {
        Self { tokenizer, marker: None }
    }
}

impl Encoder<'_> {
    /// What a store of it has to know.
    pub fn meta(&self) -> StoreMeta {
        StoreMeta { has_marks: self.marker.is_some(), ..StoreMeta::of(self.tokenizer) }
    }

    /// Ids of every text, and marks where there are such; in parallel.
    ///
    /// # Errors
    /// When the vocabulary cannot express a text.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<(Vec<u32>, Vec<u8>)>, DataError> {
        let Some(marker) = self.marker else {
            let ids = self.tokenizer.encode_batch(texts)?;
            return Ok(ids.into_iter().map(|ids| (ids, Vec::new())).collect());
        };
        let encode = |text: &&str| {
            let (ids, offsets) = self.tokenizer.encode_with_offsets(text)?;
            let marks = marker.mark(text, &offsets);
            Ok((ids, marks))
        };
        texts.par_iter().map(encode).collect()
    }
}

#[cfg(test)]
mod tests;
