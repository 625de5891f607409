//! Which tokens may come next, whatever the model says: the logits processors of `transformers`.

/// The score of what may not come.
const NEVER: f32 = f32::NEG_INFINITY;

/// What a search keeps to. The default forbids nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// No run of so many tokens comes twice; 0 allows any. Paulus, Xiong, Socher, "A Deep
    /// Reinforced Model for Abstractive Summarization", arXiv:1705.04304, section 2.5.
    pub no_repeat_ngram: usize,
    /// Runs of tokens that never come.
    pub bad_words: Vec<Vec<u32>>,
    /// New tokens before the end may come.
    pub min_tokens: usize,
    /// What comes first, after a single token of the prompt.
    pub forced_begin: Option<u32>,
    /// One of these is the last token of a row that has become as long as it may be.
    pub forced_end: Vec<u32>,
    /// Tokens that never come.
    pub suppress: Vec<u32>,
    /// Tokens that do not come first (second, where the first is forced).
    pub begin_suppress: Vec<u32>,
    /// How tokens that are times follow each other.
    pub timestamps: Option<Timestamps>,
}

/// The times of Whisper are tokens. They come in pairs, the end of a segment and the beginning of
/// the next, do not decrease, and come where all of them together are likelier than any one text
/// token. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
/// arXiv:2212.04356, section 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// The token of the time 0; those of later times follow it. The token before it asks for text
    /// without times, and never comes.
    pub first: u32,
    /// Text tokens are below the token that ends a text.
    pub end: u32,
    /// The largest time that may come first, in tokens after `first`.
    pub max_initial: Option<u32>,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'r> {
    /// The prompt and what followed it.
    pub seen: &'r [u32],
    /// How many of them are the prompt.
    pub n_prompt: usize,
    /// What ends a row.
    pub ends: &'r [u32],
    /// Whether this token is the last one that there is room for.
    pub is_last: bool,
}

impl Rules {
    /// Takes from `scores` `[V]`, logits or their logarithms of probabilities, what may not come.
    /// A token beyond the vocabulary is passed over.
    pub(crate) fn apply(&self, scores: &mut [f32], place: Place) {
        let Place { seen, n_prompt, ends, is_last } = place;
        if self.no_repeat_ngram > 0 && seen.len() + 1 >= self.no_repeat_ngram {
            let (n, before) = (self.no_repeat_ngram, seen.len() + 1 - self.no_repeat_ngram);
            for run in seen.windows(n).filter(|run| run[..n - 1] == seen[before..]) {
                set(scores, &run[n - 1..], NEVER);
            }
        }
        for word in &self.bad_words {
            if let [first @ .., last] = &word[..]
                && seen.ends_with(first)
                && !(first.is_empty() && ends.contains(last))
            {
                set(scores, &[*last], NEVER);
            }
        }
        if seen.len() - n_prompt < self.min_tokens {
            set(scores, ends, NEVER);
        }
        if let Some(token) = self.forced_begin.filter(|_| seen.len() == 1) {
            force(scores, &[token]);
        }
        if is_last && !self.forced_end.is_empty() {
            force(scores, &self.forced_end);
        }
        set(scores, &self.suppress, NEVER);
        let begin = n_prompt + usize::from(n_prompt == 1 && self.forced_begin.is_some());
        if seen.len() == begin {
            set(scores, &self.begin_suppress, NEVER);
        }
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(scores, &seen[n_prompt..]);
        }
    }
}

/// Leaves nothing but `tokens`.
fn force(scores: &mut [f32], tokens: &[u32]) {
    scores.fill(NEVER);
    set(scores, tokens, 0.0);
}

fn set(scores: &mut [f32], tokens: &[u32], to: f32) {
    for &token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = to;
        }
    }
}

impl Timestamps {
    fn apply(&self, scores: &mut [f32], written: &[u32]) {
        let n = scores.len();
        let first = (self.first as usize).min(n);
        let is_time = |token: &u32| *token >= self.first;
        scores[first.saturating_sub(1)..first].fill(NEVER);
        let last_is_time = written.last().is_some_and(is_time);
        let one_before_is_time = written.len() < 2 || is_time(&written[written.len() - 2]);
        if last_is_time && one_before_is_time {
            scores[first..].fill(NEVER);
        } else if last_is_time {
            scores[..(self.end as usize).min(n)].fill(NEVER);
        }
        if let Some(&last) = written.iter().rfind(|token| is_time(token)) {
            // A segment may begin where the last one ended, and not end where it began.
            let may_repeat = last_is_time && !one_before_is_time;
            let least = last as usize + usize::from(!may_repeat);
            scores[first..least.clamp(first, n)].fill(NEVER);
        }
        if written.is_empty() {
            scores[..first].fill(NEVER);
            if let Some(max) = self.max_initial {
                scores[(first + max as usize + 1).min(n)..].fill(NEVER);
            }
        }
        let (text, times) = scores.split_at_mut(first);
        let max = |scores: &[f32]| scores.iter().copied().fold(NEVER, f32::max);
        let (best_text, best_time) = (max(text), max(times));
        let all: f32 = times.iter().map(|score| (score - best_time).exp()).sum();
        if best_time > NEVER && best_time + all.ln() > best_text {
            text.fill(NEVER);
        }
    }
}
