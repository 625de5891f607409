//! Recipes of any kind: from a file or the program, `--set a.b=c`, the nearest known key, and what
//! two recipes differ in.

use std::collections::{BTreeMap, BTreeSet};

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use terminal::failure::{Context, Failure};

/// What recipes of a kind have in common.
pub struct Kind {
    /// What they are made of.
    pub sections: &'static str,
    /// For instance.
    pub example: &'static str,
    /// What they say where they are silent, as TOML.
    pub base: &'static str,
    /// Those in the program, by name.
    pub embedded: &'static [(&'static str, &'static str)],
}

impl Kind {
    /// The text of the recipe `name`: a file, or one in the program.
    ///
    /// # Errors
    /// Where it cannot be read, or is empty.
    pub fn find(&self, name: &str) -> Result<String, Failure> {
        let path = Path::new(name);
        let embedded = self.embedded.iter().find(|(known, _)| *known == name);
        let text = match embedded {
            Some((_, text)) if !path.is_file() => (*text).to_owned(),
            None if !path.exists() && path.extension().is_none() => {
                let names: Vec<_> = self.embedded.iter().map(|(name, _)| *name).collect();
                let problem = "there is no such file, and none in the program";
                let hint = match &names[..] {
                    [] => "give a TOML file".to_owned(),
                    names => format!("give a TOML file, or one of {}", names.join(", ")),
                };
                return Err(Failure::new(format!("no recipe `{name}`: {problem}")).hint(hint));
            }
            _ => std::fs::read_to_string(path)
                .context(format!("failed to read recipe `{}`", path.display()))?,
        };
        if toml::from_str::<Table>(&text).is_ok_and(|table| table.is_empty()) {
            return Err(Failure::new(format!("recipe `{name}` is empty")).hint(self.sections));
        }
        Ok(text)
    }

    /// The recipe written in `text`, with `sets` on top; `origin` names it in messages.
    ///
    /// # Errors
    /// Where a key or value is unknown.
    pub fn read<R: DeserializeOwned>(
        &self,
        text: &str,
        origin: &str,
        sets: &[String],
    ) -> Result<R, Failure> {
        let explain = |error| explain(&error, origin, self.sections);
        // Once as it stands, so that a message can point at line and column.
        let _: R = toml::from_str(text).map_err(explain)?;
        let mut table: Table = toml::from_str(self.base).map_err(explain)?;
        merge(&mut table, toml::from_str(text).map_err(explain)?);
        for set in sets {
            apply(&mut table, set, self.example)?;
            // One by one, so that a message can name the one at fault.
            let explain = |error| self::explain(&error, &format!("--set {set}"), self.sections);
            let _: R = table.clone().try_into().map_err(explain)?;
        }
        table.try_into().map_err(explain)
    }
}

/// Puts `over` on top of `table`.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(value)) => merge(below, value),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Puts one `section.key=value` into `table`; what is no TOML value is a string.
fn apply(table: &mut Table, given: &str, example: &str) -> Result<(), Failure> {
    let malformed = || {
        Failure::new(format!("`--set {given}` is not of the form `section.key=value`"))
            .hint(format!("for instance `--set {example}`"))
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
    let read = value.parse::<Value>();
    let digits = value.trim_start_matches(['-', '+']);
    if read.is_err() && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) {
        return Err(Failure::new(format!("`--set {given}`: TOML has no such number"))
            .hint("whole numbers end at 2^63 - 1, and do not begin with 0"));
    }
    at.insert(last.into(), read.unwrap_or_else(|_| Value::String(value.into())));
    Ok(())
}

/// A refusal with the nearest known key, where a key was not known.
fn explain(error: &toml::de::Error, origin: &str, sections: &str) -> Failure {
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
    let expected = message.strip_prefix("invalid ").and_then(|text| text.split_once("expected "));
    let hint = match (nearest, expected) {
        (Some(nearest), _) => format!("did you mean `{nearest}`?"),
        (None, Some((_, expected))) => format!("it takes {}", in_words(expected)),
        (None, None) if message.starts_with("unknown variant") => "take one of those".to_owned(),
        (None, None) => sections.to_owned(),
    };
    Failure::new(format!("recipe `{origin}`: {}", error.to_string().trim_end())).hint(hint)
}

/// A type as people know it.
fn in_words(expected: &str) -> &str {
    match expected {
        "u64" | "usize" => "a whole number of 0 or more",
        "f32" | "f64" => "a number",
        "a sequence" => "a list, such as `[\"a.txt\", \"b.txt\"]`",
        other => other,
    }
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
