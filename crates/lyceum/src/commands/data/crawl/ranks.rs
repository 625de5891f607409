//! Processes that share the work: which pieces are whose, and waiting for those of the others.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use curate::crawl::CrawlError;
use curate::join;
use rayon::prelude::*;

use crate::cli::Crawl;
use crate::environment::Env;
use crate::failure::Failure;
use crate::progress::Progress;

/// How often it is looked for what others do.
const EVERY: Duration = Duration::from_millis(200);
/// For as many times as long as it took to look, it is not looked again: a server has other work.
const SHARE: u32 = 4;
/// How many pieces are named.
const NAMED: usize = 8;

/// Why a stage ended before its time.
pub enum Halt {
    /// Somebody asked for it.
    Stopped,
    /// It cannot go on.
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Halt {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

/// Which process this is, and how it goes about its share.
pub struct Rank<'e> {
    /// From 0.
    pub number: usize,
    /// Of how many.
    pub world: usize,
    patience: Duration,
    env: &'e Env,
    stop: &'e AtomicBool,
}

/// A way to lock a file.
type Lock = fn(&File) -> Result<(), TryLockError>;

/// What a piece of a stage is called, and how many there are.
pub type Pieces = (&'static str, usize);

impl<'e> Rank<'e> {
    /// As the options say, else as a launcher does, else alone.
    ///
    /// # Errors
    /// Where there is no such rank.
    pub fn new(args: &Crawl, env: &'e Env, stop: &'e AtomicBool) -> Result<Self, Failure> {
        let (rank, world) = match (args.rank.zip(args.world), &env.launched) {
            (Some(given), _) => given,
            (None, None) => (0, 1),
            (None, Some([(rank_name, rank), (size_name, size)])) => {
                let Some(both) = rank.parse().ok().zip(size.parse().ok()) else {
                    let problem = format!(
                        "`{rank_name}` is `{rank}` and `{size_name}` is `{size}`, expected numbers"
                    );
                    return Err(
                        Failure::new(problem).hint("unset them, or give `--rank` and `--world`")
                    );
                };
                both
            }
        };
        if rank >= world {
            return Err(Failure::new(format!("there is no rank {rank} of {world}"))
                .hint("ranks begin at 0, and end below `--world`"));
        }
        let patience = Duration::from_secs(args.patience);
        Ok(Self { number: rank, world, patience, env, stop })
    }

    /// Whether this one does what only one may do.
    pub fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Keeps others of this rank out of a folder here, until what is returned is dropped; and one
    /// that works alone all others.
    ///
    /// # Errors
    /// Where another process is there, or the folder cannot be written to.
    pub fn lock(&self, out: &str) -> Result<Vec<File>, Failure> {
        let own = format!(".lock-{}", self.number);
        let names: &[_] = match self.world {
            _ if out.contains("://") => &[],
            1 => &[(".lock", File::try_lock as Lock)],
            _ => &[(".lock", File::try_lock_shared), (&own, File::try_lock)],
        };
        let lock = |&(name, lock): &(&str, Lock)| {
            let address = join(out, name);
            let opened = fs::create_dir_all(out).and_then(|()| File::create(&address));
            let file = opened.map_err(|source| CrawlError::Write { address, source })?;
            match lock(&file) {
                Err(TryLockError::WouldBlock) => {
                    Err(Failure::new(format!("another process works in `{out}`")).hint(
                        "wait until it ends; those that share a crawl have each a `--rank` of \
                         one `--world`",
                    ))
                }
                // Some network file systems have no locks: better unguarded than unusable.
                Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
            }
        };
        names.iter().map(lock).collect()
    }

    /// Ends where somebody asked for it.
    ///
    /// # Errors
    /// [`Halt::Stopped`].
    pub fn go_on(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Stopped) } else { Ok(()) }
    }

    /// The progress over this one's pieces.
    pub fn progress(&self, n: usize) -> Mutex<(u64, Progress)> {
        let n_mine = (self.number..n).step_by(self.world).len() as u64;
        Mutex::new((0, Progress::new(self.env, super::on_terminal(), 0, n_mine)))
    }

    /// Does this one's pieces on all threads.
    ///
    /// # Errors
    /// What `work` returns, or that it is to stop.
    pub fn work<F: Into<Failure> + Send>(
        &self,
        (unit, n): Pieces,
        work: impl Fn(usize) -> Result<(), F> + Sync,
    ) -> Result<(), Halt> {
        let progress = self.progress(n);
        let mine: Vec<usize> = (self.number..n).step_by(self.world).collect();
        mine.into_par_iter().with_max_len(1).try_for_each(|i| {
            self.go_on()?;
            work(i)?;
            tick(&progress, unit, "");
            Ok::<_, Halt>(())
        })?;
        finish(&progress);
        Ok(())
    }

    /// Waits until the others have done their pieces; `done` lists what is.
    ///
    /// # Errors
    /// Where none of them came to an end for too long.
    pub fn wait<F: Into<Failure>>(
        &self,
        (unit, n): Pieces,
        done: impl Fn() -> Result<BTreeSet<usize>, F>,
    ) -> Result<(), Halt> {
        let mut missing: Vec<usize> = (0..n).filter(|i| i % self.world != self.number).collect();
        let mut last = Instant::now();
        while !missing.is_empty() {
            let asked = Instant::now();
            let (n_before, done) = (missing.len(), done()?);
            let pause = EVERY.max(asked.elapsed() * SHARE);
            missing.retain(|i| !done.contains(i));
            if missing.len() < n_before {
                last = Instant::now();
            }
            self.go_on()?;
            if missing.is_empty() {
                break;
            }
            if last.elapsed() > self.patience {
                return Err(self.late(unit, &missing).into());
            }
            sleep(pause);
        }
        Ok(())
    }

    /// Waits for what the first does alone.
    ///
    /// # Errors
    /// Where it does not for too long.
    pub fn wait_for<F: Into<Failure>>(
        &self,
        what: &'static str,
        is_done: impl Fn() -> Result<bool, F>,
    ) -> Result<(), Halt> {
        self.wait((what, 1), || Ok::<_, F>(is_done()?.then_some(0).into_iter().collect()))
    }

    fn late(&self, unit: &str, missing: &[usize]) -> Failure {
        let mut ranks: Vec<usize> = missing.iter().map(|i| i % self.world).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let some = |numbers: &[usize]| {
            let shown: Vec<_> = numbers.iter().take(NAMED).map(ToString::to_string).collect();
            let more = if numbers.len() > NAMED { " .." } else { "" };
            shown.join(", ") + more
        };
        let seconds = self.patience.as_secs();
        Failure::new(format!(
            "no other rank finished anything for {seconds} s: missing is {unit} {}, of rank {}",
            some(missing),
            some(&ranks),
        ))
        .hint(
            "start those ranks again with the same command, and then this one: what is done stays",
        )
    }
}

/// One more piece is done.
pub fn tick(progress: &Mutex<(u64, Progress)>, unit: &str, came: &str) {
    if let Ok(mut progress) = progress.lock() {
        progress.0 += 1;
        let n = progress.0;
        progress.1.piece(n, unit, came);
    }
}

/// Takes the bar away.
pub fn finish(progress: &Mutex<(u64, Progress)>) {
    if let Ok(progress) = progress.lock() {
        progress.1.finish();
    }
}
