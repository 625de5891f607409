//! What scores come to: the metrics of a task.

use std::collections::{BTreeMap, HashMap};

use datasets::{Input, Record};
use metrics::classes::Classes;
use metrics::ranking::Ranked;
use metrics::reading::{self, Answered, squad2};
use metrics::spans::{self, SpanCounts};
use metrics::{Average, MetricError, registry};

use crate::example::Label;
use crate::frame::Framed;
use crate::labelled::Asked;

/// Tokens of an answer, at most.
const ANSWER_TOKENS: usize = 30;
/// Starts and ends that are tried of a window.
const BEST: usize = 20;

/// What is measured of a task where nobody says.
pub fn usual_metrics(asked: Asked, n_classes: usize) -> &'static [&'static str] {
    match asked {
        Asked::Class if n_classes == 2 => &["accuracy", "f1", "matthews"],
        Asked::Class => &["accuracy", "f1_macro"],
        Asked::Value => &["pearson", "spearman", "mse"],
        Asked::Choice | Asked::Better => &["accuracy"],
        Asked::Rank => &["ndcg@10", "mrr@10"],
        Asked::Tag => &["f1", "precision", "recall", "accuracy"],
        Asked::Span => &["f1", "exact_match"],
    }
}

/// Whether the best has least of a metric.
pub fn is_better_small(name: &str) -> bool {
    registry::of_values(name).is_ok_and(|named| !named.larger_is_better)
}

/// The value of a metric of samples by the scores that a model gave them.
///
/// # Errors
/// Where the task has no such metric, or it is not defined for these samples.
pub fn metric(
    name: &str,
    asked: Asked,
    (framed, records, labels): (&[Framed], &[Record], &[String]),
    scores: &[Vec<f32>],
) -> Result<f64, MetricError> {
    match asked {
        Asked::Class if is_of_answers(name, asked) => multirc(name, (framed, records), scores),
        Asked::Choice if is_of_answers(name, asked) => record(name, (framed, records), scores),
        Asked::Class | Asked::Choice | Asked::Better => {
            let named = registry::of_classes(name)?;
            let labelled = framed.iter().zip(scores);
            let (truth, said): (Vec<usize>, Vec<usize>) = labelled
                .filter_map(|(framed, scores)| {
                    Some((right(framed, records, scores)?, largest(scores)))
                })
                .unzip();
            let most = scores.iter().map(Vec::len).max().unwrap_or(0);
            (named.compute)(&Classes::new(&truth, &said, labels.len().max(most))?)
        }
        Asked::Value => {
            let named = registry::of_values(name)?;
            let labelled = framed.iter().zip(scores);
            let (truth, said): (Vec<f64>, Vec<f64>) = labelled
                .filter_map(|(framed, scores)| match framed.example.label {
                    Label::Value(value) => Some((f64::from(value), f64::from(scores[0]))),
                    _ => None,
                })
                .unzip();
            (named.compute)(&truth, &said)
        }
        Asked::Rank => {
            let ranked =
                |(framed, scores): (&Framed, &Vec<f32>)| match &records[framed.record].input {
                    Input::Rank { relevance, .. } if !relevance.is_empty() => {
                        let [scores, gains] = [scores, relevance]
                            .map(|x| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>());
                        Some(Ranked::by_score(&scores, &gains))
                    }
                    _ => None,
                };
            let all: Result<Vec<Ranked>, _> =
                framed.iter().zip(scores).filter_map(ranked).collect();
            of_rankings(name, &all?)
        }
        Asked::Tag => tags(name, (framed, records, labels), scores),
        Asked::Span => {
            let said = answers(framed, records, scores);
            let found = squad2(&answered(records, &said), 1.0)?;
            match name {
                "exact_match" => Ok(found.all.exact),
                "f1" => Ok(found.all.f1),
                _ => Err(MetricError::Unknown {
                    name: name.to_owned(),
                    kind: "answers",
                    nearest: if name.starts_with('e') { "exact_match" } else { "f1" },
                }),
            }
        }
    }
}

/// Whether a metric is of the answers to questions, as `MultiRC` (whose classes are wrong and right
/// answers) and `ReCoRD` (where choices are texts) have it, rather than of classes.
pub fn is_of_answers(name: &str, asked: Asked) -> bool {
    match asked {
        Asked::Class => ["f1_a", "exact_match"].contains(&name),
        Asked::Choice => ["f1", "exact_match"].contains(&name),
        _ => false,
    }
}

