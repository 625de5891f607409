//! A model directory: family, parameters by part, files, tensors.

use std::fs;
use std::path::Path;

use ::checkpoint::{Manifest, Weights, manifest};
use models::{Model, ModelConfig};
use serde_json::{Map, Value, json};
use train::report::format::grouped;

use super::{Shown, hash, hash_table};
use crate::commands::table::{Facts, Table};
use crate::failure::Failure;

/// Shows a model directory; its weights are mapped, not loaded.
///
/// # Errors
/// Where config or weights cannot be read, or the manifest says they were changed.
pub fn show(dir: &Path) -> Result<Shown, Failure> {
    let manifest = dir.join(manifest::FILE_NAME).exists();
    let manifest = manifest.then(|| manifest::verify(dir)).transpose()?;
    let mut facts = Facts::default().text("kind", "model").text("path", dir.display());
    if dir.join("config.json").exists() {
        facts = describe(&Model::load_config(dir)?, dir, facts)?;
    }
    if let Some(Manifest { origin, .. }) = &manifest {
        facts = facts.text("build", &origin.build).text("isa", &origin.isa);
    }
    let verified = if manifest.is_some() { "as the manifest says" } else { "-" };
    let (text, mut json) = facts.with("verified", manifest.is_some(), verified).end();
    let files = hashes(dir, manifest.as_ref())?;
    let (tensors, tensors_json) = tensors_of(&Weights::open(dir)?)?;
    json["files"] = json!(files);
    json["tensors"] = tensors_json;
    Ok(Shown { text: format!("{text}\n{}\n{tensors}", hash_table(&files)), json })
}

/// Family, sizes, and parameters by part.
fn describe(config: &ModelConfig, dir: &Path, facts: Facts) -> Result<Facts, Failure> {
    let (stack, builder) = Model::register(config).map_err(|source| {
        let path = dir.join("config.json");
        Failure::from(models::ModelError::Config { path, source })
    })?;
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let sizes = [
        ("vocab_size", embed.vocab_size),
        ("max_len", embed.max_len),
        ("n_layers", trunk.n_layers),
        ("d_model", trunk.d_model),
        ("n_heads", trunk.n_heads),
        ("n_kv_heads", trunk.n_kv_heads),
        ("d_head", trunk.d_head),
        ("d_ff", trunk.d_ff),
    ];
    let mut parts: Vec<(String, u64)> = vec![];
    for entry in builder.entries() {
        // `embed`, `blocks`, `final_norm`, `head`.
        let part = entry.name.split('.').next().unwrap_or_default();
        let n = entry.param.len() as u64;
        match parts.last_mut().filter(|(name, _)| *name == part) {
            Some((_, sum)) => *sum += n,
            None => parts.push((part.to_owned(), n)),
        }
    }
    let facts = facts.text("family", config.family().model_type());
    let facts = sizes.iter().fold(facts, |facts, &(name, n)| facts.count(name, n as u64));
    let facts = facts.count("n_parameters", parts.iter().map(|(_, n)| n).sum());
    let listed = parts.iter().map(|(name, n)| format!("{name} {}", grouped(*n)));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let by_part: Map<_, _> = parts.into_iter().map(|(name, n)| (name, json!(n))).collect();
    Ok(facts.with("parameters", by_part, listed))
}

/// Every file of the model, from the manifest where there is one; else hashed here.
fn hashes(dir: &Path, manifest: Option<&Manifest>) -> Result<Vec<Value>, Failure> {
    if let Some(manifest) = manifest {
        let files = manifest.files.iter();
        return Ok(files
            .map(|(name, r)| json!({"name": name, "bytes": r.bytes, "blake3": r.blake3}))
            .collect());
    }
    let failed = |error| Failure::read(dir, &error);
    let mut paths = vec![];
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| hash(path)).collect()
}

/// Name, type, shape and size of every tensor: a table, and JSON by name.
///
/// # Errors
/// Where a tensor is in no file, which opening has ruled out.
pub fn tensors_of(weights: &Weights) -> Result<(String, Value), Failure> {
    let mut table = Table::new(&["tensor", "dtype", "shape", "elements"]);
    let (mut json, mut total) = (Map::new(), 0);
    for name in weights.names() {
        let view = weights.get(name)?;
        let n = view.shape.iter().product::<usize>() as u64;
        let shape = format!("{:?}", view.shape);
        table.row(&[name.to_owned(), view.dtype.to_string(), shape, grouped(n)]);
        json.insert(name.into(), json!({"dtype": view.dtype.to_string(), "shape": view.shape}));
        total += n;
    }
    table.row(&[format!("{} tensors", json.len()), String::new(), String::new(), grouped(total)]);
    Ok((table.text(), Value::Object(json)))
}
