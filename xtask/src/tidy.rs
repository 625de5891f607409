//! The house rules that no compiler knows (`STYLE.md`, `ARCHITECTURE.md`).
//!
//! | module | rules |
//! |---|---|
//! | `text` | file length, columns, banned words, ASCII, file names, machine paths |
//! | `shape` | function length, parameters |
//! | `places` | what only some crates may write: `unsafe`, printing, the environment |
//! | `arrows` | which crate may depend on which |
//! | `budget` | lines without tests |

mod arrows;
mod budget;
mod places;
mod shape;
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::source::Source;

/// One checked-in text file; `path` is relative to the root, with `/`.
pub struct File {
    path: String,
    text: String,
    /// Whether another file declares it under `#[cfg(test)]`.
    declared_test: bool,
}

/// What was seen.
#[derive(Default)]
struct Survey {
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// Checks every file of the tree and prints what is wrong, one `path:line: problem` a line.
///
/// # Errors
/// When a rule is broken or the tree cannot be read.
pub fn run() -> Result<()> {
    let files = files(&command::root())?;
    let mut survey = Survey::default();
    for file in &files {
        inspect(file, &mut survey);
    }
    survey.problems.extend(arrows::problems(&files));
    let budget = budget::count(&files);
    survey.problems.extend(budget.problems());
    for line in survey.warnings.iter().chain(&survey.problems) {
        println!("{line}");
    }
    println!("tidy: {} files; {budget}", files.len());
    if !survey.problems.is_empty() {
        bail!("tidy found {} problems", survey.problems.len());
    }
    Ok(())
}

/// Runs the rules of a single file.
fn inspect(file: &File, survey: &mut Survey) {
    survey.problems.extend(text::paths(file));
    if !file.is_rust() {
        return;
    }
    let source = Source::read(&file.text);
    survey.problems.extend(text::problems(file, &source));
    survey.warnings.extend(text::warning(file));
    survey.problems.extend(places::problems(file, &source));
    if !file.is_generated() {
        survey.problems.extend(shape::problems(file, &source.functions()));
    }
}

impl File {
    fn new(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), text: text.into(), declared_test: false }
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|ext| ext == "rs")
    }

    fn is_generated(&self) -> bool {
        self.path.ends_with("/generated.rs")
    }

    /// The crate the file belongs to (`xtask` for xtask), empty outside of all.
    fn krate(&self) -> &str {
        match self.path.split_once('/') {
            Some(("crates", rest)) => rest.split('/').next().unwrap_or_default(),
            Some(("xtask", _)) => "xtask",
            _ => "",
        }
    }

    /// Whether all of it is test, bench or example.
    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        let apart = |part: &&str| ["tests", "tests.rs", "benches", "examples"].contains(part);
        parts.iter().any(apart) || self.krate() == "testing" || self.declared_test
    }

    /// The files of the modules that this one declares under `#[cfg(test)]`.
    fn declared_tests(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or_default();
        let folder = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let lines = self.text.lines().zip(self.text.lines().skip(1));
        let after = lines.filter(|(above, _)| *above == "#[cfg(test)]").map(|(_, line)| line);
        let names = after.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        names.map(|name| format!("{folder}/{name}.rs")).collect()
    }
}

/// Marks the files that are only compiled for tests.
fn mark_tests(files: &mut [File]) {
    let declared: BTreeSet<String> = files.iter().flat_map(File::declared_tests).collect();
    for file in files {
        file.declared_test = declared.contains(&file.path);
    }
}

/// What git knows or would add, so far as it is text.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let mut files = Vec::new();
    // What is compared with is apart from the workspace, and has its own ways.
    let ours = |path: &&str| is_text(path) && !path.starts_with("bench/yardsticks/");
    for path in command::output(&mut git)?.lines().filter(ours) {
        match fs::read_to_string(root.join(path)) {
            Ok(text) => files.push(File::new(path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("failed to read `{path}`")),
        }
    }
    mark_tests(&mut files);
    Ok(files)
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ext = name.rsplit_once('.').map_or("", |(_, ext)| ext);
    ["rs", "toml", "md", "py", "sh"].contains(&ext) || path == ".ci/run"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        File::new(path, "")
    }

    #[test]
    fn modules_declared_for_tests_are_tests() {
        let mut files = [
            File::new("crates/nn/src/lib.rs", "#[cfg(test)]\nmod table;\nmod norm;\n"),
            File::new("crates/nn/src/table.rs", ""),
            File::new("crates/nn/src/norm.rs", "#[cfg(test)]\npub(crate) mod cases;\n"),
            File::new("crates/nn/src/norm/cases.rs", ""),
        ];
        mark_tests(&mut files);
        assert_eq!(files.map(|file| file.is_test()), [false, true, false, true]);
    }

    #[test]
    fn crates_and_tests_are_told_from_the_path() {
        assert_eq!(file("crates/nn/src/lib.rs").krate(), "nn");
        assert_eq!(file("xtask/src/main.rs").krate(), "xtask");
        assert_eq!(file("golden/gpt2.py").krate(), "");
        let cases = [
            ("crates/nn/src/attention.rs", false),
            ("crates/nn/src/attention/tests.rs", true),
            ("crates/nn/tests/it/main.rs", true),
            ("crates/kernels/benches/gemm.rs", true),
            ("crates/testing/src/lib.rs", true),
        ];
        for (path, expected) in cases {
            assert_eq!(file(path).is_test(), expected, "{path}");
        }
    }

    #[test]
    fn only_text_is_read() {
        let cases = [("a/b.rs", true), (".ci/run", true), ("x.safetensors", false), ("run", false)];
        for (path, expected) in cases {
            assert_eq!(is_text(path), expected, "{path}");
        }
    }
}
