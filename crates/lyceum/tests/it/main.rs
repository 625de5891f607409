//! The real binary, from the outside.

mod adapters;
mod align;
#[allow(dead_code)] // Shared; what is of no use here is of use there.
#[path = "../../../models/tests/it/assembled.rs"]
mod assembled;
mod assets;
mod cli;
mod crawl;
mod data;
mod doctor;
mod eval;
mod evaluation;
mod families;
mod finetune;
mod fixture;
mod forward;
mod generate;
mod hostile;
mod inspect;
mod kill;
mod plan;
mod preflight;
mod pretrain;
mod pull;
mod recipe;
mod replaced;
mod run;
mod runs;
mod s3;
mod search;
mod sources;
mod tasks;
mod verify;
