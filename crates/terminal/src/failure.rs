//! How a command ends.

use std::error::Error;
use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::path::Path;

use curate::RemoteError;
use curate::crawl::CrawlError;
use curate::dedup::DedupError;
use nn::ConfigError;

use crate::table::printable;

/// How a command ended that was not refused; the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// It was interrupted, or its time was up, and a checkpoint says where to go on.
    Interrupted = 3,
}

/// Why a command did not do what it was asked to: what failed, on which thing, why; and what to do
/// about it.
#[derive(Debug, Default)]
pub struct Failure {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// Nobody reads standard output any more (`| head`): no error, and no more to do.
    is_closed_pipe: bool,
}

impl Failure {
    /// A failure that has no error behind it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A failure with its chain of causes; a cause that the line before it says already is left
    /// out.
    pub fn of(error: &(dyn Error + 'static), hint: Option<String>) -> Self {
        let mut failure = Self::new(error.to_string());
        let mut said = failure.message.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !said.contains(&text) {
                said.clone_from(&text);
                failure.causes.push(text);
            }
            source = cause.source();
        }
        failure.hint = hint.or_else(|| hint_of_system(error).map(str::to_owned));
        failure
    }

    /// What it said so far as the cause of `message`.
    fn says(mut self, message: impl Into<String>) -> Self {
        let why = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, why);
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        u8::from(!self.is_closed_pipe)
    }

    /// What is written to standard error; nothing for a closed pipe.
    pub fn text(&self, color: bool) -> String {
        let Self { message, causes, hint, is_closed_pipe } = self;
        if *is_closed_pipe {
            return String::new();
        }
        let paint = |code: &str, word: &str| {
            if color { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() }
        };
        let mut text = format!("{} {}\n", paint("31", "error:"), printable(message, true));
        for cause in causes {
            let _ = writeln!(text, "  caused by: {}", printable(cause, true));
        }
        if let Some(hint) = hint {
            let _ = writeln!(text, "\n{} {}", paint("36", "hint:"), printable(hint, true));
        }
        text
    }

    /// Writes [`Self::text`].
    pub fn print(&self, color: bool) {
        let _ = io::stderr().write_all(self.text(color).as_bytes());
    }
}

/// Says what an error of the system, or of a crate, put an end to.
pub trait Context<T>: Sized {
    /// The error as the cause of `message`.
    ///
    /// # Errors
    /// Where there is one.
    fn context(self, message: impl Into<String>) -> Result<T, Failure>;

    /// The error as the cause of a file not being read.
    ///
    /// # Errors
    /// Where there is one.
    fn reading(self, path: &Path) -> Result<T, Failure> {
        self.context(format!("failed to read `{}`", path.display()))
    }
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::of(&error, None).says(message))
    }
}

/// What to do about what the system said, where that is known.
fn hint_of_system(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use io::ErrorKind::{FileTooLarge, NotFound, PermissionDenied};
    use io::ErrorKind::{InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    let Some(system) = error.downcast_ref::<io::Error>() else {
        return hint_of_system(error.source()?);
    };
    if let Some(answer) = system.get_ref().and_then(|inner| inner.downcast_ref::<RemoteError>()) {
        return answer.hint();
    }
    Some(match system.kind() {
        NotFound => "check the path; a relative one starts at the current directory",
        PermissionDenied => "ask its owner for the right, or give a path that you may use",
        IsADirectory => "name a file: this is a directory",
        NotADirectory => "a file is where a directory is needed: give another path",
        InvalidInput => "name an ordinary file: this is a device, a pipe or the like",
        InvalidFilename => "give it another name: a shorter one, in UTF-8",
        FileTooLarge => "it is far larger than a file of its kind: is it the right one?",
        InvalidData => "it is not UTF-8 text: is it the right file?",
        _ => return None,
    })
}

/// Of standard output: commands read and write files through errors that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_closed_pipe, ..Self::of(&error, None).says("failed to write to standard output") }
    }
}

