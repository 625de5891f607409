//! The environment: the one place that reads variables, and what follows from them.
//!
//! ```text
//! LYCEUM_DEVICE   what computes: `cpu`
//! LYCEUM_ISA      a lower instruction set than the CPU's best
//! LYCEUM_THREADS  how many threads compute; `--threads` comes first
//! LYCEUM_LOG      warn, info (the default) or debug; `--quiet` is warn
//! LYCEUM_CACHE    where what was fetched or built once is kept
//! NO_COLOR        no colours, if it is there and not empty
//! HF_TOKEN        who asks the hub; else what `HF_TOKEN_PATH`, `$HF_HOME/token` or the hub's usual
//!                 file holds
//! HF_ENDPOINT     another hub than https://huggingface.co
//! SSL_CERT_FILE   the certificates to trust, where a proxy has its own
//! HTTPS_PROXY     and the like: how the network is reached
//! AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN: who asks a store of S3
//! OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and _SIZE, SLURM_PROCID and _NTASKS: which process of
//!                 how many this is, where several share `data crawl`
//! ```

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use curate::{Keys, Secret};
use kernels::Isa;
use rayon::ThreadPool;
use tensor::Device;

use crate::failure::{Context as _, Failure};
use crate::table::printable;

/// What the main thread has, and a deep call may need.
const STACK_BYTES: usize = 8 << 20;

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Log {
    /// Warnings and errors.
    Warn,
    /// And how things stand.
    Info,
    /// And what takes how long.
    Debug,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Say nothing but warnings on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Compute on N threads (default: all this process may use)
    #[arg(long, global = true, value_name = "N", value_parser = n_threads)]
    pub threads: Option<usize>,
}

/// More threads than any machine has; many more do nothing but wait for each other.
const MAX_THREADS: usize = 1024;

/// A number of threads.
///
/// # Errors
/// With what is expected.
pub fn n_threads(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    n.ok_or_else(|| format!("expected a number from 1 to {MAX_THREADS}"))
}

/// What every command shares.
#[derive(Clone, Debug)]
pub struct Env {
    /// What this program was called by.
    pub program: PathBuf,
    /// The instruction set that computes.
    pub isa: Isa,
    /// Threads that compute.
    pub n_threads: usize,
    /// How much is said.
    pub log: Log,
    /// Whether standard error may be coloured.
    pub color: bool,
    /// Where what was fetched or built once is kept; none where there is no home.
    pub cache_dir: Option<PathBuf>,
    /// How the hub is reached.
    pub hub: Hub,
    /// Who asks a store of S3.
    pub s3_keys: Option<Keys>,
    /// Which process of how many this is: what a launcher set, and to what.
    pub launched: Option<[(&'static str, String); 2]>,
}

/// What launchers set.
const LAUNCHERS: [[&str; 2]; 3] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["SLURM_PROCID", "SLURM_NTASKS"],
];

/// How the hub is reached.
#[derive(Clone, Default)]
pub struct Hub {
    /// Another one than the usual.
    pub endpoint: Option<String>,
    /// Who asks: the text of a token.
    pub token: Option<String>,
    /// Where a token may be instead.
    pub token_file: Option<PathBuf>,
    /// Which certificates to trust.
    pub certificates: Option<PathBuf>,
}

impl fmt::Debug for Hub {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Env {
    /// Reads the variables.
    ///
    /// # Errors
    /// With the first variable that cannot be followed.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        Self::from_vars(global, |name| env::var_os(name))
    }

    fn from_vars(global: &Global, var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).map(|value| value.to_string_lossy().into_owned());
        text("LYCEUM_DEVICE").map_or(Ok(()), |value| check_device(&value))?;
        let threads = text("LYCEUM_THREADS").filter(|_| global.threads.is_none());
        let threads = threads.map(|value| parse_threads(&value)).transpose()?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let log = text("LYCEUM_LOG").map_or(Ok(Log::Info), |value| parse_log(&value))?;
        let dir = |name| var(name).map(PathBuf::from);
        let cache_dir = dir("LYCEUM_CACHE")
            .or_else(|| dir("XDG_CACHE_HOME").map(|dir| dir.join("lyceum")))
            .or_else(|| dir("HOME").map(|dir| dir.join(".cache/lyceum")));
        let hf_home = dir("HF_HOME")
            .or_else(|| dir("XDG_CACHE_HOME").map(|dir| dir.join("huggingface")))
            .or_else(|| dir("HOME").map(|dir| dir.join(".cache/huggingface")));
        let hub = Hub {
            endpoint: text("HF_ENDPOINT"),
            token: text("HF_TOKEN"),
            token_file: dir("HF_TOKEN_PATH").or_else(|| Some(hf_home?.join("token"))),
            certificates: dir("SSL_CERT_FILE"),
        };
        let keys = text("AWS_ACCESS_KEY_ID").zip(text("AWS_SECRET_ACCESS_KEY"));
        let s3_keys = keys.map(|(access, secret)| Keys {
            access,
            secret: Secret(secret),
            token: text("AWS_SESSION_TOKEN").map(Secret),
        });
        let launched = LAUNCHERS.iter().find_map(|&[rank, size]| {
            text(rank).zip(text(size)).map(|(r, n)| [(rank, r), (size, n)])
        });
        Ok(Self {
            program: env::args_os().next().map_or_else(|| "lyceum".into(), PathBuf::from),
            isa: text("LYCEUM_ISA").map_or(Ok(Isa::detect()), |value| parse_isa(&value))?,
            n_threads: global.threads.or(threads).unwrap_or_else(cores),
            log: if global.quiet { Log::Warn } else { log },
            color: stderr_color(),
            cache_dir,
            hub,
            s3_keys,
            launched,
        })
    }

