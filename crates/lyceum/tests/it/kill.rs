//! Ended from outside at any moment, a run goes on as if nothing had been.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::fixture::lyceum;
use crate::recipe::{Lab, expected, refusal};

const LONG: Duration = Duration::from_mins(1);

fn start(lab: &Lab, out: &str, more: &[&str]) -> Child {
    let mut command = lyceum(&lab.args(out, more));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs")
}

/// Waits until the run in `out` has logged a step.
fn wait_for_a_step(out: &Path) {
    let began = Instant::now();
    let logged = || std::fs::metadata(out.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0);
    while !logged() {
        assert!(began.elapsed() < LONG, "no step within a minute");
        sleep(Duration::from_millis(5));
    }
}

pub fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("runs").success());
}

#[test]
fn ctrl_c_sigterm_and_sighup_save_and_a_resume_goes_on() {
    // Under `nohup` this process ignores the last, and so do its children.
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("a mask");
    let hangs_up = u64::from_str_radix(mask, 16).expect("hexadecimal") & 1 == 0;
    for name in ["INT", "TERM", "HUP"].into_iter().take(if hangs_up { 3 } else { 2 }) {
        let lab = Lab::new();
        // Long enough to be interrupted, and then shortened again by nobody: the schedule is level.
        let mut child = start(&lab, "a", &["--set", "train.steps=100000"]);
        wait_for_a_step(&lab.path("a"));
        signal(&child, name);
        assert_eq!(child.wait().expect("ends").code(), Some(3), "{name}");
        let rows = lab.metrics("a");
        let last = rows.last().expect("a row")["step"].as_u64().expect("a number");
        assert!(lab.checkpoints("a").contains(&format!("step-{last}")));
        let steps = format!("train.steps={}", last + 2);
        lab.pretrain("a", &["--resume", "--set", &steps]).done();
        let again = lab.metrics("a");
        assert_eq!(again[..rows.len()], rows);
        let n = expected().len().min(rows.len());
        assert_eq!(again[..n], expected()[..n]);
    }
}

/// Interrupts the run in `a` while it waits for its text.
fn interrupt_preparation(lab: &Lab, more: &[&str]) -> String {
    let sets = ["--set", "data.paths=[\"-\"]"];
    let mut command = lyceum(&lab.args("a", &[&sets[..], more].concat()));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    let (stdin, began) = (child.stdin.take(), Instant::now());
    while !lab.path("a/data/tokenizer").exists() {
        assert!(began.elapsed() < LONG, "no directory within a minute");
        sleep(Duration::from_millis(5));
    }
    signal(&child, "INT");
    let ended = child.wait_with_output().expect("ends");
    drop(stdin);
    assert_eq!(ended.status.code(), Some(130));
    String::from_utf8(ended.stderr).expect("text")
}

#[test]
fn ctrl_c_ends_the_preparation_of_data_at_once() {
    let lab = Lab::new();
    let stderr = interrupt_preparation(&lab, &[]);
    assert!(stderr.contains("stopped before the first step: nothing was made"), "{stderr}");
    assert!(!lab.path("a").exists());
    // What was there before stays.
    lab.pretrain("a", &["--set", "train.steps=1"]).done();
    std::fs::remove_dir_all(lab.path("a/data")).expect("removed");
    std::fs::remove_file(lab.path("a/recipe.toml")).expect("removed");
    let stderr = interrupt_preparation(&lab, &["--resume"]);
    assert!(stderr.contains("nothing is lost, `--resume` goes on"), "{stderr}");
    assert_eq!(lab.checkpoints("a"), ["step-1"]);
}

/// Time a child has computed for, in hundredths of a second.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    fields.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_second_signal_leaves_at_once() {
    let lab = Lab::new();
    // A step takes many seconds: however busy the machine, both signals come before it ends.
    let sets = ["--set", "train.batch_size=524288", "--set", "train.micro_batch=64"];
    let mut command = lyceum(&lab.args("a", &sets));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let (says, said) = mpsc::channel();
    let reader = spawn(move || {
        lines.map_while(Result::ok).for_each(|line| _ = says.send(line));
    });
    let mut said = said.iter();
    assert!(said.any(|line| line.contains("an epoch is")));
    // Nothing is said of the step's start: what comes before it takes far less than this.
    let (began, ready) = (Instant::now(), ticks(&child));
    while ticks(&child) < ready + 100 {
        assert!(began.elapsed() < LONG, "no step within a minute");
        sleep(Duration::from_millis(5));
    }
    signal(&child, "INT");
    assert!(said.any(|line| line == "stopping after this step; again to stop at once"));
    // The echo of the first is none.
    sleep(Duration::from_millis(200));
    signal(&child, "INT");
    reader.join().expect("reads");
    let last = said.last();
    assert_eq!(last.as_deref(), Some("stopped at once: there is no checkpoint yet"));
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    assert_eq!(lab.checkpoints("a"), Vec::<String>::new());
    let sets = [&["--resume", "--set", "train.max_hours=1e-9"], &sets[..]].concat();
    let ran = lab.pretrain("a", &sets);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_eq!(lab.checkpoints("a"), ["step-0"]);
}

/// How long the tiny recipe takes here, from start to end.
fn duration() -> Duration {
    let lab = Lab::new();
    let began = Instant::now();
    lab.pretrain("whole", &[]).done();
    began.elapsed()
}

#[test]
fn killed_at_any_moment_a_run_resumes_to_the_same_losses() {
    let slow = std::env::var_os("SLOW").is_some_and(|value| value == "1");
    let (n, whole) = (if slow { 25 } else { 4 }, duration());
    for i in 0..n {
        let lab = Lab::new();
        // Spread over preparation, steps and saves; a golden ratio leaves no gaps.
        let share = (f64::from(i) * 0.618_034 + 0.05).fract();
        for part in [share, share / 2.0] {
            let mut child = start(&lab, "a", &["--resume"]);
            sleep(whole.mul_f64(part));
            child.kill().expect("killed");
            child.wait().expect("ends");
        }
        lab.pretrain("a", &["--resume"]).done();
        assert_eq!(lab.metrics("a"), expected(), "killed at {share} of {whole:?}");
        for name in lab.checkpoints("a") {
            assert!(name.starts_with("step-"), "{name} was left behind");
        }
    }
}

/// A file system of so many bytes; gone when dropped.
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// One at `dir`; `None` where this process may not mount.
    #[allow(clippy::print_stderr)] // A test that is skipped says so.
    pub fn mount(dir: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&dir).expect("made");
        let options = format!("size={size}");
        let args = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(&dir).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        eprintln!("skipped: a small file system cannot be mounted here");
        None
    }

    pub fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let args = ["-o", &options];
        let grown = Command::new("mount").args(args).arg(&self.dir).status();
        assert!(grown.expect("runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.dir).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let lab = Lab::new();
    for size in ["200k", "900k", "1300k"] {
        let Some(disk) = SmallDisk::mount(lab.path("disk"), size) else { return };
        let stderr = refusal(lab.pretrain("disk/a", &[]));
        assert!(stderr.contains("failed to ") && stderr.contains("space"), "{size}: {stderr}");
        assert!(stderr.contains("hint: "), "{size}: {stderr}");
        disk.grow("64m");
        lab.pretrain("disk/a", &["--resume"]).done();
        assert_eq!(lab.metrics("disk/a"), expected(), "{size}");
    }
}
