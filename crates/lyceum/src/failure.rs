//! How a command ends.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

/// Exit code of a command line that cannot be read.
pub const USAGE: u8 = 2;
const REFUSED: u8 = 1;

/// How a command ended that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Done,
    /// It was interrupted, or its time was up, and a checkpoint says where to go on.
    // Training is what can be interrupted so.
    #[allow(dead_code)]
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Interrupted => 3,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// What came from outside was refused, or the world did.
    Refused(Box<Refusal>),
    /// Nobody reads standard output any more (`| head`): no error, and no more to do.
    ClosedPipe,
}

/// What failed, on which thing, why; and what to do about it.
#[derive(Debug)]
pub struct Refusal {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure that has no error behind it.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { message: message.into(), causes: vec![], hint: None }))
    }

    /// A failure with its chain of causes; a cause that the line before it says already is left
    /// out.
    pub fn of(error: &(dyn Error + 'static), hint: Option<String>) -> Self {
        let message = error.to_string();
        let (mut causes, mut said) = (vec![], message.clone());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !said.contains(&text) {
                said.clone_from(&text);
                causes.push(text);
            }
            source = cause.source();
        }
        let hint = hint.or_else(|| not_found(error));
        Self::Refused(Box::new(Refusal { message, causes, hint }))
    }

    /// A file that could not be read.
    pub fn read(path: &Path, source: &io::Error) -> Self {
        let failure = Self::new(format!("failed to read `{}`", path.display()));
        let failure = failure.because(source.to_string());
        match not_found(source) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// The same with a cause.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.causes.push(cause.into());
        }
        self
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.hint = Some(hint.into());
        }
        self
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => REFUSED,
            Self::ClosedPipe => 0,
        }
    }

    /// What is written to standard error; nothing for a closed pipe.
    pub fn text(&self, color: bool) -> String {
        let Self::Refused(refusal) = self else { return String::new() };
        let paint = |code: &str, word: &str| {
            if color { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() }
        };
        let Refusal { message, causes, hint } = &**refusal;
        let mut text = format!("{} {message}\n", paint("31", "error:"));
        for cause in causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = hint {
            let _ = writeln!(text, "\n{} {hint}", paint("36", "hint:"));
        }
        text
    }

    /// Writes [`Self::text`].
    pub fn print(&self, color: bool) {
        let _ = io::stderr().write_all(self.text(color).as_bytes());
    }
}

fn not_found(error: &(dyn Error + 'static)) -> Option<String> {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::NotFound) {
            return Some("check the path; a relative one starts at the current directory".into());
        }
        at = error.source();
    }
    None
}

/// Of standard output: commands read and write files through errors that name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::new("failed to write to standard output").because(error.to_string()),
        }
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
    data::DataError,
    models::ModelError,
    tokenize::TokenizeError,
    train::TrainError,
    train::metrics::LogError,
    crate::recipe::RecipeError,
}

impl From<generate::SamplingError> for Failure {
    fn from(error: generate::SamplingError) -> Self {
        Self::of(&error, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new("no").because("why").hint("do");
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
