//! Wikitext as plain text: templates, tables, references, files and tags off; of links and
//! headings what is read.
//!
//! One pass, whatever the text: what is open lies on a stack, and what is closed is taken off the
//! end of what was written. What is never closed stays as it was typed.

/// What is inside so many others is not looked at.
const DEPTH_MAX: usize = 32;

/// How far back the beginning of a line is looked for.
const INDENT_MAX: usize = 64;

/// Elements of which nothing is read.
const SILENT: [&str; 12] = [
    "ref",
    "gallery",
    "math",
    "timeline",
    "imagemap",
    "score",
    "syntaxhighlight",
    "source",
    "graph",
    "chem",
    "templatedata",
    "mapframe",
];

/// What begins a link that is no text: files and categories, as English, and the languages with the
/// largest wikis, call them.
const SILENT_LINKS: [&str; 20] = [
    "file",
    "image",
    "category",
    "media",
    "datei",
    "bild",
    "kategorie",
    "fichier",
    "catégorie",
    "archivo",
    "categoría",
    "immagine",
    "categoria",
    "ficheiro",
    "файл",
    "категория",
    "ファイル",
    "文件",
    "分类",
    "分類",
];

/// Something that is open.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// `{{`: a template, or what calls itself a variable.
    Template,
    /// `{|`.
    Table,
    /// `[[`.
    Link,
}

/// Whether a page only points to another.
pub(super) fn is_redirect(text: &str) -> bool {
    let start = text.trim_start();
    start.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("#redirect"))
}

/// The text that is read.
pub(super) fn plain(text: &str) -> String {
    tidied(&structure(&untagged(text)))
}

/// Without comments, tags, and elements of which nothing is read.
fn untagged(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where nothing closes, nothing later does: so no end is looked for twice.
    let mut unclosed: Vec<&str> = Vec::new();
    while let Some(at) = text.find('<') {
        out.push_str(&text[..at]);
        text = &text[at..];
        if let Some(rest) = text.strip_prefix("<!--") {
            // A comment that nobody closes goes to the end, as MediaWiki has it.
            text = rest.find("-->").map_or("", |end| &rest[end + 3..]);
            continue;
        }
        let name = tag_name(text);
        let end = if name.is_empty() {
            None
        } else {
            text[1..].find(['>', '<', '\n']).map(|end| end + 1)
        };
        let Some(end) = end.filter(|&end| text.as_bytes()[end] == b'>') else {
            out.push('<');
            text = &text[1..];
            continue;
        };
        let silent = SILENT.iter().find(|silent| name.eq_ignore_ascii_case(silent));
        let closes_itself = text[..end].ends_with('/');
        let is_end = text.starts_with("</");
        text = &text[end + 1..];
        if let Some(silent) =
            silent.filter(|name| !closes_itself && !is_end && !unclosed.contains(name))
        {
            match closing(text, silent) {
                Some(after) => text = &text[after..],
                None => unclosed.push(silent),
            }
        } else if name.eq_ignore_ascii_case("br") {
            out.push('\n');
        }
    }
    out.push_str(text);
    out
}

/// The letters after `<` or `</`.
fn tag_name(text: &str) -> &str {
    let name = text[1..].strip_prefix('/').unwrap_or(&text[1..]);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    &name[..end]
}

/// Where `</name>` ends.
fn closing(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find("</") {
        let start = from + at;
        if tag_name(&text[start..]).eq_ignore_ascii_case(name) {
            return text[start..].find('>').map(|end| start + end + 1);
        }
        from = start + 2;
    }
    None
}

