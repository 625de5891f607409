//! A sound of any length to text, window by window.
//!
//! Where times are asked for, the next window begins where the last whole segment ended, so that
//! no word is cut. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
//! arXiv:2212.04356, section 4.5, without its second tries at higher temperatures.

use models::Model;
use nn::Memory;
use tensor::{Device, Precision};

use crate::decoder::Decoder;
use crate::encode::{Source, encode};
use crate::error::GenerateError;
use crate::rules::Timestamps;
use crate::search::{Choice, Search, find};

/// Frames of a time token: two, as the encoder halves them.
const FRAMES_PER_TIME: usize = 2;

/// A sound as a model of speech reads it.
#[derive(Clone, Copy, Debug)]
pub struct Sound<'s> {
    /// The spectrum `[S, C]`, frame by frame; behind the sound at least a window of silence.
    pub frames: &'s [f32],
    /// Frames that are sound.
    pub n_frames: usize,
    /// `C`.
    pub n_channels: usize,
    /// Frames of a window.
    pub window: usize,
}

/// A stretch of a sound and what is said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first frame.
    pub start: usize,
    /// The frame after the last.
    pub end: usize,
    /// What is said; without times.
    pub tokens: Vec<u32>,
}

impl Sound<'_> {
    /// What the encoder makes of the window that begins at a frame.
    ///
    /// # Panics
    /// When there is no whole window.
    pub fn read(
        &self,
        (model, device, precision): (&Model, &Device, Precision),
        at: usize,
    ) -> Memory {
        let window = &self.frames[at * self.n_channels..][..self.window * self.n_channels];
        let frames = device.tensor(&[1, self.window, self.n_channels], window);
        encode((model, device, precision), &Source::Frames(frames))
    }
}

/// Writes down a sound; `each` sees how many frames are done and the segments of the last window.
/// Without rules for times there is one window and one segment.
///
/// # Errors
/// When the model's scores are not finite; what `each` has seen stays.
///
/// # Panics
/// As [`find`].
pub fn transcribe<E: From<GenerateError>>(
    (model, device, precision): (&Model, &Device, Precision),
    sound: &Sound,
    prompt: &[u32],
    (search, choice): (&Search, &Choice),
    mut each: impl FnMut(usize, &[Segment]) -> Result<(), E>,
) -> Result<(), E> {
    let at = (model, device, precision);
    let mut seek = 0;
    while seek < sound.n_frames {
        let n_frames = sound.window.min(sound.n_frames - seek);
        let mut found = find(at, Some(sound.read(at, seek)), prompt, (search, choice))?;
        let tokens = found.swap_remove(0).tokens;
        let (mut segments, heard) = match &search.rules.timestamps {
            None => (vec![Segment { start: 0, end: n_frames, tokens }], sound.n_frames),
            Some(times) => times.segments(&tokens, n_frames),
        };
        for segment in &mut segments {
            segment.start += seek;
            segment.end += seek;
        }
        seek += heard;
        each(seek.min(sound.n_frames), &segments)?;
    }
    Ok(())
}

/// Which of some tokens the model begins with after `start`: the language of a sound.
///
/// # Errors
/// When the model's scores are not finite.
///
/// # Panics
/// When there are none, or one that the model does not know.
pub fn likeliest(
    (model, device, precision): (&Model, &Device, Precision),
    memory: Memory,
    start: u32,
    among: &[u32],
) -> Result<u32, GenerateError> {
    let mut decoder = Decoder::new(model, device, precision, [1, 1]).reading(memory);
    let logits = decoder.advance(&[start])?;
    let score = |token: &u32| logits[*token as usize];
    let best = among.iter().copied().reduce(|a, b| if score(&b) > score(&a) { b } else { a });
    Ok(best.expect("some tokens to choose from"))
}

impl Timestamps {
    /// What a window of `n_frames` says, with frames counted from its beginning, and after how many
    /// of them the next one begins. Where two times meet, a segment ends and another begins; what
    /// has no end is left to the next window.
    fn segments(&self, tokens: &[u32], n_frames: usize) -> (Vec<Segment>, usize) {
        let is_time = |token: &u32| *token >= self.first;
        let frame = |token: u32| token.saturating_sub(self.first) as usize * FRAMES_PER_TIME;
        let text = |tokens: &[u32]| tokens.iter().copied().filter(|t| !is_time(t)).collect();
        let meet: Vec<usize> =
            (1..tokens.len()).filter(|&i| tokens[i - 1..=i].iter().all(is_time)).collect();
        let Some(&last) = meet.last() else {
            let said = tokens.iter().rfind(|token| is_time(token) && **token != self.first);
            let end = said.map_or(n_frames, |&time| frame(time));
            return (vec![Segment { start: 0, end, tokens: text(tokens) }], n_frames);
        };
        let ends_whole = matches!(tokens, [.., a, b] if !is_time(a) && is_time(b));
        let mut bounds = vec![0];
        bounds.extend(meet);
        bounds.extend(ends_whole.then_some(tokens.len()));
        let segment = |pair: &[usize]| {
            let part = &tokens[pair[0]..pair[1]];
            Segment { start: frame(part[0]), end: frame(part[part.len() - 1]), tokens: text(part) }
        };
        let segments = bounds.windows(2).map(segment).collect();
        // Never on the spot.
        let heard = Some(frame(tokens[last - 1])).filter(|&n| n > 0 && !ends_whole);
        (segments, heard.unwrap_or(n_frames))
    }
}
