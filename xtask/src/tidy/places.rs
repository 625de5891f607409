//! What only some crates may write. The invariants of `ARCHITECTURE.md`, as far as a token tells.

use super::File;
use crate::source::Source;

/// A token and the crates it belongs to.
struct Rule {
    token: &'static str,
    crates: Crates,
    /// Whether test code is held to it too.
    in_tests: bool,
}

enum Crates {
    Only(&'static [&'static str]),
    Except(&'static [&'static str]),
}

const UNSAFE: Crates = Crates::Only(&["kernels", "mapped"]);
const EDGE: Crates = Crates::Only(&["terminal", "lyceum", "xtask"]);
const NO_FILES: Crates = Crates::Except(&["kernels", "tensor", "nn", "optim"]);
const NO_CLOCK: Crates = Crates::Except(&["tensor", "nn", "models", "optim"]);

const fn product(token: &'static str, crates: Crates) -> Rule {
    Rule { token, crates, in_tests: false }
}

const RULES: &[Rule] = &[
    Rule { token: "unsafe", crates: UNSAFE, in_tests: true },
    Rule { token: "unsafe_code", crates: UNSAFE, in_tests: true },
    product("print!", EDGE),
    product("println!", EDGE),
    product("eprint!", EDGE),
    product("eprintln!", EDGE),
    product("std::env", EDGE),
    product("process::exit", EDGE),
    product("std::fs", NO_FILES),
    product("std::time", NO_CLOCK),
];

/// Every token of the file that stands in the wrong crate, as `path:line: problem`.
pub fn problems(file: &File, source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.forbids(file.krate())).collect();
    for (idx, line) in source.code.lines().enumerate() {
        let in_test = file.is_test() || source.is_test.get(idx) == Some(&true);
        let applies = |rule: &&&Rule| (rule.in_tests || !in_test) && mentions(line, rule.token);
        for rule in rules.iter().filter(applies) {
            let at = format!("{}:{}", file.path, idx + 1);
            problems.push(format!("{at}: `{}` belongs {}", rule.token, rule.where_to()));
        }
    }
    problems
}

impl Rule {
    fn forbids(&self, krate: &str) -> bool {
        match self.crates {
            Crates::Only(allowed) => !allowed.contains(&krate),
            Crates::Except(refused) => refused.contains(&krate),
        }
    }

    fn where_to(&self) -> String {
        match self.crates {
            Crates::Only(allowed) => format!("in {} only", allowed.join(", ")),
            Crates::Except(refused) => format!("outside of {}", refused.join(", ")),
        }
    }
}

/// Whether the line has `token`, also as one of a group of imports.
fn mentions(line: &str, token: &str) -> bool {
    let group = || Some((token.strip_prefix("std::")?, line.split_once("std::{")?.1));
    has(line, token) || group().is_some_and(|(name, names)| has(names, name))
}

/// Whether `token` stands in the line as a whole word.
fn has(line: &str, token: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(token).any(|(at, _)| {
        !line[..at].ends_with(is_word) && !line[at + token.len()..].starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        let file = File::new(path, text);
        problems(&file, &Source::read(text)).len()
    }

    #[test]
    fn every_rule_knows_its_place() {
        let cases = [
            ("crates/nn/src/a.rs", "unsafe { f() }", 1),
            ("crates/kernels/src/a.rs", "unsafe { f() }", 0),
            ("crates/nn/src/a.rs", "// unsafe\nlet a = \"unsafe\";", 0),
            ("crates/nn/tests/it/main.rs", "unsafe {}", 1),
            ("crates/data/src/a.rs", "println!();", 1),
            ("crates/lyceum/src/a.rs", "println!();", 0),
            ("crates/data/src/a.rs", "let e = std::env::var(x);", 1),
            ("crates/data/src/a.rs", "use std::fs;", 0),
            ("crates/nn/src/a.rs", "use std::fs;", 1),
            ("crates/nn/src/a.rs", "use std::{fs, io};", 1),
            ("crates/nn/src/a.rs", "use std::{fmt, io};", 0),
            ("crates/nn/src/a.rs", "#[cfg(test)]\nmod tests {\n  use std::fs;\n}\n", 0),
            ("crates/nn/src/a.rs", "let a = env!(\"A\");", 0),
        ];
        for (path, text, expected) in cases {
            assert_eq!(found(path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn the_message_names_the_place() {
        let file = File::new("crates/nn/src/a.rs", "");
        let problem = "crates/nn/src/a.rs:1: `unsafe` belongs in kernels, mapped only";
        assert_eq!(problems(&file, &Source::read("unsafe {}")), [problem]);
    }
}
