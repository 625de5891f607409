//! A task run on a model: its requests made tokens, answered, and measured.

use models::Model;
use rayon::prelude::*;
use serde_json::Value;
use tensor::{Device, Precision};

use crate::encode::Encoder;
use crate::error::{EvalError, Result};
use crate::file::{MetricSpec, OutputType, Pipeline, Step};
use crate::metric::{Item, Kind};
use crate::score::{Ask, Said, log_likelihoods};
use crate::task::{Gold, Request, Sample, Task};
use crate::write::Writer;

/// A model that answers, and how it reads.
pub struct Runner<'m> {
    /// The model.
    pub model: (&'m Model, &'m Device, Precision),
    /// Text to tokens.
    pub encoder: Encoder<'m>,
    /// Tokens to text, for what it writes.
    pub writer: Writer<'m>,
    /// Tokens that are shown at once, about.
    pub batch_tokens: usize,
}

/// Asks by requests, prompts, and how many of both lost their beginning.
type Made = (Vec<Vec<Ask>>, Vec<Vec<u32>>, usize);

/// What a model says of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// How likely a text is.
    Said(Said),
    /// What it wrote.
    Text(String),
}

impl Response {
    /// As it is logged.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Said(said) => serde_json::json!([said.log_prob, said.is_greedy]),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

/// Requests as tokens.
pub struct Asked {
    /// Of each request, by samples; several of a text that is longer than what the model reads.
    asks: Vec<Vec<Ask>>,
    prompts: Vec<Vec<u32>>,
    /// Requests whose beginning does not fit, and the first of them.
    pub truncated: Option<(usize, usize)>,
}

impl Asked {
    /// How many there are, windows counted by themselves.
    pub fn len(&self) -> usize {
        self.asks.iter().map(Vec::len).sum::<usize>() + self.prompts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Runner<'_> {
    /// The model's positions for a text.
    fn max_len(&self) -> usize {
        self.model.0.head_stack().max_len()
    }

    /// Makes requests tokens, and refuses what cannot be asked, before anything is computed.
    ///
    /// # Errors
    /// Where a text cannot be encoded, has no tokens, or is longer than what the model reads, and
    /// where a metric is not of what is right.
    pub fn prepare(&self, task: &Task, samples: &[Sample]) -> Result<Asked> {
        let max_len = self.max_len();
        if max_len == 0 {
            let problem = "learned tokens take every position that the model has";
            return Err(EvalError::refused(problem, "measure it without that adapter"));
        }
        let how = &task.file.generation;
        let writes = task.file.output == OutputType::GenerateUntil;
        if writes && how.max_tokens >= max_len {
            let problem = format!("asks for {} tokens of a model of {max_len}", how.max_tokens);
            let hint = "lower its `max_gen_toks`";
            return Err(task.file.refused("generation_kwargs", &problem, hint));
        }
        let of = |sample: &Sample| -> Result<Made> {
            check_metrics(task, sample)?;
            let (mut asks, mut prompts, mut n_cut) = (Vec::new(), Vec::new(), 0);
            let wrong = |problem: String| EvalError::Document {
                at: sample.at.clone(),
                problem,
                hint: "correct the document, or what the task makes of it".into(),
            };
            for request in &sample.requests {
                match request {
                    Request::Continuation { context, continuation } => {
                        let mut ask = self.encoder.pair(context, continuation)?;
                        let n = ask.continuation.len();
                        if n == 0 {
                            let text = format!("{continuation:?} is no token behind its context");
                            return Err(wrong(text));
                        }
                        if n > max_len {
                            let text = format!("a continuation has {n} tokens, the model reads");
                            return Err(wrong(format!("{text} {max_len}")));
                        }
                        n_cut += usize::from(ask.truncate(max_len) > 0);
                        asks.push(vec![ask]);
                    }
                    Request::Whole(text) => {
                        let windows = self.encoder.windows(text, max_len)?;
                        if windows.is_empty() {
                            return Err(wrong("the text is empty".to_owned()));
                        }
                        asks.push(windows);
                    }
                    Request::Generate(context) => {
                        let mut prompt = self.encoder.tokens(context)?;
                        if prompt.is_empty() {
                            return Err(wrong("the prompt is empty".to_owned()));
                        }
                        let over = prompt.len().saturating_sub(max_len - how.max_tokens);
                        prompt.drain(..over);
                        n_cut += usize::from(over > 0);
                        prompts.push(prompt);
                    }
                }
            }
            Ok((asks, prompts, n_cut))
        };
        let made: Vec<Made> = samples.par_iter().map(of).collect::<Result<_>>()?;
        let first = made.iter().position(|(_, _, n_cut)| *n_cut > 0);
        let n_cut = made.iter().map(|(_, _, n_cut)| n_cut).sum();
        let (mut asks, mut prompts) = (Vec::new(), Vec::new());
        for (some_asks, some_prompts, _) in made {
            asks.extend(some_asks);
            prompts.extend(some_prompts);
        }
        Ok(Asked { asks, prompts, truncated: first.map(|first| (n_cut, first)) })
    }

    /// Answers requests, sample by sample; `each` is told how many were answered.
    ///
    /// # Errors
    /// Where the model's scores are not finite.
    pub fn answer(
        &self,
        task: &Task,
        samples: &[Sample],
        asked: &Asked,
        mut each: impl FnMut(usize),
    ) -> Result<Vec<Vec<Response>>> {
        let flat: Vec<Ask> = asked.asks.iter().flatten().cloned().collect();
        let mut said = log_likelihoods(self.model, &flat, self.batch_tokens, &mut each).into_iter();
        let mut asks = asked.asks.iter();
        let texts = self.writer.write(&asked.prompts, &task.file.generation, &mut each)?;
        let mut texts = texts.into_iter();
        let mut all = Vec::with_capacity(samples.len());
        for sample in samples {
            let mut responses = Vec::new();
            for request in &sample.requests {
                if let Request::Generate(_) = request {
                    responses.push(Response::Text(texts.next().expect("one of each")));
                    continue;
                }
                let windows = asks.next().expect("some of each").len();
                let mut whole = Said { log_prob: 0.0, is_greedy: true };
                for said in said.by_ref().take(windows) {
                    whole.log_prob += said.log_prob;
                    whole.is_greedy &= said.is_greedy;
                }
                if !whole.log_prob.is_finite() {
                    return Err(EvalError::NotFinite { at: sample.at.clone() });
                }
                responses.push(Response::Said(whole));
            }
            all.push(responses);
        }
        Ok(all)
    }
}

/// What a sample gives the metrics of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// By the way that what was written is made what is compared; one where nothing was written.
    pub by_pipeline: Vec<(String, Vec<(Kind, Item)>)>,
    /// What was compared, of each.
    pub compared: Vec<Option<String>>,
}

/// Refuses a metric that is not of what is right, or of so many choices.
fn check_metrics(task: &Task, sample: &Sample) -> Result<()> {
    for kind in task.file.metrics.iter().map(|spec| spec.kind) {
        let name = kind.name();
        let (problem, hint) = match &sample.gold {
            Gold::Texts(right) if kind.is_of_texts() && right.len() != 1 => {
                (format!("{} texts are right, and `{name}` is of one", right.len()), "exact_match")
            }
            Gold::Choices(_) if kind == Kind::F1 && sample.choices.len() > 2 => {
                (format!("there are {} choices, and `f1` is of two", sample.choices.len()), "mcc")
            }
            _ => continue,
        };
        let (at, hint) = (sample.at.clone(), format!("measure `{hint}`"));
        return Err(EvalError::Document { at, problem, hint });
    }
    Ok(())
}

/// Measures the responses of one sample.
///
/// # Panics
/// When [`Runner::prepare`] refuses the sample.
pub fn score(task: &Task, sample: &Sample, responses: &[Response]) -> Scored {
    let metrics = &task.file.metrics;
    let said: Vec<Said> = responses
        .iter()
        .filter_map(|response| match response {
            Response::Said(said) => Some(*said),
            Response::Text(_) => None,
        })
        .collect();
    let plain = |items: Vec<(Kind, Item)>| Scored {
        by_pipeline: vec![("none".to_owned(), items)],
        compared: vec![None],
    };
    let of_each = |of: &dyn Fn(Kind) -> Item| {
        plain(metrics.iter().map(|spec| (spec.kind, of(spec.kind))).collect())
    };
    match (task.file.output, &sample.gold) {
        (OutputType::MultipleChoice, Gold::Choices(right)) => {
            of_each(&|kind| of_choices(kind, &sample.choices, right, &said))
        }
        (OutputType::LoglikelihoodRolling, Gold::Texts(texts)) => {
            let (text, log_prob) = (&texts[0], said[0].log_prob);
            of_each(&|kind| {
                let n = if kind == Kind::WordPerplexity { words(text) } else { text.len() };
                Item::Weighed { log_prob, n: n as u64 }
            })
        }
        (OutputType::Loglikelihood, _) => of_each(&|kind| {
            let is_greedy = f64::from(u8::from(said[0].is_greedy));
            Item::Number(if kind == Kind::Acc { is_greedy } else { said[0].log_prob })
        }),
        (_, Gold::Texts(right)) => {
            let Response::Text(text) = &responses[0] else { unreachable!("a text was asked for") };
            written(task, right, text)
        }
        _ => unreachable!("choices are of multiple choice"),
    }
}

/// What was written, pipeline by pipeline.
fn written(task: &Task, right: &[String], text: &str) -> Scored {
    let mut scored = Scored { by_pipeline: Vec::new(), compared: Vec::new() };
    for pipeline in &task.file.pipelines {
        let text = pipeline.apply(text);
        let mut items = Vec::new();
        for spec in &task.file.metrics {
            let item = if spec.kind.is_of_texts() {
                Item::Texts(right[0].clone(), text.clone())
            } else {
                let is = right.iter().any(|right| spec.is_same(right, &text));
                Item::Number(f64::from(u8::from(is)))
            };
            items.push((spec.kind, item));
        }
        scored.by_pipeline.push((pipeline.name.clone(), items));
        scored.compared.push(Some(text));
    }
    scored
}

fn of_choices(kind: Kind, choices: &[String], right: &[usize], said: &[Said]) -> Item {
    let best = |weigh: &dyn Fn(usize) -> f64| {
        let score = |at: usize| said[at].log_prob / weigh(at);
        (1..said.len()).fold(0, |best, at| if score(at) > score(best) { at } else { best })
    };
    let hit = |at: usize| Item::Number(f64::from(u8::from(right.contains(&at))));
    match kind {
        Kind::AccNorm => hit(best(&|at| choices[at].chars().count() as f64)),
        Kind::AccBytes => hit(best(&|at| choices[at].len() as f64)),
        Kind::ExactMatch => {
            Item::Number(f64::from(u8::from(right.iter().any(|&at| said[at].is_greedy))))
        }
        Kind::F1 | Kind::Mcc => Item::Classes(right[0], best(&|_| 1.0)),
        Kind::Brier => {
            let most = said.iter().map(|said| said.log_prob).fold(f64::MIN, f64::max);
            let all: Vec<f64> = said.iter().map(|said| (said.log_prob - most).exp()).collect();
            let sum: f64 = all.iter().sum();
            Item::Probabilities(right[0], all.into_iter().map(|p| p / sum).collect())
        }
        _ => hit(best(&|_| 1.0)),
    }
}

/// Pieces between blanks as Python's `re.split` counts them: blanks at an end leave an empty one.
fn words(text: &str) -> usize {
    let inner = text.split_whitespace().count();
    let begins = text.starts_with(char::is_whitespace);
    let ends = text.ends_with(char::is_whitespace) && text.trim() != "";
    (inner + usize::from(begins) + usize::from(ends)).max(1)
        + usize::from(inner == 0 && !text.is_empty())
}

impl Pipeline {
    /// What is compared of what was written.
    fn apply(&self, text: &str) -> String {
        self.steps.iter().fold(text.to_owned(), |text, step| step.apply(text))
    }
}

impl Step {
    fn apply(&self, text: String) -> String {
        match self {
            Self::TakeFirst => text,
            Self::Trim => text.trim().to_owned(),
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            Self::Find { pattern, select, fallback } => {
                let found: Vec<_> = pattern.captures_iter(&text).collect();
                let at = if *select < 0 { found.len() as i64 + select } else { *select };
                let captures = usize::try_from(at).ok().and_then(|at| found.get(at));
                let group = captures.and_then(|captures| match captures.len() {
                    1 => captures.get(0),
                    2 => captures.get(1),
                    n => (1..n).filter_map(|i| captures.get(i)).find(|group| !group.is_empty()),
                });
                match (captures, group) {
                    (Some(_), Some(group)) => group.as_str().trim().to_owned(),
                    // A group that has no part in the match is empty.
                    (Some(captures), None) if captures.len() == 2 => String::new(),
                    _ => fallback.clone(),
                }
            }
        }
    }
}

impl MetricSpec {
    /// Whether two texts are the same, so far as one looks.
    fn is_same(&self, right: &str, written: &str) -> bool {
        self.cleaned(right) == self.cleaned(written)
    }

