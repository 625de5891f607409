//! Beam search: the likeliest texts that keeping the best few beginnings at every step finds.
//!
//! As `generate` of `transformers` does it, so that the same tokens come out: at each step the best
//! continuations of all beams of an input, among them always enough that do not end; what ends
//! among the best competes with what has ended before, by
//!
//! ```text
//! score = log p / length ^ length_penalty,    length of the new tokens, the end included
//! ```
//!
//! Wu et al., "Google's Neural Machine Translation System", arXiv:1609.08144, section 7, for the
//! idea of normalizing by length.

use crate::decoder::Decoder;
use crate::error::GenerateError;
use crate::sampling::penalise;
use crate::search::{Finish, Search, prefill};

/// When a search ends that has found as many texts as it has beams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stopping {
    /// When the best beam is worse than the worst text, at its length of now.
    #[default]
    Heuristic,
    /// At once.
    Early,
    /// When the best beam is worse than the worst text, at the length that flatters it most.
    Never,
}

/// How wide a search is, and what it prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beams {
    /// Beams of each input.
    pub n: usize,
    /// Above 0 longer texts are preferred, below 0 shorter ones.
    pub length_penalty: f32,
    /// When it ends.
    pub stopping: Stopping,
    /// As that of [`Sampling`](crate::Sampling); 1 changes nothing.
    pub repetition_penalty: f32,
    /// Whether what [`Rules`](crate::Rules) leave is made probabilities again.
    pub renormalize: bool,
}

impl Default for Beams {
    fn default() -> Self {
        Self {
            n: 1,
            length_penalty: 1.0,
            stopping: Stopping::Heuristic,
            repetition_penalty: 1.0,
            renormalize: false,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The new tokens, without the one that ended them.
    pub tokens: Vec<u32>,
    /// Why they ended.
    pub finish: Finish,
    /// The logarithm of their probability, normalized by their length; none of what was drawn.
    pub score: Option<f32>,
}

/// The score of what is to lose against everything.
const LOST: f32 = -1e9;

/// A beginning.
#[derive(Clone, Debug)]
struct Beam {
    /// Prompt and new tokens.
    tokens: Vec<u32>,
    score: f32,
    /// The row of the decoder that has seen all but the last token.
    row: usize,
}

/// The search of one input.
struct Item {
    running: Vec<Beam>,
    /// Best first.
    found: Vec<(f32, Found)>,
    /// Whether a better text may still be found.
    is_open: bool,
}

/// The best text behind `prompt` for every row of the decoder, which has room for the prompt.
///
/// # Errors
/// When the model's scores are not finite.
///
/// # Panics
/// When the prompt is empty, longer than the model's context or has a token that the model does not
/// know, or there is no beam.
pub fn beam(
    mut decoder: Decoder,
    prompt: &[u32],
    (search, beams): (&Search, &Beams),
) -> Result<Vec<Found>, GenerateError> {
    let max_len = decoder.max_len();
    assert!(!prompt.is_empty() && prompt.len() <= max_len, "beam: {} tokens", prompt.len());
    assert!(beams.n > 0, "beam: no beam");
    let room = search.room(max_len, prompt.len());
    let mut items: Vec<Item> =
        (0..decoder.batch()).map(|item| Item::new(prompt, item, beams.n)).collect();
    for made in 0..room {
        let mut logits = if made == 0 {
            prefill(&mut decoder, prompt, beams.n, prompt.len() + room - 1)?
        } else {
            let running = || items.iter().flat_map(|item| &item.running);
            decoder.reorder(&running().map(|beam| beam.row).collect::<Vec<_>>());
            let last: Vec<u32> = running().map(|beam| beam.tokens[beam.tokens.len() - 1]).collect();
            decoder.advance(&last)?
        };
        let width = logits.len() / items.len();
        let step = Step { search, beams, n_prompt: prompt.len(), room };
        for (i, (item, logits)) in items.iter_mut().zip(logits.chunks_exact_mut(width)).enumerate()
        {
            if item.is_open {
                step.take(item, logits, i * beams.n);
            }
        }
        if items.iter().all(|item| !item.is_open) {
            break;
        }
    }
    let nothing = || Found { tokens: vec![], finish: search.finish(room), score: None };
    let best = |item: Item| item.found.into_iter().next().map_or_else(nothing, |(_, best)| best);
    Ok(items.into_iter().map(best).collect())
}

impl Item {
    /// All beams but the first start lost: else all would find the same.
    fn new(prompt: &[u32], item: usize, n: usize) -> Self {
        let beam = |i| Beam {
            tokens: prompt.to_vec(),
            score: if i == 0 { 0.0 } else { LOST },
            row: item * n + i,
        };
        Self { running: (0..n).map(beam).collect(), found: Vec::new(), is_open: true }
    }
}

/// What every step of a search is told.
struct Step<'s> {
    search: &'s Search,
    beams: &'s Beams,
    n_prompt: usize,
    room: usize,
}

impl Step<'_> {
    /// One token more in every beam, by the logits `[n, V]` of its beams; these are the rows
    /// `first_row` and on of the decoder.
    fn take(&self, item: &mut Item, logits: &mut [f32], first_row: usize) {
        let (n, ends) = (self.beams.n, &self.search.ends);
        let vocab_size = logits.len() / n;
        for (beam, scores) in item.running.iter().zip(logits.chunks_exact_mut(vocab_size)) {
            log_softmax(scores);
            penalise(scores, &beam.tokens, self.beams.repetition_penalty);
            self.search.restrict(scores, &beam.tokens, self.n_prompt);
            if self.beams.renormalize {
                log_softmax(scores);
            }
            for score in scores {
                *score += beam.score;
            }
        }
        let n_new = item.running[0].tokens.len() + 1 - self.n_prompt;
        let by_length = |score: f32, n: usize| score / (n as f32).powf(self.beams.length_penalty);
        let mut next = Vec::new();
        for (rank, at) in best(logits, n * (1 + ends.len()).max(2)).into_iter().enumerate() {
            let (from, token) = (at / vocab_size, (at % vocab_size) as u32);
            let parent = &item.running[from];
            let tokens = [&parent.tokens[..], &[token]].concat();
            let beam = Beam { tokens, score: logits[at], row: first_row + from };
            let ended = ends.contains(&token);
            if !ended && n_new < self.room {
                next.push(beam);
                continue;
            }
            let score = by_length(beam.score, n_new);
            if rank < n && score > LOST {
                let n_kept = n_new - usize::from(ended);
                let tokens = beam.tokens[self.n_prompt..][..n_kept].to_vec();
                let finish = if ended { Finish::End } else { self.search.finish(n_new) };
                item.found.push((score, Found { tokens, finish, score: Some(score) }));
            }
        }
        // Stable: of equals, what was found first.
        item.found.sort_by(|a, b| b.0.total_cmp(&a.0));
        item.found.truncate(n);
        next.truncate(n);
        let length = match self.beams.stopping {
            Stopping::Never if self.beams.length_penalty > 0.0 => self.room,
            _ => n_new,
        };
        let is_full = item.found.len() == n;
        let worst = item.found.last().filter(|_| is_full).map_or(LOST, |(score, _)| *score);
        let may_improve = next.first().is_some_and(|best| by_length(best.score, length) > worst);
        item.is_open = may_improve && !(is_full && self.beams.stopping == Stopping::Early);
        item.running = next;
    }
}

