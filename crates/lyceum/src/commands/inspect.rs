//! `lyceum inspect`: what is in a path, whatever it is.

mod model;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::checkpoint::Weights;
use ::data::Store;
use serde_json::{Value, json};
use tokenize::Tokenizer;
use train::report::format::bytes;

use super::runs::{RunSummary, is_run};
use super::table::{Facts, Table};
use super::{print, print_json};
use crate::cli::Inspect;
use crate::failure::{Exit, Failure};

/// What a path turned out to be: for people, and for programs.
struct Shown {
    text: String,
    json: Value,
}

impl From<(String, Value)> for Shown {
    fn from((text, json): (String, Value)) -> Self {
        Self { text, json }
    }
}

/// Shows what is in the path.
///
/// # Errors
/// Where there is nothing, it is nothing known, or it is damaged.
pub fn run(args: &Inspect) -> Result<Exit, Failure> {
    let shown = inspect(&args.path)?;
    if args.json { print_json(&shown.json) } else { print(&shown.text) }
}

fn inspect(path: &Path) -> Result<Shown, Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::read(path, &error))?;
    if metadata.is_file() {
        return file(path);
    }
    let has = |name: &str| path.join(name).exists();
    if is_run(path) {
        run_dir(path)
    } else if has("config.json") || has("model.safetensors") || has("model.safetensors.index.json")
    {
        model::show(path)
    } else if has("tokenizer.json") || has("vocab.json") {
        tokenizer(path)
    } else {
        Err(unknown(path))
    }
}

fn file(path: &Path) -> Result<Shown, Failure> {
    let mut start = [0; 9];
    let failed = |error| Failure::read(path, &error);
    let n = File::open(path).and_then(|mut file| file.read(&mut start)).map_err(failed)?;
    // A safetensors file is the length of its JSON, and JSON.
    let extension = path.extension().and_then(|extension| extension.to_str());
    if start[..n].starts_with(b"LYCTOKEN") || extension == Some("tokens") {
        store(path)
    } else if extension == Some("safetensors") || (n == 9 && start[8] == b'{') {
        let (tensors, json) = model::tensors_of(&Weights::open(path)?)?;
        let hash = hash(path)?;
        let text = format!("{}\n{tensors}", hash_table(std::slice::from_ref(&hash)));
        Ok(Shown { text, json: json!({"kind": "safetensors", "file": hash, "tensors": json}) })
    } else if path.file_name().is_some_and(|name| name == "tokenizer.json") {
        tokenizer(path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")))
    } else {
        Err(unknown(path))
    }
}

fn unknown(path: &Path) -> Failure {
    Failure::new(format!("`{}` is nothing that is known", path.display())).hint(
        "a model directory has `config.json`, a run has `checkpoints/`, a tokenizer \
         `tokenizer.json`; of files, safetensors and token stores are read",
    )
}

/// Size and BLAKE3 of a file.
fn hash(path: &Path) -> Result<Value, Failure> {
    let failed = |error| Failure::read(path, &error);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hex = hasher.finalize().to_hex();
    Ok(json!({"name": name, "bytes": hasher.count(), "blake3": hex.as_str()}))
}

/// Lines of [`hash`], for people.
fn hash_table(hashes: &[Value]) -> String {
    let mut table = Table::new(&["file", "size", "blake3"]);
    for hash in hashes {
        let text = |key: &str| hash[key].as_str().unwrap_or_default().to_owned();
        table.row(&[text("name"), bytes(hash["bytes"].as_u64().unwrap_or(0)), text("blake3")]);
    }
    table.text()
}

fn run_dir(path: &Path) -> Result<Shown, Failure> {
    let run = RunSummary::read(path);
    let checkpoints = run.checkpoints()?;
    let mut table = Table::new(&["checkpoint", "state"]);
    for (step, problem) in &checkpoints {
        let state = problem.clone().unwrap_or_else(|| "valid".to_owned());
        table.row(&[format!("step-{step}"), state]);
    }
    let (facts, mut json) = run.facts().end();
    let mut text = facts + "\n" + &table.text();
    json["kind"] = json!("run");
    json["checkpoints"] = checkpoints
        .iter()
        .map(
            |(step, problem)| json!({"step": step, "valid": problem.is_none(), "problem": problem}),
        )
        .collect();
    // The model that other commands would load; a run may not have one yet.
    if let Ok(resolved) = ::checkpoint::resolve(path) {
        let model = model::show(&resolved.dir)?;
        text = text + "\n" + &model.text;
        json["model"] = model.json;
    }
    Ok(Shown { text, json })
}

fn store(path: &Path) -> Result<Shown, Failure> {
    let store = Store::open(path)?;
    store.verify()?;
    let facts = Facts::default()
        .text("kind", "token_store")
        .text("path", path.display())
        .count("n_tokens", store.n_tokens())
        .count("n_documents", store.n_documents())
        .count("n_text_bytes", store.n_text_bytes())
        .count("vocab_size", store.vocab_size() as u64)
        .perhaps("end_of_text", store.end_of_text(), |id| id.to_string())
        .text("tokenizer_hash", store.tokenizer_hash())
        .text("content_hash", store.content_hash());
    Ok(facts.end().into())
}

fn tokenizer(dir: &Path) -> Result<Shown, Failure> {
    let tokenizer = Tokenizer::load(dir)?;
    let end = tokenizer.end_of_text();
    let facts = Facts::default()
        .text("kind", "tokenizer")
        .text("path", dir.display())
        .count("vocab_size", tokenizer.vocab_size() as u64)
        .perhaps("end_of_text", end, |id| id.to_string())
        .perhaps("end_of_text_token", end.and_then(|id| tokenizer.token(id)), |token| token)
        .text("hash", tokenizer.hash());
    Ok(facts.end().into())
}
