//! What an answer is worth that can be checked: by rules, or by a program.

mod checker;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rayon::prelude::*;
use regex::{Regex, RegexBuilder};
use thiserror::Error;

pub use checker::Checker;

/// An answer to a problem.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What was asked.
    pub prompt: &'a str,
    /// What was said.
    pub completion: &'a str,
    /// The right answer.
    pub answer: &'a str,
}

/// A rule.
#[derive(Clone, Debug)]
pub enum Reward {
    /// 1 for the right answer and nothing else, but for blanks at its ends.
    Exact,
    /// 1 where the last number is the right answer's: `1,000.0` is `1000`.
    Number,
    /// 1 where it is found; where it has a group, and what that found last is the right answer.
    Pattern(Regex),
    /// As much as a program says.
    Program(Checker),
}

/// What an answer is worth, as the weighted sum of rules.
#[derive(Clone, Debug, Default)]
pub struct Rewards {
    /// Rules with their weights.
    pub rules: Vec<(Reward, f64)>,
    /// The share of programs that may fail; theirs is 0 then.
    pub max_failed: f64,
}

/// What answers are worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graded {
    /// One an answer.
    pub rewards: Vec<f64>,
    /// The name of each rule, which has a number behind it where it is not the first of its kind,
    /// and its mean without its weight.
    pub by_rule: Vec<(String, f64)>,
    /// Programs that failed, and why the first did.
    pub failed: Option<(usize, String)>,
}

/// Why answers are worth nothing.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RewardError {
    /// No regular expression, or one that is too large.
    #[error("`{pattern}` is no pattern: {problem}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More programs failed than may.
    #[error("{n} of {of} answers could not be checked; the first: {first}")]
    Failing {
        /// How many.
        n: usize,
        /// Of how many.
        of: usize,
        /// Why the first was not.
        first: String,
    },
}

impl RewardError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pattern { .. } => None,
            Self::Failing { .. } => {
                Some("a program reads one JSON object and writes one number: try it by hand".into())
            }
        }
    }
}

/// Bytes of a compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;

impl Reward {
    /// That of a regular expression.
    ///
    /// # Errors
    /// Where it is none.
    pub fn pattern(pattern: &str) -> Result<Self, RewardError> {
        let made = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
        made.map(Self::Pattern).map_err(|error| RewardError::Pattern {
            pattern: pattern.to_owned(),
            problem: error.to_string(),
        })
    }

    /// What it is called in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Number => "number",
            Self::Pattern(_) => "pattern",
            Self::Program(_) => "program",
        }
    }

    /// What it gives for an answer.
    fn of(&self, attempt: &Attempt) -> Result<f64, String> {
        let Attempt { completion, answer, .. } = *attempt;
        let is_right = match self {
            Self::Exact => completion.trim() == answer.trim(),
            Self::Number => match (last_number(completion), last_number(answer)) {
                (Some(said), Some(right)) => said == right,
                _ => false,
            },
            Self::Pattern(pattern) => match pattern.captures_iter(completion).last() {
                Some(found) if found.len() > 1 => {
                    found.get(1).is_some_and(|group| group.as_str().trim() == answer.trim())
                }
                found => found.is_some(),
            },
            Self::Program(checker) => return checker.run(attempt),
        };
        Ok(f64::from(u8::from(is_right)))
    }
}

impl Rewards {
    /// What each of `attempts` is worth.
    ///
    /// # Errors
    /// Where more programs fail than may.
    pub fn grade(&self, attempts: &[Attempt]) -> Result<Graded, RewardError> {
        let mut graded = Graded { rewards: vec![0.0; attempts.len()], ..Graded::default() };
        let (n, mut kinds) = (attempts.len().max(1), BTreeMap::new());
        for (rule, weight) in &self.rules {
            let given: Vec<_> = attempts.par_iter().map(|attempt| rule.of(attempt)).collect();
            let mut sum = 0.0;
            for (reward, given) in graded.rewards.iter_mut().zip(given) {
                match given {
                    Ok(value) => {
                        *reward += weight * value;
                        sum += value;
                    }
                    Err(why) => graded.failed.get_or_insert((0, why)).0 += 1,
                }
            }
            let kind = rule.name();
            let name = match kinds.entry(kind).and_modify(|n| *n += 1).or_insert(1_usize) {
                1 => kind.to_owned(),
                n => format!("{kind}_{n}"),
            };
            graded.by_rule.push((name, sum / n as f64));
        }
        let n_programs = self.rules.iter().filter(|(rule, _)| rule.name() == "program").count();
        let of = n_programs * attempts.len();
        match graded.failed {
            Some((n, first)) if n as f64 > self.max_failed * of as f64 => {
                Err(RewardError::Failing { n, of, first })
            }
            _ => Ok(graded),
        }
    }
}

/// The last number of a text, in the one way that all equal ones are written: digits without
/// commas, leading zeros, or zeros at the end of a fraction. None of it is rounded.
fn last_number(text: &str) -> Option<String> {
    let text = text.as_bytes();
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let end = (0..text.len()).rev().find(|&at| is_digit(at))? + 1;
    // A point counts between digits, a comma between them where three follow.
    let is_part = |at: usize| {
        let is_inside = at > 0 && is_digit(at - 1) && is_digit(at + 1);
        let n_after = || (at + 1..end).take(4).take_while(|&at| is_digit(at)).count();
        match text[at] {
            b'.' => is_inside,
            b',' => is_inside && n_after() == 3,
            _ => is_digit(at),
        }
    };
    let mut start = (0..end).rev().take_while(|&at| is_part(at)).last()?;
    // Behind a fraction a comma begins another number, and so does the last of several points, as
    // in a date.
    let mut points = (start..end).rev().filter(|&at| text[at] == b'.');
    if let Some(point) = points.next() {
        match (point..end).find(|&at| text[at] == b',') {
            Some(comma) => start = comma + 1,
            None if points.next().is_some() => start = point + 1,
            None => {}
        }
    } else if is_leading_point(&text[..start]) {
        start -= 1;
    }
    let digits = text[start..end].iter().filter(|&&b| b != b',').map(|&b| char::from(b));
    let number: String = digits.collect();
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let before = start.checked_sub(1).map(|at| text[at]);
    let is_sign = before == Some(b'-')
        && !start.checked_sub(2).is_some_and(|at| text[at].is_ascii_alphanumeric());
    let is_zero = whole.is_empty() && part.is_empty();
    let sign = if is_sign && !is_zero { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

/// Whether the last of what comes before digits is the point of a fraction that has nothing before
/// it: not one that ends a word.
fn is_leading_point(before: &[u8]) -> bool {
    match before {
        [b'.'] => true,
        [.., b, b'.'] => b.is_ascii_whitespace() || b"+-=($".contains(b),
        _ => false,
    }
}
