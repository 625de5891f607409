//! Generation, over every family.

mod decoding;
#[allow(dead_code)] // Shared; what is of no use here is of use there.
#[path = "../../../models/tests/it/families.rs"]
mod families;
mod search;
