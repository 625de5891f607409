//! A program that says what an answer is worth, held to limits.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Attempt;

/// A program that reads `{"prompt", "completion", "answer"}`, a JSON object, and writes a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Checker {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// It is ended after so long.
    pub time_max: Duration,
    /// Its address space, at most, and that of each program it starts.
    pub memory_mib: u64,
}

/// Bytes that it may write.
const OUTPUT_BYTES: u64 = 4096;
/// Sets the limit of what takes its place.
const LIMITED: &str = "ulimit -v \"$1\" || exit 97; shift; exec \"$@\"";
const POLL: Duration = Duration::from_millis(2);

impl Checker {
    /// What it says of an answer; else why it says nothing. Whatever it started is ended.
    pub(super) fn run(&self, attempt: &Attempt) -> Result<f64, String> {
        let Attempt { prompt, completion, answer } = attempt;
        let text = serde_json::json!({
            "prompt": prompt, "completion": completion, "answer": answer,
        });
        let memory_kib = (self.memory_mib << 10).to_string();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LIMITED, "sh", &memory_kib]).args(&self.command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.process_group(0).spawn();
        let mut child = child.map_err(|error| format!("it does not start: {error}"))?;
        let said = self.listen(&mut child, text.to_string());
        // What is left of its group, itself included.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
        said
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
