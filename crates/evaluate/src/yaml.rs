//! YAML as a task file has it: values as `PyYAML` reads them, and where each key stands.
//!
//! Plain scalars are those of YAML 1.1 (`yes`, `on` and `off` are true or false), for that is what
//! the files were written for. Tags (`!function`) are kept as what they are, to be refused with
//! their place by who meets them. Of anchors a copy is made, within [`NODES_MAX`].

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};

/// Values of a file, with those that anchors repeat.
const NODES_MAX: usize = 100_000;
/// Lists in lists.
const DEPTH_MAX: usize = 64;

/// What is wrong with a text, and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub line: usize,
    pub problem: String,
}

/// A mapping that was read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub map: Map<String, Value>,
    /// Lines of the keys at the top, from 1.
    pub lines: HashMap<String, usize>,
}

/// Reads a text that is one mapping.
pub(crate) fn read(text: &str) -> Result<Document, YamlError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        n_nodes: 0,
        lines: HashMap::new(),
    };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Document::default()),
            (event, span) => {
                let line = span.start.line();
                return match reader.value(event, span, 0)?.0 {
                    Value::Object(map) => Ok(Document { map, lines: reader.lines }),
                    Value::Null => Ok(Document::default()),
                    _ => Err(YamlError { line, problem: "it is no mapping of keys".into() }),
                };
            }
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, (Value, usize)>,
    n_nodes: usize,
    lines: HashMap<String, usize>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let (line, problem) = (error.marker().line(), error.info().to_owned());
                Err(YamlError { line, problem })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`, and how many there are in it.
    fn value(
        &mut self,
        event: Event,
        span: Span,
        depth: usize,
    ) -> Result<(Value, usize), YamlError> {
        let line = span.start.line();
        let wrong = |problem: &str| Err(YamlError { line, problem: problem.to_owned() });
        if depth > DEPTH_MAX {
            return wrong("lists and mappings are too deep in each other");
        }
        let (value, anchor, n) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), &text, line)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                (if is_plain { plain(&text) } else { text.into_owned().into() }, anchor, 1)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some((value, n)) => (value.clone(), 0, *n),
                None => return wrong("an alias stands for nothing"),
            },
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "", line)?;
                let (mut items, mut n) = (Vec::new(), 1);
                loop {
                    let (event, span) = self.next()?;
                    match event {
                        Event::SequenceEnd => break,
                        Event::StreamEnd => return wrong("a list does not end"),
                        event => {
                            let (item, n_of) = self.value(event, span, depth + 1)?;
                            items.push(item);
                            n += n_of;
                        }
                    }
                }
                (Value::Array(items), anchor, n)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "", line)?;
                let (map, n) = self.mapping(line, depth)?;
                (Value::Object(map), anchor, n)
            }
            _ => return wrong("a value is missing"),
        };
        self.n_nodes += n;
        if self.n_nodes > NODES_MAX {
            return wrong("there are too many values");
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), n));
        }
        Ok((value, n))
    }

    fn mapping(
        &mut self,
        line: usize,
        depth: usize,
    ) -> Result<(Map<String, Value>, usize), YamlError> {
        let (mut map, mut n) = (Map::new(), 1);
        loop {
            let (event, span) = self.next()?;
            match &event {
                Event::MappingEnd => return Ok((map, n)),
                Event::StreamEnd => {
                    return Err(YamlError { line, problem: "a mapping does not end".into() });
                }
                _ => {}
            }
            let line = span.start.line();
            let key = match self.value(event, span, depth + 1)?.0 {
                Value::String(key) => key,
                key @ (Value::Bool(_) | Value::Number(_)) => key.to_string(),
                _ => return Err(YamlError { line, problem: "a key is no text".into() }),
            };
            let (event, span) = self.next()?;
            let (value, n_of) = self.value(event, span, depth + 1)?;
            n += n_of;
            if depth == 0 {
                self.lines.insert(key.clone(), line);
            }
            if map.insert(key.clone(), value).is_some() {
                return Err(YamlError { line, problem: format!("`{key}` is there twice") });
            }
        }
    }
}

/// `!!str` is no wonder; `!function` would have to run Python.
fn refuse_tag(tag: Option<&Tag>, text: &str, line: usize) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            let (handle, suffix) = (&tag.handle, &tag.suffix);
            let problem = format!("`{handle}{suffix} {text}` calls for Python, which is not run");
            Err(YamlError { line, problem })
        }
        _ => Ok(()),
    }
}

/// An unquoted scalar as YAML 1.1 has it.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return true.into();
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return false.into();
        }
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().any(|c| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || "._eE+-".contains(c));
    if is_number {
        let text = text.replace('_', "");
        let whole = text.strip_prefix('+').unwrap_or(&text);
        if let Ok(whole) = whole.parse::<i64>() {
            return whole.into();
        }
        // PyYAML takes `1e3` for a text: a float has a point.
        if let (true, Ok(number)) = (text.contains('.'), text.parse::<f64>()) {
            return Number::from_f64(number).map_or(Value::Null, Value::Number);
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_of_pyyaml() {
        let text = "a: yes\nb: \"no\"\nc: [1, -2.5, 1e3, null, x y, '']\nd:\n  e: |\n\
                    \x20   l1\n    l2\nf: &k [1]\ng: *k\nh: '{{x}}'\ni: \"\\n\\n\"\nj: 'a''b'\n";
        let document = read(text).expect("read");
        let expected = json!({
            "a": true, "b": "no", "c": [1, -2.5, "1e3", null, "x y", ""], "d": {"e": "l1\nl2\n"},
            "f": [1], "g": [1], "h": "{{x}}", "i": "\n\n", "j": "a'b",
        });
        assert_eq!(Value::Object(document.map), expected);
        assert_eq!(document.lines["d"], 4);
    }

    #[test]
    fn what_is_no_plain_mapping_is_refused_with_its_line() {
        let problem = |text: &str| read(text).map(|_| ()).expect_err(text);
        assert_eq!(problem("a: 1\nb: !function utils.f\n").line, 2);
        assert_eq!(problem("a: 1\na: 2\n").problem, "`a` is there twice");
        assert_eq!(problem("- 1\n").problem, "it is no mapping of keys");
        assert!(problem("a: [1, 2").line >= 1);
        let line = |i: usize| {
            let items = vec![format!("*a{}", i - 1); 9].join(",");
            format!("a{i}: &a{i} [{items}]")
        };
        let bomb = (1..12).map(line).collect::<Vec<_>>().join("\n");
        assert!(problem(&format!("a0: &a0 [x]\n{bomb}")).problem.contains("too many"));
        for n in [DEPTH_MAX + 1, 5000] {
            let deep = format!("a: {}1{}", "[".repeat(n), "]".repeat(n));
            assert_eq!(problem(&deep).line, 1);
        }
    }
}
