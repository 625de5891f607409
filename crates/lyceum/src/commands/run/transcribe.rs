//! Sound to text, by models of speech.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use ::generate::{Search, Segment, Settings, Sound, Speech, Timestamps, likeliest, transcribe};
use data::{LogMel, Recording};
use models::EncoderDecoder;
use nn::{AudioConfig, AudioStem};
use serde_json::{Value, json};
use tokenize::Tokenizer;

use super::inputs::STDIN;
use super::searching::{choice, refuse_too_large, search};
use crate::cli::Run;
use crate::commands::load::Loaded;
use crate::commands::print;
use crate::commands::table::printable;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::machine;
use crate::progress::Progress;

/// Frames of a second.
const FRAMES_PER_S: usize = LogMel::RATE as usize / LogMel::HOP;
/// The longest sound: half a day.
const SECONDS_MAX: f64 = 43_200.0;
/// The largest file that comes through a pipe.
const BYTES_MAX: u64 = 4 << 30;
/// What a second takes: its samples, three times as much while they grow, and its spectrum.
const fn bytes_per_s(n_channels: usize) -> u64 {
    (4 * 3 * LogMel::RATE as usize + 4 * n_channels * FRAMES_PER_S) as u64
}

/// Writes down what is said in every file.
///
/// # Errors
/// Where the model, its tokenizer, an option or a file is refused.
pub fn run(
    args: &Run,
    env: &Env,
    (loaded, pair, audio): (&Loaded, &EncoderDecoder, &AudioConfig),
) -> Result<Exit, Failure> {
    let tokenizer = loaded.tokenizer()?;
    let (mut settings, _) = loaded.settings(None)?;
    let start = special(&tokenizer, "<|startoftranscript|>").or(settings.start);
    let start = start.ok_or_else(|| {
        Failure::new("the model's files do not say what a transcript starts from")
            .hint("add `decoder_start_token_id` to its `generation_config.json`")
    })?;
    if settings.speech.is_none() {
        settings.speech = speech_of(&tokenizer, start, pair);
    }
    let prompt = Prompt::new(args, &settings, start)?;
    loaded.writes(prompt.languages.iter().map(|(_, id)| *id).chain(prompt.tokens(None, None)))?;
    let window = 2 * audio.max_len;
    let listener = Listener { args, env, loaded, pair, audio, tokenizer, settings, prompt, window };
    for file in &args.inputs {
        listener.file(file)?;
    }
    Ok(Exit::Done)
}

/// The tokens that a transcript starts from, as far as they are the same for every sound.
struct Prompt {
    start: u32,
    /// Where the model knows several languages: the one asked for, else all of them.
    languages: Vec<(String, u32)>,
    task: Option<u32>,
    no_timestamps: Option<u32>,
}

impl Prompt {
    fn new(args: &Run, settings: &Settings, start: u32) -> Result<Self, Failure> {
        let speech = settings.speech.as_ref();
        let mut languages = speech.map(|speech| speech.languages.clone()).unwrap_or_default();
        if let Some(code) = &args.language {
            let name = format!("<|{code}|>");
            let known: Vec<_> = languages.iter().map(|(name, _)| bare(name)).collect();
            let hint = match &known[..] {
                [] => "leave out `--language`: the model knows one alone".to_owned(),
                known => format!("it knows {}", known.join(", ")),
            };
            if !languages.iter().any(|(known, _)| *known == name) {
                let problem = format!("the model does not know the language `{code}`");
                return Err(Failure::new(problem).hint(hint));
            }
            languages.retain(|(known, _)| *known == name);
        }
        let tasks = speech.map(|speech| &speech.tasks[..]).unwrap_or_default();
        let name = args.task.as_deref().unwrap_or("transcribe");
        let task = tasks.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
        if args.task.is_some() && task.is_none() && !(tasks.is_empty() && name == "transcribe") {
            let problem = format!("the model does not know the task `{name}`");
            let known: Vec<_> = tasks.iter().map(|(name, _)| &**name).collect();
            return Err(Failure::new(problem).hint(match &known[..] {
                [] => "it transcribes alone".to_owned(),
                known => format!("it knows {}", known.join(", ")),
            }));
        }
        if args.timestamps && settings.timestamps().is_none() {
            return Err(Failure::new("the model does not know times")
                .hint("leave out `--timestamps`, and cut sounds into windows"));
        }
        let task = task.filter(|_| !languages.is_empty());
        Ok(Self { start, languages, task, no_timestamps: speech.map(|s| s.no_timestamps) })
    }

