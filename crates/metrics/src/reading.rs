//! Answers that are found in a text: `SQuAD` 1.1 and 2.0, `ReCoRD`, `MultiRC`.
//!
//! Rajpurkar et al., arXiv:1606.05250 and arXiv:1806.03822; Zhang et al., arXiv:1810.12885;
//! Khashabi et al., "Looking beyond the surface", 2018. As in the official scripts.

use std::collections::HashMap;

use crate::error::{MetricError, Result, finite};
use crate::text::{WORD, split};
use crate::{Counts, Prf};

/// A question with what was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered<'a> {
    /// The right answers; none where the text has none.
    pub answers: Vec<&'a str>,
    /// What was predicted; empty for no answer.
    pub prediction: &'a str,
    /// How sure it is that there is no answer: any number, larger is surer. Not used by 1.1.
    pub no_answer: f64,
}

/// Exact match and F1 of words, per cent, over some questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Share of the answers that are right once normalised.
    pub exact: f64,
    /// Mean overlap of words with the nearest right answer.
    pub f1: f64,
    /// How many questions.
    pub n: usize,
}

/// The best score that a threshold for no answer gives, and the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Best {
    /// Per cent.
    pub score: f64,
    /// There is no answer where that is surer than this.
    pub threshold: f64,
}

/// What 2.0 reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Squad2 {
    /// All questions.
    pub all: Reading,
    /// Those that have an answer, where there are any.
    pub has_answer: Option<Reading>,
    /// Those that have none, where there are any.
    pub no_answer: Option<Reading>,
    /// By exact match.
    pub best_exact: Best,
    /// By F1.
    pub best_f1: Best,
}

/// An answer to choose, or not: one of several of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which question.
    pub question: usize,
    /// Whether it is right.
    pub truth: bool,
    /// Whether it was said to be.
    pub predicted: bool,
}

/// What `MultiRC` reports, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MultiRc {
    /// Over all answers of all questions (F1a).
    pub answers: Prf,
    /// Share of the questions of which every answer is judged right (EM).
    pub exact: f64,
}

/// Small letters, without punctuation (of ASCII), articles and needless space.
pub fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let bare: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut out = String::with_capacity(bare.len());
    // A word goes where it is an article, whatever it is next to.
    let mut rest = bare.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = WORD.has(first);
        let end = rest.find(|c| WORD.has(c) != is_word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        out.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    split(&out).collect::<Vec<_>>().join(" ")
}

/// Whether an answer is the right one once both are normalised.
pub fn is_exact(prediction: &str, answer: &str) -> bool {
    normalize(prediction) == normalize(answer)
}

/// F1 of the words of two answers once both are normalised; 0 where one has none, as in 1.1.
pub fn f1(prediction: &str, answer: &str) -> f64 {
    let [prediction, answer] = [prediction, answer].map(normalize);
    let mut left: HashMap<&str, u64> = HashMap::new();
    split(&answer).for_each(|word| *left.entry(word).or_default() += 1);
    let mut counts = Counts { actual: left.values().sum(), ..Counts::default() };
    for word in split(&prediction) {
        counts.predicted += 1;
        if let Some(n) = left.get_mut(word).filter(|n| **n > 0) {
            *n -= 1;
            counts.hits += 1;
        }
    }
    let prf = counts.prf();
    Prf::of(prf.precision, prf.recall).f1
}

/// `SQuAD` 1.1 and `ReCoRD`: every question has an answer.
///
/// # Errors
/// When there is no question, or one has no answer.
pub fn squad(questions: &[Answered]) -> Result<Reading> {
    if questions.iter().any(|question| question.answers.is_empty()) {
        return Err(MetricError::Empty { what: "answers of a question" });
    }
    let raw: Vec<Raw> = questions.iter().map(|q| Raw::of(q.prediction, &q.answers, f1)).collect();
    Reading::of(&raw).ok_or(MetricError::Empty { what: "questions" })
}

