//! `lyceum verify`: the laws of training, held against the user's own recipe.
//!
//! Some steps of the recipe's own model on its own text, done in two ways that must not differ:
//! `setup` makes what is trained, `laws` trains it both ways, `packing` packs documents or not.

mod laws;
mod packing;
mod setup;

use std::time::Instant;

use serde_json::json;
use train::report::format::duration;

use self::laws::{LAWS, Law};
use self::setup::Setup;
use super::table::Table;
use super::{print, print_json};
use crate::cli::Verify;
use crate::environment::Env;
use crate::failure::{Exit, Failure};
use crate::recipe::{self, Recipe};

/// What a law was found to be.
struct Verdict {
    law: &'static Law,
    /// How far two ways of doing the same were apart; what it is of, the law says.
    difference: f64,
    bound: f64,
    seconds: f64,
    note: Option<String>,
}

impl Verdict {
    fn holds(&self) -> bool {
        self.difference <= self.bound
    }
}

/// Holds every law against the recipe, and prints what was found.
///
/// # Errors
/// Where the recipe is refused, or a law does not hold.
pub fn run(args: &Verify, env: &Env) -> Result<Exit, Failure> {
    let recipe = Recipe::load(args.recipe.as_deref().unwrap_or(recipe::DEFAULT), &args.set)?;
    recipe.check()?;
    let mut setup = Setup::new(&recipe, env)?;
    let mut verdicts = vec![];
    for law in &LAWS {
        env.say(&format!("{} ..", law.name));
        let began = Instant::now();
        let found = (law.hold)(&mut setup)?;
        let (difference, note) = (found.difference, found.note);
        let seconds = began.elapsed().as_secs_f64();
        verdicts.push(Verdict { law, difference, bound: law.bound(&setup), seconds, note });
        if found.is_final {
            break;
        }
    }
    if args.json {
        print_json(&to_json(&setup, &verdicts))?;
    } else {
        print(&table(&verdicts))?;
    }
    let broken: Vec<&str> =
        verdicts.iter().filter(|v| !v.holds()).map(|verdict| verdict.law.name).collect();
    if broken.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!("the recipe breaks: {}", broken.join(", ")))
        .hint("this is a fault of the program, not of the recipe: please report it with the table"))
}

fn table(verdicts: &[Verdict]) -> String {
    let mut table = Table::new(&["law", "result", "difference", "bound", "time"]);
    let text = |x: f64| if x == 0.0 { "none".to_owned() } else { format!("{x:.1e}") };
    for verdict in verdicts {
        let result = if verdict.holds() { "holds" } else { "BROKEN" };
        table.row(&[
            verdict.law.name,
            result,
            &text(verdict.difference),
            &text(verdict.bound),
            &duration(verdict.seconds),
        ]);
    }
    let notes =
        verdicts.iter().filter_map(|v| Some(format!("{}: {}\n", v.law.name, v.note.as_ref()?)));
    let notes: String = notes.collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    table.text() + gap + &notes
}

fn to_json(setup: &Setup, verdicts: &[Verdict]) -> serde_json::Value {
    let law = |verdict: &Verdict| {
        json!({
            "law": verdict.law.name,
            "holds": verdict.holds(),
            // JSON has no word for infinity.
            "difference": Some(verdict.difference).filter(|x| x.is_finite()),
            "bound": verdict.bound,
            "seconds": verdict.seconds,
            "note": verdict.note,
        })
    };
    json!({
        "holds": verdicts.iter().all(Verdict::holds),
        "precision": setup.precision().to_string(),
        "steps": setup.n_steps,
        "windows_per_step": setup.n_rows(),
        "laws": verdicts.iter().map(law).collect::<Vec<_>>(),
    })
}
