//! What the head of a model of texts says: embeddings, masks filled in, classes of texts and words,
//! answers, choices.

use std::sync::Arc;

use nn::{Call, Head};
use serde_json::{Value, json};
use tensor::{Tape, Var};
use tokenize::Encoded;

use super::inputs::Input;
use super::text::{Answer, Runner, What};
use crate::commands::table::printable;
use crate::failure::Failure;

/// Tokens of an answer at most.
const MAX_ANSWER: usize = 30;

/// A batch that went through the model.
#[derive(Clone, Copy)]
pub struct Seen<'s, 'a> {
    pub tape: &'s Tape<'a>,
    /// `[B, T, D]`.
    pub hidden: &'s Var,
    pub call: &'s Call,
    pub batch: &'s [(&'s Input, &'s Encoded)],
}

impl Runner<'_> {
    /// A vector a text.
    pub fn embed(&self, seen: &Seen) -> Result<Vec<Answer>, Failure> {
        let (hidden, batch) = (seen.hidden, seen.batch);
        let &[_, len, d] = hidden.value().shape() else { panic!("{:?}", hidden.value().shape()) };
        let values = hidden.value().to_vec();
        let pool = |(row, (input, encoded)): (&[f32], &(&Input, &Encoded))| {
            let vector = self.pool.vector(&row[..encoded.ids.len() * d], d);
            finite(&vector, input)?;
            Ok(match &self.out {
                Some(_) => Answer::Vector(vector),
                None => Answer::Said(input.line("embedding", &vector)),
            })
        };
        values.chunks_exact(len * d).zip(batch).map(pool).collect()
    }

    /// How likely every class is, or a number: of a text, or of a choice.
    pub fn classify<'a>(&'a self, seen: &Seen<'_, 'a>) -> Result<Vec<Answer>, Failure> {
        let Seen { tape, hidden, call, batch } = *seen;
        let head = self.loaded.model.head_stack().heads.first();
        let Some((_, Head::Pooled(head))) = head else { panic!("no classifier") };
        let &[n_texts, len, _] = hidden.value().shape() else { panic!("no hidden state") };
        // Texts are padded at their end.
        let rows = head.rows(call.mask.segments.as_deref(), [n_texts, len]);
        let scores = head.forward(tape, hidden, &rows, call).value().to_vec();
        let n = scores.len() / n_texts;
        let (label, many) =
            (self.labels(), self.says("problem_type", "multi_label_classification"));
        let answer = |(scores, (input, _)): (&[f32], &(&Input, _))| {
            let scores = finite(scores, input)?;
            match scores {
                [score] if matches!(self.what, What::Choose) => return Ok(Answer::Score(*score)),
                [score] if self.args.json => return Ok(Answer::Said(input.line("score", score))),
                [score] => return Ok(Answer::Said(format!("{score}\n"))),
                _ => {}
            }
            let likely =
                if many { each(scores, self.args.top) } else { likeliest(scores, self.args.top) };
            let named: Vec<_> = likely.into_iter().map(|(i, p)| (label(i), p)).collect();
            Ok(Answer::Said(self.line(input, &named)))
        };
        scores.chunks_exact(n).zip(batch).map(answer).collect()
    }

    /// The choices of a text, the likeliest first.
    pub fn choose(&self, input: &Input, scores: &[Answer]) -> String {
        let score = |answer: &Answer| match answer {
            Answer::Score(score) => *score,
            Answer::Vector(_) | Answer::Said(_) => panic!("a choice has a score"),
        };
        let scores: Vec<f32> = scores.iter().map(score).collect();
        let named = likeliest(&scores, self.args.top).into_iter();
        let named: Vec<_> = named.map(|(i, p)| (input.choices[i].clone(), p)).collect();
        self.line(input, &named)
    }

    /// Where in the second text the answer to the first is: the start and the end, in this order
    /// and not far apart, whose probabilities have the largest product.
    pub fn answer<'a>(&'a self, seen: &Seen<'_, 'a>) -> Result<Vec<Answer>, Failure> {
        let Seen { tape, hidden, call, batch } = *seen;
        let head = self.loaded.model.head_stack().tag_head().expect("it answers");
        let scores = head.forward(tape, hidden, call).value().to_vec();
        let answer = |(scores, (input, encoded)): (&[f32], &(&Input, &Encoded))| {
            let scores = finite(&scores[..2 * encoded.ids.len()], input)?;
            let tokens = (0..encoded.ids.len()).filter(|&at| encoded.texts[at] == Some(1));
            let tokens: Vec<usize> = tokens.collect();
            let part = |of: usize| {
                softmax(&tokens.iter().map(|at| scores[2 * at + of]).collect::<Vec<_>>())
            };
            let (starts, ends) = (part(0), part(1));
            let spans = |start: usize| {
                let last = tokens.len().min(start + MAX_ANSWER);
                (start..last).map(move |end| (start, end))
            };
            let product = |&(start, end): &(usize, usize)| starts[start] * ends[end];
            let best = (0..tokens.len()).flat_map(spans);
            let best = best.max_by(|a, b| product(a).total_cmp(&product(b)));
            let at = best.map_or(0..0, |(start, end)| {
                encoded.offsets[tokens[start]].0..encoded.offsets[tokens[end]].1
            });
            let p = best.as_ref().map_or(0.0, product);
            let text = input.pair.as_deref().and_then(|pair| pair.get(at.clone()));
            let text = text.unwrap_or_default().trim();
            Ok(Answer::Said(if self.args.json {
                let said = json!({ "text": text, "start": at.start, "end": at.end, "p": p });
                input.line("answer", &said)
            } else {
                format!("{} {:.1} %\n", printable(text, false), 100.0 * p)
            }))
        };
        let len = hidden.value().shape()[1];
        scores.chunks_exact(2 * len).zip(batch).map(answer).collect()
    }

    /// Whether the model's config has this of a key.
    fn says(&self, key: &str, value: &str) -> bool {
        self.loaded.model.config.family().to_json()[key] == value
    }

    /// What classes are called.
    fn labels(&self) -> impl Fn(usize) -> String {
        let config = self.loaded.model.config.family().to_json();
        move |i| {
            let said = config["id2label"][i.to_string()].as_str();
            said.map_or_else(|| format!("LABEL_{i}"), str::to_owned)
        }
    }

    /// Each word with how likely the class of its first token is; of a model that finds replaced
    /// tokens, each token with how likely it is one.
    pub fn tag<'a>(&'a self, seen: &Seen<'_, 'a>) -> Result<Vec<Answer>, Failure> {
        let Seen { tape, hidden, call, batch } = *seen;
        let len = hidden.value().shape()[1];
        let head = self.loaded.model.head_stack().tag_head().expect("it tags");
        let (scores, label) = (head.forward(tape, hidden, call).value().to_vec(), self.labels());
        let n = scores.len() / batch.len() / len;
        let answer = |(scores, (input, encoded)): (&[f32], &(&Input, &Encoded))| {
            let scores = finite(&scores[..encoded.ids.len() * n], input)?;
            if n == 1 {
                let found = |(&id, score): (&u32, &f32)| {
                    (self.tokenizer.token(id).unwrap_or_default(), 1.0 / (1.0 + (-score).exp()))
                };
                let found: Vec<_> = encoded.ids.iter().zip(scores).map(found).collect();
                return Ok(Answer::Said(self.line(input, &found)));
            }
            let tag = |(at, word): (usize, &str)| {
                let (class, p) = likeliest(&scores[at * n..][..n], 1)[0];
                (format!("{word}: {}", label(class)), p)
            };
            let tagged: Vec<_> = words(input, encoded).into_iter().map(tag).collect();
            Ok(Answer::Said(self.line(input, &tagged)))
        };
        scores.chunks_exact(len * n).zip(batch).map(answer).collect()
    }

    /// The likeliest tokens in place of each mask.
    pub fn fill<'a>(&'a self, seen: &Seen<'_, 'a>, mask: u32) -> Result<Vec<Answer>, Failure> {
        let Seen { tape, hidden, batch, .. } = *seen;
        let len = hidden.value().shape()[1];
        let head = self.loaded.model.stack().token_head().expect("it fills in masks");
        let answer = |(row, (input, encoded)): (usize, &(&Input, &Encoded))| {
            let masks = encoded.ids.iter().enumerate().filter(|(_, id)| **id == mask);
            let at: Arc<[u32]> = masks.map(|(i, _)| (row * len + i) as u32).collect();
            if at.is_empty() {
                let token = self.tokenizer.token(mask).unwrap_or_default();
                let start = input.start();
                let problem = format!("`{start}` has no `{token}`, and the model fills in that");
                return Err(Failure::new(problem).hint("put it where a word is missing"));
            }
            let logits = head.logits(tape, &tape.select_rows(hidden, &at)).value().to_vec();
            let lines = logits.chunks_exact(logits.len() / at.len()).map(|scores| {
                let token = |i: usize| self.tokenizer.decode(&[i as u32]).unwrap_or_default();
                let likely = likeliest(finite(scores, input)?, self.args.top);
                let named: Vec<_> = likely.into_iter().map(|(i, p)| (token(i), p)).collect();
                Ok(self.line(input, &named))
            });
            lines.collect::<Result<_, Failure>>().map(Answer::Said)
        };
        batch.iter().enumerate().map(answer).collect()
    }

    /// One line of what is likely.
    fn line(&self, input: &Input, named: &[(String, f32)]) -> String {
        if self.args.json {
            let named: Vec<Value> =
                named.iter().map(|(name, p)| json!({ "name": name, "p": p })).collect();
            return input.line("likely", &named);
        }
        let word = |(name, p): &(String, f32)| {
            format!("{} {:.1} %", printable(name.trim(), false), 100.0 * p)
        };
        named.iter().map(word).collect::<Vec<_>>().join(", ") + "\n"
    }
}

