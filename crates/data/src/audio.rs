//! Sound out of files: decoded, mixed to one channel, at the rate a model wants.
//!
//! - [`read_sound`]: WAV, AIFF, FLAC, MP3, Ogg Vorbis, AAC and ALAC in MP4, Matroska.
//! - [`LogMel`]: the spectrum that Whisper reads.

mod mel;
mod resample;

use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};
use thiserror::Error as ThisError;

pub use self::mel::LogMel;
use self::resample::Resampling;
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
    #[error("has {0} samples a second, from 1 000 to 384 000 are read")]
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
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// A sound, and what it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Samples in `[-1, 1]`, the channels mixed to one.
    pub samples: Vec<f32>,
    /// Packets of the file.
    pub n_packets: usize,
    /// Those of them that cannot be decoded: there is silence in their place.
    pub n_lost: usize,
}

/// A sound of `rate` samples a second.
///
/// # Errors
/// Where the file cannot be read, is no sound, is damaged by more than half, is cut short, or
/// longer than `seconds_max`.
pub fn read_sound(path: &Path, rate: u32, seconds_max: f64) -> Result<Recording, DataError> {
    let name = path.display().to_string();
    let file = mapped::open_regular(path).map_err(DataError::io("open", path))?;
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
) -> Result<Recording, DataError> {
    sound(Box::new(Cursor::new(bytes)), &Hint::new(), rate, seconds_max)
        .map_err(|problem| DataError::Audio { file: name.to_owned(), problem })
}

/// Decodes and resamples. A panic of a decoder on a hostile file is damage.
fn sound(
    source: Box<dyn MediaSource>,
    hint: &Hint,
    rate: u32,
    seconds_max: f64,
) -> Result<Recording, AudioProblem> {
    let read = || Reading::open(source, hint, rate, seconds_max)?.run();
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(AudioProblem::Damaged("the decoder failed".to_owned())))
}

/// The first audio track.
struct Track {
    id: u32,
    decoder: Box<dyn AudioDecoder>,
    /// Samples it says it has; of MP3 that is an estimate.
    n_expected: Option<u64>,
    /// Samples that end it and are no sound, by the header of an MP3: more than these are sound of
    /// another file behind the first.
    n_padding: Option<usize>,
    /// Whether every packet says which sample it begins with: FLAC does, where damaged ones are
    /// passed over before they get here.
    is_numbered: bool,
    time_base: Option<TimeBase>,
}

impl Track {
    fn of(reader: &dyn FormatReader) -> Result<(Self, u32), AudioProblem> {
        let track = reader.default_track(TrackType::Audio).ok_or(AudioProblem::NoAudio)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio());
        let params = params.ok_or(AudioProblem::NoAudio)?;
        let is_mp3 = params.codec == CODEC_ID_MP3;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|error| AudioProblem::Unsupported(error.to_string()))?;
        let track = Self {
            id: track.id,
            decoder,
            n_expected: track.num_frames.filter(|_| !is_mp3),
            n_padding: is_mp3.then(|| track.padding.unwrap_or(0) as usize),
            is_numbered: params.codec == CODEC_ID_FLAC,
            time_base: track.time_base,
        };
        Ok((track, params.sample_rate.unwrap_or(0)))
    }
}

/// A file as it is read.
struct Reading {
    reader: Box<dyn FormatReader>,
    track: Track,
    /// None before the first sample.
    sound: Option<Resampling>,
    /// What may be padding.
    held: Vec<f32>,
    rates: [u32; 2],
    seconds_max: f64,
    n_expected: Option<u64>,
    n_packets: usize,
    n_lost: usize,
    /// The longest packet so far.
    longest: u64,
    problem: Option<String>,
}

impl Reading {
    fn open(
        source: Box<dyn MediaSource>,
        hint: &Hint,
        rate: u32,
        seconds_max: f64,
    ) -> Result<Self, AudioProblem> {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
        let reader = symphonia::default::get_probe()
            .probe(hint, stream, format, metadata)
            .map_err(|error| refused(&error, AudioProblem::Unknown))?;
        let (track, from) = Track::of(&*reader)?;
        Ok(Self {
            reader,
            n_expected: track.n_expected,
            track,
            sound: None,
            held: vec![],
            rates: [from, rate],
            seconds_max,
            n_packets: 0,
            n_lost: 0,
            longest: 1,
            problem: None,
        })
    }

