//! Two texts in a row, and whether the second follows the first.

use data::marks::SENTENCE;

use crate::draws::Draws;
use crate::matching::{OTHER, OWN, another};

/// What is asked of a pair of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Whether the second follows the first, or is of another row: Devlin et al., "BERT",
    /// arXiv:1810.04805, section 3.1.
    NextSentence,
    /// Whether they are in their order: Lan et al., "ALBERT", arXiv:1909.11942, section 3.1. Of
    /// whole sentences: one cut by the window would tell which text came first.
    SentenceOrder,
}

/// Tokens of one document.
#[derive(Clone, Copy)]
pub(crate) struct Run<'b> {
    pub ids: &'b [u32],
    pub marks: &'b [u8],
    /// Whether its document ends with it.
    pub is_last: bool,
}

impl<'b> Run<'b> {
    /// The longest part of a stream that is of one document.
    pub fn longest(ids: &'b [u32], marks: &'b [u8], end: u32) -> Self {
        let (mut best, mut is_last) = (0..0, false);
        let mut from = 0;
        for to in (0..ids.len()).filter(|&at| ids[at] == end).chain([ids.len()]) {
            if to - from > best.len() {
                (best, is_last) = (from..to, to < ids.len());
            }
            from = to + 1;
        }
        Self { ids: &ids[best.clone()], marks: &marks[best], is_last }
    }

    /// Without what is cut of a sentence before the first that begins, and of the last.
    fn whole(self) -> Self {
        let begins = |mark: &u8| mark & SENTENCE != 0;
        let from = self.marks.iter().position(begins).unwrap_or(self.ids.len());
        let last = self.marks.iter().rposition(begins).unwrap_or(from);
        let to = if self.is_last { self.ids.len() } else { last };
        Self { ids: &self.ids[from..to], marks: &self.marks[from..to], ..self }
    }

    /// In two, before a sentence; none where there are not two sentences.
    fn cut(self, draws: &mut Draws) -> Option<[Self; 2]> {
        let begins = |&at: &usize| self.marks[at] & SENTENCE != 0;
        let starts: Vec<usize> = (1..self.ids.len()).filter(begins).collect();
        let at = *starts.get(draws.below(starts.len().max(1)))?;
        let part = |range: std::ops::Range<usize>| Self {
            ids: &self.ids[range.clone()],
            marks: &self.marks[range],
            ..self
        };
        Some([part(0..at), part(at..self.ids.len())])
    }

    fn first(self, n: usize) -> Self {
        let n = n.min(self.ids.len());
        Self { ids: &self.ids[..n], marks: &self.marks[..n], ..self }
    }
}

impl Pair {
    /// Two texts of `runs[i]`, of at most as many tokens together, and the class: [`OWN`] of two
    /// that are as they were, else [`OTHER`]. None where it has but one sentence.
    pub(crate) fn of<'b>(
        self,
        runs: &[Run<'b>],
        i: usize,
        draws: &mut Draws,
    ) -> Option<([Run<'b>; 2], u32)> {
        let run = if self == Self::SentenceOrder { runs[i].whole() } else { runs[i] };
        let [first, second] = run.cut(draws)?;
        if draws.unit() < 0.5 {
            return Some(([first, second], OWN));
        }
        match self {
            Self::SentenceOrder => Some(([second, first], OTHER)),
            Self::NextSentence => {
                let other = another(i, runs.len(), draws)?;
                let [_, second_of_other] = runs[other].cut(draws)?;
                Some(([first, second_of_other.first(second.ids.len())], OTHER))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_cut_at_sentences() {
        let (ids, marks): (Vec<u32>, Vec<u8>) =
            (100..140).map(|id| (id, if id % 5 == 0 { SENTENCE } else { 0 })).unzip();
        let (more, _): (Vec<u32>, Vec<u8>) = (200..240).map(|id| (id, 0)).unzip();
        let runs = [&ids, &more].map(|ids| Run { ids, marks: &marks, is_last: true });
        let mut counts = [0, 0];
        for sample in 0..400 {
            let draws = &mut Draws::new(1, sample);
            let ([a, b], label) = Pair::SentenceOrder.of(&runs, 0, draws).expect("sentences");
            let whole = if label == 0 { [a.ids, b.ids] } else { [b.ids, a.ids] }.concat();
            assert_eq!(whole, ids);
            let ([a, b], label) = Pair::NextSentence.of(&runs, 0, draws).expect("sentences");
            assert_eq!(b.ids[0] >= 200, label == 1);
            assert!(b.ids[0] % 5 == 0 && a.ids.len() + b.ids.len() <= 40);
            counts[label as usize] += 1;
        }
        assert!(counts.iter().all(|&n| n > 140), "{counts:?}");
    }

    #[test]
    fn no_sentence_that_is_cut_tells_the_order() {
        let marks: Vec<u8> = (0..30).map(|i| if i % 7 == 3 { SENTENCE } else { 0 }).collect();
        let ids: Vec<u32> = (0..30).collect();
        for (is_last, end) in [(false, 24), (true, 30)] {
            let run = [Run { ids: &ids, marks: &marks, is_last }];
            for sample in 0..50 {
                let draws = &mut Draws::new(1, sample);
                let ([a, b], _) = Pair::SentenceOrder.of(&run, 0, draws).expect("sentences");
                let mut both = [a.ids, b.ids].concat();
                both.sort_unstable();
                assert_eq!(both, (3..end).collect::<Vec<u32>>());
                assert!(a.marks[0] == SENTENCE && b.marks[0] == SENTENCE);
            }
        }
        let run = Run { ids: &ids[..16], marks: &marks[..16], is_last: false };
        assert!(Pair::SentenceOrder.of(&[run], 0, &mut Draws::new(1, 1)).is_none());
    }

    #[test]
    fn one_sentence_is_no_pair() {
        let run = Run { ids: &[1, 2, 3], marks: &[SENTENCE, 0, 0], is_last: true };
        assert!(Pair::SentenceOrder.of(&[run], 0, &mut Draws::new(1, 1)).is_none());
        let run = Run::longest(&[1, 9, 2, 3, 4, 9, 5], &[0; 7], 9);
        assert_eq!(run.ids, [2, 3, 4]);
    }
}