    fn cleaned(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for pattern in &self.ignored {
            text = pattern.replace_all(&text, "").into_owned();
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        let goes = |c: char| {
            self.ignore_punctuation && c.is_ascii_punctuation()
                || self.ignore_numbers && c.is_ascii_digit()
        };
        text.retain(|c| !goes(c));
        text
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn words_are_counted_as_python_splits() {
        for (text, n) in [("a b", 2), (" a b", 3), ("a b\n", 3), ("", 1), ("  ", 2), (" a ", 3)] {
            assert_eq!(words(text), n, "{text:?}");
        }
    }

    #[test]
    fn patterns_find_what_python_finds() {
        let find = |pattern: &str, select: i64, text: &str| {
            let pattern = Regex::new(pattern).expect("a pattern");
            let fallback = "[invalid]".to_owned();
            Step::Find { pattern, select, fallback }.apply(text.to_owned())
        };
        assert_eq!(find(r"#### (\-?[0-9\.\,]+)", 0, "so #### 12 #### 13"), "12");
        assert_eq!(find(r"#### (\-?[0-9\.\,]+)", -1, "so #### 12 #### 13"), "13");
        assert_eq!(find(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1, "1 and 7 dogs"), "7");
        assert_eq!(find(r"\d+", 2, "1 2"), "[invalid]");
        assert_eq!(find(r" \d+ ", 0, "a 1 2"), "1");
        assert_eq!(find(r"a(b)?", 0, "a"), "");
    }

    #[test]
    fn texts_are_compared_as_far_as_one_looks() {
        let spec = MetricSpec {
            kind: Kind::ExactMatch,
            ignored: vec![Regex::new(",").expect("a pattern")],
            ignore_case: true,
            ignore_punctuation: true,
            ignore_numbers: false,
        };
        assert!(spec.is_same("The CAT!", "the cat,"));
        assert!(!spec.is_same("a1", "a2"));
    }
}