/// The class or the choice that is right; of several right choices that which was said, if it is
/// one of them.
pub fn right(framed: &Framed, records: &[Record], scores: &[f32]) -> Option<usize> {
    let Label::Class(first) = framed.example.label else { return None };
    match records.get(framed.record).map(|record| &record.input) {
        Some(Input::Choice { right, .. }) if right.contains(&largest(scores)) => {
            Some(largest(scores))
        }
        _ => Some(first as usize),
    }
}

/// Of answers that are right or wrong each, by their questions: the ids of their records say them.
fn multirc(
    name: &str,
    (framed, records): (&[Framed], &[Record]),
    scores: &[Vec<f32>],
) -> Result<f64, MetricError> {
    let (mut questions, mut choices) = (HashMap::new(), Vec::new());
    for (framed, scores) in framed.iter().zip(scores) {
        let Label::Class(class) = framed.example.label else { continue };
        let id = records[framed.record].id.rsplit_once('-');
        let Some((question, _)) = id.filter(|(question, _)| question.contains('-')) else {
            let reason = "ids of records are not those of MultiRC: `PARAGRAPH-QUESTION-ANSWER`";
            return Err(MetricError::Undefined { metric: "a metric of MultiRC", reason });
        };
        let n = questions.len();
        let question = *questions.entry(question).or_insert(n);
        let (truth, predicted) = (class == 1, largest(scores) == 1);
        choices.push(reading::Choice { question, truth, predicted });
    }
    let found = reading::multirc(&choices)?;
    Ok(if name == "f1_a" { found.answers.f1 } else { found.exact })
}

/// The mean over questions of how near what was chosen is to the nearest right choice.
fn record(
    name: &str,
    (framed, records): (&[Framed], &[Record]),
    scores: &[Vec<f32>],
) -> Result<f64, MetricError> {
    let (mut sum, mut n) = (0.0, 0_u64);
    for (framed, scores) in framed.iter().zip(scores) {
        let Input::Choice { choices, right, .. } = &records[framed.record].input else { continue };
        let said = &choices[largest(scores)];
        let near = |at: &usize| match name {
            "f1" => reading::f1(said, &choices[*at]),
            _ => f64::from(u8::from(reading::is_exact(said, &choices[*at]))),
        };
        if !right.is_empty() {
            sum += right.iter().map(near).fold(0.0, f64::max);
            n += 1;
        }
    }
    if n == 0 { Err(MetricError::Empty { what: "questions" }) } else { Ok(sum / n as f64) }
}

/// The mean of a metric over rankings: `map`, or `ndcg`, `mrr` and `recall` of so many first ones,
/// as in `ndcg@10`.
///
/// # Errors
/// When there is none of it, or no ranking.
pub fn of_rankings(name: &str, all: &[Ranked]) -> Result<f64, MetricError> {
    let (kind, k) = name.split_once('@').unwrap_or((name, ""));
    let value: Box<dyn Fn(&Ranked) -> f64> = match (kind, k.parse::<usize>()) {
        ("map", Err(_)) if name == "map" => Box::new(Ranked::average_precision),
        ("ndcg", Ok(k)) => Box::new(move |ranked| ranked.ndcg_at(k)),
        ("mrr", Ok(k)) => Box::new(move |ranked| ranked.reciprocal_rank_at(k)),
        ("recall", Ok(k)) => Box::new(move |ranked| ranked.recall_at(k)),
        _ => {
            let (name, nearest) = (name.to_owned(), "ndcg@10");
            return Err(MetricError::Unknown { name, kind: "rankings", nearest });
        }
    };
    if all.is_empty() {
        return Err(MetricError::Empty { what: "rankings" });
    }
    Ok(all.iter().map(value).sum::<f64>() / all.len() as f64)
}

/// Where the largest number is.
pub fn largest(scores: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (1..scores.len()).fold(0, larger)
}

/// Entities where tags have kinds (`B-PER`), else tags by themselves.
fn tags(
    name: &str,
    (framed, records, labels): (&[Framed], &[Record], &[String]),
    scores: &[Vec<f32>],
) -> Result<f64, MetricError> {
    let of = |(framed, scores): (&Framed, &Vec<f32>)| tagged(framed, records, labels, scores);
    let (truth, said): (Vec<_>, Vec<_>) = framed.iter().zip(scores).filter_map(of).unzip();
    if name == "accuracy" || !are_entities(labels) {
        let (truth, said) = (truth.concat(), said.concat());
        let named = by_word(name);
        return (registry::of_classes(&named)?.compute)(&Classes::new(
            &truth,
            &said,
            labels.len(),
        )?);
    }
    let found = entities(labels, &truth, &said)?.average(Average::Micro);
    match name {
        "f1" => Ok(found.f1),
        "precision" => Ok(found.precision),
        "recall" => Ok(found.recall),
        _ => {
            let (name, nearest) = (name.to_owned(), "f1");
            Err(MetricError::Unknown { name, kind: "entities", nearest })
        }
    }
}

