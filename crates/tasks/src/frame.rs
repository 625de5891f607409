//! Records as a model is shown them: with the tokens around texts that it was trained to see, cut
//! to what it can read, and what is to be said of them.
//!
//! Texts that are too long lose tokens at their ends, the longer of two first, as `transformers`
//! does (`longest_first`); of a context with an answer windows are made, which overlap. What was
//! lost is counted, never passed over in silence.

use data::IGNORED;
use datasets::{Input, Label as Said, Record};
use tokenize::{Encoded, TokenizeError, Tokenizer};

use crate::example::{Example, Label, Row};

/// How records become examples.
#[derive(Clone, Copy)]
pub struct Frame<'t> {
    /// Text to tokens.
    pub tokenizer: &'t Tokenizer,
    /// Tokens of a text, or of a pair of them, at most.
    pub max_len: usize,
    /// Tokens that two windows of a context have in common.
    pub overlap: usize,
    /// Whether the model is told which of two texts a token is of.
    pub has_types: bool,
}

/// An example, and how it belongs to its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Framed {
    /// What a model is shown and asked.
    pub example: Example,
    /// Which record it is of.
    pub record: usize,
    /// Tokens that did not fit.
    pub n_cut: usize,
    /// Whether a text is asked for that ends with no token that ends one: a model that learns it
    /// does not stop.
    pub is_open: bool,
    /// Of a window of a context: the bytes of it that each token stands for, none where it is of
    /// something else.
    pub places: Vec<Option<[usize; 2]>>,
    /// Of words: which of them each token is of that is asked; one that no token stands for is not.
    pub words: Vec<usize>,
}

impl Framed {
    /// One that is all of its record.
    pub(crate) fn whole(record: usize, example: Example, n_cut: usize) -> Self {
        Self { example, record, n_cut, is_open: false, places: Vec::new(), words: Vec::new() }
    }
}

