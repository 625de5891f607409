//! From a source to a vocabulary and to token stores.

use std::path::Path;

use tokenize::{Tokenizer, safe_cut};

use crate::source::PART_BYTES;
use crate::split::{Piece, Side, Splitter};
use crate::{DataError, Document, Source, StoreMeta, StoreWriter};

/// Text that is tokenized at once, in parallel; what bounds memory.
const BATCH_BYTES: usize = 8 << 20;

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

/// Tokenizes `source` into the store `train`, and a fraction of it into `validation`.
///
/// Validation text is the tail of long documents and whole short ones, evenly spread, so that a
/// corpus of one file has some too. The stores are the same whatever the number of threads.
///
/// # Errors
/// When the text cannot be read or a store not be written. What was at `train` before is there
/// still; where nothing was, nothing is, though `validation` may have got its name already.
pub fn build(
    source: &Source,
    tokenizer: &Tokenizer,
    train: &Path,
    validation: Option<(&Path, f64)>,
) -> Result<(), DataError> {
    let fraction = validation.map_or(0.0, |(_, fraction)| fraction);
    if validation.is_some() && (fraction.is_nan() || fraction <= 0.0 || fraction > 0.5) {
        let problem = "it must be above 0, and at most 0.5";
        let value = fraction.to_string();
        return Err(DataError::Config { field: "validation_fraction", value, problem });
    }
    let documents = source.open()?;
    let meta = StoreMeta::of(tokenizer);
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
            stores.write(tokenizer, &pieces)?;
            pieces.clear();
            n_bytes = 0;
        }
    }
    splitter.finish(&mut pieces);
    stores.write(tokenizer, &pieces)?;
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
    fn write(&mut self, tokenizer: &Tokenizer, pieces: &[Piece]) -> Result<(), DataError> {
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        for (piece, ids) in pieces.iter().zip(tokenizer.encode_batch(&texts)?) {
            let writer = match (piece.side, &mut self.validation) {
                (Side::Validation, Some(writer)) => writer,
                _ => &mut self.train,
            };
            writer.push(&ids, piece.text.len() as u64)?;
            if piece.ends {
                writer.end_document()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