/// The right tag of each word and that which was said, where somebody knows what is right.
pub fn tagged(
    framed: &Framed,
    records: &[Record],
    labels: &[String],
    scores: &[f32],
) -> Option<(Vec<usize>, Vec<usize>)> {
    let Input::Tag { words, tags } = &records[framed.record].input else { return None };
    // What a word is said to be that was cut off, or has no token.
    let outside = labels.iter().position(|label| label == "O").unwrap_or(0);
    let mut said = vec![outside; words.len()];
    for (&word, scores) in framed.words.iter().zip(scores.chunks(labels.len().max(1))) {
        said[word] = largest(scores);
    }
    (!tags.is_empty()).then(|| (tags.clone(), said))
}

/// Whether tags have kinds, and words of one kind are found together.
pub fn are_entities(labels: &[String]) -> bool {
    labels.iter().any(|label| label.starts_with("B-") || label.starts_with("I-"))
}

/// What was found of the entities of sentences.
///
/// # Errors
/// Where a tag has an unknown prefix, or there is no sentence.
pub fn entities(
    labels: &[String],
    truth: &[Vec<usize>],
    said: &[Vec<usize>],
) -> Result<SpanCounts, MetricError> {
    let named = |tags: &[Vec<usize>]| -> Vec<Vec<&str>> {
        tags.iter().map(|tags| tags.iter().map(|&tag| &*labels[tag]).collect()).collect()
    };
    spans::compare(&named(truth), &named(said), None)
}

/// The metric of classes that is meant of words: of all tags alike.
pub fn by_word(name: &str) -> String {
    let is_of_one = ["f1", "precision", "recall"].contains(&name);
    if is_of_one { format!("{name}_macro") } else { name.to_owned() }
}

/// The answer to each record's question, in its own words; empty where there is none: the best
/// window's best stretch of tokens, unless the first token of every window is better. Devlin et
/// al., arXiv:1810.04805, section 4.3.
pub fn answers(framed: &[Framed], records: &[Record], scores: &[Vec<f32>]) -> Vec<String> {
    let mut best: BTreeMap<usize, (f32, String)> = BTreeMap::new();
    let mut none: BTreeMap<usize, f32> = BTreeMap::new();
    for (framed, scores) in framed.iter().zip(scores) {
        let Input::Span { context, .. } = &records[framed.record].input else { continue };
        let of = |col: usize| move |at: usize| scores[2 * at + col];
        let (start, end) = (of(0), of(1));
        let nothing = none.entry(framed.record).or_insert(f32::INFINITY);
        *nothing = nothing.min(start(0) + end(0));
        let shown: Vec<usize> =
            (0..framed.places.len()).filter(|&at| framed.places[at].is_some()).collect();
        let top = |score: &dyn Fn(usize) -> f32| {
            let mut all = shown.clone();
            all.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            all.truncate(BEST);
            all
        };
        let ends = top(&end);
        for first in top(&start) {
            for &last in ends.iter().filter(|&&l| l >= first && l < first + ANSWER_TOKENS) {
                let score = start(first) + end(last);
                if best.get(&framed.record).is_none_or(|(best, _)| score > *best)
                    && let (Some([from, _]), Some([_, to])) =
                        (framed.places[first], framed.places[last])
                {
                    let text = context.get(from..to).unwrap_or_default().to_owned();
                    best.insert(framed.record, (score, text));
                }
            }
        }
    }
    let said = |record: usize| match (best.get(&record), none.get(&record)) {
        (Some((score, text)), none) if none.is_none_or(|none| score > none) => text.clone(),
        _ => String::new(),
    };
    (0..records.len()).map(said).collect()
}

