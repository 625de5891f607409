//! `lyceum inspect`: what is in a path, whatever it is.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::checkpoint::gguf::{Metadata, Value as Meta};
use ::checkpoint::manifest::{self, FileRecord, Manifest};
use ::checkpoint::{Checkpoint, RunDir, Weights, weights};
use ::data::Store;
use models::{Architecture, HeadKind, Model, ModelConfig, Stack, open_adapter};
use nn::EmbedConfig;
use serde_json::{Map, Value, json};
use tokenize::Tokenizer;
use train::report::format::{bytes, grouped};

use super::Shown;
use super::runs::{RunSummary, is_run, paths_in};
use super::table::{Facts, Table};
use crate::failure::{Context, Failure};
use recipe::estimate::parameters_by;

/// Shows what is in the path.
///
/// # Errors
/// Where there is nothing, it is nothing known, or it is damaged.
pub fn inspect(path: &Path) -> Result<Shown, Failure> {
    let metadata = fs::metadata(path).reading(path)?;
    if metadata.is_file() {
        return file(path);
    }
    let has = |name: &str| path.join(name).exists();
    if is_run(path) {
        run_dir(path)
    } else if has("config.json") || weights::are_in(path) {
        model(path)
    } else if has("tokenizer.json") || has("vocab.json") {
        tokenizer(path)
    } else {
        Err(unknown(path))
    }
}

