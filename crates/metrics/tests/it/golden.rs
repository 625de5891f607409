//! The cases that `make.py` wrote, and how they are read.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::Value;

static GOLDEN: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../golden/metrics.json")).expect("valid JSON")
});

/// One case of a subject.
pub struct Case(&'static Value);

/// All cases of a subject.
pub fn cases(subject: &str) -> impl Iterator<Item = Case> {
    let cases = GOLDEN[subject].as_array().unwrap_or_else(|| panic!("no cases of `{subject}`"));
    assert!(!cases.is_empty());
    cases.iter().map(Case)
}

/// The whole of a subject.
pub fn whole<T: DeserializeOwned>(subject: &str) -> T {
    serde_json::from_value(GOLDEN[subject].clone()).unwrap()
}

impl Case {
    /// An entry as a type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_value(self.0[name].clone()).unwrap_or_else(|e| panic!("`{name}`: {e}"))
    }

    /// Strings, borrowed.
    pub fn text(&self, name: &str) -> &'static str {
        self.0[name].as_str().unwrap()
    }

    pub fn texts(&self, name: &str) -> Vec<&'static str> {
        strings(&self.0[name])
    }

    pub fn lists(&self, name: &str) -> Vec<Vec<&'static str>> {
        self.0[name].as_array().unwrap().iter().map(strings).collect()
    }

    pub fn raw(&self, name: &str) -> &'static Value {
        &self.0[name]
    }

    /// Holds a number to the one that is expected.
    #[track_caller]
    pub fn holds(&self, name: &str, found: f64) {
        close(name, found, self.get(name), 1e-12);
    }
}

pub fn strings(value: &'static Value) -> Vec<&'static str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Within a share of the expected number, or of one where it is smaller.
#[track_caller]
pub fn close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * expected.abs().max(1.0), "{name}: {found}, expected {expected}");
}

#[track_caller]
pub fn all_close(name: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    found.iter().zip(expected).for_each(|(found, expected)| close(name, *found, *expected, 1e-12));
}
