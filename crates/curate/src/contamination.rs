//! Texts that hold pieces of evaluation sets.
//!
//! As for GPT-3 (Brown et al., "Language Models are Few-Shot Learners", arXiv:2005.14165, appendix
//! C): runs of 13 words, in lower case and without punctuation, that occur in both.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::words::{hash_words, rolling};

/// The longest line of a set, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// What is a piece, and how many are too many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContaminationConfig {
    /// Files of sets, by the name of the set. Of JSONL every text in a line is taken, however deep;
    /// of any other file a paragraph.
    pub sets: BTreeMap<String, Vec<PathBuf>>,
    /// The fields of a JSONL line that are taken; all of them where there are none.
    pub fields: Vec<String>,
    /// Words of a piece.
    pub ngram: usize,
    /// How many pieces of one set a text must hold to be contaminated.
    pub min_shared: usize,
}

impl Default for ContaminationConfig {
    fn default() -> Self {
        Self { sets: BTreeMap::new(), fields: Vec::new(), ngram: 13, min_shared: 1 }
    }
}

/// Why a set cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContaminationError {
    /// The system refused.
    #[error("failed to read the evaluation set `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no JSON, or too long.
    #[error("the evaluation set `{path}`, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing in it that a text could hold.
    #[error(
        "the evaluation set `{set}` has no text of {ngram} words\n\nhint: name its fields, or \
         lower `ngram`"
    )]
    Empty {
        /// The set.
        set: String,
        /// Words of a piece.
        ngram: usize,
    },
}

/// The pieces of all sets.
#[derive(Debug)]
pub struct Contamination {
    ngram: usize,
    min_shared: u32,
    names: Vec<String>,
    /// Which of `owners` has a piece.
    pieces: HashMap<u64, u32>,
    /// Lists of sets that have a piece in common, each once.
    owners: Vec<Vec<u32>>,
    n_short: u64,
}

impl Contamination {
    /// Reads all sets.
    ///
    /// # Errors
    /// When a file cannot be read, or a set has no piece.
    pub fn load(config: &ContaminationConfig) -> Result<Self, ContaminationError> {
        let mut all = Self {
            ngram: config.ngram.max(1),
            min_shared: config.min_shared.max(1) as u32,
            names: config.sets.keys().cloned().collect(),
            pieces: HashMap::new(),
            owners: Vec::new(),
            n_short: 0,
        };
        let mut known = HashMap::new();
        for (set, (name, paths)) in config.sets.iter().enumerate() {
            let mut found = false;
            for path in paths {
                let mut add = |text: &str| found |= all.add(set as u32, text, &mut known);
                if path.extension().is_some_and(|ext| ext == "jsonl" || ext == "json") {
                    read_json(path, &config.fields, &mut add)?;
                } else {
                    read_text(path, &mut add)?;
                }
            }
            if !found {
                let (set, ngram) = (name.clone(), all.ngram);
                return Err(ContaminationError::Empty { set, ngram });
            }
        }
        Ok(all)
    }

    /// Adds the pieces of a text; whether it had any.
    fn add(&mut self, set: u32, text: &str, known: &mut HashMap<Vec<u32>, u32>) -> bool {
        let words = words_of(text);
        if words.len() < self.ngram {
            self.n_short += 1;
            return false;
        }
        for piece in rolling(&words, self.ngram) {
            let before = self.pieces.get(&piece).map(|&owners| &self.owners[owners as usize]);
            if before.is_some_and(|owners| owners.contains(&set)) {
                continue;
            }
            let owners = [before.map_or(&[][..], Vec::as_slice), &[set]].concat();
            let next = self.owners.len() as u32;
            let list = *known.entry(owners.clone()).or_insert(next);
            if list == next {
                self.owners.push(owners);
            }
            self.pieces.insert(piece, list);
        }
        true
    }

    /// Texts of the sets that were too short to be looked for.
    pub fn n_short(&self) -> u64 {
        self.n_short
    }

    /// How many places in `text` hold a piece of each set that has enough of them; none where the
    /// text is clean. Linear in the text.
    pub fn find(&self, text: &str) -> BTreeMap<&str, u32> {
        let words = words_of(text);
        let mut counts = vec![0_u32; self.names.len()];
        if words.len() >= self.ngram {
            let lists = rolling(&words, self.ngram).filter_map(|piece| self.pieces.get(&piece));
            for &set in lists.flat_map(|&list| &self.owners[list as usize]) {
                counts[set as usize] = counts[set as usize].saturating_add(1);
            }
        }
        let found = self.names.iter().map(String::as_str).zip(counts);
        found.filter(|(_, count)| *count >= self.min_shared).collect()
    }
}

fn words_of(text: &str) -> Vec<u64> {
    let mut words = Vec::new();
    hash_words(text, |word| words.push(word));
    words
}

