//! What is to be known of a set before anything is learned from it.

use std::collections::HashMap;

use data::{Lengths, Places};

use crate::dataset::{Dataset, Split, fingerprint};
use crate::record::{Input, Label, Record};

/// What is in a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Its splits.
    pub splits: Vec<SplitOverview>,
    /// Texts of one split that are in another too: the names of both, and where in the second.
    pub overlaps: Vec<(String, String, Places)>,
}

/// What is in a split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitOverview {
    /// Its name.
    pub name: String,
    /// Records.
    pub n_records: u64,
    /// Records a class, tags a kind; in the order of the labels.
    pub by_label: Vec<(String, u64)>,
    /// Records without a label.
    pub n_unlabelled: u64,
    /// Characters of the texts of each record.
    pub chars: Lengths,
    /// Records without text.
    pub empty: Places,
    /// Records whose text was there before; case and blanks do not count.
    pub repeated: Places,
    /// Those of them that have another label than the first.
    pub conflicting: Places,
}

impl Overview {
    /// Goes through all records.
    pub fn of(set: &Dataset) -> Self {
        let mut seen: Vec<(&str, HashMap<u128, &Record>)> = Vec::new();
        let mut overview = Self::default();
        for split in &set.splits {
            let (summary, texts) = summary(split, &set.labels);
            for (name, others) in &seen {
                let mut places = Places::default();
                for record in &split.records {
                    if others.contains_key(&fingerprint(&record.input)) {
                        places.add(1, || record.at.to_string());
                    }
                }
                if places.n > 0 {
                    let names = ((*name).to_owned(), split.name.clone());
                    overview.overlaps.push((names.0, names.1, places));
                }
            }
            overview.splits.push(summary);
            seen.push((&split.name, texts));
        }
        overview
    }
}

fn summary<'a>(split: &'a Split, labels: &[String]) -> (SplitOverview, HashMap<u128, &'a Record>) {
    let mut counts = vec![0; labels.len()];
    let mut count = |class: usize| counts.get_mut(class).map_or((), |n: &mut u64| *n += 1);
    let mut texts = HashMap::<u128, &Record>::new();
    let mut overview = SplitOverview { name: split.name.clone(), ..SplitOverview::default() };
    let mut lengths = Vec::with_capacity(split.records.len());
    for record in &split.records {
        match &record.input {
            Input::Classify { label: Some(Label::Class(class)), .. } => count(*class),
            Input::Classify { label: None, .. } => overview.n_unlabelled += 1,
            Input::Choice { right, .. } if right.is_empty() => overview.n_unlabelled += 1,
            Input::Tag { tags, .. } if tags.is_empty() => overview.n_unlabelled += 1,
            Input::Tag { tags, .. } => tags.iter().for_each(|&tag| count(tag)),
            _ => {}
        }
        let at = || record.at.to_string();
        let n_chars = record.input.texts().iter().map(|text| text.chars().count() as u64).sum();
        lengths.push(n_chars);
        if n_chars == 0 {
            overview.empty.add(1, at);
        }
        if let Some(first) = texts.get(&fingerprint(&record.input)) {
            overview.repeated.add(1, at);
            if is_other(&first.input, &record.input) {
                overview.conflicting.add(1, at);
            }
            continue;
        }
        texts.insert(fingerprint(&record.input), record);
    }
    overview.n_records = split.records.len() as u64;
    overview.by_label = labels.iter().cloned().zip(counts).collect();
    overview.chars = Lengths::new(lengths);
    (overview, texts)
}

/// Whether two records of one text say different things of it.
fn is_other(a: &Input, b: &Input) -> bool {
    let is_kind = matches!(
        a,
        Input::Classify { .. }
            | Input::Choice { .. }
            | Input::Tag { .. }
            | Input::Judged { .. }
            | Input::Problem { .. }
    );
    is_kind && a != b
}

#[cfg(test)]
mod tests;
