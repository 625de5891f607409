//! A model directory: family, parameters by part, files, tensors.

use std::fs;
use std::path::Path;

use ::checkpoint::{Manifest, Weights, manifest};
use models::{Model, ModelConfig};
use serde_json::{Map, Value, json};
use train::report::format::grouped;

use super::{Shown, hash, hash_table};
use crate::commands::table::Table;
use crate::failure::Failure;

/// Shows a model directory; its weights are mapped, not loaded.
///
/// # Errors
/// Where config or weights cannot be read, or the manifest says they were changed.
pub fn show(dir: &Path) -> Result<Shown, Failure> {
    let manifest = dir.join(manifest::FILE_NAME).exists();
    let manifest = manifest.then(|| manifest::verify(dir)).transpose()?;
    let mut facts = Table::default();
    facts.fact("model", dir.display());
    let mut json = json!({"kind": "model", "path": dir.display().to_string()});
    if dir.join("config.json").exists() {
        let config = Model::load_config(dir)?;
        describe(&config, dir, (&mut facts, &mut json))?;
    }
    if let Some(Manifest { origin, .. }) = &manifest {
        facts.fact("written by", format!("{} on {}", origin.build, origin.isa));
        json["origin"] = json!(origin);
    }
    let files = hashes(dir, manifest.as_ref())?;
    let checked = if manifest.is_some() { "files are as the manifest says\n" } else { "" };
    let (tensors, tensors_json) = tensors_of(&Weights::open(dir)?)?;
    json["files"] = json!(files);
    json["verified"] = json!(manifest.is_some());
    json["tensors"] = tensors_json;
    let text = format!("{}\n{}{checked}\n{tensors}", facts.text(), hash_table(&files));
    Ok(Shown { text, json })
}

/// Family, sizes, and parameters by part.
fn describe(
    config: &ModelConfig,
    dir: &Path,
    (facts, json): (&mut Table, &mut Value),
) -> Result<(), Failure> {
    let (stack, builder) = Model::register(config).map_err(|source| {
        let path = dir.join("config.json");
        Failure::from(models::ModelError::Config { path, source })
    })?;
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let family = config.family().model_type();
    facts.fact("family", family);
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
    let listed = sizes.map(|(name, size)| format!("{name} {size}"));
    facts.fact("sizes", listed.join(", "));
    let mut parts: Vec<(String, u64)> = vec![];
    for entry in builder.entries() {
        let part = part(&entry.name);
        let n = entry.param.len() as u64;
        match parts.last_mut().filter(|(name, _)| *name == part) {
            Some((_, sum)) => *sum += n,
            None => parts.push((part, n)),
        }
    }
    let total = parts.iter().map(|(_, n)| n).sum();
    facts.fact("parameters", grouped(total));
    for (name, n) in &parts {
        facts.fact(&format!("  {name}"), grouped(*n));
    }
    json["family"] = json!(family);
    json["sizes"] = sizes.iter().map(|&(name, n)| (name.to_owned(), json!(n))).collect();
    json["n_parameters"] = json!(total);
    json["parameters"] = parts.iter().map(|(name, n)| (name.clone(), json!(n))).collect();
    Ok(())
}

/// `embed`, `blocks.3`, `final_norm`: what a parameter belongs to.
fn part(name: &str) -> String {
    let mut parts = name.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if second.parse::<usize>().is_ok() { format!("{first}.{second}") } else { first.to_owned() }
}

/// Every file of the model, from the manifest where there is one; else hashed here.
fn hashes(dir: &Path, manifest: Option<&Manifest>) -> Result<Vec<Value>, Failure> {
    if let Some(manifest) = manifest {
        let of_file = |(name, record): (&String, &::checkpoint::manifest::FileRecord)| json!({"name": name, "bytes": record.bytes, "blake3": record.blake3});
        return Ok(manifest.files.iter().map(of_file).collect());
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