    fn tokens(&self, language: Option<u32>, times: Option<&Timestamps>) -> Vec<u32> {
        let mut tokens = vec![self.start];
        tokens.extend(language);
        tokens.extend(self.task);
        tokens.extend(self.no_timestamps.filter(|_| times.is_none()));
        tokens
    }
}

/// What older files leave to the tokenizer: where there is a token for it, the model knows times;
/// where it has a row more than those for one language, several languages.
fn speech_of(tokenizer: &Tokenizer, start: u32, pair: &EncoderDecoder) -> Option<Speech> {
    const ONE_LANGUAGE: usize = 51_864;
    let no_timestamps = special(tokenizer, "<|notimestamps|>")?;
    let mut speech = Speech { no_timestamps, max_initial: None, languages: vec![], tasks: vec![] };
    if pair.config().decoder.tokens().vocab_size > ONE_LANGUAGE {
        let named = |id: u32| Some((tokenizer.token(id)?, id));
        let is_code = |name: &str| matches!(bare(name).len(), 2 | 3) && name.starts_with("<|");
        let after = (start + 1..).map_while(named).take_while(|(name, _)| is_code(name));
        speech.languages = after.collect();
        let tasks = ["transcribe", "translate"]
            .map(|name| Some((name.to_owned(), special(tokenizer, &format!("<|{name}|>"))?)));
        speech.tasks = tasks.into_iter().flatten().collect();
    }
    Some(speech)
}

/// The id of a special token.
fn special(tokenizer: &Tokenizer, name: &str) -> Option<u32> {
    match tokenizer.encode_with_specials(name).ok()?[..] {
        [id] if tokenizer.token(id)? == name => Some(id),
        _ => None,
    }
}

/// `<|en|>` as `en`.
fn bare(token: &str) -> &str {
    token.trim_start_matches("<|").trim_end_matches("|>")
}

struct Listener<'l> {
    args: &'l Run,
    env: &'l Env,
    loaded: &'l Loaded,
    pair: &'l EncoderDecoder,
    audio: &'l AudioConfig,
    tokenizer: Tokenizer,
    settings: Settings,
    prompt: Prompt,
    /// Frames of one.
    window: usize,
}

impl Listener<'_> {
    fn file(&self, file: &str) -> Result<(), Failure> {
        let samples = self.samples(file)?;
        let n_frames = (samples.len() / LogMel::HOP).max(1);
        let n_channels = self.audio.n_channels;
        let frames = LogMel::new(n_channels).spectrum(&samples, n_frames + self.window);
        drop(samples);
        let sound = Sound { frames: &frames, n_frames, n_channels, window: self.window };
        let device = self.env.device();
        let at = (&self.loaded.model, &device, self.loaded.precision);
        let language = match &self.prompt.languages[..] {
            [] => None,
            [(_, id)] => Some(*id),
            several => {
                let ids: Vec<u32> = several.iter().map(|(_, id)| *id).collect();
                Some(likeliest(at, sound.read(at, 0), self.prompt.start, &ids)?)
            }
        };
        let is_long = n_frames > self.window;
        let times = self.settings.timestamps().filter(|_| self.args.timestamps || is_long);
        if is_long && times.is_none() {
            let seconds = self.window / FRAMES_PER_S;
            let problem = format!("`{file}` is longer than {seconds} s, the model's window");
            return Err(Failure::new(problem).hint("the model does not know times: cut the sound"));
        }
        let prompt = self.prompt.tokens(language, times.as_ref());
        let mut search = search(&self.args.search, &self.settings, prompt.len());
        search.rules.timestamps = times;
        let mut writing =
            Writing { listener: self, n_frames, text: String::new(), segments: vec![] };
        let mut progress = self.progress(n_frames);
        self.listen(&sound, &prompt, &search, |heard, segments| {
            if let Some(progress) = &mut progress {
                progress.reached((heard / FRAMES_PER_S) as u64, "second");
            }
            writing.take(segments)
        })?;
        if let Some(progress) = progress {
            progress.finish();
        }
        let code = self.prompt.languages.iter().find(|(_, id)| Some(*id) == language);
        writing.end(file, code.map(|(name, _)| bare(name)))
    }

    /// The file's samples, as many as memory holds.
    fn samples(&self, file: &str) -> Result<Vec<f32>, Failure> {
        let bytes = bytes_per_s(self.audio.n_channels);
        let held = machine::memory().map_or(f64::MAX, |m| (m.available_bytes / bytes) as f64);
        let seconds_max = held.min(SECONDS_MAX);
        let recording = if file == STDIN {
            data::read_sound_bytes("standard input", read_stdin()?, LogMel::RATE, seconds_max)?
        } else {
            data::read_sound(Path::new(file), LogMel::RATE, seconds_max)?
        };
        let Recording { samples, n_packets, n_lost } = recording;
        if n_lost > 0 {
            self.env.warn(&format!(
                "{n_lost} of {n_packets} packets of `{file}` cannot be decoded; they are silent \
                 here"
            ));
        }
        Ok(samples)
    }

    fn listen(
        &self,
        sound: &Sound,
        prompt: &[u32],
        search: &Search,
        each: impl FnMut(usize, &[Segment]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let device = self.env.device();
        let at = (&self.loaded.model, &device, self.loaded.precision);
        let choice = choice(&self.args.search, &self.settings, 0)?;
        let shape = [1, AudioStem::n_positions(self.window)];
        let limits = (search.max_tokens, &choice);
        let hint = "ask for fewer `--beams`";
        refuse_too_large((self.loaded, self.pair), shape, limits, hint)?;
        transcribe(at, sound, prompt, (search, &choice), each)
    }

    /// Shown where there is more than a window, and what is written does not show it itself.
    fn progress(&self, n_frames: usize) -> Option<Progress> {
        let is_seen = io::stdout().is_terminal() && !self.args.json;
        let total = (n_frames / FRAMES_PER_S) as u64;
        let progress = || Progress::new(self.env, io::stderr().is_terminal(), 0, total);
        (n_frames > self.window && !is_seen).then(progress)
    }
}

