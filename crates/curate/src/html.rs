//! The main text of a web page.
//!
//! | module | what it does |
//! |---|---|
//! | `charset` | bytes to text |
//! | `tokens` | text to tags and what is between them |
//! | `build`, `tree` | tags to a flat tree |
//! | `names`, `words` | what elements, classes and attributes mean |
//! | `content` | which part of the tree is the text of the page |
//! | `render` | that part as Markdown or plain |
//!
//! Every step is linear in the length of the page, whatever the page is.

mod build;
mod charset;
mod content;
mod names;
mod render;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;
mod words;

use serde::{Deserialize, Serialize};

/// What is kept of a page, and how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Headings, lists, tables, code and quotes as Markdown; else their text, in the same lines.
    pub markdown: bool,
    /// In Markdown, links with where they go.
    pub links: bool,
    /// Readers' comments too.
    pub comments: bool,
}

/// What was found in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// The main text; empty where there is none.
    pub text: String,
    /// The page's `title`, or empty.
    pub title: String,
    /// The language that the page says it is in (BCP 47), as it is written there; or empty.
    pub language: String,
    /// The WHATWG's name of the encoding that the bytes were in.
    pub encoding: &'static str,
}

/// How much of a page is read: what it becomes is then below 4 GiB in every encoding.
const MAX_PAGE: usize = 1 << 30;

/// Finds the main text of a page.
///
/// `content_type` is what the HTTP header said, if there was one. There is no page that cannot be
/// read: what is wrong in it is read as browsers do, or left out. Of one above 1 GiB only the
/// beginning is read.
pub fn main_text(bytes: &[u8], content_type: Option<&str>, options: Options) -> Extracted {
    let bytes = &bytes[..bytes.len().min(MAX_PAGE)];
    let (page, encoding) = charset::decode(bytes, content_type);
    let tree = build::parse(&page);
    let content = content::content(&tree, options);
    let text = render::render(&tree, &content, options);
    let language = tree.language.to_owned();
    Extracted { text, title: tree.title, language, encoding: encoding.name() }
}
