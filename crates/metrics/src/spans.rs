//! Entities in tags (`B-PER`, `I-PER`, `O` ...), as `seqeval` reads them.
//!
//! Without a scheme any sequence has entities, as in `conlleval`: an `I-` that follows nothing of
//! its kind begins one. With a scheme, only what keeps its rules is one.

use std::collections::{BTreeMap, HashSet};

use crate::error::{MetricError, Result, pairs};
use crate::{Average, Counts, Prf, average};

/// An entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span<'a> {
    /// What follows the prefix; `_` where nothing does.
    pub kind: &'a str,
    /// Its first tag.
    pub start: usize,
    /// The tag after its last.
    pub end: usize,
}

/// How entities are written as tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `B-` only where an entity follows one of its kind (Ramshaw and Marcus).
    Iob1,
    /// Every entity begins with `B-`; also called BIO.
    Iob2,
    /// Every entity ends with `E-`.
    Ioe2,
    /// Begin, inside, end, and single tags.
    Iobes,
    /// The same as begin, inside, last and unit.
    Bilou,
}

/// When a tag after another begins, goes on with, or follows the end of an entity. A rule is the
/// prefix before, the prefix (`?` is any), and whether kinds are the same, differ, or either.
struct Rules {
    prefixes: &'static str,
    start: &'static str,
    inside: &'static str,
    end: &'static str,
}

/// `O`, or the prefix and the kind.
#[derive(Clone, Copy)]
struct Tag<'a> {
    prefix: char,
    kind: &'a str,
}

const OUTSIDE: Tag<'static> = Tag { prefix: 'O', kind: "_" };

/// What is right and wrong by kind of entity, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanCounts(pub BTreeMap<String, Counts>);

impl SpanCounts {
    /// Precision, recall and F1; zeros where there is no entity at all.
    pub fn average(&self, how: Average) -> Prf {
        average(&self.0.values().copied().collect::<Vec<_>>(), how)
    }
}

/// Counts the entities that are found with their kind and both ends, sentence by sentence.
///
/// # Errors
/// When the sentences are not as many or as long on both sides, there is none, or a tag has an
/// unknown prefix.
pub fn compare(
    truth: &[Vec<&str>],
    predicted: &[Vec<&str>],
    scheme: Option<Scheme>,
) -> Result<SpanCounts> {
    pairs("sentences", predicted.len(), truth.len())?;
    let mut counts = SpanCounts::default();
    for (sentence, (truth, predicted)) in truth.iter().zip(predicted).enumerate() {
        if truth.len() != predicted.len() {
            let (found, expected) = (predicted.len(), truth.len());
            return Err(MetricError::Length { what: "tags of a sentence", found, expected });
        }
        let [truth, predicted] = [truth, predicted].map(|tags| spans(tags, scheme));
        let [truth, predicted] = [at(sentence, truth)?, at(sentence, predicted)?];
        let known: HashSet<Span> = truth.iter().copied().collect();
        let mut of = |span: &Span, add: Counts| {
            *counts.0.entry(span.kind.to_owned()).or_default() += add;
        };
        for span in &truth {
            of(span, Counts { actual: 1, ..Counts::default() });
        }
        for span in &predicted {
            let hits = u64::from(known.contains(span));
            of(span, Counts { predicted: 1, hits, ..Counts::default() });
        }
    }
    Ok(counts)
}

/// The entities of one sentence, in order.
///
/// # Errors
/// When a tag has an unknown prefix; the sentence is 0.
pub fn spans<'a>(tags: &[&'a str], scheme: Option<Scheme>) -> Result<Vec<Span<'a>>> {
    match scheme {
        Some(scheme) => strict(tags, &scheme.rules()),
        None => lenient(tags),
    }
}