/// Gives `each` the texts of every line.
fn read_json(
    path: &Path,
    fields: &[String],
    each: &mut impl FnMut(&str),
) -> Result<(), ContaminationError> {
    read_lines(path, |line, text| {
        if text.trim().is_empty() {
            return Ok(());
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let problem = error.to_string();
            ContaminationError::Line { path: path.to_owned(), line, problem }
        })?;
        match (&value, fields) {
            (Value::Object(object), [_, ..]) => {
                fields.iter().filter_map(|field| object.get(field)).for_each(|it| texts(it, each));
            }
            _ => texts(&value, each),
        }
        Ok(())
    })
}

/// Every text of a value.
fn texts(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, each)),
        Value::Object(object) => object.values().for_each(|value| texts(value, each)),
        _ => {}
    }
}

/// Gives `each` every paragraph.
fn read_text(path: &Path, each: &mut impl FnMut(&str)) -> Result<(), ContaminationError> {
    let mut paragraph = String::new();
    read_lines(path, |_, line| {
        if line.trim().is_empty() {
            each(&std::mem::take(&mut paragraph));
        } else if paragraph.len() + line.len() > MAX_LINE as usize {
            each(&std::mem::replace(&mut paragraph, line.to_owned()));
        } else {
            paragraph.push_str(line);
        }
        Ok(())
    })?;
    each(&paragraph);
    Ok(())
}

/// Gives `each` the lines with their numbers.
fn read_lines(
    path: &Path,
    mut each: impl FnMut(u64, &str) -> Result<(), ContaminationError>,
) -> Result<(), ContaminationError> {
    let io = |source| ContaminationError::Io { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let n_read = file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut bytes).map_err(io)?;
        let wrong = |problem: &str| {
            let problem = problem.to_owned();
            ContaminationError::Line { path: path.to_owned(), line, problem }
        };
        if n_read == 0 {
            break;
        }
        if n_read as u64 > MAX_LINE {
            return Err(wrong("longer than 64 MiB"));
        }
        each(line, std::str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8"))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const QUESTION: &str = "If a train leaves the old station at nine in the morning and runs west";

    fn load(files: &[(&str, &str)], ngram: usize) -> Result<Contamination, ContaminationError> {
        let dir = tempfile::tempdir().unwrap();
        let sets = files.iter().map(|(name, text)| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            (name.to_string(), vec![path])
        });
        let config = ContaminationConfig { sets: sets.collect(), ngram, ..Default::default() };
        Contamination::load(&config)
    }

    #[test]
    fn a_piece_is_found_whatever_its_case_and_punctuation() {
        let json = format!("{{\"q\": [\"{QUESTION}\"], \"n\": 1}}\n\n{{\"q\": \"short\"}}\n");
        let text = format!("{}\nwith all its cars\n\nshort", QUESTION.replace("old ", "old\n"));
        let sets = load(&[("a.jsonl", &json), ("b.txt", &text)], 13).unwrap();
        assert_eq!(sets.n_short(), 2);
        let upper = format!("They ask: \"{}!\" Ha.", QUESTION.to_uppercase().replace(' ', ", "));
        // Fifteen words are three runs of thirteen.
        let both = BTreeMap::from([("a.jsonl", 3), ("b.txt", 3)]);
        assert_eq!(sets.find(&upper), both);
        let longer = format!("{QUESTION} with all");
        assert_eq!(sets.find(&longer)["b.txt"], 5);
        assert_eq!(sets.find(&QUESTION.replace("nine", "ten")), BTreeMap::new());
        assert_eq!(sets.find(""), BTreeMap::new());
        let strict = Contamination { min_shared: 4, ..sets };
        assert_eq!(strict.find(&longer), BTreeMap::from([("b.txt", 5)]));
    }

    #[test]
    fn pieces_are_those_of_all_windows() {
        let sets = load(&[("a.txt", "a b c d e\n\nc d x")], 3).unwrap();
        let words = ["a", "b", "c", "d", "e", "x"];
        let text = "x a b c d x e c d e";
        let held = ["a b c", "b c d", "c d e", "c d x"];
        let all: Vec<&str> = text.split(' ').collect();
        let expected = all.windows(3).filter(|run| held.contains(&run.join(" ").as_str())).count();
        assert_eq!(sets.find(text), BTreeMap::from([("a.txt", expected as u32)]));
        assert_eq!(sets.pieces.len(), held.len());
        assert!(words.iter().all(|word| sets.find(word).is_empty()));
    }

    #[test]
    fn hostile_texts_hold_nothing() {
        let sets = load(&[("a.txt", QUESTION)], 13).unwrap();
        for piece in ["\0", "!", "x", "a ", "\u{301}", "\u{4e00}"] {
            let text = piece.repeat((8 << 20) / piece.len());
            assert_eq!(sets.find(&text), BTreeMap::new(), "{piece:?}");
        }
    }

    #[test]
    fn sets_that_cannot_be_read_are_named() {
        let cases = [
            ("a.jsonl", "{\"a\": 1}\n{", "`, line 2: EOF while parsing"),
            ("a.jsonl", "{\"a\": \"too short\"}", "`a.jsonl` has no text of 13 words"),
            ("a.txt", "", "`a.txt` has no text of 13 words"),
        ];
        for (name, text, expected) in cases {
            let message = load(&[(name, text)], 13).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
