//! `lyceum verify`: the laws of training, held against the user's own recipe.
//!
//! Some steps of the recipe's own model on its own text, done in two ways that must not differ:
//! `setup` makes what is trained, `laws` trains it both ways, `packing` packs documents or not.

mod laws;
mod packing;
mod setup;

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;
use train::report::format::duration;

use self::laws::LAWS;
use self::setup::Setup;
use super::show;
use super::table::Table;
use crate::cli::About;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::stop;
use recipe::Recipe;

/// What a law was found to be.
#[derive(Serialize)]
struct Verdict {
    law: &'static str,
    holds: bool,
    /// How far two ways of doing the same were apart; what it is of, the law says.
    difference: f64,
    bound: f64,
    seconds: f64,
    note: Option<String>,
}

/// Holds every law against the recipe, and prints what was found.
///
/// # Errors
/// Where the recipe is refused, or a law does not hold.
pub fn run(args: &About, env: &Env) -> Result<Exit, Failure> {
    let recipe = Recipe::asked(args.recipe.name.as_deref(), &args.recipe.set)?;
    let stop = stop::flag(|| ()).context("no handler")?;
    let dir = TempDir::new().context("failed to make a temporary directory")?;
    // More than once, for it is written to meanwhile; what cannot be removed stays.
    let clean = || {
        for _ in 0..100 {
            let _ = fs::remove_dir_all(dir.path());
            thread::sleep(Duration::from_millis(1));
            if !dir.path().exists() {
                break;
            }
        }
    };
    stop::at_once_during(&stop, clean, || {
        let mut setup = Setup::new(&recipe, dir.path(), env)?;
        let verdicts = hold(&mut setup)?;
        let json = json!({
            "holds": verdicts.iter().all(|verdict| verdict.holds),
            "precision": setup.step.precision.compute.to_string(),
            "steps": setup.n_steps,
            "windows_per_step": setup.batches.batch,
            "laws": verdicts,
        });
        show(args.json, (table(&verdicts), json))?;
        judge(&verdicts)
    })
}

/// Every law in turn.
fn hold(setup: &mut Setup) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts: Vec<Verdict> = vec![];
    for law in &LAWS {
        setup.env.say(&format!("{} ..", law.name));
        let began = Instant::now();
        let (difference, note) = (law.hold)(setup)?;
        let (seconds, bound) = (began.elapsed().as_secs_f64(), law.bound(setup));
        let holds = difference <= bound;
        verdicts.push(Verdict { law: law.name, holds, difference, bound, seconds, note });
        if !holds && verdicts.len() == 1 {
            // A step with a parameter that has no gradient is refused: nothing else can be held.
            break;
        }
    }
    Ok(verdicts)
}

/// How the command ends.
fn judge(verdicts: &[Verdict]) -> Result<Exit, Failure> {
    let broken: Vec<_> = verdicts.iter().filter(|v| !v.holds).map(|verdict| verdict.law).collect();
    if broken.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!("the recipe breaks: {}", broken.join(", ")))
        .hint("this is a fault of the program, not of the recipe: please report it with the table"))
}

fn table(verdicts: &[Verdict]) -> String {
    let mut table = Table::new(&["law", "result", "difference", "bound", "time"]);
    let text = |x: f64| if x == 0.0 { "none".to_owned() } else { format!("{x:.1e}") };
    let mut notes = String::new();
    for Verdict { law, holds, difference, bound, seconds, note } in verdicts {
        let result = if *holds { "holds" } else { "BROKEN" };
        table.row(&[law, result, &text(*difference), &text(*bound), &duration(*seconds)]);
        if let Some(note) = note {
            let gap = if notes.is_empty() { "\n" } else { "" };
            let _ = writeln!(notes, "{gap}{law}: {note}");
        }
    }
    table.text() + &notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_law_is_named_in_the_table_and_fails_the_command() {
        let verdict = |law, difference| Verdict {
            law,
            holds: difference <= 1e-5,
            difference,
            bound: 1e-5,
            seconds: 1.0,
            note: None,
        };
        let verdicts = [verdict("adds up", 0.0), verdict("comes back", 0.5)];
        let text = table(&verdicts);
        let results: Vec<_> = text.lines().map(|line| line.contains("BROKEN")).collect();
        assert_eq!(results, [false, false, true], "{text}");
        assert_eq!(judge(&verdicts[..1]).ok(), Some(Exit::Done));
        let failure = judge(&verdicts).expect_err("broken");
        assert_eq!(failure.code(), 1);
        assert!(failure.text(false).starts_with("error: the recipe breaks: comes back\n"));
    }
}
