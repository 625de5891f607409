//! Rules of functions: how long, how many parameters.

use super::File;
use super::ratchet::Ratchet;
use crate::source::Function;

/// Every function of the file that is too long or takes too much.
pub fn problems(file: &File, functions: &[Function], ratchet: &Ratchet) -> Vec<String> {
    let mut problems = Vec::new();
    for Function { name, line, n_lines, n_params } in functions {
        let at = format!("{}:{}: `{name}`", file.path, line + 1);
        if *n_lines > ratchet.function_lines {
            let max = ratchet.function_lines;
            problems.push(format!("{at} has {n_lines} lines of code, at most {max}"));
        }
        let max = ratchet.params_of(file);
        if *n_params > max {
            problems.push(format!("{at} has {n_params} parameters, at most {max}: use a struct"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, n_lines: usize, n_params: usize) -> Vec<String> {
        let file = File::new(path, "");
        let function = Function { name: "f".to_owned(), line: 0, n_lines, n_params };
        problems(&file, &[function], &Ratchet::STYLE)
    }

    #[test]
    fn long_functions_are_found() {
        assert!(found("crates/nn/src/a.rs", 70, 0).is_empty());
        let problem = "crates/nn/src/a.rs:1: `f` has 71 lines of code, at most 70";
        assert_eq!(found("crates/nn/src/a.rs", 71, 0), [problem]);
    }

    #[test]
    fn kernels_may_take_more() {
        let problem = "crates/nn/src/a.rs:1: `f` has 8 parameters, at most 5: use a struct";
        assert_eq!(found("crates/nn/src/a.rs", 1, 8), [problem]);
        assert!(found("crates/kernels/src/a.rs", 1, 8).is_empty());
    }
}