/// Where the `n` largest scores are, largest first; of equals the first. No more than `2 n` places
/// are held.
fn best(scores: &[f32], n: usize) -> Vec<usize> {
    let better = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let (mut kept, mut least) = (Vec::with_capacity(2 * n), f32::NEG_INFINITY);
    for (at, score) in scores.iter().enumerate() {
        // Of equals the first is kept, and is here already.
        if kept.len() >= n && score.total_cmp(&least).is_le() {
            continue;
        }
        kept.push(at);
        if kept.len() == 2 * n {
            kept.select_nth_unstable_by(n - 1, better);
            kept.truncate(n);
            least = scores[kept[n - 1]];
        }
    }
    kept.sort_unstable_by(better);
    kept.truncate(n);
    kept
}

fn log_softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        // Nothing may come: nothing becomes likely.
        return;
    }
    let sum: f32 = scores.iter().map(|score| (score - max).exp()).sum();
    let log_sum = max + sum.ln();
    for score in scores {
        *score -= log_sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_sorting() {
        let scores: Vec<f32> =
            (0..500_u32).map(|i| (i * 7919 % 101) as f32).chain([f32::NEG_INFINITY; 3]).collect();
        let mut sorted: Vec<usize> = (0..scores.len()).collect();
        sorted.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        for n in [1, 2, 3, 10, 250, 251, 503, 600] {
            assert_eq!(best(&scores, n), sorted[..n.min(sorted.len())], "{n}");
        }
        assert_eq!(best(&[f32::NEG_INFINITY; 4], 3), [0, 1, 2]);
    }
}
