//! Scalars for `TensorBoard`: event files of `TFRecord`s that hold `Event` messages.
//!
//! ```text
//! record = length u64 LE, masked crc of the length u32 LE, data, masked crc of the data u32 LE
//! masked(crc) = rotate_right(crc, 15) + 0xa282ead8        (crc is CRC-32C, Castagnoli)
//! ```
//!
//! Source: TensorFlow, `core/lib/io/record_writer.h`, `core/util/event.proto`,
//! `core/framework/summary.proto`. Only the few fields a scalar needs are written, by hand.
//!
//! A resumed run opens a new file, whose first record after the version is a session start at the
//! step after the resumed one: `TensorBoard` then drops ("purges") what older files hold from that
//! step on, so that each curve has every step once. Files are read in the order of their names,
//! which start with the time in seconds; a new name is always later than those beside it,
//! whatever the clock says.
//!
//! Written by hand because the crate that writes scalars (`tensorboard-rs` 0.5.9) brings some 35
//! others, an image library among them, and knows no purge.

mod wire;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::metrics::{AppendFile, EvalRow, LogError, StepRow};
use wire::{Message, record};

/// Writes one event file, record by record, nothing buffered.
#[derive(Debug)]
pub struct EventWriter {
    file: AppendFile,
}

impl EventWriter {
    /// The event file of a new run, in the existing directory `dir`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(dir: &Path) -> Result<Self, LogError> {
        let mut writer = Self { file: AppendFile::create(&next_path(dir, now_s() as u64))? };
        writer.write(&event(0).text(FILE_VERSION, "brain.Event:2"))?;
        Ok(writer)
    }

    /// A further event file of a run that goes on after `step`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resume(dir: &Path, step: u64) -> Result<Self, LogError> {
        let mut writer = Self::create(dir)?;
        let started = Message::default().varint(STATUS, STATUS_START);
        writer.write(&event(step + 1).message(SESSION_LOG, &started))?;
        Ok(writer)
    }

    /// Writes a training step.
    ///
    /// # Errors
    /// When the file cannot be written; it is then as it was.
    pub fn step(&mut self, row: &StepRow) -> Result<(), LogError> {
        let mut scalars = vec![
            ("train/loss", row.loss),
            ("train/accuracy", row.accuracy),
            ("train/grad_norm", row.grad_norm),
            ("train/lr", row.lr),
            ("train/tokens", row.tokens as f64),
            ("train/tokens_per_s", row.tokens_per_s),
        ];
        scalars.extend(row.share_of_peak.map(|share| ("train/share_of_peak", share)));
        let names: Vec<String> = row.told.keys().map(|name| format!("train/{name}")).collect();
        scalars.extend(names.iter().map(String::as_str).zip(row.told.values().copied()));
        self.scalars(row.step, &scalars)
    }

    /// Writes an evaluation.
    ///
    /// # Errors
    /// When the file cannot be written; it is then as it was.
    pub fn eval(&mut self, row: &EvalRow) -> Result<(), LogError> {
        let EvalRow { step, eval } = row;
        let mut scalars = vec![("eval/loss", eval.loss), ("eval/accuracy", eval.accuracy)];
        scalars.extend(eval.bits_per_byte.map(|bits| ("eval/bits_per_byte", bits)));
        let names: Vec<String> =
            eval.parts.keys().map(|name| format!("eval/{name}_loss")).collect();
        scalars.extend(names.iter().map(String::as_str).zip(eval.parts.values().map(|p| p.loss)));
        let names: Vec<String> =
            eval.metrics.iter().map(|(name, _)| format!("eval/{name}")).collect();
        let metrics = names.iter().zip(&eval.metrics);
        scalars.extend(metrics.filter_map(|(name, (_, value))| Some((&**name, (*value)?))));
        self.scalars(*step, &scalars)
    }

    /// Writes named values of one step as one event. A name's part before `/` groups the charts.
    ///
    /// # Errors
    /// When the file cannot be written; it is then as it was.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        let summary = scalars.iter().fold(Message::default(), |summary, (tag, value)| {
            let value = Message::default().text(TAG, tag).float(SIMPLE_VALUE, *value as f32);
            summary.message(VALUE, &value)
        });
        self.write(&event(step).message(SUMMARY, &summary))
    }

    fn write(&mut self, event: &Message) -> Result<(), LogError> {
        self.file.append(&record(event.bytes()))
    }
}

// Field numbers of `Event`.
const WALL_TIME: u32 = 1;
const STEP: u32 = 2;
const FILE_VERSION: u32 = 3;
const SUMMARY: u32 = 5;
const SESSION_LOG: u32 = 7;
// Of `SessionLog`.
const STATUS: u32 = 1;
const STATUS_START: u64 = 1;
// Of `Summary`, and of `Summary.Value`.
const VALUE: u32 = 1;
const TAG: u32 = 1;
const SIMPLE_VALUE: u32 = 2;

/// An event of `step`, now.
fn event(step: u64) -> Message {
    Message::default().double(WALL_TIME, now_s()).varint(STEP, step)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

const PREFIX: &str = "events.out.tfevents.";

/// A path for a new event file that sorts after every one in `dir`.
fn next_path(dir: &Path, now_s: u64) -> PathBuf {
    let second = |name: &str| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok();
    let newest = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| second(entry.ok()?.file_name().to_str()?))
        .max();
    let second = newest.map_or(now_s, |newest| now_s.max(newest.saturating_add(1)));
    dir.join(format!("{PREFIX}{second:010}.lyceum"))
}

#[cfg(test)]
mod tests;
