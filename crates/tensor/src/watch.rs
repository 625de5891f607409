//! Looking into a computation: intermediates by name, and the first number that is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::value::Tensor;

/// Where on the tape an op stands: the modules around it, outermost first.
pub(crate) type Path = Vec<(&'static str, Option<usize>)>;

pub(crate) fn path_name(path: &Path) -> String {
    let mut name = String::new();
    for (part, index) in path {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(part);
        if let Some(index) = index {
            write!(name, ".{index}").expect("a string takes every write");
        }
    }
    name
}

/// The first op whose result was not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The op: `linear`, `attention`, ...
    pub op: &'static str,
    /// The modules around it: `blocks.3.ffn`.
    pub path: String,
    /// Whether it was its gradient rather than its value.
    pub backward: bool,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let what = if self.backward { "gradient" } else { "value" };
        write!(f, "the {what} of `{}`", self.op)?;
        if !self.path.is_empty() {
            write!(f, " in `{}`", self.path)?;
        }
        f.write_str(" is not finite")
    }
}

/// Intermediate tensors by name, as modules offer them.
#[derive(Default)]
pub struct Capture {
    wanted: Vec<String>,
    found: RefCell<BTreeMap<String, Tensor>>,
}

impl Capture {
    /// Keeps the tensors whose own name (the last part of the path) is among `wanted`.
    pub fn new<S: Into<String>>(wanted: impl IntoIterator<Item = S>) -> Self {
        Self { wanted: wanted.into_iter().map(Into::into).collect(), found: RefCell::default() }
    }

    /// Whether tensors of that own name are kept.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.iter().any(|w| w == name)
    }

    pub(crate) fn keep(&self, path: String, value: Tensor) {
        self.found.borrow_mut().insert(path, value);
    }

    /// What was kept, by full path.
    pub fn into_found(self) -> BTreeMap<String, Tensor> {
        self.found.into_inner()
    }
}
