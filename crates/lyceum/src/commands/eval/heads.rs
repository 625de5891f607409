//! A model with a head measured on labelled data.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use checkpoint::{OsDisk, atomic};
use datasets::{BYTES_MAX, Named, Place, Record, Schema, Split, Table as Rows, Task, Wanted};
use evaluate::{HeadReport, Judged};
use metrics::Bootstrap;
use models::HeadKind;
use rayon::prelude::*;
use serde_json::{Value, json};
use tasks::{Asked, Example, Frame, Framed, Labelled, predict};
use tokenize::{TokenizeError, Tokenizer};

use crate::cli::Eval;
use crate::commands::load::Loaded;
use crate::commands::show;
use crate::commands::table::Table;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};

/// Tokens that two windows of a context have in common, as where it was learned.
const OVERLAP: usize = 128;

/// What a model is judged by.
struct Data {
    splits: Vec<Split>,
    metrics: Vec<&'static str>,
    /// Values of a column by the place of a row.
    columns: Vec<(String, HashMap<Place, String>)>,
}

/// Measures, and writes what is asked for.
///
/// # Errors
/// Where data or model refuse, or do not fit each other.
pub fn run(model: &Path, args: &Eval, env: &Env) -> Result<Exit, Failure> {
    let loaded = Loaded::with(model, &args.adapters, args.precision, env)?;
    let head = loaded.model.config.head().filter(|head| *head != HeadKind::Tokens);
    let Some(head) = head.filter(|_| loaded.model.architecture.stack().is_ok()) else {
        let problem = format!("`{}` has no head for labelled data", model.display());
        return Err(Failure::new(problem)
            .hint("tune one with `lyceum finetune`; `--task FILE` alone asks a language model"));
    };
    loaded.reads_text()?;
    let set = args.task.first().map(|name| Named::find(name)).transpose()?;
    let data = Data::read(&head, set, args, env)?;
    let tokenizer = loaded.tokenizer()?;
    let said = |split: &Split| judged(&loaded, &tokenizer, (&head, split), args, env);
    if let (Some(dir), Some(set)) = (&args.submission, set) {
        fs::create_dir_all(dir).context(format!("failed to make `{}`", dir.display()))?;
        for split in data.splits.iter().filter(|split| split.name.starts_with("test")) {
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
    let Some(split) = data.splits.iter().find(|split| !split.name.starts_with("test")) else {
        return if args.submission.is_some() {
            Ok(Exit::Done)
        } else {
            Err(Failure::new("no split has labels").hint("name a file with some in `--data`"))
        };
    };
    let (framed, scores) = said(split)?;
    let judged = Judged { head: &head, framed: &framed, records: &split.records, scores: &scores };
    let how = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let report = judged.report(&data.metrics, &data.values(&split.records), &how)?;
    if let Some(out) = &args.out {
        fs::create_dir_all(out).context(format!("failed to make `{}`", out.display()))?;
        let name = model.display().to_string();
        let lead = format!("{} records of {}", report.n, args.data.join(", "));
        let text = format!("{:#}\n", json!(report));
        atomic::write_file(&OsDisk, &out.join("head.json"), text.as_bytes())?;
        let page = report.html(&name, &lead);
        atomic::write_file(&OsDisk, &out.join("report.html"), page.as_bytes())?;
    }
    show(args.json, (text(&report), json!(report)))
}

/// The data's task, by the head.
fn task_of(head: &HeadKind) -> Task {
    match head {
        HeadKind::Classes { .. } | HeadKind::Tokens | HeadKind::Vectors => Task::Classify,
        HeadKind::Score => Task::Score,
        HeadKind::Tags { .. } => Task::Tag,
        HeadKind::Spans => Task::Span,
        HeadKind::Choice => Task::Choice,
    }
}

impl Data {
    fn read(
        head: &HeadKind,
        set: Option<&'static Named>,
        args: &Eval,
        env: &Env,
    ) -> Result<Self, Failure> {
        let task = task_of(head);
        let folder = Path::new(&args.data[0]);
        if let Some(set) = set.filter(|_| args.data.len() == 1 && folder.is_dir()) {
            let data = set.load(folder, BYTES_MAX)?;
            if data.task != task || data.labels != head.labels() {
                let labels = |labels: &[String]| format!("`{}`", labels.join("`, `"));
                let problem = format!(
                    "the model is for `{task}` of {}, `{}` is `{}` of {}",
                    labels(head.labels()),
                    set.name,
                    data.task,
                    labels(&data.labels)
                );
                return Err(Failure::new(problem).hint("tune a model for this set"));
            }
            if let Some(column) = args.slice.first() {
                let problem = format!("`--slice {column}` is of a table, not of a named set");
                return Err(Failure::new(problem).hint("name the set's file in `--data` alone"));
            }
            return Ok(Self { splits: data.splits, metrics: data.metrics, columns: vec![] });
        }
        let table = Rows::open(&args.data, None)?;
        let wanted =
            Wanted { task: Some(task), columns: BTreeMap::new(), labels: head.labels().to_vec() };
        let schema = Schema::guess(&table, &wanted)?;
        env.say(&schema.to_string());
        let read = schema.read(&table, BYTES_MAX)?;
        for (why, places) in &read.notes {
            env.warn(&format!("{} rows: {why}; the first: {}", places.n, places.first.join("; ")));
        }
        let columns: Result<_, Failure> =
            args.slice.iter().map(|name| column(&table, name)).collect();
        let usual = tasks::usual_metrics(Asked::of(head), head.labels().len());
        Ok(Self {
            splits: vec![Split { name: "data".into(), records: read.records, notes: read.notes }],
            metrics: set.map_or(usual, |set| set.metrics).to_vec(),
            columns: columns?,
        })
    }

    /// What each column says of each record.
    fn values(&self, records: &[Record]) -> Vec<(String, Vec<String>)> {
        let of = |(name, values): &(String, HashMap<Place, String>)| {
            let value = |record: &Record| values.get(&record.at).cloned().unwrap_or_default();
            (name.clone(), records.iter().map(value).collect())
        };
        self.columns.iter().map(of).collect()
    }
}

/// The values of a column.
fn column(rows: &Rows, name: &str) -> Result<(String, HashMap<Place, String>), Failure> {
    if !rows.columns.iter().any(|column| column == name) {
        let like = |column: &&String| (1e6 * strsim::jaro_winkler(name, column)) as u32;
        let near = rows.columns.iter().max_by_key(like).map_or("", |column| column);
        let problem = format!("the data has no column `{name}`");
        return Err(Failure::new(problem).hint(format!("did you mean `{near}`?")));
    }
    let mut values = HashMap::new();
    for row in rows.rows() {
        let row = row?;
        let value = match row.fields.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        values.insert(row.at, value);
    }
    Ok((name.to_owned(), values))
}

type Scored = (Vec<Framed>, Vec<Vec<f32>>);

/// What the model says of a split.
fn judged(
    loaded: &Loaded,
    tokenizer: &Tokenizer,
    (head, split): (&HeadKind, &Split),
    args: &Eval,
    env: &Env,
) -> Result<Scored, Failure> {
    if split.records.is_empty() {
        return Err(Failure::new(format!("`{}` has no records", split.name)).hint("name another"));
    }
    let tokens = loaded.model.stack().config().tokens();
    let has_types = !tokens.types.is_empty();
    let frame = Frame { tokenizer, max_len: tokens.max_len, overlap: OVERLAP, has_types };
    let made: Result<Vec<Vec<Framed>>, TokenizeError> =
        split.records.par_iter().enumerate().map(|(i, record)| frame.examples(i, record)).collect();
    let framed: Vec<Framed> = made?.into_iter().flatten().collect();
    if let Some(first) = framed.iter().find(|framed| framed.n_cut > 0) {
        let n = framed.iter().filter(|framed| framed.n_cut > 0).count();
        let at = &split.records[first.record].at;
        env.warn(&format!("{n} texts are longer than the model reads, and cut; the first: {at}"));
    }
    let device = env.device();
    let model = (&loaded.model, &device, loaded.precision);
    let examples: Vec<Example> = framed.iter().map(|framed| framed.example.clone()).collect();
    let objective = Labelled::new(Asked::of(head));
    let (_, scores) = predict(model, &objective, &examples, args.batch_tokens);
    if let Some(at) = scores.iter().position(|scores| !scores.iter().all(|z| z.is_finite())) {
        let at = &split.records[framed[at].record].at;
        return Err(Failure::new(format!("the model's scores of {at} are not finite"))
            .hint("a weight is not finite, or bf16 holds too little: try `--precision f32`"));
    }
    Ok((framed, scores))
}

/// The report for a terminal.
fn text(report: &HeadReport) -> String {
    let mut metrics = Table::new(&["metric", "value", "95 %"]);
    let number = |x: Option<f64>| x.map_or("undefined".to_owned(), |x| format!("{x:.4}"));
    for metric in &report.metrics {
        let interval = metric.interval.map(|[a, b]| format!("{a:.4} .. {b:.4}"));
        let cells = [metric.metric.clone(), number(metric.value), interval.unwrap_or_default()];
        metrics.row(&cells);
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
    let mut parts = vec![metrics.text()];
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
