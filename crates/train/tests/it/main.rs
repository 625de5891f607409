//! Steps and runs, held against another implementation, against themselves and against faults.

mod curves;
#[path = "../../../models/tests/it/families.rs"]
#[allow(dead_code)] // Shared; what is of no use here is of use there.
mod families;
#[path = "../../../checkpoint/src/faults.rs"]
mod faults;
mod golden;
mod labelled;
mod near;
mod precision;
mod preferred;
mod refusals;
mod regime;
mod replaced;
mod resume;
mod rollouts;
mod run;
mod steps;
mod support;
mod written;

use checkpoint::disk; // Where `faults`, a module of two crates' tests, looks for it.
