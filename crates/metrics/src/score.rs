//! What a metric found.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One number with its name: what tables, logs and reports are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// As in [`crate::registry`], or the caller's own.
    pub name: Cow<'static, str>,
    /// In the metric's units; finite.
    pub value: f64,
    /// How many samples it is of.
    pub n: usize,
}
