//! `lyceum bench`: what this program does, timed alone, for whoever compares.

mod decode;
mod finetune;
mod train;

use serde_json::Value;

use super::show;
use super::table::Table;
use crate::cli::Bench;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Measures what is asked for.
///
/// # Errors
/// Where the model or a step is refused.
pub fn run(what: &Bench, env: &Env) -> Result<Exit, Failure> {
    let (json, facts) = match what {
        Bench::Train(args) => (args.json, train::train(args, env)?),
        Bench::Decode(args) => (args.json, decode::decode(args, env)?),
        Bench::Finetune(args) => (args.json, finetune::finetune(args, env)?),
    };
    let mut table = Table::default();
    for (name, value) in facts.as_object().into_iter().flatten() {
        table.row(&[name.as_str(), value.to_string().trim_matches('"')]);
    }
    show(json, (table.text(), facts))
}

/// The middle of what was measured, the larger of two.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// Who measured.
fn engine(env: &Env) -> Value {
    format!("lyceum {} {}", env!("CARGO_PKG_VERSION"), env.isa).into()
}
