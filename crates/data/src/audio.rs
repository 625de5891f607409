//! Sound out of files: decoded, mixed to one channel, at the rate a model wants.
//!
//! - [`read_sound`]: WAV, AIFF, FLAC, MP3, Ogg Vorbis, AAC and ALAC in MP4, Matroska.
//! - [`LogMel`]: the spectrum that Whisper reads.

mod mel;
mod resample;

use std::fs::File;
use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use thiserror::Error as ThisError;

pub use self::mel::LogMel;
use self::resample::resample;
use crate::DataError;

/// Why a sound cannot be had.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum AudioProblem {
    /// No known format.
    #[error("is no audio of a known format")]
    Unknown,
    /// A container without a sound in it.
    #[error("has no audio in it")]
    NoAudio,
    /// A codec or a feature of one that is not decoded.
    #[error("is audio that is not decoded here: {0}")]
    Unsupported(String),
    /// It says that there is more of it.
    #[error("ends after {found:.1} of {expected:.1} seconds")]
    Truncated {
        /// Seconds there are.
        found: f64,
        /// Seconds there should be.
        expected: f64,
    },
    /// No sound comes out of it.
    #[error("cannot be decoded: {0}")]
    Damaged(String),
    /// A rate that no recording has.
    #[error("has {0} samples a second, from 1 000 to 768 000 are read")]
    Rate(u32),
    /// More of it than was asked for.
    #[error("is longer than {0:.0} seconds")]
    TooLong(f64),
}

impl AudioProblem {
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unknown => {
                "WAV, AIFF, FLAC, MP3, Ogg Vorbis, MP4 and Matroska are read; of others make \
                 WAV: `ffmpeg -i FILE -ar 16000 -ac 1 out.wav`"
            }
            Self::NoAudio => "name a file with a sound track",
            Self::Unsupported(_) => "make WAV of it: `ffmpeg -i FILE -ar 16000 -ac 1 out.wav`",
            Self::Truncated { .. } => {
                "fetch it again; `ffmpeg -i FILE out.wav` makes a whole file of what is there"
            }
            Self::Damaged(_) => "fetch it again, or look at it with a player",
            Self::Rate(_) => "record or convert it at 16 000 samples a second",
            Self::TooLong(_) => "cut it: `ffmpeg -i FILE -f segment -segment_time 3600 part%d.wav`",
        }
    }
}

/// Seconds that a file may lack of what it says, as some encoders count.
const SLACK_S: f64 = 0.1;
/// Rates of recordings.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// A sound as samples in `[-1, 1]`, `rate` a second, its channels mixed to one.
///
/// # Errors
/// Where the file cannot be read, is no sound, is damaged, is cut short, or longer than
/// `seconds_max`.
pub fn read_sound(path: &Path, rate: u32, seconds_max: f64) -> Result<Vec<f32>, DataError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        let error = std::io::Error::new(ErrorKind::InvalidInput, "not a regular file");
        return Err(DataError::io("read", path)(error));
    }
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    sound(Box::new(file), &hint, rate, seconds_max)
        .map_err(|problem| DataError::Audio { file: name, problem })
}

/// [`read_sound`] of a file's bytes, which is called `name`.
///
/// # Errors
/// As [`read_sound`].
pub fn read_sound_bytes(
    name: &str,
    bytes: Vec<u8>,
    rate: u32,
    seconds_max: f64,
) -> Result<Vec<f32>, DataError> {
    sound(Box::new(Cursor::new(bytes)), &Hint::new(), rate, seconds_max)
        .map_err(|problem| DataError::Audio { file: name.to_owned(), problem })
}

/// Decodes and resamples. A panic of a decoder on a hostile file is damage.
fn sound(
    source: Box<dyn MediaSource>,
    hint: &Hint,
    rate: u32,
    seconds_max: f64,
) -> Result<Vec<f32>, AudioProblem> {
    let (samples, from) = catch_unwind(AssertUnwindSafe(|| decode(source, hint, seconds_max)))
        .unwrap_or_else(|_| Err(AudioProblem::Damaged("the decoder failed".to_owned())))?;
    Ok(resample(samples, from, rate))
}

/// The first audio track, mixed to one channel, and its rate.
fn decode(
    source: Box<dyn MediaSource>,
    hint: &Hint,
    seconds_max: f64,
) -> Result<(Vec<f32>, u32), AudioProblem> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let mut reader = symphonia::default::get_probe()
        .probe(hint, stream, format, metadata)
        .map_err(|error| refused(&error, AudioProblem::Unknown))?;
    let track = reader.default_track(TrackType::Audio).ok_or(AudioProblem::NoAudio)?;
    let params = track.codec_params.as_ref().and_then(|params| params.audio());
    let params = params.ok_or(AudioProblem::NoAudio)?;
    // Of MP3 it is an estimate.
    let n_expected = track.num_frames.filter(|_| params.codec != CODEC_ID_MP3);
    let (id, mut rate) = (track.id, params.sample_rate.unwrap_or(0));
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|error| AudioProblem::Unsupported(error.to_string()))?;
    let (mut samples, mut interleaved) = (Vec::new(), Vec::new());
    let mut problem = None;
    let ended = loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        if packet.track_id != id {
            continue;
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            // A packet may be lost, and the next ones be whole.
            Err(error @ (Error::DecodeError(_) | Error::IoError(_))) => {
                problem = Some(error.to_string());
                continue;
            }
            Err(error) => return Err(refused(&error, AudioProblem::Damaged(error.to_string()))),
        };
        let (new_rate, n) = (decoded.spec().rate(), decoded.spec().channels().count().max(1));
        if !RATES.contains(&new_rate) {
            return Err(AudioProblem::Rate(new_rate));
        }
        if !samples.is_empty() && rate != new_rate {
            return Err(AudioProblem::Unsupported("its rate changes".to_owned()));
        }
        rate = new_rate;
        decoded.copy_to_vec_interleaved::<f32>(&mut interleaved);
        let mixed = interleaved.chunks_exact(n).map(|frame| frame.iter().sum::<f32>() / n as f32);
        // What is no number is silence: some files store floats as they are.
        samples.extend(mixed.map(|x| if x.is_finite() { x } else { 0.0 }));
        if samples.len() as f64 > seconds_max * f64::from(rate) {
            return Err(AudioProblem::TooLong(seconds_max));
        }
    };
    if let Some(error) = ended.filter(|error| !is_end(error)) {
        return Err(refused(&error, AudioProblem::Damaged(error.to_string())));
    }
    if let (Some(expected), true) = (n_expected, rate > 0) {
        let [found, expected] =
            [samples.len() as u64, expected].map(|n| n as f64 / f64::from(rate));
        if found + SLACK_S < expected {
            return Err(AudioProblem::Truncated { found, expected });
        }
    }
    if samples.is_empty() {
        return Err(problem.map_or(AudioProblem::NoAudio, AudioProblem::Damaged));
    }
    Ok((samples, rate))
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof)
}

/// What an error means, where it does not say that something is not supported.
fn refused(error: &Error, otherwise: AudioProblem) -> AudioProblem {
    match (error, &otherwise) {
        (Error::Unsupported(what), AudioProblem::Damaged(_)) => {
            AudioProblem::Unsupported((*what).to_owned())
        }
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
