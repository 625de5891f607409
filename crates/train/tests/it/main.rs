//! Steps and runs, held against another implementation, against themselves and against faults.

#[path = "../../../models/tests/it/families.rs"]
#[allow(dead_code)] // Shared; what is of no use here is of use there.
mod families;
mod golden;
mod precision;
mod refusals;
mod resume;
mod run;
mod steps;
mod support;