macro_rules! with_hints {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let hint = error.hint();
                Self::of(&error, hint)
            }
        }
    )*};
}

with_hints! {
    checkpoint::CheckpointError,
    datasets::DatasetError,
    data::DataError,
    evaluate::EvalError,
    generate::GenerateError,
    hub::HubError,
    models::ModelError,
    tasks::DialogueError,
    tokenize::ChatError,
    tokenize::TokenizeError,
    train::TrainError,
    train::metrics::LogError,
}

impl From<CrawlError> for Failure {
    fn from(error: CrawlError) -> Self {
        match error {
            CrawlError::Duplicates(error) => error.into(),
            error => Self::of(&error, error.hint().map(str::to_owned)),
        }
    }
}

/// Those whose message ends with the hint.
impl From<DedupError> for Failure {
    fn from(error: DedupError) -> Self {
        let text = error.to_string();
        let (message, hint) = match text.split_once("\n\nhint: ") {
            Some((message, hint)) => (message, Some(hint.to_owned())),
            None => (text.as_str(), None),
        };
        Self { message: message.to_owned(), ..Self::of(&error, hint) }
    }
}

impl From<generate::SamplingError> for Failure {
    fn from(error: generate::SamplingError) -> Self {
        let flag = error.field.replace('_', "-");
        Self::new(format!("`--{flag}` is {}, expected {}", error.value, error.expected))
            .hint("change it, or leave it out: `lyceum generate --help` tells what it does")
    }
}

/// A field, its value, whether that fits, and what would.
pub type Value<'v> = (&'v str, &'v dyn Display, bool, &'v str);

/// Refuses the first value that does not fit.
///
/// # Errors
/// With it.
pub fn within(values: &[Value]) -> Result<(), Failure> {
    match values.iter().find(|(_, _, fits, _)| !fits) {
        None => Ok(()),
        Some((field, value, _, range)) => Err(refused(field, format!("{value} is not {range}"))),
    }
}

/// A value that is refused.
pub fn refused(field: &str, problem: impl Display) -> Failure {
    let hint = match field {
        "model.n_heads" => "make `model.d_model` a multiple of `model.n_heads`".to_owned(),
        field => format!("change it in the recipe, or with `--set {field}=VALUE`"),
    };
    Failure::new(format!("recipe: `{field}`: {problem}")).hint(hint)
}

/// A model that cannot be built, in the recipe's words.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let field = match error.field {
            "vocab_size" => "tokenizer.vocab_size".to_owned(),
            "max_len" => "data.seq_len".to_owned(),
            // As the family's own config has it.
            "nhead" => "model.n_heads".to_owned(),
            "d_embed" => "model.d_model".to_owned(),
            field if field.ends_with("dropout") => "model.dropout".to_owned(),
            field => format!("model.{field}"),
        };
        refused(&field, error.problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Err::<(), _>(io::Error::other("why")).context("no").expect_err("it is");
        let failure = failure.hint("do");
        let steering = Failure::new("\u{1b}[2J").hint("\u{7}").text(false);
        assert_eq!(steering, "error: \u{fffd}[2J\n\nhint: \u{fffd}\n");
        assert_eq!(failure.text(false), "error: no\n  caused by: why\n\nhint: do\n");
        assert!(failure.text(true).starts_with("\u{1b}[1;31merror:\u{1b}[0m no"));
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn a_closed_pipe_is_silent_success() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.text(true).as_str(), failure.code()), ("", 0));
    }

    #[test]
    fn a_cause_is_said_once() {
        let missing = Path::new("no/such");
        let error = checkpoint::resolve(missing).expect_err("not there");
        let text = Failure::from(error).text(false);
        assert_eq!(text.matches("caused by").count(), 1, "{text}");
        assert!(text.contains("hint: check the path"), "{text}");
    }
}
