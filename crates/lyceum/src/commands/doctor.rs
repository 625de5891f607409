//! `lyceum doctor`: what this machine can do, and what stands in the way.

use std::path::Path;

use kernels::{Isa, roof};
use serde_json::json;
use train::report::format::bytes;

use super::Shown;
use super::runs::DEFAULT_DIR;
use super::table::Facts;
use crate::environment::Env;
use crate::machine::{self, Machine};

/// Less memory or disk than this is worth a word.
const LITTLE: u64 = 2 << 30;

/// Looks at the machine.
pub fn look(env: &Env) -> Shown {
    env.say("measuring, for about two seconds ..");
    let machine = Machine::detect();
    let disk_free = machine::disk_free(Path::new(DEFAULT_DIR));
    let problems = problems(&machine, disk_free, env);
    let text = problems.iter().map(|(problem, hint)| format!("{problem}\n  hint: {hint}\n"));
    let text = text.collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { "nothing is wrong\n".to_owned() } else { text };
    let json = problems.iter().map(|(problem, hint)| json!({"problem": problem, "hint": hint}));
    facts(&machine, disk_free, env).section("problems", (text, json.collect())).end()
}

fn facts(machine: &Machine, disk_free: Option<u64>, env: &Env) -> Facts {
    let gflops = |x: f64| format!("{x:.0} GFLOP/s");
    let (f32_gflops, read_gb_per_s) = (roof::f32_gflops(env.isa), roof::read_gb_per_s(env.isa));
    let memory = machine.memory.map(|memory| memory.available_bytes);
    let cache = env.cache_dir.as_ref().map(|dir| dir.display().to_string());
    let names: Vec<_> = Isa::supported().into_iter().map(Isa::name).collect();
    let listed = names.join(", ");
    Facts::default()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("cpu_model", machine.cpu_model.as_deref().unwrap_or("unknown"))
        .perhaps("n_cores", machine.n_cores, |n| n.to_string())
        .count("threads", env.n_threads as u64)
        .text("isa", env.isa)
        .with("isa_supported", names, listed)
        .perhaps("bf16_gflops", roof::bf16_gflops(env.isa), gflops)
        .with("f32_gflops", f32_gflops, gflops(f32_gflops))
        .with("read_gb_per_s", read_gb_per_s, format!("{read_gb_per_s:.1}"))
        .perhaps("memory_available_bytes", memory, bytes)
        .perhaps("memory_bound", machine.memory.map(|memory| memory.bound), str::to_owned)
        .perhaps("disk_free_bytes", disk_free, bytes)
        .perhaps("cache_dir", cache, |dir| dir)
}

/// What is wrong in plain words, each with what to do.
fn problems(machine: &Machine, disk_free: Option<u64>, env: &Env) -> Vec<(String, &'static str)> {
    let (best, isa, granted) = (Isa::detect(), env.isa, machine.n_threads);
    let little = |n: Option<u64>| n.filter(|&n| n < LITTLE).map(bytes);
    let memory = little(machine.memory.map(|memory| memory.available_bytes));
    let cache = env.cache_dir.iter().flat_map(|dir| dir.ancestors());
    let in_the_way = cache.filter(|path| path.exists()).take(1).find(|path| !path.is_dir());
    let found = [
        cfg!(debug_assertions).then(|| {
            let problem = "this is a debug build: everything is several times slower";
            (problem.to_owned(), "build with `cargo build --release`")
        }),
        (isa < best).then(|| {
            (format!("kernels are held to `{isa}`, this CPU runs `{best}`"), "unset `LYCEUM_ISA`")
        }),
        (best == Isa::Portable).then(|| {
            let problem = "this CPU has no AVX2: kernels run several times slower";
            (problem.to_owned(), "use an x86-64 CPU made since 2013")
        }),
        (env.n_threads > granted).then(|| {
            let problem = format!("{} threads share {granted} processors", env.n_threads);
            (problem, "lower `--threads` or `LYCEUM_THREADS`")
        }),
        memory.map(|memory| {
            let hint = "end other programs, or raise the limit of the control group; \
                        `lyceum plan` says what a recipe needs";
            (format!("{memory} of memory are available"), hint)
        }),
        in_the_way.map(|path| {
            let problem = format!("`{}`, for what is built once, is no directory", path.display());
            (problem, "set `LYCEUM_CACHE` to a directory, or unset it")
        }),
        little(disk_free).map(|disk| {
            let hint = "free some space, or put runs elsewhere with `--out`";
            (format!("{disk} of disk are free for runs"), hint)
        }),
    ];
    found.into_iter().flatten().collect()
}