    fn run(mut self) -> Result<Recording, AudioProblem> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track.id => self.packet(packet)?,
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Another stream behind the first, as Ogg may have it.
                Err(Error::ResetRequired) => {
                    self.track = Track::of(&*self.reader)?.0;
                    let more = self.track.n_expected;
                    self.n_expected = self.n_expected.zip(more).map(|(n, m)| n.saturating_add(m));
                }
                Err(error) if is_end(&error) => break,
                Err(error) => {
                    return Err(refused(&error, AudioProblem::Damaged(error.to_string())));
                }
            }
        }
        self.finish()
    }

    fn packet(&mut self, mut packet: Packet) -> Result<(), AudioProblem> {
        self.n_packets += 1;
        self.missing(&packet)?;
        let n_trimmed = match self.track.n_padding {
            Some(_) => std::mem::take(&mut packet.trim_end).get() as usize,
            None => 0,
        };
        let decoded = match self.track.decoder.decode(&packet) {
            Ok(decoded) => decoded,
            // A packet may be lost, and the next ones be whole.
            Err(error @ (Error::DecodeError(_) | Error::IoError(_))) => {
                self.problem = Some(error.to_string());
                self.n_lost += 1;
                return self.silence(packet.dur);
            }
            Err(error) => return Err(refused(&error, AudioProblem::Damaged(error.to_string()))),
        };
        let (rate, n) = (decoded.spec().rate(), decoded.spec().channels().count().max(1));
        let mut interleaved = vec![];
        decoded.copy_to_vec_interleaved::<f32>(&mut interleaved);
        self.at_rate(rate)?;
        let mixed = interleaved.chunks_exact(n).map(|frame| frame.iter().sum::<f32>() / n as f32);
        // What is no number is silence: some files store floats as they are.
        let mixed = mixed.map(|x| if x.is_finite() { x } else { 0.0 });
        let n_kept = (interleaved.len() / n).saturating_sub(n_trimmed);
        if self.held.is_empty() {
            self.take(mixed.clone().take(n_kept))?;
            self.held.extend(mixed.skip(n_kept));
        } else {
            self.held.extend(mixed);
        }
        if self.held.len() > self.track.n_padding.unwrap_or(0) {
            let held = std::mem::take(&mut self.held);
            self.take(held)?;
        }
        Ok(())
    }

    /// Silence for what is missing before a packet that says where it begins.
    fn missing(&mut self, packet: &Packet) -> Result<(), AudioProblem> {
        let at = packet.pts.get().try_into().unwrap_or(0);
        self.longest = self.longest.max(packet.dur.get());
        let is_said = self.track.is_numbered && self.n_expected.is_some_and(|n| at < n);
        let n_taken = self.sound.as_ref().map_or(0, Resampling::n_taken);
        let gap = at.saturating_sub(n_taken);
        if !is_said || gap == 0 {
            return Ok(());
        }
        let n_lost = gap.div_ceil(self.longest) as usize;
        self.n_packets += n_lost;
        self.n_lost += n_lost;
        self.problem.get_or_insert_with(|| "most of it is damaged".to_owned());
        self.silence(gap.into())
    }

    /// As long as a packet that is lost.
    fn silence(&mut self, dur: Duration) -> Result<(), AudioProblem> {
        let rate = self.rates[0];
        let per_unit = self.track.time_base.map_or(1.0, |base| {
            f64::from(rate) * f64::from(base.numer.get()) / f64::from(base.denom.get())
        });
        let n = dur.get() as f64 * per_unit;
        if n > self.seconds_max * f64::from(rate) {
            return Err(AudioProblem::TooLong(self.seconds_max));
        }
        self.at_rate(rate)?;
        self.take(std::iter::repeat_n(0.0, n as usize))
    }

    fn at_rate(&mut self, rate: u32) -> Result<(), AudioProblem> {
        if !RATES.contains(&rate) {
            return Err(AudioProblem::Rate(rate));
        }
        if self.sound.is_some() && self.rates[0] != rate {
            return Err(AudioProblem::Unsupported("its rate changes".to_owned()));
        }
        self.rates[0] = rate;
        Ok(())
    }

    fn take(&mut self, samples: impl IntoIterator<Item = f32>) -> Result<(), AudioProblem> {
        let [from, to] = self.rates;
        let sound = self.sound.get_or_insert_with(|| Resampling::new(from, to));
        sound.take(samples);
        if sound.n_taken() as f64 > self.seconds_max * f64::from(from) {
            return Err(AudioProblem::TooLong(self.seconds_max));
        }
        Ok(())
    }

    fn finish(self) -> Result<Recording, AudioProblem> {
        let Self { n_packets, n_lost, .. } = self;
        if let Some(problem) = self.problem.filter(|_| 2 * n_lost > n_packets) {
            return Err(AudioProblem::Damaged(problem));
        }
        let sound = self.sound.filter(|sound| sound.n_taken() > 0).ok_or(AudioProblem::NoAudio);
        let n_found = sound.as_ref().map_or(0, Resampling::n_taken);
        if let (Some(expected), true) = (self.n_expected, self.rates[0] > 0) {
            let seconds = |n: u64| n as f64 / f64::from(self.rates[0]);
            let [found, expected] = [n_found, expected].map(seconds);
            if found + SLACK_S < expected {
                return Err(AudioProblem::Truncated { found, expected });
            }
        }
        Ok(Recording { samples: sound?.finish(), n_packets, n_lost })
    }
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
