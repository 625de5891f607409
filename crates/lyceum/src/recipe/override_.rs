//! `--set a.b=c`, the nearest known key, and what two recipes differ in.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::failure::Failure;

/// Puts one `section.key=value` into `table`; what is no TOML value is a string.
pub fn apply(table: &mut Table, given: &str) -> Result<(), Failure> {
    let malformed = || {
        Failure::new(format!("`--set {given}` is not of the form `section.key=value`"))
            .hint("for instance `--set train.steps=100`")
    };
    let (path, value) = given.split_once('=').ok_or_else(malformed)?;
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|k| !k.is_empty()).ok_or_else(malformed)?;
    if keys.is_empty() || keys.iter().any(|k| k.is_empty()) {
        return Err(malformed());
    }
    let mut at = table;
    for key in keys {
        let section = at.entry(key).or_insert_with(|| Value::Table(Table::new()));
        at = section.as_table_mut().ok_or_else(malformed)?;
    }
    let value = value.trim();
    at.insert(last.into(), value.parse().unwrap_or_else(|_| Value::String(value.into())));
    Ok(())
}

/// A refusal with the nearest known key, where a key was not known.
pub fn explain(error: &toml::de::Error, origin: &str) -> Failure {
    let message = error.message();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let nearest = match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown") => known
            .iter()
            .map(|k| (strsim::jaro_winkler(unknown, k), *k))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(score, _)| *score > 0.6)
            .map(|(_, k)| k.to_owned()),
        _ => None,
    };
    let sections = "a recipe is TOML with the sections model, tokenizer, data, task, optim, train \
                    and eval";
    let hint = nearest.map_or(sections.to_owned(), |nearest| format!("did you mean `{nearest}`?"));
    Failure::new(format!("recipe `{origin}`: {}", error.to_string().trim_end())).hint(hint)
}

/// Every key that `tables` do not agree on, with its value in each; none where it is unset.
pub fn differences(tables: &[Table]) -> Vec<(String, Vec<Option<String>>)> {
    let mut flat = vec![BTreeMap::new(); tables.len()];
    for (table, into) in tables.iter().zip(&mut flat) {
        flatten("", table, into);
    }
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let values = |key: &String| flat.iter().map(|of| of.get(key).cloned()).collect::<Vec<_>>();
    let all = keys.into_iter().map(|key| (key.clone(), values(key)));
    all.filter(|(_, values)| values.iter().any(|value| *value != values[0])).collect()
}

fn flatten(prefix: &str, table: &Table, into: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&(path + "."), inner, into),
            value => drop(into.insert(path, value.to_string())),
        }
    }
}
