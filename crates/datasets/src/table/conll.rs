//! The columns of `CoNLL`: a word and its tags a line, sentences apart by a blank line. Tjong Kim
//! Sang, De Meulder, "Introduction to the CoNLL-2003 Shared Task", 2003.

use std::sync::Arc;

use data::Lines;
use serde_json::Value;

use super::{Fields, Row, place};
use crate::error::DatasetError;

/// A longer one is a file without blank lines.
const WORDS_MAX: usize = 1 << 16;

const HINT_COLUMNS: &str = "each line is a word and its tags, apart by a blank or a tab; a blank \
    line ends a sentence";

/// The columns of CoNLL-2003.
const NAMES_2003: [&str; 4] = ["tokens", "pos_tags", "chunk_tags", "ner_tags"];

/// The sentences of one file. Columns are `tokens`, `column 2` .. and `tags`; if there are four,
/// those of CoNLL-2003.
pub(super) struct Sentences {
    lines: Lines,
    file: Arc<str>,
    n_columns: Option<usize>,
}

impl Sentences {
    pub fn new(lines: Lines, file: Arc<str>) -> Self {
        Self { lines, file, n_columns: None }
    }

    pub fn next_row(&mut self) -> Result<Option<Row>, DatasetError> {
        let (mut columns, mut start) = (Vec::<Vec<Value>>::new(), 0);
        loop {
            let number = self.lines.number() + 1;
            let Some(line) = self.lines.next_line()? else { break };
            let line = line.trim_end_matches(['\r', '\n']);
            let words: Vec<&str> = if line.contains('\t') {
                line.split('\t').map(str::trim).collect()
            } else {
                line.split_whitespace().collect()
            };
            if line.trim().is_empty() {
                if columns.is_empty() {
                    continue;
                }
                break;
            }
            let is_comment = line.starts_with('#')
                && self.n_columns.map_or(line.starts_with("# "), |n| n != words.len());
            if words[0] == "-DOCSTART-" || is_comment {
                continue;
            }
            let n_columns = *self.n_columns.get_or_insert(words.len());
            let n_words = columns.first().map_or(0, Vec::len);
            let problem = if words.len() != n_columns {
                format!("{} columns, the lines above have {n_columns}", words.len())
            } else if n_words == WORDS_MAX {
                format!("a sentence of more than {WORDS_MAX} words")
            } else {
                if columns.is_empty() {
                    columns.resize_with(n_columns, Vec::new);
                    start = number;
                }
                columns.iter_mut().zip(words).for_each(|(column, word)| column.push(word.into()));
                continue;
            };
            let at = place(&self.file, "line", number);
            return Err(DatasetError::Row { at, problem, hint: HINT_COLUMNS });
        }
        if columns.is_empty() {
            return Ok(None);
        }
        let n = columns.len();
        let name = |idx: usize| match idx {
            _ if n == NAMES_2003.len() => NAMES_2003[idx].to_owned(),
            0 => "tokens".to_owned(),
            _ if idx + 1 == n => "tags".to_owned(),
            _ => format!("column {}", idx + 1),
        };
        let fields: Fields = columns
            .into_iter()
            .enumerate()
            .map(|(idx, column)| (name(idx), column.into()))
            .collect();
        Ok(Some(Row { at: place(&self.file, "line", start), fields }))
    }
}
