//! Phrases that a record says are in its text.

use std::cmp::Reverse;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Document;
use super::noted::Tally;

const OUTSIDE: &str = "annotated spans that are empty, or not in their text";
const OVERLAPPING: &str = "annotated spans that begin inside of another";
const NONE: &str = "records that say nothing of spans";

/// Gives `document` the phrases that `json` has of it. One that is not in the text, or begins
/// inside of another, is left out and counted; blanks around one are no part of it.
///
/// # Errors
/// In words, when it is no list of pairs of numbers, or of objects with `start` and `end`.
pub(super) fn annotate(
    document: &mut Document,
    json: Option<&str>,
    tally: &Tally,
    place: &dyn Fn() -> String,
) -> Result<(), String> {
    let json = json.filter(|json| !json.trim().is_empty()).unwrap_or("null");
    let spans: Option<Vec<Span>> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let Some(mut spans) = spans else {
        tally.note().done(NONE, 1, place);
        return Ok(());
    };
    // Of those that begin together, the longest.
    spans.sort_unstable_by_key(|span| (span.start, Reverse(span.end)));
    let text = &document.text;
    let n_chars = text.chars().count() as i64;
    let (mut n_outside, mut n_overlapping) = (0, 0);
    // Where the last one ended, in characters and in bytes.
    let mut last = (0, 0);
    for Span { start, end } in spans {
        if start < 0 || end > n_chars || start >= end {
            n_outside += 1;
        } else if start < last.0 {
            n_overlapping += 1;
        } else {
            let from = last.1 + bytes_of(&text[last.1..], start - last.0);
            let to = from + bytes_of(&text[from..], end - start);
            last = (end, to);
            let phrase = &text[from..to];
            let from = to - phrase.trim_start().len();
            if phrase.trim().is_empty() {
                n_outside += 1;
            } else {
                document.spans.push(from..from + phrase.trim().len());
            }
        }
    }
    let mut noted = tally.note();
    noted.done(OUTSIDE, n_outside, place);
    noted.done(OVERLAPPING, n_overlapping, place);
    Ok(())
}

/// Bytes of the first characters of a text.
fn bytes_of(text: &str, n_chars: i64) -> usize {
    text.char_indices().nth(n_chars as usize).map_or(text.len(), |(at, _)| at)
}

/// In characters, as Python counts them.
struct Span {
    start: i64,
    end: i64,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl<'de> Visitor<'de> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`[start, end]`, or an object with `start` and `end`, in whole characters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Span, A::Error> {
        let mut number = |i| list.next_element()?.ok_or_else(|| Error::invalid_length(i, &self));
        let (start, end) = (number(0)?, number(1)?);
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Span { start, end })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Span, A::Error> {
        let (mut start, mut end) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "start" => start = Some(map.next_value()?),
                "end" => end = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let start = start.ok_or_else(|| Error::missing_field("start"))?;
        Ok(Span { start, end: end.ok_or_else(|| Error::missing_field("end"))? })
    }
}

#[cfg(test)]
mod tests;
