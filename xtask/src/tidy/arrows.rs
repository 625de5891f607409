//! Which crate may depend on which: the layers of `ARCHITECTURE.md`, arrows only downward.

use toml::Table;

use super::File;

/// A crate and its layer. A crate depends on lower layers only.
const LAYERS: &[(&str, u8)] = &[
    ("mapped", 0),
    ("metrics", 0),
    ("kernels", 0),
    ("tensor", 1),
    ("tokenize", 1),
    ("data", 1),
    ("remote", 1),
    ("checkpoint", 2),
    ("curate", 2),
    ("datasets", 2),
    ("hub", 2),
    ("nn", 2),
    ("optim", 2),
    ("models", 3),
    ("generate", 4),
    ("tasks", 5),
    ("train", 6),
    ("evaluate", 7),
    ("search", 7),
    ("terminal", 8),
    ("recipe", 9),
    ("tune", 10),
    ("lyceum", 11),
];

/// The arrows inside a layer: text becomes tokens on its way into the store.
const SIDEWAYS: &[(&str, &str)] = &[("data", "tokenize")];

/// Arrows that point downward and are refused all the same.
const REFUSED: &[(&str, &str)] = &[
    ("models", "kernels"),
    ("nn", "kernels"),
    ("nn", "mapped"),
    ("nn", "data"),
    ("nn", "tokenize"),
];

/// Crates from outside that belong to the edge.
const EDGE: &[(&str, &[&str])] = &[
    ("anyhow", &["lyceum", "xtask"]),
    ("clap", &["terminal", "lyceum"]),
    ("indicatif", &["terminal"]),
    ("signal-hook", &["terminal"]),
    ("ureq", &["hub", "remote"]),
];

/// Everything that is wrong with the dependencies of the workspace's crates; `fuzz/` is none.
pub fn problems(files: &[File]) -> Vec<String> {
    let ours = |file: &&File| file.path.ends_with("/Cargo.toml") && !file.krate().is_empty();
    files.iter().filter(ours).flat_map(manifest).collect()
}

fn manifest(file: &File) -> Vec<String> {
    let at = |problem: String| format!("{}:1: {problem}", file.path);
    let krate = file.krate();
    let table = match file.text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return vec![at(error.message().to_owned())],
    };
    let mut problems = Vec::new();
    let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
    if lints.and_then(toml::Value::as_bool) != Some(true) {
        problems.push(at("the workspace's lints are not taken over".to_owned()));
    }
    if krate != "xtask" && krate != "testing" && layer(krate).is_none() {
        problems.push(at(format!("`{krate}` has no layer in `xtask/src/tidy/arrows.rs`")));
    }
    for section in ["dependencies", "build-dependencies"] {
        let names = names(&table, section);
        problems.extend(names.iter().filter_map(|name| refusal(krate, name)).map(at));
    }
    problems
}

fn names(table: &Table, section: &str) -> Vec<String> {
    let section = table.get(section).and_then(toml::Value::as_table);
    section.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// Why `from` may not depend on `to`, if so.
fn refusal(from: &str, to: &str) -> Option<String> {
    if let Some((_, allowed)) = EDGE.iter().find(|(name, _)| *name == to) {
        let refused = !allowed.contains(&from);
        return refused.then(|| format!("`{to}` belongs in {} only", allowed.join(", ")));
    }
    let ours = to == "testing" || to == "xtask" || layer(to).is_some();
    if !ours || SIDEWAYS.contains(&(from, to)) {
        return None;
    }
    let downward = layer(from).zip(layer(to)).is_some_and(|(from, to)| to < from);
    if downward && !REFUSED.contains(&(from, to)) {
        return None;
    }
    Some(format!("`{from}` must not depend on `{to}`"))
}

fn layer(krate: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == krate).map(|(_, layer)| *layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_downward() {
        let cases = [
            ("nn", "tensor", true),
            ("tensor", "nn", false),
            ("data", "tensor", false),
            ("data", "tokenize", true),
            ("tokenize", "data", false),
            ("models", "kernels", false),
            ("nn", "testing", false),
            ("nn", "data", false),
            ("nn", "tokenize", false),
            ("testing", "tensor", false),
            ("xtask", "lyceum", false),
            ("train", "anyhow", false),
            ("lyceum", "anyhow", true),
            ("nn", "serde", true),
        ];
        for (from, to, allowed) in cases {
            assert_eq!(refusal(from, to).is_none(), allowed, "{from} -> {to}");
        }
    }

    #[test]
    fn tests_may_use_the_testing_crate() {
        let text = "[lints]\nworkspace = true\n[dev-dependencies]\ntesting.workspace = true\n";
        let file = File::new("crates/nn/Cargo.toml", text);
        assert!(manifest(&file).is_empty());
    }

    #[test]
    fn what_is_apart_from_the_workspace_has_no_layer() {
        let text = "[dependencies]\ntrain = { path = \"../crates/train\" }\n";
        let of = |path| problems(&[File::new(path, text)]).len();
        assert_eq!((of("fuzz/Cargo.toml"), of("crates/new/Cargo.toml")), (0, 3));
    }

    #[test]
    fn a_new_crate_needs_a_layer_and_the_lints() {
        let file = File::new("crates/new/Cargo.toml", "");
        assert_eq!(
            manifest(&file),
            [
                "crates/new/Cargo.toml:1: the workspace's lints are not taken over",
                "crates/new/Cargo.toml:1: `new` has no layer in `xtask/src/tidy/arrows.rs`",
            ]
        );
    }
}
