//! `lyceum doctor`: what this machine can do, and what stands in the way.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kernels::{Isa, roof};
use serde_json::json;
use train::report::format::bytes;

use super::runs::DEFAULT_DIR;
use super::table::Facts;
use super::{print, print_json};
use crate::cli::Doctor;
use crate::environment::Env;
use crate::failure::{Exit, Failure};
use crate::machine::{Bound, Machine};

/// Less memory or disk than this is worth a word.
const LITTLE: u64 = 2 << 30;

/// Everything that was looked at.
struct Findings {
    machine: Machine,
    bf16_gflops: Option<f64>,
    f32_gflops: f64,
    read_gb_per_s: f64,
    disk_free: Option<u64>,
}

/// Looks at the machine.
///
/// # Errors
/// Where standard output does.
pub fn run(args: &Doctor, env: &Env) -> Result<Exit, Failure> {
    env.say("measuring, for about two seconds ..");
    let findings = Findings {
        machine: Machine::detect(),
        bf16_gflops: roof::bf16_gflops(env.isa),
        f32_gflops: roof::f32_gflops(env.isa),
        read_gb_per_s: roof::read_gb_per_s(env.isa),
        disk_free: disk_free(Path::new(DEFAULT_DIR)),
    };
    let problems = problems(&findings, env);
    let (mut text, mut json) = findings.facts(env).end();
    if args.json {
        let problem =
            |(problem, hint): &(String, String)| json!({"problem": problem, "hint": hint});
        json["problems"] = problems.iter().map(problem).collect();
        return print_json(&json);
    }
    for (problem, hint) in &problems {
        let _ = write!(text, "\n{problem}\n  hint: {hint}\n");
    }
    if problems.is_empty() {
        text += "\nnothing is wrong\n";
    }
    print(&text)
}

impl Findings {
    fn facts(&self, env: &Env) -> Facts {
        let (machine, unknown) = (&self.machine, "unknown".to_owned());
        let gflops = |x: f64| format!("{x:.0} GFLOP/s");
        let bound = machine.memory.map(|memory| match memory.bound {
            Bound::Machine => "machine",
            Bound::ControlGroup => "control group",
        });
        let memory = machine.memory.map(|memory| memory.available_bytes);
        let cache = env.cache_dir.as_ref().map(|dir| dir.display().to_string());
        Facts::default()
            .text("version", env!("CARGO_PKG_VERSION"))
            .text("cpu_model", machine.cpu_model.as_ref().unwrap_or(&unknown))
            .perhaps("n_cores", machine.n_cores, |n| n.to_string())
            .count("threads", env.n_threads as u64)
            .text("isa", env.isa)
            .with("isa_supported", names(), names().join(", "))
            .perhaps("bf16_gflops", self.bf16_gflops, gflops)
            .with("f32_gflops", self.f32_gflops, gflops(self.f32_gflops))
            .with("read_gb_per_s", self.read_gb_per_s, format!("{:.1}", self.read_gb_per_s))
            .perhaps("memory_available_bytes", memory, bytes)
            .perhaps("memory_bound", bound, str::to_owned)
            .perhaps("disk_free_bytes", self.disk_free, bytes)
            .perhaps("cache_dir", cache, |dir| dir)
    }
}

fn names() -> Vec<&'static str> {
    Isa::supported().into_iter().map(Isa::name).collect()
}

/// What is wrong in plain words, each with what to do.
fn problems(findings: &Findings, env: &Env) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut add = |is: bool, problem: String, hint: &str| {
        if is {
            found.push((problem, hint.to_owned()));
        }
    };
    let (best, isa) = (Isa::detect(), env.isa);
    add(
        cfg!(debug_assertions),
        "this is a debug build: everything is several times slower".to_owned(),
        "build with `cargo build --release`",
    );
    add(
        isa < best,
        format!("kernels are held to `{isa}`, this CPU runs `{best}`"),
        "unset `LYCEUM_ISA`",
    );
    add(
        best == Isa::Portable,
        "this CPU has no AVX2: kernels run several times slower".to_owned(),
        "use an x86-64 CPU made since 2013",
    );
    let granted = findings.machine.n_threads;
    add(
        env.n_threads > granted,
        format!("{} threads share {granted} processors", env.n_threads),
        "lower `--threads` or `LYCEUM_THREADS`",
    );
    let little = |n: Option<u64>| n.filter(|&n| n < LITTLE);
    let memory = little(findings.machine.memory.map(|memory| memory.available_bytes));
    let text = |n: Option<u64>| n.map(bytes).unwrap_or_default();
    add(
        memory.is_some(),
        format!("{} of memory are available", text(memory)),
        "end other programs, or raise the limit of the control group; `lyceum plan` says what a \
         recipe needs",
    );
    let disk = little(findings.disk_free);
    add(
        disk.is_some(),
        format!("{} of disk are free for runs", text(disk)),
        "free some space, or put runs elsewhere with `--out`",
    );
    found
}

/// Bytes free where `path` is or would be made.
fn disk_free(path: &Path) -> Option<u64> {
    let here = PathBuf::from(".");
    let there = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(&here);
    let space = rustix::fs::statvfs(there).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}
