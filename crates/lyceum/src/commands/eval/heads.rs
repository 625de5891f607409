//! A model with a head measured on labelled data.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use checkpoint::{OsDisk, atomic};
use datasets::{Named, Split};
use evaluate::{
    DATA, HeadReport, Judged, LabelledData, Learned, Logged, RESULTS_FILE, Results, Scores,
    log_path, log_text,
};
use metrics::Bootstrap;
use models::HeadKind;
use recipe::FinetuneRecipe;
use serde_json::json;
use tokenize::Tokenizer;
use train::report::REPORT_FILE;

use crate::cli::Eval;
use crate::commands::load::Loaded;
use crate::commands::show;
use crate::commands::table::Table;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};

const HEAD_FILE: &str = "head.json";

/// Measures as the recipe says that a model was tuned by, and writes what is asked for.
///
/// # Errors
/// Where data or model refuse, or do not fit each other.
pub fn run(model: &Path, recipe: FinetuneRecipe, args: &Eval, env: &Env) -> Result<Exit, Failure> {
    super::refuse_existing(args.out.as_deref(), &[HEAD_FILE, RESULTS_FILE, REPORT_FILE])?;
    let loaded = Loaded::with(model, &args.adapters, args.precision, env)?;
    let head = loaded.model.config.head().filter(|head| *head != HeadKind::Tokens);
    let Some(head) = head.filter(|_| loaded.model.architecture.stack().is_ok()) else {
        let problem = format!("`{}` has no head for labelled data", model.display());
        return Err(Failure::new(problem)
            .hint("tune one with `lyceum finetune`; `--task FILE` alone asks a language model"));
    };
    loaded.reads_text()?;
    if let [_, second, ..] = &args.task[..] {
        let problem = format!("`--task {second}` is a second set for `--data`");
        return Err(Failure::new(problem).hint("measure one set after the other"));
    }
    let set = args.task.first().map(|name| Named::find(name)).transpose()?;
    let data = LabelledData::read(&head, set, &args.data, &args.slice, learned(recipe))?;
    let (tests, judged) = chosen(&data, args)?;
    if let Some(schema) = &data.schema {
        env.say(&schema.to_string());
    }
    for (why, places) in data.splits.iter().flat_map(|split| &split.notes) {
        env.warn(&format!("{} rows: {why}; the first: {}", places.n, places.first.join("; ")));
    }
    let tokenizer = loaded.tokenizer()?;
    let max_len = data.max_len(&loaded.model);
    if max_len < loaded.model.stack().max_len() {
        env.say(&format!("texts are cut to {max_len} tokens, as where the model was tuned"));
    }
    let said = |split: &Split| scores(&loaded, &tokenizer, (&head, split, &data), args, env);
    if let (Some(dir), Some(set)) = (&args.submission, set) {
        fs::create_dir_all(dir).context(format!("failed to make `{}`", dir.display()))?;
        for split in tests {
            let (framed, scores) = said(split)?;
            let records = &split.records;
            let judged = Judged { head: &head, framed: &framed, records, scores: &scores };
            let path = dir.join(set.submission_name(&split.name)?);
            let out =
                File::create(&path).context(format!("failed to write `{}`", path.display()))?;
            set.write_submission(records, &judged.predictions(), BufWriter::new(out))?;
            env.say(&format!("{}: {} predictions", path.display(), records.len()));
        }
    }
    let how = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let (mut reports, mut logs) = (Vec::new(), Vec::new());
    for split in judged {
        let (framed, scores) = said(split)?;
        let records = &split.records;
        let judged = Judged { head: &head, framed: &framed, records, scores: &scores };
        let of = (&*split.name, &data.metrics[..]);
        let (report, log) = judged.report(of, &data.values(records), &how)?;
        logs.push((report.result(data.task(&split.name)), log));
        reports.push(report);
    }
    if reports.is_empty() {
        return Ok(Exit::Done);
    }
    if let Some(out) = &args.out {
        let (tasks, logs): (_, Vec<_>) = logs.into_iter().unzip();
        let (model, precision) = (args.adapters.name(model), loaded.precision.compute.to_string());
        let results = Results { model, precision, chat: false, seed: args.seed, tasks };
        write(out, (&reports, &results, &logs), args)?;
    }
    let table = reports.iter().map(text).collect::<Vec<_>>().join("\n");
    show(args.json, (table, json!({"splits": reports})))
}

/// How a run learned.
fn learned(FinetuneRecipe { data, task, .. }: FinetuneRecipe) -> Learned {
    let (columns, metrics) = (data.columns, task.metrics);
    Learned { columns, max_len: data.max_len, overlap: data.overlap, metrics }
}

