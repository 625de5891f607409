//! The real binary, from the outside.

mod assets;
mod cli;
mod crawl;
mod data;
mod doctor;
mod eval;
mod families;
mod fixture;
mod forward;
mod generate;
mod hostile;
mod inspect;
mod kill;
mod plan;
mod pretrain;
mod pull;
mod recipe;
mod replaced;
mod run;
mod runs;
mod s3;
mod sources;
mod tasks;
mod verify;
