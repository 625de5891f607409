//! Which tokens are hidden, and what is shown instead.

use std::ops::Range;

use data::marks::{PHRASE, WORD};

use crate::draws::Draws;

/// What is hidden together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Each token by itself: Devlin et al., "BERT", arXiv:1810.04805, section 3.1.
    #[default]
    Token,
    /// Whole words: Cui et al., arXiv:1906.08101.
    Word,
    /// Runs of up to so many words, `n` of them with a probability as `1 / n`: Lan et al.,
    /// "ALBERT", arXiv:1909.11942, section 4.1.
    Span {
        /// The longest run, in words.
        max_words: usize,
    },
    /// Phrases and entities of a lexicon, and words outside of them: Sun et al., "ERNIE",
    /// arXiv:1904.09223, section 3.2.
    Phrase,
}

/// What a hidden token is shown as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replacement {
    /// The share that is shown as the mask token.
    pub mask: f64,
    /// The share that is shown as a random one; the rest is shown as it is.
    pub random: f64,
}

/// 80 %, 10 % and 10 %, as BERT has it.
impl Default for Replacement {
    fn default() -> Self {
        Self { mask: 0.8, random: 0.1 }
    }
}

impl Unit {
    /// Whether it needs the marks of tokens.
    pub fn needs_marks(self) -> bool {
        self != Self::Token
    }

    /// Whether what is hidden together is also shown alike.
    pub fn is_shown_alike(self) -> bool {
        matches!(self, Self::Span { .. } | Self::Phrase)
    }

    /// Hides about `rate` of the tokens that are `text`, at least one: ranges that do not overlap.
    /// `marks` has one mark a token, or none where a unit needs none.
    pub(crate) fn select(
        self,
        (text, marks): (&[bool], &[u8]),
        rate: f64,
        draws: &mut Draws,
    ) -> Vec<Range<usize>> {
        let n_text = text.iter().filter(|&&is_text| is_text).count();
        let mut budget = ((rate * n_text as f64).round() as usize).max(1);
        let units = self.units(text, marks);
        let mut order: Vec<usize> = (0..units.len()).collect();
        draws.shuffle(&mut order);
        let (mut chosen, mut taken) = (Vec::new(), vec![false; units.len()]);
        for &first in &order {
            // As long as it may be: shorter where a run ends, or reaches what is hidden already.
            let mut n = 0;
            let mut end = units[first].start;
            for (unit, taken) in units[first..].iter().zip(&taken[first..]).take(self.run(draws)) {
                if *taken || unit.start != end || unit.end - units[first].start > budget {
                    break;
                }
                (n, end) = (n + 1, unit.end);
            }
            if n > 0 {
                taken[first..first + n].fill(true);
                budget -= end - units[first].start;
                chosen.push(units[first].start..end);
            }
            if budget == 0 {
                break;
            }
        }
        if chosen.is_empty() {
            // Each is longer than what was to be hidden.
            let units = order.into_iter().map(|unit| units[unit].clone());
            chosen.extend(units.min_by_key(ExactSizeIterator::len));
        }
        chosen.sort_unstable_by_key(|range| range.start);
        chosen
    }

    /// How many units are hidden together.
    fn run(self, draws: &mut Draws) -> usize {
        let Self::Span { max_words } = self else { return 1 };
        let total: f64 = (1..=max_words).map(|n| 1.0 / n as f64).sum();
        let mut left = draws.unit() * total;
        (1..max_words)
            .find(|&n| {
                left -= 1.0 / n as f64;
                left < 0.0
            })
            .unwrap_or(max_words)
    }

    /// The text in units.
    fn units(self, text: &[bool], marks: &[u8]) -> Vec<Range<usize>> {
        let begins = |at: usize| match self {
            Self::Token => true,
            Self::Word | Self::Span { .. } => marks[at] & WORD != 0,
            Self::Phrase => marks[at] & PHRASE != 0,
        };
        let mut units: Vec<Range<usize>> = Vec::new();
        for at in (0..text.len()).filter(|&at| text[at]) {
            match units.last_mut() {
                Some(unit) if unit.end == at && !begins(at) => unit.end += 1,
                _ => units.push(at..at + 1),
            }
        }
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of 1 to 3 tokens, and what is no text at both ends.
    fn line() -> (Vec<bool>, Vec<u8>) {
        let lengths = [1, 3, 2, 1, 1, 2, 3, 1, 2, 2, 1, 1];
        let word = |n: usize| (0..n).map(|i| if i == 0 { WORD | PHRASE } else { 0 });
        let marks: Vec<u8> = lengths.into_iter().flat_map(word).collect();
        let mut text = vec![true; marks.len()];
        (text[0], text[marks.len() - 1]) = (false, false);
        (text, marks)
    }

    #[test]
    fn about_the_rate_is_hidden_and_only_text() {
        let (text, marks) = line();
        for unit in [Unit::Token, Unit::Word, Unit::Span { max_words: 3 }, Unit::Phrase] {
            let mut hidden = 0;
            for id in 0..500 {
                let ranges = unit.select((&text, &marks), 0.3, &mut Draws::new(1, id));
                assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
                assert!(ranges.iter().all(|range| text[range.clone()].iter().all(|&t| t)));
                hidden += ranges.iter().map(ExactSizeIterator::len).sum::<usize>();
            }
            // 18 tokens of text: at most 5.4 of them, rounded, and hardly less.
            let mean = hidden as f64 / 500.0;
            assert!((4.5..=5.0).contains(&mean), "{unit:?}: {mean}");
        }
    }

    #[test]
    fn words_are_hidden_whole() {
        let (text, marks) = line();
        for id in 0..200 {
            let draws = &mut Draws::new(2, id);
            for range in Unit::Word.select((&text, &marks), 0.4, draws) {
                assert!(marks[range.start] & WORD != 0 || !text[range.start - 1]);
                let next = marks.get(range.end).copied().unwrap_or(WORD);
                assert!(next & WORD != 0 || !text[range.end], "{range:?}");
            }
        }
    }

    #[test]
    fn one_is_hidden_even_where_all_are_long() {
        let marks = [WORD, 0, 0, 0, WORD, 0, 0, WORD, 0, 0, 0];
        for id in 0..20 {
            let hidden = Unit::Word.select((&[true; 11], &marks), 0.15, &mut Draws::new(5, id));
            assert_eq!((hidden.len(), hidden[0].clone()), (1, 4..7));
        }
    }

    #[test]
    fn every_token_has_its_chance() {
        let text = vec![true; 20];
        let mut counts = [0_u32; 20];
        for id in 0..4000 {
            let draws = &mut Draws::new(3, id);
            for range in Unit::Token.select((&text, &[]), 0.15, draws) {
                counts[range.start] += 1;
            }
        }
        // 3 of 20, 4000 times: 600 each, six standard deviations.
        assert!(counts.iter().all(|n| n.abs_diff(600) < 136), "{counts:?}");
    }

    #[test]
    fn runs_are_as_long_as_they_should_be() {
        let mut draws = Draws::new(4, 0);
        let mut counts = [0.0_f64; 4];
        for _ in 0..11_000 {
            counts[Unit::Span { max_words: 3 }.run(&mut draws)] += 1.0;
        }
        // 6 : 3 : 2 of 11.
        for (n, expected) in [(1, 6000.0), (2, 3000.0), (3, 2000.0)] {
            assert!((counts[n] - expected).abs() < 300.0, "{counts:?}");
        }
    }
}