/// Writes what was found; `results.json` last: where it is, the logs are whole.
fn write(
    out: &Path,
    (reports, results, logs): (&[HeadReport], &Results, &[Vec<Logged>]),
    args: &Eval,
) -> Result<(), Failure> {
    fs::create_dir_all(out).context(format!("failed to make `{}`", out.display()))?;
    let of = |report: &HeadReport| format!("{} records of {}", report.n, report.split);
    let counts: Vec<String> = reports.iter().map(of).collect();
    let lead = format!("{}: {}", args.data.join(", "), counts.join(", "));
    let json = format!("{:#}\n", json!({"splits": reports}));
    let page = HeadReport::html(reports, &results.model, &lead);
    let logs = results.tasks.iter().zip(logs);
    let logs = logs.map(|(task, log)| (log_path(out, &task.task), log_text(log)));
    let files = [(HEAD_FILE, json), (REPORT_FILE, page), (RESULTS_FILE, results.to_json())];
    for (path, text) in logs.chain(files.map(|(name, text)| (out.join(name), text))) {
        atomic::write_file(&OsDisk, &path, text.as_bytes())?;
    }
    Ok(())
}

/// The splits that a benchmark wants predictions of, and those that are measured: what the model
/// did not learn from.
fn chosen<'d>(
    data: &'d LabelledData,
    args: &Eval,
) -> Result<(Vec<&'d Split>, Vec<&'d Split>), Failure> {
    let of = |is: fn(&str) -> bool| data.splits.iter().filter(move |split| is(&split.name));
    let tests: Vec<_> = of(|name| name.starts_with("test")).collect();
    let judged: Vec<_> = of(|name| name.starts_with("validation") || name == DATA).collect();
    let there = || args.data.join("`, `");
    if args.submission.is_some() && tests.is_empty() {
        let problem = format!("`--submission`: there is no test split in `{}`", there());
        return Err(Failure::new(problem).hint("name the official folder of the set in `--data`"));
    }
    if args.submission.is_none() && judged.is_empty() {
        let problem = format!("there is no split for validation in `{}`", there());
        return Err(Failure::new(problem).hint("name a file with labels in `--data`"));
    }
    Ok((tests, judged))
}

/// What the model says of a split, with what was lost of it.
fn scores(
    loaded: &Loaded,
    tokenizer: &Tokenizer,
    (head, split, data): (&HeadKind, &Split, &LabelledData),
    args: &Eval,
    env: &Env,
) -> Result<Scores, Failure> {
    let device = env.device();
    let model = (&loaded.model, &device, loaded.precision);
    let scores = data.judge(model, tokenizer, (head, split), args.batch_tokens)?;
    let mut cut = scores.0.iter().filter(|framed| framed.n_cut > 0);
    if let Some(first) = cut.next() {
        let (n, at) = (1 + cut.count(), &split.records[first.record].at);
        let max_len = data.max_len(&loaded.model);
        env.warn(&format!("{n} texts are longer than {max_len} tokens, and cut; the first: {at}"));
    }
    Ok(scores)
}

/// The report for a terminal.
fn text(report: &HeadReport) -> String {
    let mut metrics = Table::new(&["metric", "value", "95 %"]);
    let number = |x: Option<f64>| x.map_or("undefined".to_owned(), |x| format!("{x:.4}"));
    for metric in &report.metrics {
        let interval = metric.interval.map(|[a, b]| format!("{a:.4} .. {b:.4}"));
        let value = match &metric.undefined {
            Some(why) => format!("undefined: {why}"),
            None => number(metric.value),
        };
        metrics.row(&[metric.metric.clone(), value, interval.unwrap_or_default()]);
    }
    if let Some(calibration) = &report.calibration {
        for (name, value) in [
            ("calibration error", Some(calibration.ece)),
            ("Brier score", Some(calibration.brier)),
            ("best temperature", calibration.temperature),
        ] {
            metrics.row(&[name, &number(value), ""]);
        }
    }
    let mut parts = vec![format!("{}, {} records\n", report.split, report.n), metrics.text()];
    if let Some(matrix) = &report.confusion {
        let mut head = vec!["right \\ said"];
        head.extend(report.labels.iter().map(String::as_str));
        let mut table = Table::new(&head);
        for (label, row) in report.labels.iter().zip(matrix) {
            let mut cells = vec![label.clone()];
            cells.extend(row.iter().map(ToString::to_string));
            table.row(&cells);
        }
        parts.push(table.text());
    }
    let mut slices = Table::new(&["slice", "value", "records", "mean error"]);
    for slice in &report.slices {
        let error = format!("{:.4}", slice.error);
        slices.row(&[&slice.column, &slice.value, &slice.n.to_string(), &error]);
    }
    parts.push(slices.text());
    if !report.worst.is_empty() {
        let mut worst = Table::new(&["worst", "right", "said", "text"]);
        for one in report.worst.iter().take(5) {
            let text: String = one.text.chars().take(60).collect();
            worst.row(&[format!("{:.3}", one.error), one.right.clone(), one.said.clone(), text]);
        }
        parts.push(worst.text());
    }
    parts.join("\n")
}
