//! Reads a Rust file as tidy needs it: what is code, what is comment, what is literal.
//!
//! A full parser would be a dependency as large as the rest of xtask; these rules only need to
//! know where a token stands, so a lexer of comments and literals is enough.

/// A Rust file and two blanked copies of it, all of the same lines.
pub struct Source {
    /// Comments and the insides of literals are spaces: only code is left.
    pub code: String,
    /// The insides of literals are spaces: code and comments are left.
    pub prose: String,
    /// Which lines (from 0) are in an inline `#[cfg(test)]` module.
    pub is_test: Vec<bool>,
}

/// One `fn` with a body.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it starts, from 0.
    pub line: usize,
    /// Lines with code on them, signature and braces included.
    pub n_lines: usize,
    /// Parameters without `self`.
    pub n_params: usize,
}

/// What the lexer stands in.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Literal { quote: char, hashes: Option<usize> },
}

impl Source {
    /// Splits `text`.
    pub fn read(text: &str) -> Self {
        let (code, prose) = blank(text);
        let is_test = test_lines(&code);
        Self { code, prose, is_test }
    }

    /// Every function with a body, in the order of the file.
    pub fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        let starts = self.code.match_indices("fn ").map(|(at, _)| at);
        starts
            .filter(|&at| at == 0 || !is_word(bytes[at - 1]))
            .filter_map(|at| function(&self.code, at))
            .collect()
    }

    /// Lines outside inline test modules, blank ones included.
    pub fn n_product_lines(&self) -> usize {
        self.is_test.iter().filter(|&&test| !test).count()
    }

    /// Lines outside inline test modules with code on them.
    pub fn n_product_code_lines(&self) -> usize {
        let lines = self.code.lines().zip(&self.is_test);
        lines.filter(|(line, test)| !**test && !line.trim().is_empty()).count()
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `(code, prose)` of `Source`. What is blanked becomes one space a character, so both copies
/// keep the lines, and `code` is ASCII wherever the code is.
fn blank(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut prose) = (String::new(), String::new());
    let (mut state, mut at) = (State::Code, 0);
    while at < chars.len() {
        let (next, len) = step(state, &chars[at..], at.checked_sub(1).map(|i| chars[i]));
        for &c in &chars[at..at + len] {
            let both = c == '\n' || (state == State::Code && next == State::Code);
            let delimiter = is_literal(state) != is_literal(next);
            let comment = matches!(state, State::LineComment | State::BlockComment { .. })
                || matches!(next, State::LineComment | State::BlockComment { .. });
            code.push(if both || delimiter { c } else { ' ' });
            prose.push(if both || delimiter || comment { c } else { ' ' });
        }
        state = next;
        at += len;
    }
    (code, prose)
}

fn is_literal(state: State) -> bool {
    matches!(state, State::Literal { .. })
}

/// The state after the next token of `rest`, and the token's length in characters.
fn step(state: State, rest: &[char], previous: Option<char>) -> (State, usize) {
    let pair = (rest[0], rest.get(1).copied().unwrap_or(' '));
    match state {
        State::Code => match pair {
            ('/', '/') => (State::LineComment, 2),
            ('/', '*') => (State::BlockComment { depth: 1 }, 2),
            ('"', _) => (State::Literal { quote: '"', hashes: None }, 1),
            ('\'', _) if is_char_literal(rest) => (State::Literal { quote: '\'', hashes: None }, 1),
            ('r', '"' | '#') if !previous.is_some_and(is_ident) => raw_string(rest),
            ('b', 'r') if !previous.is_some_and(is_ident) => match raw_string(&rest[1..]) {
                (State::Code, _) => (State::Code, 1),
                (literal, len) => (literal, len + 1),
            },
            _ => (State::Code, 1),
        },
        State::LineComment if pair.0 == '\n' => (State::Code, 1),
        State::LineComment => (state, 1),
        State::BlockComment { depth } => match pair {
            ('*', '/') if depth == 1 => (State::Code, 2),
            ('*', '/') => (State::BlockComment { depth: depth - 1 }, 2),
            ('/', '*') => (State::BlockComment { depth: depth + 1 }, 2),
            _ => (state, 1),
        },
        State::Literal { hashes: None, .. } if pair.0 == '\\' => (state, 2.min(rest.len())),
        State::Literal { quote, hashes } => {
            let n = hashes.unwrap_or(0);
            let closed =
                rest[0] == quote && rest.len() > n && rest[1..=n].iter().all(|&c| c == '#');
            if closed { (State::Code, 1 + n) } else { (state, 1) }
        }
    }
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the quote at the start opens a character, not a lifetime.
fn is_char_literal(rest: &[char]) -> bool {
    rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'')
}

