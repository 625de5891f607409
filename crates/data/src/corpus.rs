//! The corpora in the binary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A corpus that needs no file; `corpus/README.md` says where it is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corpus {
    /// Six novels of Jane Austen; a document is a novel.
    #[default]
    Austen,
    /// 12 897 Tang poems in traditional script; a document is a poem.
    Tang,
}

const AUSTEN: &[u8] = include_bytes!("../corpus/austen.txt.zst");
const TANG: &[u8] = include_bytes!("../corpus/tang.txt.zst");

/// The titles as they stand on their lines, in order.
const NOVELS: [&str; 6] = [
    "SENSE AND SENSIBILITY",
    "PRIDE AND PREJUDICE",
    "MANSFIELD PARK",
    "EMMA",
    "NORTHANGER ABBEY",
    "Persuasion",
];

impl Corpus {
    /// The whole text.
    ///
    /// # Panics
    /// When the embedded bytes are not what was compressed.
    pub fn text(self) -> String {
        let bytes = match self {
            Self::Austen => AUSTEN,
            Self::Tang => TANG,
        };
        let bytes = zstd::decode_all(bytes).expect("the embedded corpus is zstd");
        String::from_utf8(bytes).expect("the embedded corpus is UTF-8")
    }

    /// The documents, in order.
    pub fn documents(self) -> Vec<String> {
        let text = self.text();
        match self {
            Self::Austen => novels(&text),
            Self::Tang => text.trim_end().split("\n\n").map(str::to_owned).collect(),
        }
    }
}

/// Cuts before each title; nothing is left out.
fn novels(text: &str) -> Vec<String> {
    let mut documents = Vec::with_capacity(NOVELS.len());
    let mut rest = text;
    for title in &NOVELS[1..] {
        let line = format!("\n{title}\n");
        let at = rest.find(&line).unwrap_or_else(|| panic!("corpus: no line `{title}`"));
        let (novel, next) = rest.split_at(at + 1);
        documents.push(novel.to_owned());
        rest = next;
    }
    documents.push(rest.to_owned());
    documents
}

impl fmt::Display for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Austen => "austen",
            Self::Tang => "tang",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_novels_and_nothing_lost() {
        let documents = Corpus::Austen.documents();
        assert_eq!(documents.len(), 6);
        for (document, title) in documents.iter().zip(NOVELS) {
            assert!(document.starts_with(title) && document.len() > 400_000, "{title}");
        }
        assert_eq!(documents.concat(), Corpus::Austen.text());
        assert_eq!(Corpus::Austen.text().len(), 4_025_039);
    }

    #[test]
    fn every_poem_is_a_document() {
        let documents = Corpus::Tang.documents();
        assert_eq!(documents.len(), 12_897);
        assert!(documents.iter().all(|poem| poem.lines().count() >= 3 && !poem.contains("\n\n")));
        assert_eq!(documents.join("\n\n").trim_end(), Corpus::Tang.text().trim_end());
        assert_eq!(Corpus::Tang.text().len(), 2_827_185);
    }
}
