//! A Python with `PyTorch` and `transformers`, outside of the tree.
//!
//! It lies in `$LYCEUM_VENV`, or in the user's cache folder, and is made on first use. `PyTorch`'s
//! wheel is built for CUDA and does not import without the CUDA libraries it is linked to, so they
//! are installed with it; Triton and the CUDA bindings (a gigabyte) are not: the CPU paths,
//! `torch.compile` among them, run without.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

const TORCH: &str = "2.15.0";
const TRANSFORMERS: &str = "5.23.0";
const SAFETENSORS: &str = "0.8.0";

/// Who else prepares data; none of them needs `PyTorch`.
const DATA: &[&str] = &[
    "fastwarc==2.0.1",
    "warcio==1.8.1",
    "resiliparse==2.0.1",
    "trafilatura==2.3.1",
    "lxml_html_clean==0.4.5",
    "tiktoken==0.14.0",
    "tokenizers==0.23.3",
    "datasketch==2.0.0",
    "numpy==2.4.6",
];

/// Prints `PyTorch`'s requirements that the CPU paths need, one a line.
const REQUIREMENTS: &str = "
import importlib.metadata
for line in importlib.metadata.requires('torch'):
    if 'extra ==' not in line and not line.startswith(('triton', 'cuda-bindings')):
        print(line)
";

/// Fails unless the pinned packages are installed.
const PROBE: &str = "
import importlib.metadata, sys
for pin in sys.argv[1:]:
    name, version = pin.split('==')
    assert importlib.metadata.version(name).split('+')[0] == version, pin
";

/// A Python that has what the benchmarks and the golden files need.
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// The environment, made first where it is missing or has other versions.
    ///
    /// # Errors
    /// When there is no Python 3, or a package cannot be had.
    pub fn ready() -> Result<Self> {
        let folder = folder()?;
        let program = folder.join("bin/python");
        let python = Self { program };
        let pins = pins();
        if command::output(python.command().args(["-c", PROBE]).args(&pins)).is_err() {
            python.install(&folder, &pins).with_context(|| {
                format!("failed to make the Python environment `{}`", folder.display())
            })?;
        }
        Ok(python)
    }

    /// A small one for the preparation of data, in `$LYCEUM_VENV_DATA` or the user's cache folder.
    ///
    /// # Errors
    /// As [`Python::ready`].
    pub fn for_data() -> Result<Self> {
        let folder = command::cache("LYCEUM_VENV_DATA", "python-data")?;
        let python = Self { program: folder.join("bin/python") };
        if !python.program.exists() {
            command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        }
        python.with(DATA)
    }

    /// Installs what some benchmark wants beside.
    ///
    /// # Errors
    /// When a package cannot be had.
    pub fn with(self, pins: &[&str]) -> Result<Self> {
        if command::output(self.command().args(["-c", PROBE]).args(pins)).is_err() {
            self.pip(pins)?;
        }
        Ok(self)
    }

    /// The interpreter, in the root of the workspace: offline, and leaving nothing in the tree.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(command::root());
        command.env("HF_HUB_OFFLINE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn install(&self, folder: &Path, pins: &[String]) -> Result<()> {
        eprintln!("installing {} into `{}`, once: 5 GB", pins.join(", "), folder.display());
        command::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        self.pip(&["--no-deps", &pins[0]])?;
        let needed = command::output(self.command().args(["-c", REQUIREMENTS]))?;
        let mut packages: Vec<&str> = needed.lines().collect();
        packages.push("numpy");
        packages.extend(pins[1..].iter().map(String::as_str));
        self.pip(&packages)
    }

    fn pip(&self, packages: &[&str]) -> Result<()> {
        let args = ["-m", "pip", "install", "--quiet"];
        command::run(self.command().args(args).args(packages))
    }
}

fn pins() -> Vec<String> {
    let pins = [("torch", TORCH), ("transformers", TRANSFORMERS), ("safetensors", SAFETENSORS)];
    pins.map(|(name, version)| format!("{name}=={version}")).to_vec()
}

fn folder() -> Result<PathBuf> {
    command::cache("LYCEUM_VENV", &format!("python-torch-{TORCH}"))
}
