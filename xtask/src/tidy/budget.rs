//! How large the product is without its tests, and how large it may be.

use std::collections::BTreeMap;
use std::fmt;

use super::File;
use crate::source::Source;

const MAX_ENGINE: usize = 9_900;
/// What it is, and may not outgrow. The first capability was to be 15 000, and is 19 000; the
/// families, formats and tokenizers of others, what fetches them, and what they write and hear,
/// came to 33 000; objectives, and the way from a web archive to tokens, to 47 000; labelled data,
/// metrics, adapters, alignment, evaluation and searches are the rest.
const MAX_PRODUCT: usize = 69_000;
/// Above this a crate asks for a split.
const MAX_CRATE: usize = 10_000;

/// How much of a crate is product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Size {
    /// Lines with code on them: what the budget counts, so that docs cost nothing.
    code: usize,
    /// All lines, docs and blank ones included.
    all: usize,
}

/// Lines without tests, by crate.
pub struct Budget {
    crates: BTreeMap<String, Size>,
}

/// Counts the files under `crates/` that are not tests.
pub fn count(files: &[File]) -> Budget {
    let mut crates: BTreeMap<String, Size> = BTreeMap::new();
    let counted = |file: &&File| file.path.starts_with("crates/") && file.is_rust();
    for file in files.iter().filter(counted).filter(|file| !file.is_test()) {
        let source = Source::read(&file.text);
        let size = crates.entry(file.krate().to_owned()).or_default();
        size.code += source.n_product_code_lines();
        size.all += source.n_product_lines();
    }
    Budget { crates }
}

impl Budget {
    fn sum(&self, of: impl Fn(&str) -> bool) -> Size {
        let sizes = self.crates.iter().filter(|(krate, _)| of(krate)).map(|(_, size)| *size);
        sizes.fold(Size::default(), |a, b| Size { code: a.code + b.code, all: a.all + b.all })
    }

    fn engine(&self) -> Size {
        self.sum(|krate| krate == "kernels" || krate == "tensor")
    }

    fn product(&self) -> Size {
        self.sum(|_| true)
    }

    /// What is over its budget.
    pub fn problems(&self) -> Vec<String> {
        let over = |what: &str, size: Size, max: usize| {
            let lines = size.code;
            (lines > max).then(|| format!("{what}: {lines} lines of code, at most {max}"))
        };
        let mut problems: Vec<String> = self
            .crates
            .iter()
            .filter_map(|(krate, &size)| over(&format!("crates/{krate}"), size, MAX_CRATE))
            .collect();
        problems.extend(over("kernels and tensor", self.engine(), MAX_ENGINE));
        problems.extend(over("the product", self.product(), MAX_PRODUCT));
        problems
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (engine, product) = (self.engine(), self.product());
        write!(f, "lines of code without tests: ")?;
        write!(f, "kernels and tensor {} of {MAX_ENGINE}, ", engine.code)?;
        write!(f, "the product {} of {MAX_PRODUCT} ", product.code)?;
        write!(f, "(with docs and blank lines {} and {})", engine.all, product.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, n_lines: usize) -> File {
        File::new(path, "// why\nx\n".repeat(n_lines))
    }

    #[test]
    fn tests_are_not_counted() {
        let files = [
            file("crates/kernels/src/a.rs", 10),
            file("crates/tensor/src/a.rs", 5),
            file("crates/tensor/src/a/tests.rs", 100),
            file("crates/nn/src/a.rs", 1),
            file("xtask/src/main.rs", 100),
        ];
        let budget = count(&files);
        assert_eq!(budget.engine(), Size { code: 15, all: 30 });
        assert_eq!(budget.product(), Size { code: 16, all: 32 });
        assert!(budget.problems().is_empty());
    }

    #[test]
    fn over_budget_is_a_problem() {
        let budget = count(&[file("crates/kernels/src/a.rs", MAX_ENGINE + 1)]);
        let problem = "kernels and tensor: 9901 lines of code, at most 9900";
        assert_eq!(budget.problems(), [problem]);
    }
}
