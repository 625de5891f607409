//! Who is measured, and how each is started.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;
use crate::python::Python;

/// The shapes that both programs know by name.
pub const SIZES: &[&str] = &["S", "M", "BASE"];

/// One way to run the training step.
pub struct Engine {
    /// As it stands in the table.
    pub name: &'static str,
    ours: bool,
    mode: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// What it runs.
pub struct Load<'a> {
    /// `S`, `M` or `BASE`.
    pub size: &'a str,
    /// Timed steps.
    pub steps: usize,
    /// Threads.
    pub threads: usize,
}

const fn torch(name: &'static str, mode: &'static str) -> Engine {
    Engine { name, ours: false, mode, environment: &[] }
}

const fn lyceum(name: &'static str, mode: &'static str) -> Engine {
    Engine { name, ours: true, mode, environment: &[] }
}

/// In the order of a round: each of ours right after its peers.
pub const ENGINES: &[Engine] = &[
    torch("torch compile-bf16", "compile-bf16"),
    lyceum("lyceum bf16", "bf16"),
    torch("torch bf16", "bf16"),
    torch("torch f32", "f32"),
    lyceum("lyceum f32", "f32"),
    Engine {
        environment: &[("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")],
        ..torch("torch f32 avx2", "f32")
    },
    Engine { environment: &[("LYCEUM_ISA", "avx2")], ..lyceum("lyceum f32 avx2", "f32") },
];

impl Engine {
    /// The process to start.
    pub fn command(&self, load: &Load, python: &Python) -> Command {
        let mut command = if self.ours { binary(&["bench", "train"]) } else { script(python) };
        command.args(["--size", load.size, "--mode", self.mode]);
        command.args(["--steps", &load.steps.to_string()]);
        command.args(["--threads", &load.threads.to_string()]);
        if self.ours {
            command.arg("--json");
        }
        command.envs(self.environment.iter().copied());
        command
    }
}

/// What the machine's bf16 dot products give with nothing but registers, in GFLOP/s; none where
/// the CPU has none.
///
/// # Errors
/// When `lyceum doctor` fails or prints no JSON.
pub fn measured_peak(threads: usize) -> Result<Option<f64>> {
    let mut doctor = binary(&["doctor", "--json"]);
    let text = command::output(doctor.env("LYCEUM_THREADS", threads.to_string()))?;
    let value: Value = serde_json::from_str(&text).context("`lyceum doctor` printed no JSON")?;
    Ok(value.get("bf16_gflops").and_then(Value::as_f64))
}

/// `lyceum ARGS`, as built by `cargo build --release`.
pub fn binary(args: &[&str]) -> Command {
    let mut command = Command::new(command::target_dir().join("release/lyceum"));
    command.args(args).current_dir(command::root());
    command
}

fn script(python: &Python) -> Command {
    let mut command = python.command();
    command.arg("bench/torch_train.py");
    command
}
