//! `lyceum inspect`: what is in a path, whatever it is.

mod model;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::checkpoint::Weights;
use ::data::Store;
use serde_json::{Value, json};
use tokenize::Tokenizer;
use train::report::format::{bytes, duration, grouped};

use super::runs::{RunSummary, State, is_run};
use super::table::Table;
use super::{print, print_json};
use crate::cli::Inspect;
use crate::failure::{Exit, Failure};

/// What a path turned out to be: for people, and for programs.
struct Shown {
    text: String,
    json: Value,
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
    let mut facts = Table::default();
    facts.fact("run", run.path.display());
    facts.fact("state", run.state.name());
    if let State::Damaged(problem) = &run.state {
        facts.fact("problem", problem);
    }
    facts.fact("step", run.steps_text());
    if let Some(best) = run.best {
        facts.fact("best", format!("{:.4} bits/byte at step {}", best.metric, best.step));
    }
    facts.fact("size", bytes(run.bytes));
    if let Some(age) = run.age_s() {
        facts.fact("written", format!("{} ago", duration(age)));
    }
    let mut table = Table::new(&["checkpoint", "state"]);
    for (step, problem) in &checkpoints {
        let state = problem.clone().unwrap_or_else(|| "valid".to_owned());
        table.row(&[format!("step-{step}"), state]);
    }
    let mut text = format!("{}\n{}", facts.text(), table.text());
    let mut json = run.to_json();
    let of_checkpoint = |(step, problem): &(u64, Option<String>)| json!({"step": step, "valid": problem.is_none(), "problem": problem});
    json["kind"] = json!("run");
    json["checkpoints"] = checkpoints.iter().map(of_checkpoint).collect();
    // The model that other commands would load; a run may not have one yet.
    if let Ok(resolved) = ::checkpoint::resolve(path) {
        let model = model::show(&resolved.dir)?;
        text += &format!("\n{}", model.text);
        json["model"] = model.json;
    }
    Ok(Shown { text, json })
}

fn store(path: &Path) -> Result<Shown, Failure> {
    let store = Store::open(path)?;
    store.verify()?;
    let end = store.end_of_text();
    let mut table = Table::default();
    table.fact("token store", path.display());
    table.fact("tokens", grouped(store.n_tokens()));
    table.fact("documents", grouped(store.n_documents()));
    table.fact("bytes of text", grouped(store.n_text_bytes()));
    table.fact("vocabulary", grouped(store.vocab_size() as u64));
    table.fact("end of text", end.map_or_else(|| "none".to_owned(), |id| id.to_string()));
    table.fact("tokenizer", store.tokenizer_hash());
    table.fact("content", format!("{} (checked)", store.content_hash()));
    let json = json!({
        "kind": "token_store", "path": path.display().to_string(),
        "n_tokens": store.n_tokens(), "n_documents": store.n_documents(),
        "n_text_bytes": store.n_text_bytes(), "vocab_size": store.vocab_size(),
        "end_of_text": end, "tokenizer_hash": store.tokenizer_hash(),
        "content_hash": store.content_hash(),
    });
    Ok(Shown { text: table.text(), json })
}

fn tokenizer(dir: &Path) -> Result<Shown, Failure> {
    let tokenizer = Tokenizer::load(dir)?;
    let end = tokenizer.end_of_text();
    let end_text = end.and_then(|id| tokenizer.token(id));
    let mut table = Table::default();
    table.fact("tokenizer", dir.display());
    table.fact("vocabulary", grouped(tokenizer.vocab_size() as u64));
    let shown = end.zip(end_text.as_deref()).map(|(id, text)| format!("{id} `{text}`"));
    table.fact("end of text", shown.unwrap_or_else(|| "none".to_owned()));
    table.fact("hash", tokenizer.hash());
    let json = json!({
        "kind": "tokenizer", "path": dir.display().to_string(),
        "vocab_size": tokenizer.vocab_size(), "end_of_text": end, "end_of_text_token": end_text,
        "hash": tokenizer.hash(),
    });
    Ok(Shown { text: table.text(), json })
}
