//! Log-likelihoods and texts a second against lm-evaluation-harness, on the same task files and
//! weights.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::engine::binary;
use super::figures::{Figure, Samples, line, number, text};
use super::rounds::{Rounds, sentences, smol};
use crate::command;
use crate::golden::HARNESS;
use crate::python::Python;

/// What the peer may take at once; its best counts. Its `auto` took up to nine times as long.
const BATCHES: [&str; 4] = ["8", "16", "32", "64"];
/// Documents: of four choices each, of one continuation, of one behind examples, and to be gone on
/// with.
const DOCS: [usize; 4] = [48, 400, 60, 64];
/// Those examples.
const SHOTS: usize = 8;

const CHOICE: &str = "output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
";
const LAST: &str = "output_type: loglikelihood
doc_to_text: text
doc_to_target: last
";

const BEHIND: &str = "output_type: loglikelihood
doc_to_text: text
doc_to_target: last
num_fewshot: 8
fewshot_split: train
fewshot_config: {sampler: first_n}
";
const WRITTEN: &str = "output_type: generate_until
doc_to_text: text
doc_to_target: last
generation_kwargs: {until: ['<none>'], max_gen_toks: 64}
";

/// Runs both in turn.
///
/// # Errors
/// When a package, a program or an option is missing, or a run fails.
pub fn evaluate(args: &[&str]) -> Result<()> {
    let prepare = |folder: &Path| Ok((smol(folder)?, tasks(folder)?));
    Rounds { name: "evaluate", packages: HARNESS, prepare, round, figures }.run(args)
}

/// The model, and tasks by name.
type Words = (PathBuf, Vec<(&'static str, PathBuf)>);

fn round((model, tasks): &Words, python: &Python, samples: &mut Samples) -> Result<()> {
    for (name, task) in tasks {
        for batch in BATCHES {
            let mut theirs = python.command();
            theirs.args(["bench/lm_eval.py", text(model)?, text(task)?, "--batch", batch]);
            let found = line(&mut theirs)?;
            let rate = number(&found, "n")? / number(&found, "seconds")?;
            samples.add(&format!("{name}, lm_eval at {batch}, a second"), rate);
        }
        // The whole process: its start and the load of the model, too.
        let mut ours = binary(&["eval", text(model)?, "--task", text(task)?, "--json"]);
        let began = Instant::now();
        command::output(ours.args(["--quiet", "--threads", "2"]))?;
        let n = match *name {
            "choices" => 4 * DOCS[0],
            "last words" => DOCS[1],
            "behind examples" => DOCS[2],
            _ => DOCS[3],
        };
        samples.add(&format!("{name}, a second"), n as f64 / began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn figures(samples: &Samples) -> Result<Vec<Figure>> {
    let figure = |what: &'static str, name: &str| -> Result<Figure> {
        let theirs =
            |batch: &&str| samples.median(&format!("{name}, lm_eval at {batch}, a second"));
        let theirs: Vec<f64> = BATCHES.iter().map(theirs).collect::<Result<_>>()?;
        let best = theirs.into_iter().fold(0.0, f64::max);
        let ours = samples.median(&format!("{name}, a second"))?;
        let bounds = if name == "texts" { [1.0, 2.0] } else { [2.0, 4.0] };
        Ok(Figure::new(what, ours / best, bounds, "x"))
    };
    Ok(vec![
        figure("log-likelihoods, four choices", "choices")?,
        figure("log-likelihoods, one continuation", "last words")?,
        figure("log-likelihoods, one behind examples", "behind examples")?,
        figure("texts of 64 tokens", "texts")?,
    ])
}

/// Tasks out of a novel: which of four ends a sentence has, its last word, behind examples too, and
/// what follows.
fn tasks(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let text = fs::read_to_string(sentences(folder)?)?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let long: Vec<&Vec<&str>> = lines.iter().filter(|words| words.len() > 16).collect();
    let [n_choices, n_last, n_behind, n_written] = DOCS;
    let n = 4 * n_choices + n_last + SHOTS;
    ensure!(long.len() >= n, "{} sentences of {n}", long.len());
    let end = |words: &[&str], at: usize| words[words.len() - 3 - at % 6..].join(" ");
    let choice = |at: usize| {
        let four = &long[4 * at..4 * at + 4];
        let first = four[0];
        let question = first[..first.len() - 3 - 4 * at % 6].join(" ");
        let choices: Vec<String> =
            four.iter().enumerate().map(|(i, words)| end(words, 4 * at + i)).collect();
        serde_json::json!({"question": question, "choices": choices, "answer": 0})
    };
    let last = |at: usize| {
        let (last, rest) = long[4 * n_choices + at].split_last().context("words")?;
        Ok(serde_json::json!({"text": rest.join(" "), "last": format!(" {last}")}))
    };
    let last: Vec<_> = (0..n_last + SHOTS).map(last).collect::<Result<_>>()?;
    let (last, shots) = last.split_at(n_last);
    let folder = folder.join("evaluate");
    fs::create_dir_all(&folder)?;
    let mut all = Vec::new();
    let choices: Vec<_> = (0..n_choices).map(choice).collect();
    let write = |file: &str, rows: &[serde_json::Value]| {
        let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        fs::write(folder.join(format!("{file}.jsonl")), rows.join("\n") + "\n")
    };
    write("shots", shots)?;
    for (name, file, own, rows) in [
        ("choices", "choice", CHOICE, &choices[..]),
        ("last words", "last", LAST, last),
        ("behind examples", "behind", BEHIND, &last[..n_behind]),
        ("texts", "written", WRITTEN, &last[..n_written]),
    ] {
        write(file, rows)?;
        let train = if own == BEHIND { ", train: shots.jsonl" } else { "" };
        let task = format!(
            "task: {file}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: \
             {file}.jsonl{train}}}}}\ntest_split: test\n{own}"
        );
        let path = folder.join(format!("{file}.yaml"));
        fs::write(&path, task)?;
        all.push((name, path));
    }
    Ok(all)
}