fn lenient<'a>(tags: &[&'a str]) -> Result<Vec<Span<'a>>> {
    let mut spans = Vec::new();
    let (mut before, mut start) = (OUTSIDE, 0);
    for (idx, tag) in tags.iter().copied().chain(["O"]).enumerate() {
        let rest = tag.get(1..).unwrap_or_default();
        let known = tag.starts_with(['B', 'I', 'E', 'S'])
            && (rest.is_empty() || rest.starts_with('-'))
            || tag == "O";
        if !known {
            return Err(unknown(idx, tag, "B-, I-, E-, S- or O"));
        }
        let tag = Tag::new(tag, rest.strip_prefix('-').unwrap_or_default());
        let goes_on = matches!(before.prefix, 'B' | 'I')
            && matches!(tag.prefix, 'I' | 'E')
            && before.kind == tag.kind;
        if before.prefix != 'O' && !goes_on {
            spans.push(Span { kind: before.kind, start, end: idx });
        }
        if !goes_on {
            start = idx;
        }
        before = tag;
    }
    Ok(spans)
}

fn strict<'a>(tags: &[&'a str], rules: &Rules) -> Result<Vec<Span<'a>>> {
    let read = |(idx, tag): (usize, &&'a str)| {
        if tag.starts_with(|prefix| rules.prefixes.contains(prefix)) {
            Ok(Tag::new(tag, tag[1..].trim_matches('-')))
        } else {
            Err(unknown(idx, tag, rules.prefixes))
        }
    };
    let mut tags = tags.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    tags.push(OUTSIDE);
    let mut spans = Vec::new();
    let (mut before, mut start) = (OUTSIDE, 0);
    while start < tags.len() {
        let mut end = start + 1;
        if holds(rules.start, before, tags[start]) {
            while end < tags.len() && holds(rules.inside, tags[end - 1], tags[end]) {
                end += 1;
            }
            if tags.get(end).is_some_and(|&tag| holds(rules.end, tags[end - 1], tag)) {
                spans.push(Span { kind: tags[start].kind, start, end });
            }
        }
        before = tags[end - 1];
        start = end;
    }
    Ok(spans)
}

/// Whether one of the rules holds of a tag and the one before it.
fn holds(rules: &str, before: Tag, tag: Tag) -> bool {
    rules.split(' ').any(|rule| {
        let mut rule = rule.chars();
        let mut is = |prefix| rule.next().is_some_and(|wanted| wanted == '?' || wanted == prefix);
        is(before.prefix)
            && is(tag.prefix)
            && match rule.next() {
                Some('=') => before.kind == tag.kind,
                Some('!') => before.kind != tag.kind,
                _ => true,
            }
    })
}

impl Scheme {
    fn rules(self) -> Rules {
        let rules = |prefixes, start, inside, end| Rules { prefixes, start, inside, end };
        match self {
            Self::Iob1 => {
                let end = "II! IO* IB* BO* BI! BB=";
                rules("IOB", "OI* II! BI* IB= BB=", "BI= II=", end)
            }
            Self::Iob2 => rules("IOB", "?B*", "BI= II=", "IO* II! IB* BO* BI! BB*"),
            Self::Ioe2 => rules("IOE", "OI* OE* EI* EE* II! IE!", "IE= II=", "E?*"),
            Self::Iobes => rules("IOBES", "?B* ?S*", "BI= BE= II= IE=", "S?* E?*"),
            Self::Bilou => rules("BILOU", "?B* ?U*", "BI= BL= II= IL=", "U?* L?*"),
        }
    }
}

impl<'a> Tag<'a> {
    fn new(tag: &str, kind: &'a str) -> Self {
        let prefix = tag.chars().next().unwrap_or('O');
        Self { prefix, kind: if kind.is_empty() { "_" } else { kind } }
    }
}

fn unknown(idx: usize, tag: &str, prefixes: &'static str) -> MetricError {
    MetricError::Tag { sentence: 0, idx, tag: tag.to_owned(), prefixes }
}

/// Says of which sentence an error is.
fn at<T>(idx: usize, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        MetricError::Tag { idx: tag_idx, tag, prefixes, .. } => {
            MetricError::Tag { sentence: idx, idx: tag_idx, tag, prefixes }
        }
        other => other,
    })
}
