//! Answers that are weighed against each other: several texts in one example, which do not see each
//! other.

use datasets::{Input, Record, Said};

use crate::dialogue::{Dialogue, DialogueError, Spoken};
use crate::example::{Example, Label, Row};
use crate::frame::Framed;

/// What a model is asked of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighed {
    /// How likely it thinks them.
    Likely,
    /// What it scores whole texts with: a model of rewards.
    Scored,
}

impl Dialogue<'_> {
    /// Of a record of [`datasets::Task::Preference`] the better answer and the other; of
    /// [`datasets::Task::Judged`] the answer with [`Label::Class`] 1 if it is good, and the prompt
    /// with the answer of `other`, a record beside it, of which only divergence is asked. Nothing
    /// is asked where one of both was cut off as a whole.
    ///
    /// # Errors
    /// As [`Dialogue::example`].
    ///
    /// # Panics
    /// When a record is of another task.
    pub fn answers(
        &self,
        record: usize,
        [of, other]: [&Record; 2],
        weighed: Weighed,
    ) -> Result<Framed, DialogueError> {
        let spoken = |prompt: &Said, answer: &Said| {
            let at = |source| DialogueError::Record { at: of.at.clone(), source: Box::new(source) };
            self.answer(prompt, answer).map_err(at)
        };
        let (label, texts) = match (&of.input, &other.input) {
            (Input::Preference { prompt, chosen, rejected }, _) => {
                let label = match weighed {
                    Weighed::Likely => Label::None,
                    Weighed::Scored => Label::Class(0),
                };
                (label, [spoken(prompt, chosen)?, spoken(prompt, rejected)?])
            }
            (
                Input::Judged { prompt, completion, is_good },
                Input::Judged { prompt: others, completion: said, .. },
            ) => {
                let (own, other) = (spoken(prompt, completion)?, spoken(others, said)?);
                let (prompt, said) = (own.split().0, other.split().1);
                let ids: Vec<u32> = prompt.iter().chain(said).copied().collect();
                let is_learned = (0..ids.len()).map(|at| at >= prompt.len()).collect();
                (Label::Class(u32::from(*is_good)), [own, Spoken { ids, is_learned }])
            }
            other => panic!("answers: {other:?}"),
        };
        Ok(self.side_by_side(record, texts, (weighed, label)))
    }

    fn side_by_side(
        &self,
        record: usize,
        texts: [Spoken; 2],
        (weighed, label): (Weighed, Label),
    ) -> Framed {
        let (mut n_cut, mut is_asked, mut is_open) = (0, true, false);
        let mut example = Example { label, ..Example::of(record as u64) };
        let (mut segments, mut positions, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, mut spoken) in (1..).zip(texts) {
            // The last is asked for alone, unless it is scored.
            let more = usize::from(weighed == Weighed::Likely);
            is_open |= more > 0 && self.is_open(&spoken);
            n_cut += spoken.cut(self.max_len.saturating_add(more));
            is_asked &= spoken.is_learned.contains(&true);
            let ids = match weighed {
                Weighed::Scored => spoken.ids,
                Weighed::Likely => {
                    let text = spoken.example(0);
                    example.targets.extend(text.targets);
                    text.input.ids
                }
            };
            segments.resize(segments.len() + ids.len(), segment);
            positions.extend(0..ids.len() as u32);
            all.extend(ids);
        }
        let (segments, positions) = (Some(segments), Some(positions));
        example.input = Row { segments, positions, ..Row::plain(all) };
        if !is_asked {
            (example.targets, example.label) = (Vec::new(), Label::None);
        }
        Framed { is_open, ..Framed::whole(record, example, n_cut) }
    }
}