fn answered<'a>(records: &'a [Record], said: &'a [String]) -> Vec<Answered<'a>> {
    let of = |(record, said): (&'a Record, &'a String)| match &record.input {
        Input::Span { answers, .. } if record.input.is_labelled() => Some(Answered {
            answers: answers.iter().map(|(text, _)| &**text).collect(),
            prediction: said,
            no_answer: 0.0,
        }),
        _ => None,
    };
    records.iter().zip(said).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;
    use datasets::{Named, Place, Task};

    fn of_record(record: usize, label: Label) -> Framed {
        let example = Example { label, ..Example::of(record as u64) };
        Framed::whole(record, example, 0)
    }

    fn records(inputs: Vec<(&str, Input)>) -> Vec<Record> {
        let at = Place { file: "val.jsonl".into(), unit: "line", number: 1 };
        let record = |(id, input): (&str, Input)| Record { id: id.into(), at: at.clone(), input };
        inputs.into_iter().map(record).collect()
    }

    #[test]
    fn every_named_set_has_its_metrics() {
        for set in Named::ALL {
            let asked = match set.task {
                Task::Classify => Asked::Class,
                Task::Score => Asked::Value,
                Task::Choice => Asked::Choice,
                other => panic!("{other}"),
            };
            let labels: Vec<String> = set.labels.iter().map(|&label| label.into()).collect();
            for name in set.metrics {
                let found = metric(name, asked, (&[], &[], &labels), &[]);
                let is_unknown = matches!(found, Err(MetricError::Unknown { .. }));
                assert!(!is_unknown, "{} {name}: {found:?}", set.name);
            }
        }
    }

    #[test]
    fn answers_are_counted_by_their_questions() {
        let input = || Input::Classify { text: String::new(), pair: None, label: None };
        let of = |ids: [&str; 4]| {
            let records = records(ids.map(|id| (id, input())).into());
            let framed = [1, 0, 1, 0].iter().enumerate();
            let framed: Vec<Framed> =
                framed.map(|(at, class)| of_record(at, Label::Class(*class))).collect();
            let scores = [1.0, -1.0, -1.0, -1.0].map(|z| vec![0.0, z]);
            ["f1_a", "exact_match"]
                .map(|name| metric(name, Asked::Class, (&framed, &records, &[]), &scores))
        };
        // Precision 1, recall 1/2; of two questions one is right.
        assert_eq!(of(["0-0-0", "0-0-1", "0-1-0", "0-1-1"]), [Ok(2.0 / 3.0), Ok(0.5)]);
        assert!(of(["0", "1", "2", "3"])[0].is_err());
    }

    #[test]
    fn any_of_several_right_choices_is_right() {
        let choices = ["New York", "the Bronx", "Bronx"].map(str::to_owned).to_vec();
        let input = Input::Choice { prompt: String::new(), choices, right: vec![0, 2] };
        let records = records(vec![("0", input)]);
        let framed = [of_record(0, Label::Class(0))];
        let of = |name, said: usize| {
            let mut scores = vec![0.0; 3];
            scores[said] = 1.0;
            metric(name, Asked::Choice, (&framed, &records, &[]), &[scores])
        };
        assert_eq!(
            (of("accuracy", 0), of("accuracy", 1), of("accuracy", 2)),
            (Ok(1.0), Ok(0.0), Ok(1.0))
        );
        // The article goes, as in the official script.
        assert_eq!((of("exact_match", 1), of("f1", 1)), (Ok(1.0), Ok(1.0)));
    }

    #[test]
    fn a_question_that_nobody_answered_counts_for_nothing() {
        let input = |answers: &[(&str, usize)]| Input::Span {
            question: "Who?".into(),
            context: "Ada met Eve.".into(),
            answers: answers.iter().map(|(text, at)| ((*text).to_owned(), *at)).collect(),
            is_impossible: false,
        };
        let records = records(vec![("0", input(&[("Ada", 0)])), ("1", input(&[]))]);
        let of =
            |record, label| Framed { places: vec![None, Some([0, 3])], ..of_record(record, label) };
        let framed = [of(0, Label::Span([1, 1])), of(1, Label::None)];
        // The first says `Ada`, the second that there is no answer.
        let scores = [vec![0.0, 0.0, 1.0, 1.0], vec![1.0, 1.0, 0.0, 0.0]];
        let of = |n: usize| {
            let records = &records[2 - n..];
            metric("f1", Asked::Span, (&framed[..n], records, &[]), &scores[..n])
        };
        assert_eq!(of(2), Ok(100.0));
        assert_eq!(of(1), Err(MetricError::Empty { what: "questions" }));
    }

    #[test]
    fn a_word_that_has_no_token_moves_no_other() {
        let labels = ["O", "B-PER"].map(str::to_owned);
        let words = ["Emma", "\u{ad}", "Jane"].map(str::to_owned).to_vec();
        let input = Input::Tag { words, tags: vec![1, 0, 1] };
        let at = Place { file: "tags.jsonl".into(), unit: "line", number: 1 };
        let record = Record { id: "0".into(), at, input };
        let example = Example::of(0);
        let (places, words) = (Vec::new(), vec![0, 2]);
        let framed = [Framed { places, words, ..Framed::whole(0, example, 0) }];
        let scores = [vec![0.0, 1.0, 0.0, 1.0]];
        let of = |name| {
            metric(name, Asked::Tag, (&framed, std::slice::from_ref(&record), &labels), &scores)
        };
        assert_eq!(of("f1"), Ok(1.0));
        assert_eq!(of("accuracy"), Ok(1.0));
    }
}