/// Without templates and tables; links as what is read of them.
fn structure(text: &str) -> String {
    let (mut out, mut open) = (String::with_capacity(text.len()), Vec::<(Kind, usize)>::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '[', ']', '|']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let pair = rest.get(..2).unwrap_or("");
        // Elsewhere they are the end of a template with an empty argument, or of a parameter.
        let mut before = out.bytes().rev().take(INDENT_MAX);
        let begins_line = before.find(|byte| !b" \t:".contains(byte)).is_none_or(|b| b == b'\n');
        let starts = match pair {
            "{{" => Some(Kind::Template),
            "{|" if begins_line => Some(Kind::Table),
            "[[" => Some(Kind::Link),
            _ => None,
        };
        let ends = match pair {
            "}}" => Some(Kind::Template),
            "|}" if begins_line => Some(Kind::Table),
            "]]" => Some(Kind::Link),
            _ => None,
        };
        if let Some(kind) = starts.filter(|_| open.len() < DEPTH_MAX) {
            open.push((kind, out.len()));
        } else if let Some(kind) = ends.filter(|kind| is_in(&open, *kind)) {
            // What was opened inside and not closed ends with it.
            while let Some((opened, from)) = open.pop() {
                if opened == kind {
                    let inside = out.split_off(from);
                    if kind == Kind::Link {
                        out.push_str(link(&inside[2..]));
                    }
                    break;
                }
            }
            rest = &rest[2..];
            continue;
        }
        let len = if pair.is_ascii() && starts.is_some() { 2 } else { 1 };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

fn is_in(open: &[(Kind, usize)], kind: Kind) -> bool {
    open.iter().any(|(opened, _)| *opened == kind)
}

/// What is read of a link: what stands after its last bar, else its target.
fn link(inside: &str) -> &str {
    let target = inside.split('|').next().unwrap_or("");
    if let Some((space, _)) = target.split_once(':') {
        let space = space.trim().to_lowercase();
        let is_language =
            matches!(space.len(), 2 | 3) && space.bytes().all(|b| b.is_ascii_lowercase());
        if SILENT_LINKS.contains(&&*space) || is_language {
            return "";
        }
    }
    let read = inside.rsplit('|').next().unwrap_or("");
    read.strip_prefix(':').unwrap_or(read)
}

/// Lines without the marks of headings, lists and emphasis, addresses of links, and switches; at
/// most one empty line after another.
fn tidied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim();
        let is_rest_of_table =
            line.starts_with("|-") || line.starts_with("{|") || line.starts_with("|}");
        let is_switch = line.starts_with("__") && line.ends_with("__") && line.len() > 4;
        if is_rest_of_table || is_switch {
            continue;
        }
        let heading = line.trim_matches('=').trim();
        let line = if line.starts_with('=') && line.ends_with('=') { heading } else { line };
        let line = line.trim_start_matches(['*', '#', ':', ';']).trim_start();
        let line = entities(&addresses(&line.replace("'''", "").replace("''", "")));
        if !line.is_empty() || !(out.is_empty() || out.ends_with("\n\n")) {
            out.push_str(line.trim());
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// `[https://example.org text]` is its text.
fn addresses(line: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find('[') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_address =
            ["[http://", "[https://", "[//"].iter().any(|start| rest.starts_with(start));
        if !is_address {
            out.push('[');
            rest = &rest[1..];
            continue;
        }
        // Without an end in this line, the rest of it is as it was typed.
        let Some(end) = rest.find(']') else { break };
        out.push_str(rest[..end].split_once(' ').map_or("", |(_, text)| text));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// The entities of HTML that wikis use.
fn entities(line: &str) -> String {
    if !line.contains('&') {
        return line.to_owned();
    }
    let known = [
        ("&nbsp;", " "),
        ("&ndash;", "\u{2013}"),
        ("&mdash;", "\u{2014}"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&thinsp;", " "),
        ("&minus;", "\u{2212}"),
        ("&times;", "\u{d7}"),
        ("&amp;", "&"),
    ];
    known.iter().fold(line.to_owned(), |line, (name, text)| line.replace(name, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_is_left() {
        for (text, expected) in [
            (
                "'''Anarchism''' is a [[political philosophy|philosophy]].",
                "Anarchism is a philosophy.",
            ),
            ("a{{cite|x={{y|[[z]]}}}}b", "ab"),
            ("a<ref name=\"x\">b [[c]]</ref> d<ref name=x />e", "a de"),
            ("a<!-- b\nc -->d", "ad"),
            ("{| class=x\n|-\n| a || [[b]]\n{|\n|c\n|}\n|}\nd", "d"),
            ("{|\n|-\n| {{a|b|}} c\n| {{{d|}}}\n |}\ne", "e"),
            ("[[File:A.jpg|thumb|A [[cat]] here]]b[[Category:Cats]] [[de:Katze]]", "b"),
            ("== History ==\n* one\n*# two\n\n\n\n: three", "History\none\ntwo\n\nthree"),
            ("see [https://example.org the site] or [http://x]", "see the site or"),
            ("a&nbsp;b 1 &lt; 2", "a b 1 < 2"),
            ("x < y <b>bold</b><br/>z", "x < y bold\nz"),
            ("{{open [[a]] }", "{{open a }"),
            ("[[a|b", "[[a|b"),
            ("<ref>never closed", "never closed"),
            ("__TOC__\n\u{6c34}{{\u{6c34}}}\u{6c34}", "\u{6c34}\u{6c34}"),
            ("[[:Category:Cats]]", "Category:Cats"),
            ("a[b]c [1]", "a[b]c [1]"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        assert!(is_redirect(" #REDIRECT [[a]]") && !is_redirect("#re"));
    }

    #[test]
    fn nothing_takes_long() {
        for piece in [
            "{{", "[[", "{|", "<ref>", "<", "</ref", "]]", "[[a|{{", "[http://", "<!--", "\n{|",
            "[", "&", "=\n", "{|\n|} ",
        ] {
            let text = piece.repeat(1 << 16);
            plain(&text);
            plain(&(text + "}}]]|}</ref>"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(
            text in concat!(
                r"(\{\{|\}\}|\[\[|\]\]|\{\||\|\}|<ref>|</ref>|<!--|-->|<br/>|\||\n|=|'''",
                r"|a| |\x{6c34}|:|\*|&){0,60}",
            )
        ) {
            let once = plain(&text);
            prop_assert!(once.len() <= text.len());
        }
    }
}