/// `SQuAD` 2.0: no answer is predicted by an empty one, or by being surer of it than `threshold`.
///
/// The best thresholds are searched as in the official script, which asks for them between any two
/// questions in order of `no_answer`, even where two are equally sure.
///
/// # Errors
/// When there is no question, or a number is not finite.
pub fn squad2(questions: &[Answered], threshold: f64) -> Result<Squad2> {
    let no_answer: Vec<f64> = questions.iter().map(|question| question.no_answer).collect();
    finite("no-answer score", &no_answer)?;
    let raw: Vec<Raw> = questions.iter().map(Raw::of_squad2).collect();
    let decided = |has_answer: Option<bool>| -> Vec<Raw> {
        let asked = questions.iter().zip(&raw);
        let asked = asked.filter(|(q, _)| has_answer.is_none_or(|has| has == q.has_answer()));
        let decide = |(question, raw): (&Answered, &Raw)| {
            let said_none = Raw::both(f64::from(u8::from(!question.has_answer())));
            if question.no_answer > threshold { said_none } else { *raw }
        };
        asked.map(decide).collect()
    };
    let all = Reading::of(&decided(None)).ok_or(MetricError::Empty { what: "questions" })?;
    Ok(Squad2 {
        all,
        has_answer: Reading::of(&decided(Some(true))),
        no_answer: Reading::of(&decided(Some(false))),
        best_exact: best(questions, &raw, |raw| raw.exact),
        best_f1: best(questions, &raw, |raw| raw.f1),
    })
}

/// `MultiRC`.
///
/// # Errors
/// When there is no answer to choose.
pub fn multirc(choices: &[Choice]) -> Result<MultiRc> {
    let mut counts = Counts::default();
    let mut exact: HashMap<usize, bool> = HashMap::new();
    for choice in choices {
        counts.actual += u64::from(choice.truth);
        counts.predicted += u64::from(choice.predicted);
        counts.hits += u64::from(choice.truth && choice.predicted);
        *exact.entry(choice.question).or_insert(true) &= choice.truth == choice.predicted;
    }
    if exact.is_empty() {
        return Err(MetricError::Empty { what: "answers" });
    }
    let n_exact = exact.values().filter(|exact| **exact).count();
    Ok(MultiRc { answers: counts.prf(), exact: n_exact as f64 / exact.len() as f64 })
}

/// Of one question, from 0 to 1.
#[derive(Clone, Copy)]
struct Raw {
    exact: f64,
    f1: f64,
}

impl Raw {
    fn both(value: f64) -> Self {
        Self { exact: value, f1: value }
    }

    fn of(prediction: &str, answers: &[&str], f1: impl Fn(&str, &str) -> f64) -> Self {
        let max = |of: &dyn Fn(&str) -> f64| answers.iter().map(|a| of(a)).fold(0.0, f64::max);
        Self {
            exact: max(&|answer| f64::from(u8::from(is_exact(prediction, answer)))),
            f1: max(&|answer| f1(prediction, answer)),
        }
    }

    /// Answers of which normalisation leaves nothing are none; an answer of no words is right where
    /// there is none.
    fn of_squad2(question: &Answered) -> Self {
        let answers = question.answers.iter().copied();
        let mut answers: Vec<&str> = answers.filter(|text| !normalize(text).is_empty()).collect();
        if answers.is_empty() {
            answers.push("");
        }
        Self::of(question.prediction, &answers, |prediction, answer| {
            let both_empty = answer.is_empty() && normalize(prediction).is_empty();
            if both_empty { 1.0 } else { f1(prediction, answer) }
        })
    }
}

impl Answered<'_> {
    fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }
}

impl Reading {
    fn of(raw: &[Raw]) -> Option<Self> {
        let mean = |of: fn(&Raw) -> f64| 100.0 * raw.iter().map(of).sum::<f64>() / raw.len() as f64;
        let reading =
            || Self { exact: mean(|raw| raw.exact), f1: mean(|raw| raw.f1), n: raw.len() };
        (!raw.is_empty()).then(reading)
    }
}

fn best(questions: &[Answered], raw: &[Raw], of: fn(&Raw) -> f64) -> Best {
    let mut by_score: Vec<usize> = (0..questions.len()).collect();
    by_score.sort_by(|&a, &b| {
        let order = questions[a].no_answer.partial_cmp(&questions[b].no_answer);
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut score = questions.iter().filter(|question| !question.has_answer()).count() as f64;
    let mut best = Best { score, threshold: 0.0 };
    for idx in by_score {
        let question = &questions[idx];
        score += match (question.has_answer(), question.prediction) {
            (true, _) => of(&raw[idx]),
            (false, "") => 0.0,
            (false, _) => -1.0,
        };
        if score > best.score {
            best = Best { score, threshold: question.no_answer };
        }
    }
    Best { score: 100.0 * best.score / questions.len() as f64, ..best }
}
