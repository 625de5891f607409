//! What the program runs on: processor, threads, and the memory it may use.
//!
//! Read from `/proc` and the control groups of Linux; elsewhere a fact is unknown, never guessed.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use train::report::Named;
use train::report::format::bytes;

use crate::failure::Failure;

/// The facts of this machine, as they were when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The processor's own name.
    pub cpu_model: Option<String>,
    /// Physical cores of the whole machine.
    pub n_cores: Option<usize>,
    /// Threads this process may run at once (affinity and quotas counted).
    pub n_threads: usize,
    /// Memory, and what bounds it.
    pub memory: Option<Memory>,
}

/// Memory this process may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The least of what the machine has available, and what the limits of the process leave.
    pub available_bytes: u64,
    /// Which it is: [`MACHINE`], [`CONTROL_GROUP`] or [`ADDRESS_SPACE`].
    pub bound: &'static str,
}

/// The machine itself is the bound.
pub const MACHINE: &str = "machine";
/// The limit of a control group is (a container, a systemd slice, a batch job).
pub const CONTROL_GROUP: &str = "control group";
/// The limit of the process's addresses is (`ulimit -v`).
pub const ADDRESS_SPACE: &str = "address space";

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&bytes(self.available_bytes))?;
        match self.bound {
            MACHINE => Ok(()),
            bound => write!(f, " (limit of the {bound})"),
        }
    }
}

impl Machine {
    /// Looks at this machine.
    pub fn detect() -> Self {
        Roots::default().machine()
    }

    /// Name and value of every fact, for people.
    pub fn facts(&self) -> Vec<Named<'static>> {
        [
            ("processor", self.cpu_model.clone()),
            ("cores", self.n_cores.map(|n| n.to_string())),
            ("threads", Some(self.n_threads.to_string())),
            ("memory available", self.memory.map(|memory| memory.to_string())),
        ]
        .map(|(name, value)| (name, value.unwrap_or_else(|| "unknown".to_owned())))
        .into()
    }
}

/// Memory this process may still take.
pub fn memory() -> Option<Memory> {
    Roots::default().memory()
}

/// Refuses what needs more memory than this process may still take.
///
/// # Errors
/// With what is needed and what there is.
pub fn refuse_beyond_memory(what: &str, needed_bytes: u64, hint: &str) -> Result<(), Failure> {
    let Some(memory) = memory().filter(|memory| needed_bytes > memory.available_bytes) else {
        return Ok(());
    };
    let problem = format!("{what} needs {} of memory, available: {memory}", bytes(needed_bytes));
    Err(Failure::new(problem).hint(hint))
}

/// Bytes free where `path` is or would be made.
pub fn disk_free(path: &Path) -> Option<u64> {
    let here = PathBuf::from(".");
    let there = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(&here);
    let space = rustix::fs::statvfs(there).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

/// The largest resident memory of this process so far.
pub fn peak_rss_bytes() -> Option<u64> {
    Roots::default().status("VmHWM")
}

/// The resident memory of this process.
pub fn rss_bytes() -> Option<u64> {
    Roots::default().status("VmRSS")
}

/// Where the system shows its facts.
#[derive(Clone, Debug)]
struct Roots {
    proc: PathBuf,
    cgroup: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), cgroup: "/sys/fs/cgroup".into() }
    }
}

impl Roots {
    fn machine(&self) -> Machine {
        let cpuinfo = fs::read_to_string(self.proc.join("cpuinfo")).unwrap_or_default();
        Machine {
            cpu_model: values(&cpuinfo, "model name").next().map(str::to_owned),
            n_cores: n_cores(&cpuinfo),
            n_threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory: self.memory(),
        }
    }

    fn memory(&self) -> Option<Memory> {
        let meminfo = fs::read_to_string(self.proc.join("meminfo")).ok();
        let machine = meminfo.and_then(|text| kib(&text, "MemAvailable"));
        let machine = machine.map(|bytes| (bytes, MACHINE));
        let group = self.control_group().map(|bytes| (bytes, CONTROL_GROUP));
        let addresses = self.address_space().map(|bytes| (bytes, ADDRESS_SPACE));
        let bounds = machine.into_iter().chain(group).chain(addresses);
        let (available_bytes, bound) = bounds.min_by_key(|(bytes, _)| *bytes)?;
        Some(Memory { available_bytes, bound })
    }

    /// A field of `/proc/self/status` that is a size.
    fn status(&self, field: &str) -> Option<u64> {
        kib(&fs::read_to_string(self.proc.join("self/status")).ok()?, field)
    }

    /// What the limit of the process's addresses leaves.
    fn address_space(&self) -> Option<u64> {
        let limits = fs::read_to_string(self.proc.join("self/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        let limit = line.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(limit.saturating_sub(self.status("VmSize").unwrap_or(0)))
    }

    /// What the tightest of the groups this process is in leaves, version 1 or 2.
    fn control_group(&self) -> Option<u64> {
        let groups = fs::read_to_string(self.proc.join("self/cgroup")).ok()?;
        let left = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_memory = controllers.split(',').any(|name| name == "memory");
            let version_1 = is_memory.then(|| self.cgroup.join("memory"));
            let version_2 = controllers.is_empty().then(|| self.cgroup.clone());
            tightest(&version_1.or(version_2)?, path)
        });
        left.min()
    }
}

/// The least that `path` and the groups above it leave. Inside a container `path` may name a group
/// that is not shown there: then it is the group at the root that counts.
fn tightest(root: &Path, path: &str) -> Option<u64> {
    let relative = Path::new(path.trim_start_matches('/'));
    let inside = !relative.components().any(|part| part.as_os_str() == "..");
    let group = if inside { root.join(relative) } else { root.to_path_buf() };
    let groups = group.ancestors().take_while(|dir| dir.starts_with(root));
    groups.filter_map(left).min()
}

/// Limit minus usage of one group, by the names of version 2 or of version 1. Its page cache that
/// was not used lately counts as free: the kernel drops it before it runs out.
fn left(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |names: [&str; 2]| names.into_iter().find_map(read)?.trim().parse::<u64>().ok();
    // Version 2 says `max` where there is no limit, version 1 a number larger than any memory.
    let limit = number(["memory.max", "memory.limit_in_bytes"])?;
    let usage = number(["memory.current", "memory.usage_in_bytes"])?;
    let stat = read("memory.stat").unwrap_or_default();
    let field =
        |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    // Of version 1, `total_` has the groups below in it; version 2 always has.
    let field = field("total_inactive_file").or_else(|| field("inactive_file"));
    let reclaimable = field.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

/// The values of a field of `/proc/cpuinfo` or of its like, in order.
fn values<'a>(text: &'a str, field: &str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == field).then_some(value.trim())
    })
}

/// A field in kB, in bytes.
fn kib(text: &str, field: &str) -> Option<u64> {
    let number = values(text, field).next()?.strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    number.checked_mul(1024)
}

/// Pairs of socket and core; absent where the system does not number them.
fn n_cores(cpuinfo: &str) -> Option<usize> {
    let sockets = values(cpuinfo, "physical id");
    let cores: BTreeSet<_> = sockets.zip(values(cpuinfo, "core id")).collect();
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(test)]
mod tests;