    /// Where tensors are computed.
    pub fn device(&self) -> Device {
        Device::cpu(self.isa)
    }

    /// Whether nothing but warnings is wanted.
    pub fn is_quiet(&self) -> bool {
        self.log == Log::Warn
    }

    /// How things stand, on standard error.
    pub fn say(&self, message: &str) {
        if self.log >= Log::Info {
            let _ = writeln!(io::stderr(), "{}", printable(message, true));
        }
    }

    /// What takes how long, on standard error.
    pub fn debug(&self, message: impl FnOnce() -> String) {
        if self.log >= Log::Debug {
            let _ = writeln!(io::stderr(), "debug: {}", printable(&message(), true));
        }
    }

    /// What the user should know, though it stops nothing.
    pub fn warn(&self, message: &str) {
        let word = if self.color { "\u{1b}[1;33mwarning:\u{1b}[0m" } else { "warning:" };
        let _ = writeln!(io::stderr(), "{word} {}", printable(message, true));
    }
}

/// Threads that compute.
///
/// # Errors
/// Where they cannot be started.
pub fn pool(n: usize) -> Result<ThreadPool, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).stack_size(STACK_BYTES).build();
    pool.context(format!("failed to start {n} threads"))
        .map_err(|failure| failure.hint("ask for fewer with `--threads`"))
}

/// Whether standard error is a terminal that may be coloured.
pub fn stderr_color() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stderr().is_terminal()
}

fn check_device(value: &str) -> Result<(), Failure> {
    let problem = match value {
        "cpu" => return Ok(()),
        "cuda" => "this build computes on the CPU alone",
        _ => "there is no such device",
    };
    Err(Failure::new(format!("`LYCEUM_DEVICE` is `{value}`: {problem}"))
        .hint("unset it, or set it to `cpu`; `cuda` is not in this build yet"))
}

fn parse_isa(value: &str) -> Result<Isa, Failure> {
    let known = value.parse::<Isa>().ok();
    if let Some(isa) = known.filter(|isa| isa.is_supported()) {
        return Ok(isa);
    }
    let problem = if known.is_some() { "this CPU lacks it" } else { "there is no such path" };
    let names: Vec<_> = Isa::supported().iter().map(|isa| format!("`{isa}`")).collect();
    Err(Failure::new(format!("`LYCEUM_ISA` is `{value}`: {problem}"))
        .hint(format!("this CPU runs {}", names.join(", "))))
}

fn parse_threads(value: &str) -> Result<usize, Failure> {
    let refused = |expected| Failure::new(format!("`LYCEUM_THREADS` is `{value}`, {expected}"));
    n_threads(value).map_err(|expected| refused(expected).hint("unset it, or give `--threads`"))
}

fn parse_log(value: &str) -> Result<Log, Failure> {
    let message = format!("`LYCEUM_LOG` is `{value}`, expected warn, info or debug");
    Log::from_str(value, false).map_err(|_| Failure::new(message).hint("unset it for `info`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(global: &Global, vars: &[(&str, &str)]) -> Result<Env, String> {
        let found = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Env::from_vars(global, found).map_err(|failure| failure.text(false))
    }

    #[test]
    fn flags_come_before_variables() {
        let vars = [("LYCEUM_THREADS", "3"), ("LYCEUM_LOG", "debug"), ("HOME", "/h")];
        let vars = [&vars[..], &[("LYCEUM_DEVICE", "cpu")]].concat();
        let env = read(&Global::default(), &vars).expect("fine");
        assert_eq!((env.n_threads, env.log), (3, Log::Debug));
        assert_eq!(env.cache_dir, Some("/h/.cache/lyceum".into()));
        let env = read(&Global { quiet: true, threads: Some(2) }, &vars).expect("fine");
        assert_eq!((env.n_threads, env.log), (2, Log::Warn));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_can() {
        for (name, value, expected) in [
            ("LYCEUM_DEVICE", "tpu", "`LYCEUM_DEVICE` is `tpu`: there is no such device"),
            ("LYCEUM_DEVICE", "cuda", "hint: unset it, or set it to `cpu`; `cuda` is not in this"),
            ("LYCEUM_ISA", "sse9", "`LYCEUM_ISA` is `sse9`: there is no such path"),
            ("LYCEUM_ISA", "AVX2", "hint: this CPU runs `portable`"),
            ("LYCEUM_THREADS", "0", "`LYCEUM_THREADS` is `0`, expected a number from 1 to 1024"),
            ("LYCEUM_THREADS", "two", "`two`"),
            ("LYCEUM_LOG", "loud", "expected warn, info or debug"),
        ] {
            let message = read(&Global::default(), &[(name, value)]).expect_err("refused");
            assert!(message.contains(expected), "{name}={value}: {message}");
        }
    }

    #[test]
    fn an_empty_variable_is_none() {
        let env = read(&Global::default(), &[("LYCEUM_ISA", ""), ("LYCEUM_THREADS", "")]);
        assert_eq!(env.expect("fine").isa, Isa::detect());
    }
}
