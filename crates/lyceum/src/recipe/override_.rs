//! `--set a.b=c`, the nearest known key, and what two recipes differ in.

use toml::{Table, Value};

use super::{Recipe, RecipeError};

/// Puts one `section.key=value` into `table`; what is no TOML value is a string.
pub fn apply(table: &mut Table, given: &str) -> Result<(), RecipeError> {
    let malformed = || RecipeError::Override { given: given.into() };
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
    let parsed = toml::from_str::<Table>(&format!("v = {value}")).ok();
    let parsed = parsed.and_then(|mut t| t.remove("v"));
    at.insert(last.into(), parsed.unwrap_or_else(|| Value::String(value.into())));
    Ok(())
}

/// A refusal with the nearest known key, where a key was not known.
pub fn explain(error: &toml::de::Error, origin: &str) -> RecipeError {
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
    let problem = error.to_string().trim_end().to_owned();
    RecipeError::Parse { origin: origin.into(), problem, nearest }
}

/// Every key whose value differs: `(key, left, right)`.
pub fn differences(left: &Recipe, right: &Recipe) -> Vec<(String, String, String)> {
    let table = |r: &Recipe| Value::try_from(r).expect("a recipe is a table");
    let mut found = vec![];
    collect("", Some(&table(left)), Some(&table(right)), &mut found);
    found
}

fn collect(
    path: &str,
    left: Option<&Value>,
    right: Option<&Value>,
    found: &mut Vec<(String, String, String)>,
) {
    let empty = Table::new();
    let table =
        |side: Option<&'_ Value>| side.map_or(Some(empty.clone()), |v| v.as_table().cloned());
    if let (Some(l), Some(r)) = (table(left), table(right)) {
        let mut keys: Vec<&String> = l.keys().chain(r.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(&path, l.get(key), r.get(key), found);
        }
    } else if left != right {
        let text = |v: Option<&Value>| v.map_or("unset".into(), ToString::to_string);
        found.push((path.into(), text(left), text(right)));
    }
}