/// All that comes through a pipe.
fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    let read = io::stdin().lock().take(BYTES_MAX).read_to_end(&mut bytes);
    if read.context("failed to read standard input")? == 0 {
        return Err(Failure::new("standard input is empty").hint("send it a sound: `< a.wav`"));
    }
    Ok(bytes)
}

/// What is said, as it is found.
struct Writing<'w> {
    listener: &'w Listener<'w>,
    n_frames: usize,
    text: String,
    segments: Vec<Value>,
}

impl Writing<'_> {
    fn take(&mut self, segments: &[Segment]) -> Result<(), Failure> {
        let args = self.listener.args;
        for segment in segments {
            let text = self.listener.tokenizer.decode(&segment.tokens)?;
            let (start, end) = (segment.start, segment.end.min(self.n_frames));
            if args.json {
                let seconds = |frame: usize| frame as f64 / FRAMES_PER_S as f64;
                self.segments.push(json!({
                    "start": seconds(start), "end": seconds(end), "text": text.trim(),
                }));
            } else if args.timestamps {
                let text = printable(text.trim(), false);
                print(&format!("[{} --> {}]  {text}\n", clock(start), clock(end)))?;
            } else {
                let text = if self.text.is_empty() { text.trim_start() } else { &text };
                print(&printable(text, false))?;
            }
            self.text += &text;
        }
        Ok(())
    }

    fn end(self, file: &str, language: Option<&str>) -> Result<(), Failure> {
        let args = self.listener.args;
        if args.json {
            let seconds = self.n_frames as f64 / FRAMES_PER_S as f64;
            let line = json!({
                "file": file, "seconds": seconds, "language": language,
                "text": self.text.trim(), "segments": self.segments,
            });
            print(&format!("{line}\n"))?;
        } else if !args.timestamps {
            print("\n")?;
        }
        Ok(())
    }
}

/// A frame as hours, minutes and seconds; hours where there are any.
fn clock(frame: usize) -> String {
    let (ms, seconds) = (frame % FRAMES_PER_S * 1000 / FRAMES_PER_S, frame / FRAMES_PER_S);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours:02}:");
    }
    let _ = write!(text, "{minutes:02}:{seconds:02}.{ms:03}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_have_hours_where_there_are_any() {
        assert_eq!(clock(0), "00:00.000");
        assert_eq!(clock(6_153), "01:01.530");
        assert_eq!(clock(360_000 + 101), "01:00:01.010");
    }
}
