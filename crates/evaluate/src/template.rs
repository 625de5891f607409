//! Templates of tasks: Jinja as `lm-evaluation-harness` has it, within bounds.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use regex::Captures;
use tokenize::{ChatError, deep, python_environment};

use crate::error::Result as EvalResult;

/// Steps of one text; a usual one takes some dozens.
const FUEL: u64 = 200_000;
/// The longest templates.
const SOURCE_BYTES_MAX: usize = 64 << 10;
/// What `regex_replace` may write.
const REPLACED_BYTES_MAX: usize = 16 << 20;

/// An environment without templates.
pub(crate) fn environment() -> Environment<'static> {
    let mut env = python_environment();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    env.set_syntax(syntax.expect("the usual delimiters"));
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(100);
    env.add_filter("regex_replace", regex_replace);
    env
}

/// Python's `re.sub`, its `\1` in what is put in.
fn regex_replace(text: &str, pattern: &str, instead: &str) -> Result<String, Error> {
    let wrong = |error: regex::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let pattern = regex::Regex::new(pattern).map_err(wrong)?;
    let groups = regex::Regex::new(r"\\(\d+)").map_err(wrong)?;
    let escaped = instead.replace('$', "$$");
    let instead = groups.replace_all(&escaped, "$${$1}");
    let n_groups = instead.matches('$').count();
    let mut n_bytes = 0;
    let replaced = pattern.replace_all(text, |captures: &Captures| {
        let mut piece = String::new();
        n_bytes += instead.len() + n_groups * captures[0].len();
        if n_bytes <= REPLACED_BYTES_MAX {
            captures.expand(&instead, &mut piece);
        }
        piece
    });
    if n_bytes > REPLACED_BYTES_MAX {
        let problem = "`regex_replace` makes too much of a text";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(replaced.into_owned())
}

/// Adds a template.
///
/// # Errors
/// Where it is none, with what is wrong.
pub(crate) fn add(
    env: &mut Environment<'static>,
    name: &'static str,
    source: &str,
) -> Result<(), String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("has {} bytes, at most {SOURCE_BYTES_MAX} are read", source.len()));
    }
    deep(|| env.add_template_owned(name, source.to_owned()))
        .map_err(|error| format!("cannot be read, for there is no thread: {error}"))?
        .map_err(|error| said(&error))
}

/// What went wrong, and in which line of the template.
pub(crate) fn said(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

/// A list or another value as Python writes it in a program (`ast.literal_eval`); none where it is
/// no such text.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn literal(text: &str) -> EvalResult<Option<serde_json::Value>> {
    if text.len() > SOURCE_BYTES_MAX {
        return Ok(None);
    }
    let value = deep(|| {
        let mut env = Environment::empty();
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(100);
        let expression = env.compile_expression(text).ok()?;
        let is_plain = expression.undeclared_variables(false).is_empty();
        serde_json::to_value(expression.eval(()).ok().filter(|_| is_plain)?).ok()
    });
    Ok(value.map_err(ChatError::thread)?)
}

#[cfg(test)]
mod tests {
    use tokenize::render_bounded;

    use super::*;

    #[test]
    fn templates_do_what_jinja_does() {
        let render = |source: &str| {
            let mut env = environment();
            add(&mut env, "text", source)?;
            let template = env.get_template("text").map_err(|error| said(&error))?;
            let doc = minijinja::context! { q => "a  b", n => 2, list => ["x", "y"] };
            render_bounded(&template, doc).map_err(|error| said(&error))
        };
        assert_eq!(render("{{q}}\nA: \n"), Ok("a  b\nA: \n".into()));
        assert_eq!(render("{{q.strip().split()[1]}}"), Ok("b".into()));
        assert_eq!(render("{{q | regex_replace('(a) *', '\\\\1$-')}}"), Ok("a$-b".into()));
        assert_eq!(render("{{list[n - 1]}} {{n == 2}} {{none}}"), Ok("y True None".into()));
        assert!(render("{{nobody}}").is_err());
        assert!(render("{% for i in range(10000000) %}{% endfor %}").is_err());
        assert!(render("a\n{{ q").is_err_and(|text| text.contains("line 2")));
        let much = "x".repeat(30_000);
        for source in [
            format!("{{{{ ['{much}'] * 10000 }}}}"),
            format!("{{{{ '{much}' | regex_replace('x', '{much}') }}}}"),
            format!("{{{{ '{much}' | regex_replace('(.*)', '{}') }}}}", r"\\1".repeat(9000)),
        ] {
            assert!(render(&source).is_err(), "{}", &source[source.len() - 40..]);
        }
    }

    #[test]
    fn literals_are_those_of_python() {
        let json = |text: &str| literal(text).expect("a thread").map(|value| value.to_string());
        assert_eq!(json("['a', \"b's\", 1, -2.5]").as_deref(), Some(r#"["a","b's",1,-2.5]"#));
        assert_eq!(json("[a, b]"), None);
        assert_eq!(json("range(10)"), None);
        assert_eq!(json("no list"), None);
    }
}
