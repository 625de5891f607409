//! Rules of the text: lengths, words, characters, names, paths.

use super::File;
use crate::source::Source;

/// Lines of a file, tests included.
const MAX_LINES: usize = 600;
/// Characters of a line.
const MAX_COLUMNS: usize = 100;
/// Above this a file is worth a thought.
const WARN_LINES: usize = 400;

/// Words that only a draft has, and what to write instead. Split so that this file is tidy.
const BANNED: &[(&str, &str)] = &[
    (concat!("dbg", "!("), "a log line"),
    (concat!("todo", "!("), "the code"),
    (concat!("unimplemented", "!("), "the code"),
    (concat!("TO", "DO"), "the code, or nothing"),
    (concat!("FIX", "ME"), "the fix"),
    (concat!("XX", "X"), "the fix"),
    (concat!("HA", "CK"), "the reason"),
];

/// Names of modules that say nothing.
const NAMES: &[&str] = &["utils", "util", "common", "misc", "core", "helper", "helpers"];

/// Folders of one machine. Split so that this file is tidy.
const MACHINE: &[&str] =
    &[concat!("/", "work/"), concat!("/", "tmp/"), concat!("/", "root/"), concat!("/", "home/")];

/// Everything that is wrong with the text of one Rust file, as `path:line: problem`.
pub fn problems(file: &File, source: &Source) -> Vec<String> {
    let path = &file.path;
    let mut problems = name(path);
    let n_lines = file.text.lines().count();
    if n_lines > MAX_LINES && !file.is_generated() {
        problems.push(format!("{path}:1: {n_lines} lines, at most {MAX_LINES}"));
    }
    for (idx, (line, prose)) in file.text.lines().zip(source.prose.lines()).enumerate() {
        let at = format!("{path}:{}", idx + 1);
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            problems.push(format!("{at}: {columns} columns, at most {MAX_COLUMNS}"));
        }
        for (word, instead) in BANNED.iter().filter(|(word, _)| prose.contains(word)) {
            problems.push(format!("{at}: `{word}` is for drafts, use {instead}"));
        }
        if let Some(c) = prose.chars().find(|c| !c.is_ascii()) {
            problems.push(format!("{at}: `{c}` outside a literal, sources are ASCII"));
        }
    }
    problems
}

/// A file that is long, but not too long.
pub fn warning(file: &File) -> Option<String> {
    let n_lines = file.text.lines().count();
    let long = n_lines > WARN_LINES && !file.is_generated();
    long.then(|| format!("{}:1: warning: {n_lines} lines, aim at 80-250", file.path))
}

/// Paths that exist on one machine only, in any text file.
pub fn paths(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    for (idx, line) in file.text.lines().enumerate() {
        for folder in MACHINE.iter().filter(|folder| names_folder(line, folder)) {
            let (path, line) = (&file.path, idx + 1);
            problems.push(format!("{path}:{line}: `{folder}` is a path of one machine"));
        }
    }
    problems
}

/// Whether `folder` starts a path in the line: `x/work/` is a path of the tree.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c)))
}

fn name(path: &str) -> Vec<String> {
    let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
    let vague = stem.filter(|stem| NAMES.contains(stem));
    vague.map(|stem| format!("{path}:1: `{stem}` names nothing")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File::new(path, text);
        problems(&file, &Source::read(text))
    }

    #[test]
    fn finds() {
        let draft = concat!("ok\n  dbg", "!(x)\n");
        assert_eq!(
            found("a.rs", draft),
            [concat!("a.rs:2: `dbg", "!(` is for drafts, use a log line")]
        );
        assert_eq!(found("x/utils.rs", ""), ["x/utils.rs:1: `utils` names nothing"]);
        let wide = format!("// {}\n", "x".repeat(98));
        assert_eq!(found("a.rs", &wide), ["a.rs:1: 101 columns, at most 100"]);
        let long = "x\n".repeat(601);
        assert_eq!(found("a.rs", &long), ["a.rs:1: 601 lines, at most 600"]);
        assert!(found("x/generated.rs", &long).is_empty());
    }

    #[test]
    fn text_in_any_script_is_for_literals() {
        assert!(found("a.rs", "f(\"\u{4e2d}\");\n").is_empty());
        let problem = "a.rs:1: `\u{4e2d}` outside a literal, sources are ASCII";
        assert_eq!(found("a.rs", "// \u{4e2d}\n"), [problem]);
    }

    #[test]
    fn machine_paths_are_found_everywhere() {
        let of = |line: &str| {
            let file = File::new("a.md", line);
            paths(&file).len()
        };
        assert_eq!(of(concat!("see `/", "tmp/x`")), 1);
        assert_eq!(of(concat!("see a/", "tmp/x")), 0);
        assert_eq!(of("no path"), 0);
    }

    #[test]
    fn long_files_warn_first() {
        let text = "x\n".repeat(401);
        let file = File::new("a.rs", text);
        assert_eq!(warning(&file).unwrap(), "a.rs:1: warning: 401 lines, aim at 80-250");
    }
}