/// Numbers that are some.
fn finite<'v>(values: &'v [f32], input: &Input) -> Result<&'v [f32], Failure> {
    if values.iter().all(|x| x.is_finite()) {
        return Ok(values);
    }
    let problem = format!("what the model makes of `{}..` is not finite", input.start());
    Err(Failure::new(problem).hint("a weight is not, or overflows: try `--precision f32`"))
}

/// The probabilities of one of these.
fn softmax(scores: &[f32]) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = scores.iter().map(|x| (x - max).exp()).sum();
    scores.iter().map(|x| (x - max).exp() / sum).collect()
}

/// The largest of the numbers.
fn largest(numbers: Vec<f32>, top: usize) -> Vec<(usize, f32)> {
    let mut all: Vec<_> = numbers.into_iter().enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(top);
    all
}

/// The largest scores with their probabilities.
fn likeliest(scores: &[f32], top: usize) -> Vec<(usize, f32)> {
    largest(softmax(scores), top)
}

/// The same where each is right or wrong by itself.
fn each(scores: &[f32], top: usize) -> Vec<(usize, f32)> {
    largest(scores.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(), top)
}

/// The words of the texts, each with its first token. A token begins one where the tokenizer says
/// so, and behind a blank.
fn words<'i>(input: &'i Input, encoded: &Encoded) -> Vec<(usize, &'i str)> {
    let mut found: Vec<(usize, usize, std::ops::Range<usize>)> = Vec::new();
    for (at, &(start, end)) in encoded.offsets.iter().enumerate() {
        let Some(of) = encoded.texts[at].filter(|_| start < end) else { continue };
        let text = if of == 0 { &input.text } else { input.pair.as_deref().unwrap_or_default() };
        let is_blank = |text: &str| text.starts_with(char::is_whitespace);
        match found.last_mut() {
            Some((first, same, range))
                if *same == of
                    && encoded.words[*first] == encoded.words[at]
                    && range.end >= start
                    && !text.get(start..).is_some_and(is_blank) =>
            {
                range.end = range.end.max(end);
            }
            _ => found.push((at, of, start..end)),
        }
    }
    let word = |(at, of, range): (usize, usize, std::ops::Range<usize>)| {
        let text = if of == 0 { &input.text } else { input.pair.as_deref().unwrap_or_default() };
        (at, text.get(range).unwrap_or_default().trim())
    };
    found.into_iter().map(word).collect()
}
