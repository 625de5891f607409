//! Dumps of a wiki: `MediaWiki`'s XML, a page a document, its wikitext as plain text.
//!
//! Redirects, pages that are no articles (talk, users, templates ..) and pages without text are
//! left out, and counted. Of the export format (version 0.10 and 0.11) only `page`, `title`, `ns`,
//! `redirect` and `text` matter; of several revisions the last counts.

mod markup;

use std::io::BufReader;
use std::sync::Arc;

use quick_xml::events::{BytesRef, Event};
use quick_xml::{Error, Reader};

use super::bounded::{Bounded, PIECE_BYTES_MAX};
use super::bytes::Bytes;
use super::noted::Tally;
use super::{Document, Records};
use crate::DataError;

const HINT: &str = "the download may be incomplete, or is it no export of MediaWiki?";

/// The pages of one file.
pub(super) struct Pages {
    reader: Reader<BufReader<Bounded>>,
    tally: Arc<Tally>,
    buffer: Vec<u8>,
    /// The elements that are open.
    inside: Vec<String>,
}

/// What is known of a page.
#[derive(Default)]
struct Page {
    title: String,
    namespace: String,
    text: String,
    is_redirect: bool,
}

impl Pages {
    pub fn new(bytes: Bytes, tally: &Arc<Tally>) -> Self {
        let bytes = Bounded::new(bytes, PIECE_BYTES_MAX);
        let reader = Reader::from_reader(BufReader::new(bytes));
        Self { reader, tally: Arc::clone(tally), buffer: Vec::new(), inside: Vec::new() }
    }

    /// The next page, whatever it is.
    fn next_page(&mut self) -> Result<Option<Page>, DataError> {
        let mut page = None::<Page>;
        loop {
            if page.is_none() {
                self.reader.get_mut().get_mut().begin();
            }
            self.buffer.clear();
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(self.failed(error)),
            };
            let mut append = |text: &str| {
                let element = self.inside.last().map_or("", String::as_str);
                if let Some(field) = page.as_mut().and_then(|page| page.field(element)) {
                    field.push_str(text);
                }
            };
            match event {
                Event::Start(tag) => {
                    let name = tag.local_name().as_ref().to_owned();
                    if name == NAME_PAGE {
                        page = Some(Page::default());
                    }
                    if let Some(field) = page.as_mut().and_then(|page| page.field(&name)) {
                        field.clear();
                    }
                    if self.inside.len() == DEPTH_MAX {
                        return Err(self
                            .problem(format!("more than {DEPTH_MAX} elements inside each other")));
                    }
                    self.inside.push(name);
                }
                Event::Empty(tag) if tag.local_name().as_ref() == NAME_REDIRECT => {
                    if let Some(page) = &mut page {
                        page.is_redirect = true;
                    }
                }
                Event::Text(text) => append(&text.xml10_content()),
                Event::CData(text) => append(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let Some(c) = character(&reference) else {
                        let name = reference.xml10_content().into_owned();
                        return Err(self.problem(format!("`&{name};` is no character")));
                    };
                    append(c.encode_utf8(&mut [0; 4]));
                }
                Event::End(tag) => {
                    self.inside.pop();
                    if tag.local_name().as_ref() == NAME_PAGE {
                        return Ok(page);
                    }
                }
                Event::Eof if self.inside.is_empty() => return Ok(None),
                Event::Eof => return Err(self.problem("it ends too early".to_owned())),
                _ => {}
            }
        }
    }

    fn failed(&self, error: Error) -> DataError {
        match error {
            Error::Io(error) => {
                let kind = error.kind();
                let bytes = self.reader.get_ref().get_ref();
                let failed = bytes.failed(std::io::Error::new(kind, error.to_string()));
                failed.unwrap_or_else(|| {
                    self.problem(format!("a page of more than {PIECE_BYTES_MAX} bytes"))
                })
            }
            error => self.problem(error.to_string()),
        }
    }

    fn problem(&self, reason: String) -> DataError {
        DataError::Markup {
            file: self.reader.get_ref().get_ref().file().to_owned(),
            byte: self.reader.buffer_position(),
            reason,
            hint: HINT,
        }
    }
}

impl Records for Pages {
    fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        while let Some(page) = self.next_page()? {
            let is_article = page.namespace.trim() == "0" || page.namespace.is_empty();
            let reason = if !is_article {
                "no articles"
            } else if page.is_redirect || markup::is_redirect(&page.text) {
                "redirects"
            } else {
                let text = markup::plain(&page.text);
                if !text.is_empty() {
                    let text = format!("{}\n\n{text}\n", page.title.trim());
                    return Ok(Some(Document::new(text, true)));
                }
                "without text"
            };
            let file = self.reader.get_ref().get_ref().file();
            let place = || format!("`{}` in `{file}`", page.title.trim());
            self.tally.note().left_out(reason, place);
        }
        Ok(None)
    }

    fn place(&self) -> Option<String> {
        None
    }
}

const NAME_PAGE: &str = "page";
const NAME_REDIRECT: &str = "redirect";
const DEPTH_MAX: usize = 64;

impl Page {
    /// Where the text of an element goes.
    fn field(&mut self, element: &str) -> Option<&mut String> {
        match element {
            "title" => Some(&mut self.title),
            "ns" => Some(&mut self.namespace),
            "text" => Some(&mut self.text),
            _ => None,
        }
    }
}

/// One of XML's own five, or by its number.
fn character(reference: &BytesRef) -> Option<char> {
    match &*reference.xml10_content() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok().flatten(),
    }
}