fn file(path: &Path) -> Result<Shown, Failure> {
    let mut start = [0; 9];
    let n = File::open(path).and_then(|mut file| file.read(&mut start)).reading(path)?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    if start[..n].starts_with(b"LYCTOKEN") || extension == Some("tokens") {
        store(path)
    } else if let Some(kind) = weights::format_of(&start[..n])
        .or_else(|| (extension == Some("safetensors")).then_some("safetensors"))
    {
        weights_file(path, kind)
    } else if path.file_name().is_some_and(|name| name == "tokenizer.json") {
        tokenizer(path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")))
    } else {
        Err(unknown(path))
    }
}

/// Shows a file of weights of any format.
fn weights_file(path: &Path, kind: &str) -> Result<Shown, Failure> {
    let weights = Weights::open(path)?;
    let (tensors, json) = tensors(&weights)?;
    let (mut text, files) = files(&[hash(path)?]);
    let mut all = json!({"kind": kind, "file": files[0], "tensors": json});
    if let Some(metadata) = weights.metadata() {
        let (shown, json) = metadata_of(metadata);
        text = format!("{text}\n{shown}");
        all["metadata"] = json;
    }
    Ok((format!("{text}\n{tensors}"), all))
}

/// The metadata of a GGUF file; of a list, how long it is.
fn metadata_of(metadata: Metadata) -> Shown {
    let (mut table, mut json) = (Table::new(&["key", "value"]), Map::new());
    for key in metadata.keys() {
        let Some(value) = metadata.get(key) else { continue };
        let text = match (&value, value.as_array()) {
            (_, Some(list)) => format!("{} values", list.len()),
            (Meta::Str(text), _) => (*text).to_owned(),
            (Meta::F32(x), _) => x.to_string(),
            _ => [
                value.to_bool().map(|x| x.to_string()),
                value.to_i64().map(|x| x.to_string()),
                value.to_u64().map(|x| x.to_string()),
                value.to_f64().map(|x| x.to_string()),
            ]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or_default(),
        };
        table.row(&[key, &text]);
        json.insert(key.into(), text.into());
    }
    (table.text(), json.into())
}

fn unknown(path: &Path) -> Failure {
    Failure::new(format!("`{}` is nothing that is known", path.display())).hint(
        "a model directory has `config.json`, a run has `checkpoints/`, a tokenizer \
         `tokenizer.json`; of files, safetensors, PyTorch's, GGUF, Flax's and token stores are \
         read",
    )
}

/// Name, size and BLAKE3 of a file.
fn hash(path: &Path) -> Result<(String, FileRecord), Failure> {
    let mut hasher = blake3::Hasher::new();
    File::open(path).and_then(|file| hasher.update_reader(file).map(drop)).reading(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let blake3 = hasher.finalize().to_hex().to_string();
    Ok((name, FileRecord { bytes: hasher.count(), blake3 }))
}

/// A line and an object a file.
fn files(files: &[(String, FileRecord)]) -> Shown {
    let (mut table, mut json) = (Table::new(&["file", "size", "blake3"]), vec![]);
    for (name, FileRecord { bytes: n, blake3 }) in files {
        table.row(&[name, &bytes(*n), blake3]);
        json.push(json!({"name": name, "bytes": n, "blake3": blake3}));
    }
    (table.text(), json.into())
}

fn run_dir(path: &Path) -> Result<Shown, Failure> {
    let run = RunSummary::read(path);
    let (mut table, mut checkpoints) = (Table::new(&["checkpoint", "state"]), vec![]);
    for Checkpoint { step, dir } in RunDir::open(path)?.checkpoints()? {
        let problem = manifest::verify(&dir).err().map(|error| error.to_string());
        table.row(&[&format!("step-{step}"), problem.as_deref().unwrap_or("valid")]);
        let valid = problem.is_none();
        checkpoints.push(json!({"step": step, "valid": valid, "problem": problem}));
    }
    let facts = run.facts().more(json!({"kind": "run"}));
    let facts = facts.section("checkpoints", (table.text(), checkpoints.into()));
    // The model that other commands would load; a run may not have one yet.
    Ok(match ::checkpoint::resolve(path) {
        Ok(resolved) => facts.section("model", model(&resolved.dir)?).end(),
        Err(_) => facts.end(),
    })
}

fn store(path: &Path) -> Result<Shown, Failure> {
    let store = Store::open(path)?;
    store.verify()?;
    Ok(super::data::header(&store, path).end())
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
    Ok(facts.end())
}

/// Shows a model directory; its weights are mapped, not loaded.
///
/// # Errors
/// Where config or weights cannot be read, or the manifest says they were changed.
fn model(dir: &Path) -> Result<Shown, Failure> {
    let manifest = dir.join(manifest::FILE_NAME).exists();
    let manifest = manifest.then(|| manifest::verify(dir)).transpose()?;
    let mut facts = Facts::default().text("kind", "model").text("path", dir.display());
    if dir.join("config.json").exists() {
        facts = match Model::load_config(dir) {
            Ok(config) => describe(&config, dir, facts)?,
            // Its tensors can be looked at all the same.
            Err(error @ models::ModelError::UnknownModelType { .. }) => {
                facts.text("family", format!("not known: {error}"))
            }
            Err(error) => return Err(error.into()),
        };
    }
    if let Some(Manifest { origin, .. }) = &manifest {
        facts = facts.text("build", &origin.build).text("isa", &origin.isa);
    }
    let verified = if manifest.is_some() { "as the manifest says" } else { "-" };
    let facts = facts.with("verified", manifest.is_some(), verified);
    // From the manifest where there is one; else hashed here.
    let hashed = match manifest {
        Some(manifest) => manifest.files.into_iter().collect(),
        None => hashes(dir)?,
    };
    let is_adapter = dir.join("adapter_config.json").exists();
    let weights = if is_adapter { open_adapter(dir)?.1 } else { Weights::open(dir)? };
    let tensors = tensors(&weights)?;
    Ok(facts.section("files", files(&hashed)).section("tensors", tensors).end())
}

/// Family, sizes, and parameters by part.
fn describe(config: &ModelConfig, dir: &Path, facts: Facts) -> Result<Facts, Failure> {
    let (architecture, builder) = Model::register(config).map_err(|source| {
        let path = dir.join("config.json");
        Failure::from(models::ModelError::Config { path, source })
    })?;
    let facts = facts.text("family", config.family().model_type());
    let facts = match config.head() {
        None => facts,
        Some(head) => asked(&head, facts.text("task", head.name())),
    };
    let (facts, depth) = match &architecture {
        Architecture::Stack(stack) => (sizes(stack, "", facts), 0),
        Architecture::EncoderDecoder(pair) => {
            let facts = sizes(&pair.encoder, "encoder.", facts);
            (sizes(&pair.decoder, "decoder.", facts), 1)
        }
        Architecture::DualEncoder(pair) => {
            (sizes(&pair.vision, "vision.", sizes(&pair.text, "text.", facts)), 1)
        }
        Architecture::Detector(pair) => {
            let facts = sizes(&pair.discriminator, "", facts);
            (sizes(&pair.generator, "generator.", facts), 0)
        }
    };
    // `embed`, `blocks`, `final_norm`, `head`; below those of two stacks.
    let end = |name: &str| name.match_indices('.').nth(depth).map_or(name.len(), |(at, _)| at);
    let parts = parameters_by(&builder, |name| &name[..end(name)]);
    let facts = facts.count("n_parameters", parts.iter().map(|(_, n)| n).sum());
    let listed = parts.iter().map(|(name, n)| format!("{name} {}", grouped(*n)));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let by_part: Map<_, _> = parts.into_iter().map(|(name, n)| (name, json!(n))).collect();
    Ok(facts.with("parameters", by_part, listed))
}

/// The labels of a head that has some.
fn asked(head: &HeadKind, facts: Facts) -> Facts {
    const SHOWN: usize = 12;
    match head {
        HeadKind::Classes { labels } | HeadKind::Tags { labels } => {
            let more = if labels.len() > SHOWN { ", .." } else { "" };
            let shown = labels[..labels.len().min(SHOWN)].join(", ");
            facts.with("labels", labels.clone(), format!("{shown}{more}"))
        }
        HeadKind::Score
        | HeadKind::Spans
        | HeadKind::Choice
        | HeadKind::Tokens
        | HeadKind::Vectors => facts,
    }
}

/// The sizes of a stack, under a prefix.
fn sizes(stack: &Stack, prefix: &str, facts: Facts) -> Facts {
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let input = match embed {
        EmbedConfig::Token(tokens) => ("vocab_size", tokens.vocab_size),
        EmbedConfig::Audio(audio) => ("n_channels", audio.n_channels),
        EmbedConfig::Patch(patches) => ("n_channels", patches.n_channels),
    };
    let sizes = [
        input,
        ("max_len", embed.max_len()),
        ("n_layers", trunk.n_layers),
        ("d_model", trunk.d_model),
        ("n_heads", trunk.n_heads),
        ("n_kv_heads", trunk.n_kv_heads),
        ("d_head", trunk.d_head),
        ("d_ff", trunk.d_ff),
    ];
    sizes.iter().fold(facts, |facts, &(name, n)| facts.count(&format!("{prefix}{name}"), n as u64))
}

fn hashes(dir: &Path) -> Result<Vec<(String, FileRecord)>, Failure> {
    paths_in(dir)?.iter().filter(|path| path.is_file()).map(|path| hash(path)).collect()
}

/// Name, type, shape and size of every tensor: a table, and JSON by name.
///
/// # Errors
/// Where a tensor is in no file, which opening has ruled out.
fn tensors(weights: &Weights) -> Result<Shown, Failure> {
    let mut table = Table::new(&["tensor", "dtype", "shape", "elements"]);
    let (mut json, mut total) = (Map::new(), 0);
    for name in weights.names() {
        let view = weights.get(name)?;
        let n = view.shape.iter().product::<usize>() as u64;
        let (shape, dtype) = (format!("{:?}", view.shape), view.dtype.to_string());
        table.row(&[name, &dtype, &shape, &grouped(n)]);
        json.insert(name.into(), json!({"dtype": dtype, "shape": view.shape}));
        total += n;
    }
    table.row(&[&format!("{} tensors", json.len()), "", "", &grouped(total)]);
    Ok((table.text(), Value::Object(json)))
}
