//! A model measured on tasks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use checkpoint::{OsDisk, atomic};
use evaluate::{
    Encoder, Logged, RESULTS_FILE, Results, Runner, Sample, Setting, Task, TaskFile, TaskResult,
    Writer, log_path, log_text, score,
};
use metrics::Bootstrap;
use serde_json::json;
use tokenize::ChatTemplate;

use crate::cli::Eval;
use crate::commands::load::Loaded;
use crate::commands::show;
use crate::commands::table::Table;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::progress::Progress;

/// Runs every task: all of them are read and made tokens before anything is computed.
///
/// # Errors
/// Where a task, its data or the model refuses, or a file cannot be written.
pub fn run(model: &Path, args: &Eval, env: &Env) -> Result<Exit, Failure> {
    super::refuse_existing(args.out.as_deref(), &[RESULTS_FILE])?;
    let tasks: Vec<Task> =
        args.task.iter().map(|path| open(path, args, env)).collect::<Result<_, _>>()?;
    let mut logs = BTreeMap::new();
    for Task { file, .. } in &tasks {
        if let Some(other) = logs.insert(log_path(Path::new(""), &file.name), &file.name) {
            let problem = format!("the tasks `{other}` and `{}` have one log", file.name);
            return Err(Failure::new(problem).hint("give one of them another `task`"));
        }
    }
    let loaded = Loaded::with(model, &args.adapters, args.precision, env)?.scores_tokens()?;
    let tokenizer = loaded.tokenizer()?;
    let device = env.device();
    let at = (&loaded.model, &device, loaded.precision);
    let Some(encoder) = Encoder::new(&tokenizer, loaded.end(&tokenizer)) else {
        let problem = format!("the tokenizer in `{}` has no token to begin with", model.display());
        return Err(Failure::new(problem).hint("name `bos_token` or `eos_token` in its config"));
    };
    let ends = loaded.ends(&tokenizer)?;
    let writer = Writer { model: at, tokenizer: &tokenizer, ends: &ends, seed: args.seed };
    let runner = Runner { model: at, encoder, writer, batch_tokens: args.batch_tokens };
    let chat = args.apply_chat_template.then(|| loaded.chat_template(&tokenizer)).transpose()?;
    let results = Results {
        model: args.adapters.name(model),
        precision: loaded.precision.compute.to_string(),
        chat: args.apply_chat_template,
        seed: args.seed,
        tasks: measure((&tasks, chat.as_ref()), &runner, args, env)?,
    };
    if let Some(out) = &args.out {
        // Last: where it is, the logs are whole.
        let text = results.to_json();
        atomic::write_file(&OsDisk, &out.join(RESULTS_FILE), text.as_bytes())?;
    }
    show(args.json, (table(&results), json!(results)))
}

fn open(path: &str, args: &Eval, env: &Env) -> Result<Task, Failure> {
    let mut file = TaskFile::read(Path::new(path))?;
    if let Some(n) = args.num_fewshot {
        file.n_shots = n;
    }
    if !file.passed_over.is_empty() {
        env.say(&format!("{path}: passed over: {}", file.passed_over.join(", ")));
    }
    Ok(Task::open(file)?)
}

/// What came of every task; its log is written once it is done, whatever becomes of the next.
fn measure(
    (tasks, chat): (&[Task], Option<&ChatTemplate>),
    runner: &Runner,
    args: &Eval,
    env: &Env,
) -> Result<Vec<TaskResult>, Failure> {
    let setting = Setting { limit: args.limit, seed: args.seed, chat };
    let mut prepared = Vec::new();
    for task in tasks {
        let samples = task.samples(&setting)?;
        let asked = runner.prepare(task, &samples)?;
        let n: usize = samples.iter().map(|sample| sample.requests.len()).sum();
        env.say(&format!("{}: {} documents, {n} requests", task.file.name, samples.len()));
        if let Some((n, first)) = asked.truncated {
            let (name, at) = (&task.file.name, &samples[first].at);
            env.warn(&format!("{name}: {n} prompts lose their beginning; the first: {at}"));
        }
        prepared.push((task, samples, asked));
    }
    let total: usize = prepared.iter().map(|(_, _, asked)| asked.len()).sum();
    let mut progress = Progress::new(env, io::stderr().is_terminal(), 0, total as u64);
    if let Some(out) = &args.out {
        fs::create_dir_all(out).context(format!("failed to make `{}`", out.display()))?;
    }
    let how = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let (mut results, mut done) = (Vec::new(), 0);
    for (task, samples, asked) in &prepared {
        let responses = runner.answer(task, samples, asked, |n| {
            done += n;
            progress.piece(done as u64, "request", &task.file.name);
        })?;
        let line = |(sample, responses): (&Sample, &Vec<_>)| {
            Logged::new(sample, responses, &score(task, sample, responses))
        };
        let log: Vec<Logged> = samples.iter().zip(&responses).map(line).collect();
        if let Some(out) = &args.out {
            let path = log_path(out, &task.file.name);
            atomic::write_file(&OsDisk, &path, log_text(&log).as_bytes())?;
        }
        results.push(TaskResult::new(task, &log, &how));
    }
    progress.finish();
    Ok(results)
}

fn table(results: &Results) -> String {
    let mut table = Table::new(&["task", "docs", "shots", "metric", "value", "stderr", "95 %"]);
    for task in &results.tasks {
        for metric in &task.metrics {
            let name = match &*metric.filter {
                "none" => metric.metric.clone(),
                filter => format!("{} ({filter})", metric.metric),
            };
            let number = |x: Option<f64>| x.map(|x| format!("{x:.4}")).unwrap_or_default();
            let interval = metric.interval.map(|[a, b]| format!("{a:.4} .. {b:.4}"));
            let value = match &metric.undefined {
                Some(why) => format!("undefined: {why}"),
                None => number(metric.value),
            };
            table.row(&[
                task.task.clone(),
                task.n_docs.to_string(),
                task.n_shots.to_string(),
                name,
                value,
                number(metric.stderr),
                interval.unwrap_or_default(),
            ]);
        }
    }
    table.text()
}
