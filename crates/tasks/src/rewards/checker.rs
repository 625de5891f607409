//! A program that says what an answer is worth, held to limits.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Attempt;

/// A program that reads `{"prompt", "completion", "answer"}`, a JSON object, and writes a number.
///
/// It is ended with its process group. What leaves that (`setsid`) lives on, and is not waited for;
/// a thread reads what it has to say until it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Checker {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// It is ended after so long, and after that on all processors where nobody is left to do it.
    pub time_max: Duration,
    /// Its address space, at most, and that of each program it starts.
    pub memory_mib: u64,
}

/// Bytes that it may write.
const OUTPUT_BYTES: u64 = 4096;
/// Bytes of what it says of its failure that are kept, the last.
const ERROR_BYTES: usize = 1024;
/// Letters of that which are told.
const ERROR_CHARS: usize = 200;
/// How long that is waited for where it was ended, and something that left its group was not.
const ERROR_WAIT: Duration = Duration::from_millis(200);
/// Sets the limits of what takes its place; that of the processor is for who is left when the run
/// is killed, and may be lower already.
const LIMITED: &str =
    "ulimit -v \"$1\" || exit 97; ulimit -t \"$2\" 2>/dev/null; shift 2; exec \"$@\"";
const POLL: Duration = Duration::from_millis(2);

impl Checker {
    /// What it says of an answer; else why it says nothing. Its group is ended.
    pub(super) fn run(&self, attempt: &Attempt) -> Result<f64, String> {
        let Attempt { prompt, completion, answer } = attempt;
        let text = serde_json::json!({
            "prompt": prompt, "completion": completion, "answer": answer,
        });
        let memory_kib = (self.memory_mib << 10).to_string();
        let mut command = Command::new("/bin/sh");
        // All processors for all of the time, and one time more.
        let n_processors = thread::available_parallelism().map_or(1, usize::from) as u64;
        let processor_s = self.time_max.as_secs().saturating_add(2).saturating_mul(n_processors);
        command
            .args(["-c", LIMITED, "sh", &memory_kib, &processor_s.to_string()])
            .args(&self.command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).spawn();
        let mut child = child.map_err(|error| format!("it does not start: {error}"))?;
        let complaint = child.stderr.take().map(Complaint::of);
        let said = self.listen(&mut child, text.to_string());
        // What is left of its group, and itself, which may have left it.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
        said.map_err(|why| match complaint.and_then(Complaint::last_line) {
            Some(line) => format!("{why}: {line}"),
            None => why,
        })
    }

    fn listen(&self, child: &mut Child, text: String) -> Result<f64, String> {
        let ends = Instant::now() + self.time_max;
        let late = || format!("it took more than {:?}", self.time_max);
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let (send, received) = mpsc::channel();
        // Neither who does not read nor who keeps its output open is waited for.
        thread::spawn(move || input.as_mut().map(|input| input.write_all(text.as_bytes())));
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.map(|output| output.take(OUTPUT_BYTES + 1).read_to_end(&mut bytes));
            let _ = send.send(read.map(|read| read.map(|_| bytes)));
        });
        let bytes = match received.recv_timeout(self.time_max) {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(_) => return Err("its output cannot be read".into()),
            Err(_) => return Err(late()),
        };
        if bytes.len() as u64 > OUTPUT_BYTES {
            return Err(format!("it wrote more than {OUTPUT_BYTES} bytes"));
        }
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() >= ends => return Err(late()),
                Ok(None) => thread::sleep(POLL),
                Err(error) => return Err(error.to_string()),
            }
        };
        let said = String::from_utf8_lossy(&bytes);
        let said = said.trim();
        if !status.success() {
            return Err(format!("{status}"));
        }
        let number = said.parse().ok().filter(|value: &f64| value.is_finite());
        number.ok_or_else(|| format!("it wrote `{}`", said.chars().take(40).collect::<String>()))
    }
}

/// What a program writes beside its answer, all of which is read and the last of which is kept.
struct Complaint {
    last: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Complaint {
    fn of(mut stderr: ChildStderr) -> Self {
        let last = Arc::new(Mutex::new(Vec::new()));
        let (send, ended) = mpsc::channel();
        let kept = Arc::clone(&last);
        thread::spawn(move || {
            let mut bytes = [0; ERROR_BYTES];
            loop {
                let n = match stderr.read(&mut bytes) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Ok(0) | Err(_) => break,
                    Ok(n) => n,
                };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&bytes[..n]);
                let too_many = kept.len().saturating_sub(ERROR_BYTES);
                kept.drain(..too_many);
            }
            let _ = send.send(());
        });
        Self { last, ended }
    }

    /// The last line of it that says anything, of letters that a terminal only shows.
    fn last_line(self) -> Option<String> {
        let _ = self.ended.recv_timeout(ERROR_WAIT);
        let bytes = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        let shown = line.trim().chars().filter(|c| !c.is_control()).take(ERROR_CHARS);
        Some(shown.collect())
    }
}