impl Frame<'_> {
    /// The examples of record number `record`: one, but for a context that is cut into windows.
    ///
    /// # Errors
    /// Where a text cannot be encoded.
    ///
    /// # Panics
    /// When the record is of a task whose examples are not made here.
    pub fn examples(&self, record: usize, of: &Record) -> Result<Vec<Framed>, TokenizeError> {
        let whole = |(row, n_cut): (Row, usize), label, targets| {
            let example = Example { input: row, label, targets, ..Example::of(record as u64) };
            vec![Framed::whole(record, example, n_cut)]
        };
        Ok(match &of.input {
            Input::Classify { text, pair, label } => {
                let label = match label {
                    None => Label::None,
                    Some(Said::Class(class)) => Label::Class(*class as u32),
                    Some(Said::Score(score)) => Label::Value(*score),
                };
                whole(self.row(text, pair.as_deref())?, label, Vec::new())
            }
            Input::Choice { prompt, choices, right } => {
                let label = right.first().map_or(Label::None, |right| Label::Class(*right as u32));
                whole(self.choices(prompt, choices)?, label, Vec::new())
            }
            Input::Tag { words, tags } => {
                let (row, n_cut, targets, asked) = self.words(words, tags)?;
                let mut made = whole((row, n_cut), Label::None, targets);
                made[0].words = asked;
                made
            }
            Input::Rank { query, documents, relevance } => {
                let (row, n_cut) = self.choices(query, documents)?;
                let mut targets = vec![IGNORED; row.ids.len()];
                // Where nothing is good, nothing is asked.
                let relevance =
                    if relevance.iter().any(|gain| *gain > 0.0) { &relevance[..] } else { &[] };
                let mut at = 0;
                let segments = row.segments.as_deref().unwrap_or_default();
                for (text, gain) in segments.chunk_by(|a, b| a == b).zip(relevance) {
                    targets[at] = gain.to_bits();
                    at += text.len();
                }
                whole((row, n_cut), Label::None, targets)
            }
            Input::Span { question, context, answers, is_impossible } => {
                let answer = answers.first().map(|(text, start)| {
                    let from = context.char_indices().nth(*start).map_or(context.len(), |c| c.0);
                    [from, from + text.len()]
                });
                let mut windows = self.windows((record, question), context, answer)?;
                if answer.is_none() && !is_impossible {
                    // Nobody knows whether there is one.
                    for window in &mut windows {
                        window.example.label = Label::None;
                    }
                }
                windows
            }
            other => panic!("frame: {other:?}"),
        })
    }

    /// One text or a pair of them, and how many tokens were cut off.
    ///
    /// # Errors
    /// Where a text cannot be encoded.
    pub fn row(&self, text: &str, pair: Option<&str>) -> Result<(Row, usize), TokenizeError> {
        let mut encoded = self.tokenizer.encode_for_model(text, pair)?;
        let n_cut = cut(&mut encoded, self.max_len);
        Ok((self.row_of(encoded), n_cut))
    }

    fn row_of(&self, encoded: Encoded) -> Row {
        let types = self.has_types.then_some(encoded.type_ids);
        Row { types, ..Row::plain(encoded.ids) }
    }

    /// The texts of a record, each by itself: what belongs together, and then what does not; of
    /// a pair with a number both.
    ///
    /// # Errors
    /// Where a text cannot be encoded.
    ///
    /// # Panics
    /// When the record is of neither kind.
    pub fn apart(&self, record: usize, of: &Record) -> Result<Framed, TokenizeError> {
        let (texts, label) = match &of.input {
            Input::Triplet { anchor, positive, negatives } => {
                let near = [anchor, positive].into_iter();
                (near.chain(negatives).collect::<Vec<&String>>(), Label::None)
            }
            Input::Classify { text, pair: Some(pair), label: Some(Said::Score(score)) } => {
                (vec![text, pair], Label::Value(*score))
            }
            other => panic!("frame: {other:?}"),
        };
        let (input, n_cut) = self.side_by_side(texts.into_iter().map(|text| (&**text, None)))?;
        let example = Example { input, label, ..Example::of(record as u64) };
        Ok(Framed::whole(record, example, n_cut))
    }

    /// The prompt with each choice.
    fn choices(&self, prompt: &str, choices: &[String]) -> Result<(Row, usize), TokenizeError> {
        self.side_by_side(choices.iter().map(|choice| (prompt, Some(&**choice))))
    }

    /// Texts that do not see each other, in one row.
    fn side_by_side<'x>(
        &self,
        texts: impl Iterator<Item = (&'x str, Option<&'x str>)>,
    ) -> Result<(Row, usize), TokenizeError> {
        let (mut all, mut n_cut) = (Row::default(), 0);
        let (mut segments, mut positions, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, (text, pair)) in (1..).zip(texts) {
            let (row, cut) = self.row(text, pair)?;
            n_cut += cut;
            positions.extend(0..row.ids.len() as u32);
            types.extend(row.types.unwrap_or_default());
            all.ids.extend(row.ids);
            segments.resize(all.ids.len(), segment);
        }
        (all.segments, all.positions) = (Some(segments), Some(positions));
        all.types = self.has_types.then_some(types);
        Ok((all, n_cut))
    }

    /// Words with a tag each, which their first tokens are asked for.
    fn words(
        &self,
        words: &[String],
        tags: &[usize],
    ) -> Result<(Row, usize, Vec<u32>, Vec<usize>), TokenizeError> {
        let mut encoded = self.tokenizer.encode_for_model(&words.join(" "), None)?;
        let n_cut = cut(&mut encoded, self.max_len);
        let mut ends = words.iter().scan(0, |end, word| {
            *end += word.len() + 1;
            Some(*end)
        });
        let (mut word, mut end) = (0, ends.next().unwrap_or(0));
        let mut targets = vec![IGNORED; encoded.ids.len()];
        let mut asked = Vec::new();
        for (at, &(_, to)) in encoded.offsets.iter().enumerate() {
            if encoded.texts[at].is_none() || to == 0 {
                continue;
            }
            // By its last byte: the first may be that of the blank before the word.
            while to > end {
                (word, end) = (word + 1, ends.next().unwrap_or(usize::MAX));
            }
            if asked.last() != Some(&word) {
                asked.push(word);
                // Without tags, a model is asked all the same.
                targets[at] = tags.get(word).map_or(0, |tag| *tag as u32);
            }
        }
        Ok((self.row_of(encoded), n_cut, targets, asked))
    }

    /// Windows of a context behind its question; `answer` is what is to be found, in bytes of the
    /// context.
    fn windows(
        &self,
        (record, question): (usize, &str),
        context: &str,
        answer: Option<[usize; 2]>,
    ) -> Result<Vec<Framed>, TokenizeError> {
        let mut encoded = self.tokenizer.encode_for_model(question, Some(context))?;
        // At least half of a window is context.
        let n_question = places(&encoded, 0).len().min(self.max_len / 2);
        let n_cut = keep(&mut encoded, [n_question, usize::MAX]);
        let (context, n) = (places(&encoded, 1), encoded.ids.len());
        let n_around = n - context.len();
        let room = self.max_len.saturating_sub(n_around).max(1);
        let step = room.saturating_sub(self.overlap).max(1);
        let mut windows = Vec::new();
        for first in (0..context.len().max(1)).step_by(step) {
            let last = (first + room).min(context.len());
            let shown = context[first..last].to_vec();
            let is_shown =
                |at: usize| encoded.texts[at] != Some(1) || shown.binary_search(&at).is_ok();
            let kept: Vec<usize> = (0..n).filter(|&at| is_shown(at)).collect();
            let places: Vec<Option<[usize; 2]>> = kept
                .iter()
                .map(|&at| {
                    let (from, to) = encoded.offsets[at];
                    (encoded.texts[at] == Some(1)).then_some([from, to])
                })
                .collect();
            let label = Label::Span(answer.and_then(|a| found(&places, a)).unwrap_or([0, 0]));
            let input = self.row_of(select(&encoded, &kept));
            let example = Example { input, label, ..Example::of(record as u64) };
            windows.push(Framed { places, ..Framed::whole(record, example, n_cut) });
            if last == context.len() {
                break;
            }
        }
        Ok(windows)
    }
}

