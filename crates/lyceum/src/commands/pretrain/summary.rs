//! The end of a run: the report, the card of its model, the next commands.

use std::path::Path;

use checkpoint::{OsDisk, RunDir, atomic};
use models::Model;
use train::metrics::{self, METRICS_FILE, MetricsRow, SAMPLES_FILE, SampleRow};
use train::report::format::{duration, grouped};
use train::report::{Named, REPORT_FILE, ReportFacts, Totals, render};
use train::{Ended, Run};

use super::observer::RunObserver;
use crate::commands::table::shell_word;
use crate::environment::Env;
use crate::failure::{Context, Failure};
use crate::machine::{self, Machine};
use recipe;

/// A model card for every checkpoint.
pub fn card((how, pipeline): (&str, &str), recipe: &str, model: &Model) -> String {
    format!(
        "---\nlibrary_name: transformers\npipeline_tag: {}\n---\n\n# A model of the family `{}`\n\n\
         {how} with Lyceum {} by this recipe:\n\n```toml\n{recipe}```\n",
        pipeline,
        model.config.family().model_type(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Writes `report.html`, and says how to go on.
///
/// # Errors
/// Where logs cannot be read, or the report not be written.
pub fn write(
    (command, pipeline, out): (&str, &str, &Path),
    run: &Run,
    (env, ended, observer): (&Env, Ended, &mut RunObserver),
) -> Result<(), Failure> {
    let rows = metrics::read::<MetricsRow>(&out.join(METRICS_FILE))?;
    let (steps, evals) = metrics::split(rows);
    let samples = metrics::read::<SampleRow>(&out.join(SAMPLES_FILE))?;
    let state = &run.trainer().state;
    let recipe_path = out.join(recipe::FILE_NAME);
    let recipe_toml = std::fs::read_to_string(&recipe_path).reading(&recipe_path)?;
    let next = next_commands((&env.program, command), out, (ended, state.step), pipeline);
    let title = out.file_name().unwrap_or_default().to_string_lossy();
    let outcome = match ended {
        Ended::Finished => "finished".into(),
        Ended::Interrupted => format!("interrupted at step {}", state.step),
        Ended::Paused => format!("paused at step {}", state.step),
        Ended::Stopped => format!("stopped at step {}, no better for a while", state.step),
        Ended::OutOfTime => format!("out of time at step {}", state.step),
    };
    let of_data = state.data.iter().map(|(name, hash)| (name.as_str(), hash.clone()));
    let mut hashes: Vec<Named> = of_data.collect();
    hashes.push(("recipe", blake3::hash(recipe_toml.as_bytes()).to_hex().to_string()));
    let sources = sources(run);
    let facts = ReportFacts {
        title: &title,
        outcome: &outcome,
        recipe_toml: &recipe_toml,
        steps: &steps,
        evals: &evals,
        best: RunDir::open(out)?.best()?,
        samples: &samples,
        sources: &sources,
        machine: &Machine::detect().facts(),
        hashes: &hashes,
        totals: Totals {
            n_params: run.trainer().model.params.n_values() as u64,
            seconds: state.seconds,
            peak_memory_bytes: machine::peak_rss_bytes(),
            energy: observer.energy.energy(),
        },
        next_commands: &next,
    };
    atomic::write_file(&OsDisk, &out.join(REPORT_FILE), render(&facts).as_bytes())?;
    let report = out.join(REPORT_FILE);
    env.say(&format!("{outcome} after {}; report: {}", duration(state.seconds), report.display()));
    for (purpose, command) in &next {
        env.say(&format!("{purpose}: {command}"));
    }
    Ok(())
}

/// How much was read of each source.
fn sources<'r>(run: &'r Run) -> Vec<Named<'r>> {
    let read = run.feed().read();
    let total: u64 = read.iter().map(|(_, n_read, _)| n_read).sum();
    let said = |(name, n_read, n_windows): (&'r str, u64, u64)| {
        let name = if name.is_empty() { "text" } else { name };
        let share = 100.0 * n_read as f64 / total.max(1) as f64;
        let epochs = n_read as f64 / n_windows.max(1) as f64;
        let n = grouped(n_read);
        (name, format!("{n} windows, {share:.1} % of all, {epochs:.2} times what there is"))
    };
    read.into_iter().map(said).collect()
}

/// Commands to be pasted, of the program as it was called.
fn next_commands(
    (program, command): (&Path, &str),
    out: &Path,
    (ended, step): (Ended, u64),
    pipeline: &str,
) -> Vec<Named<'static>> {
    let [program, out] = [program, out].map(shell_word);
    let resume = format!("{program} {command} --out {out} --resume");
    let asked = |key: &str, rest: &str| {
        format!("echo '{{\"{key}\": \"Who was it?\", {rest}}}' | {program} run {out} - --jsonl")
    };
    let mut next = match ended {
        Ended::Finished | Ended::Stopped => vec![
            match pipeline {
                "fill-mask" => ("try it", format!("{program} run {out} \"It was a [MASK] day.\"")),
                "text-classification" | "token-classification" | "sentence-similarity" => {
                    ("try it", format!("{program} run {out} \"It was a day.\""))
                }
                "question-answering" => {
                    ("try it", asked("question", "\"context\": \"It was Emma.\""))
                }
                "multiple-choice" => {
                    ("try it", asked("text", "\"choices\": [\"Emma.\", \"Jane.\"]"))
                }
                // No pipelines, but ways to ask.
                "text-pair" => {
                    let texts = "{\"text\": \"It was a day.\", \"text_pair\": \"It rained.\"}";
                    ("try it", format!("echo '{texts}' | {program} run {out} - --jsonl"))
                }
                "chat" => ("talk to it", format!("{program} chat {out}")),
                "text2text-generation" => ("try it", format!("{program} run {out} \"It was\"")),
                _ => ("write with it", format!("{program} generate {out} --prompt \"It was\"")),
            },
            ("train it longer", format!("{resume} --set train.steps={}", step * 2)),
        ],
        Ended::Interrupted | Ended::OutOfTime | Ended::Paused => vec![("go on", resume)],
    };
    if ended == Ended::Stopped {
        next.truncate(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_can_be_pasted() {
        let command = |program: &str, out: &str| {
            let (program, out) = (Path::new(program), Path::new(out));
            next_commands((program, "pretrain"), out, (Ended::Interrupted, 3), "text-generation")[0]
                .1
                .clone()
        };
        assert_eq!(command("lyceum", "runs/a-1"), "lyceum pretrain --out runs/a-1 --resume");
        assert_eq!(command("t r/lyceum", "-a"), "'t r/lyceum' pretrain --out ./-a --resume");
        let out = "'it'\\''s $HOME'";
        assert_eq!(command("l", "it's $HOME"), format!("l pretrain --out {out} --resume"));
    }
}
