//! From a source to a vocabulary and to token stores.

use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use rayon::prelude::*;
use tokenize::{Scheme, Tokenizer, safe_cut};

use crate::source::PART_BYTES;
use crate::split::{Piece, Side, Splitter};
use crate::{DataError, Document, Documents, Marker, Noted, Source, StoreMeta, StoreWriter};

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

/// How far [`build_watched`] has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Bytes read of the files, see [`Source::n_file_bytes`].
    pub n_file_bytes: u64,
    /// Bytes of text that are tokens now.
    pub n_text_bytes: u64,
    /// Documents, those without text included. The stores may have more: where validation text is
    /// taken out of a document, it ends.
    pub n_documents: u64,
    /// Tokens in the stores.
    pub n_tokens: u64,
    /// See [`Documents::noted`].
    pub noted: Noted,
}

/// Encodes `source` (with a tokenizer alone, or an [`Encoder`]) into the store `train`, and a
/// fraction of it into `validation`.
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
    build_watched(source, encoder, train, validation, |_| {}).map(drop)
}

/// [`build()`], which tells now and then how far it is, and gives the whole at the end.
///
/// # Errors
/// As [`build()`].
pub fn build_watched<'e>(
    source: &Source,
    encoder: impl Into<Encoder<'e>>,
    train: &Path,
    validation: Option<(&Path, f64)>,
    mut watch: impl FnMut(&Built),
) -> Result<Built, DataError> {
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
    let mut built = Built::default();
    // One batch is read while another becomes tokens.
    let (send, batches) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || read(documents, fraction, &send));
        batches.iter().try_for_each(|batch| {
            let batch = batch?;
            stores.write(&encoder, &batch.pieces, &mut built)?;
            built.n_documents += batch.n_documents;
            (built.n_file_bytes, built.noted) = (batch.n_file_bytes, batch.noted);
            watch(&built);
            Ok::<_, DataError>(())
        })?;
        // Whoever reads sees that nobody takes its batches any more.
        drop(batches);
        Ok::<_, DataError>(())
    })?;
    // The one to train on comes last: where it is, both are.
    stores.validation.map_or(Ok(()), StoreWriter::finish)?;
    stores.train.finish()?;
    Ok(built)
}

/// The pieces of text and the documents since the last one, and what was read and noted until now.
struct Batch {
    pieces: Vec<Piece>,
    n_documents: u64,
    n_file_bytes: u64,
    noted: Noted,
}

impl Batch {
    fn new(pieces: Vec<Piece>, n_documents: u64, documents: &Documents) -> Self {
        let (n_file_bytes, noted) = (documents.n_file_bytes(), documents.noted());
        Self { pieces, n_documents, n_file_bytes, noted }
    }
}

/// Sends all documents in batches, or the first error, until nobody takes them.
fn read(mut documents: Documents, fraction: f64, send: &SyncSender<Result<Batch, DataError>>) {
    let mut splitter = Splitter::new(fraction);
    let (mut pieces, mut n_bytes, mut n_documents) = (Vec::new(), 0, 0);
    let mut is_open = false;
    while let Some(document) = documents.next() {
        let document = match document {
            Ok(document) => document,
            Err(error) => return drop(send.send(Err(error))),
        };
        n_bytes += document.text.len();
        n_documents += u64::from(document.ends);
        let is_whole = document.ends && !is_open;
        is_open = !document.ends;
        if is_whole && document.text.trim().is_empty() {
            continue; // Counted in `Documents::empty`.
        }
        push_parts(document, &mut splitter, &mut pieces);
        if n_bytes >= BATCH_BYTES {
            n_bytes = 0;
            let pieces = std::mem::take(&mut pieces);
            let n_documents = std::mem::take(&mut n_documents);
            if send.send(Ok(Batch::new(pieces, n_documents, &documents))).is_err() {
                return;
            }
        }
    }
    splitter.finish(&mut pieces);
    // Where it is not taken, there was an error.
    let _ = send.send(Ok(Batch::new(pieces, n_documents, &documents)));
}

/// A document from JSONL or Parquet may be of any length, and is cut as text files are.
fn push_parts(mut document: Document, splitter: &mut Splitter, pieces: &mut Vec<Piece>) {
    while document.text.len() > PART_BYTES * 2 {
        let rest = document.split_off(safe_cut(&document.text, PART_BYTES));
        splitter.push(Document { ends: false, ..document }, pieces);
        document = rest;
    }
    splitter.push(document, pieces);
}

struct Stores {
    train: StoreWriter,
    validation: Option<StoreWriter>,
}

impl Stores {
    fn write(
        &mut self,
        encoder: &Encoder,
        pieces: &[Piece],
        built: &mut Built,
    ) -> Result<(), DataError> {
        let documents: Vec<&Document> = pieces.iter().map(|piece| &piece.document).collect();
        for (piece, (ids, marks)) in pieces.iter().zip(encoder.encode(&documents)?) {
            let writer = match (piece.side, &mut self.validation) {
                (Side::Validation, Some(writer)) => writer,
                _ => &mut self.train,
            };
            let Document { text, ends, .. } = &piece.document;
            writer.push_marked(&ids, &marks, text.len() as u64)?;
            built.n_text_bytes += text.len() as u64;
            if *ends {
                writer.end_document()?;
            }
        }
        let n_judged = self.validation.as_ref().map_or(0, StoreWriter::n_tokens);
        built.n_tokens = self.train.n_tokens() + n_judged;
        Ok(())
    }
}

/// The ids of a text, and a mark of each in a store with such.
pub type Marked = (Vec<u32>, Vec<u8>);

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

    /// Ids of every document, and marks where there are such; in parallel.
    ///
    /// # Errors
    /// When the vocabulary cannot express a text.
    pub fn encode(&self, documents: &[&Document]) -> Result<Vec<Marked>, DataError> {
        let Some(marker) = self.marker else {
            let texts: Vec<&str> = documents.iter().map(|one| one.text.as_str()).collect();
            let ids = self.tokenizer.encode_batch(&texts)?;
            return Ok(ids.into_iter().map(|ids| (ids, Vec::new())).collect());
        };
        let encode = |&document: &&Document| {
            let (ids, offsets) = self.tokenizer.encode_with_offsets(&document.text)?;
            let marks = marker.mark(document, &offsets);
            Ok((ids, marks))
        };
        documents.par_iter().map(encode).collect()
    }
}

#[cfg(test)]
mod tests;
