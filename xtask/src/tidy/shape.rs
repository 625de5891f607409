//! Rules of functions: how long, how many parameters.

use super::File;
use crate::source::Function;

/// Lines of code of a function.
const MAX_LINES: usize = 70;
const MAX_PARAMS: usize = 5;
/// Slices and dimensions.
const MAX_KERNEL_PARAMS: usize = 8;

/// Every function of the file that is too long or takes too much.
pub fn problems(file: &File, functions: &[Function]) -> Vec<String> {
    let mut problems = Vec::new();
    let max_params = if file.krate() == "kernels" { MAX_KERNEL_PARAMS } else { MAX_PARAMS };
    for Function { name, line, n_lines, n_params } in functions {
        let at = format!("{}:{}: `{name}`", file.path, line + 1);
        if *n_lines > MAX_LINES {
            problems.push(format!("{at} has {n_lines} lines of code, at most {MAX_LINES}"));
        }
        if *n_params > max_params {
            let most = format!("at most {max_params}: use a struct");
            problems.push(format!("{at} has {n_params} parameters, {most}"));
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
        problems(&file, &[function])
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