/// Reads `r#"`: the literal that starts there, or code.
fn raw_string(rest: &[char]) -> (State, usize) {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) == Some(&'"') {
        (State::Literal { quote: '"', hashes: Some(hashes) }, 2 + hashes)
    } else {
        (State::Code, 1)
    }
}

/// Marks the lines of `#[cfg(test)] mod name { .. }`; rustfmt puts its end in column 0.
fn test_lines(code: &str) -> Vec<bool> {
    let lines: Vec<&str> = code.lines().collect();
    let mut marks = vec![false; lines.len()];
    let mut idx = 0;
    while idx < lines.len() {
        let opens = lines[idx].starts_with("#[cfg(test)]")
            && lines.get(idx + 1).is_some_and(|l| l.starts_with("mod ") && l.ends_with('{'));
        if opens {
            let len = lines[idx..].iter().take_while(|l| !l.starts_with('}')).count() + 1;
            let end = (idx + len).min(lines.len());
            marks[idx..end].fill(true);
            idx = end;
        } else {
            idx += 1;
        }
    }
    marks
}

/// The function whose `fn` is at `at`; none for a declaration, a pointer or a macro's pattern.
fn function(code: &str, at: usize) -> Option<Function> {
    let bytes = code.as_bytes();
    let name: String =
        code[at + 3..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut open = at + 3 + name.len();
    if name.is_empty() {
        return None;
    }
    if bytes.get(open) == Some(&b'<') {
        open = closing(bytes, open)? + 1;
    }
    let close = (bytes.get(open) == Some(&b'(')).then(|| closing(bytes, open))??;
    let body = body_start(bytes, close)?;
    let end = closing(bytes, body)?;
    Some(Function {
        line: code[..at].matches('\n').count(),
        n_lines: code[at..=end].lines().filter(|line| !line.trim().is_empty()).count(),
        n_params: n_params(&code[open + 1..close]),
        name,
    })
}

/// The `{` of the body after the parameters; none when a `;` ends the declaration.
fn body_start(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += 1;
        match bytes.get(at)? {
            b'{' => return Some(at),
            b';' => return None,
            b'(' | b'[' => at = closing(bytes, at)?,
            _ => {}
        }
    }
}

/// Where the bracket opened at `open` closes, counting brackets of its own kind.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let pair = match bytes[open] {
        b'(' => (b'(', b')'),
        b'[' => (b'[', b']'),
        b'{' => (b'{', b'}'),
        _ => (b'<', b'>'),
    };
    let mut depth = 0_usize;
    for at in open..bytes.len() {
        let arrow = bytes[at] == b'>' && bytes[at - 1] == b'-';
        if bytes[at] == pair.0 {
            depth += 1;
        } else if bytes[at] == pair.1 && !arrow {
            depth -= 1;
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Parameters between the parentheses, `self` left out.
fn n_params(list: &str) -> usize {
    let (mut depth, mut start, mut params) = (0_i32, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if list[..at].ends_with('-') => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                params.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    params.push(&list[start..]);
    let is_self = |p: &str| p.split(|c: char| !is_ident(c)).any(|word| word == "self");
    params.iter().filter(|p| !p.trim().is_empty() && !is_self(p)).count()
}

#[cfg(test)]
mod tests;