/// The first and the last token of an answer, where both are there.
fn found(places: &[Option<[usize; 2]>], [from, to]: [usize; 2]) -> Option<[u32; 2]> {
    let begins = |place: &Option<[usize; 2]>| place.is_some_and(|[a, b]| a <= from && from < b);
    let ends = |place: &Option<[usize; 2]>| place.is_some_and(|[a, b]| a < to && to <= b);
    let (first, last) = (places.iter().position(begins)?, places.iter().rposition(ends)?);
    (first <= last).then_some([first as u32, last as u32])
}

fn select(encoded: &Encoded, kept: &[usize]) -> Encoded {
    Encoded {
        texts: kept.iter().map(|&at| encoded.texts[at]).collect(),
        words: kept.iter().map(|&at| encoded.words[at]).collect(),
        ids: kept.iter().map(|&at| encoded.ids[at]).collect(),
        type_ids: kept.iter().map(|&at| encoded.type_ids[at]).collect(),
        special: kept.iter().map(|&at| encoded.special[at]).collect(),
        offsets: kept.iter().map(|&at| encoded.offsets[at]).collect(),
    }
}

/// Which tokens are of a text.
fn places(encoded: &Encoded, text: usize) -> Vec<usize> {
    (0..encoded.texts.len()).filter(|&at| encoded.texts[at] == Some(text)).collect()
}

/// Leaves at most so many tokens, and says how many went.
pub(crate) fn cut(encoded: &mut Encoded, max_len: usize) -> usize {
    let mut lens = [0, 1].map(|text| places(encoded, text).len());
    let mut n = encoded.ids.len();
    while n > max_len && lens != [0, 0] {
        let longer = usize::from(lens[0] <= lens[1]);
        lens[longer] -= 1;
        n -= 1;
    }
    keep(encoded, lens)
}

/// Leaves so many tokens of each text, from its beginning, and says how many went.
fn keep(encoded: &mut Encoded, mut left: [usize; 2]) -> usize {
    let n = encoded.ids.len();
    let mut keeps = |at: &usize| match encoded.texts[*at] {
        None => true,
        Some(text) => {
            let fits = left[text] > 0;
            left[text] -= usize::from(fits);
            fits
        }
    };
    let kept: Vec<usize> = (0..n).filter(&mut keeps).collect();
    if kept.len() < n {
        *encoded = select(encoded, &kept);
    }
    n - kept.len()
}
