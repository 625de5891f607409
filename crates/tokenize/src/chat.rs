//! Conversations as the text that a model was trained on.
//!
//! A chat template is a Jinja program out of a model's files, so it is bounded: in steps and bytes
//! (fuel), in depth, in the length of what it writes. It reaches no file and no other template.
//! What it may use is what `transformers`' `apply_chat_template` gives: Jinja with blocks trimmed,
//! loop controls, Python's methods, `raise_exception`, `strftime_now`, `tojson`.

mod date;
mod error;
mod json;
mod transcript;

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Template};

use crate::Tokenizer;
use crate::files::CONFIG;
use crate::settings::ROLES;
pub use error::ChatError;
use error::{Raised, TooMuch};
pub use transcript::Transcript;

/// The longest known templates have 30 KB.
const SOURCE_BYTES_MAX: usize = 128 << 10;
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// A turn takes about a hundred steps, and a step more for every 64 bytes.
const FUEL: u64 = 500_000;
const DEPTH_MAX: usize = 100;
/// Room for the deepest value or expression that so much fuel and source can make: the engine
/// walks and drops them by recursion. It is only touched where it is needed.
const STACK_BYTES: usize = 512 << 20;
const NAME: &str = "chat_template";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`; templates refuse what they do not know.
    pub role: String,
    /// What was said.
    pub content: String,
    /// What else a template may look for: `tool_calls`, `name`.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: &str, content: &str) -> Self {
        let more = serde_json::Map::new();
        Self { role: role.to_owned(), content: content.to_owned(), more }
    }
}

/// What a template is given.
#[derive(Clone, Debug, Default)]
pub struct Chat<'a> {
    /// The turns so far.
    pub messages: &'a [Message],
    /// Whether to end with the beginning of the assistant's answer.
    pub add_generation_prompt: bool,
    /// The time that `strftime_now` tells, in UTC; `None` is the system's clock.
    pub now: Option<SystemTime>,
    /// More variables: `tools`, `documents`, and a template's own (`enable_thinking`).
    pub variables: BTreeMap<String, serde_json::Value>,
}

/// A chat template that was read.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    /// `bos_token` and the others, as the template calls them.
    tokens: BTreeMap<String, String>,
}

impl Tokenizer {
    /// The chat template of the directory that the tokenizer is from: `chat_template.jinja`, else
    /// the `chat_template` of `tokenizer_config.json`, where there are several the `default`.
    ///
    /// # Errors
    /// When it is no template.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, ChatError> {
        self.chat_source()?.map(|source| self.chat_template_from(&source)).transpose()
    }

    /// The text of that template.
    ///
    /// # Errors
    /// When it is no text.
    pub fn chat_source(&self) -> Result<Option<String>, ChatError> {
        if let Some(bytes) = self.companions.get("chat_template.jinja") {
            let source = std::str::from_utf8(bytes);
            let source =
                source.map_err(|error| ChatError::NotText { reason: error.to_string() })?;
            return Ok(Some(source.to_owned()));
        }
        // It was JSON when the tokenizer was loaded.
        let config = self.companions.get(CONFIG);
        let config: serde_json::Value =
            config.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let source = match &config[NAME] {
            serde_json::Value::String(source) => Some(source.as_str()),
            serde_json::Value::Array(named) => {
                let default = named.iter().find(|entry| entry["name"] == "default");
                default.or(named.first()).and_then(|entry| entry["template"].as_str())
            }
            _ => None,
        };
        Ok(source.map(str::to_owned))
    }

    /// A template from elsewhere (a GGUF file), with this tokenizer's special tokens.
    ///
    /// # Errors
    /// When it is no template.
    pub fn chat_template_from(&self, source: &str) -> Result<ChatTemplate, ChatError> {
        let ids = self.special_ids();
        let ids = [ids.bos, ids.eos, ids.unk, ids.sep, ids.pad, ids.cls, ids.mask];
        let named = ROLES.into_iter().zip(ids);
        let tokens = named.filter_map(|(role, id)| Some((role.to_owned(), self.token(id?)?)));
        Ok(ChatTemplate { tokens: tokens.collect(), ..ChatTemplate::new(source)? })
    }
}

/// Templates whose values and methods are spelt as Python's, escaped nowhere.
pub fn python_environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_formatter(|out, state, value| {
        // As Python spells them.
        let text = match value.kind() {
            ValueKind::None => Some("None"),
            ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }),
            _ => None,
        };
        match text {
            Some(text) => out.write_str(text).map_err(Error::from),
            None => minijinja::escape_formatter(out, state, value),
        }
    });
    env
}

impl ChatTemplate {
    /// A template without special tokens.
    ///
    /// # Errors
    /// When it is no template: then the line is named.
    pub fn new(source: &str) -> Result<Self, ChatError> {
        let n_bytes = source.len();
        if n_bytes > SOURCE_BYTES_MAX {
            return Err(ChatError::TooLarge { n_bytes, limit: SOURCE_BYTES_MAX });
        }
        let mut env = python_environment();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.expect("the usual delimiters"));
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(DEPTH_MAX);
        env.add_filter("tojson", json::tojson);
        env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, message.clone());
            Err(error.with_source(Raised { message }))
        });
        let source = without_generation_tags(source);
        deep(|| env.add_template_owned(NAME, source))
            .map_err(ChatError::thread)?
            .map_err(|error| ChatError::of(&error))?;
        Ok(Self { env, tokens: BTreeMap::new() })
    }

    /// The text of a conversation, for [`Tokenizer::encode_with_specials`].
    ///
    /// # Errors
    /// When the template refuses the conversation, fails, goes on for too long or reaches for
    /// what it may not have.
    pub fn render(&self, chat: &Chat) -> Result<String, ChatError> {
        deep(|| self.bounded(chat)).map_err(ChatError::thread)?
    }

    fn bounded(&self, chat: &Chat) -> Result<String, ChatError> {
        self.text(chat).map_err(|error| ChatError::of(&error))
    }

    fn text(&self, chat: &Chat) -> Result<String, Error> {
        let mut env = self.env.clone();
        let now = chat.now.unwrap_or_else(SystemTime::now);
        env.add_function("strftime_now", move |format: &str| date::strftime(now, format));
        let none = ["tools", "documents"].map(|name| (name, Value::from(())));
        let mut context: BTreeMap<&str, Value> = none.into();
        for (name, value) in &chat.variables {
            context.insert(name, Serde(value).into());
        }
        for (name, token) in &self.tokens {
            context.insert(name, token.as_str().into());
        }
        let messages = chat.messages.iter().map(|Message { role, content, more }| {
            let own = [role, content].map(|text| Value::from(text.as_str()));
            let more = more.iter().map(|(name, value)| (name.as_str(), Serde(value).into()));
            Value::from_pairs(more.chain(["role", "content"].into_iter().zip(own)))
        });
        context.insert("messages", messages.collect());
        context.insert("add_generation_prompt", chat.add_generation_prompt.into());
        render_bounded(&env.get_template(NAME)?, context.into())
    }
}

/// What a template writes, of 16 MiB at most. Fuel does not do: it is taken of a value once that
/// was written, however large it is.
///
/// # Errors
/// Where the template fails, or writes more.
pub fn render_bounded(template: &Template, context: Value) -> Result<String, Error> {
    let mut written = Bounded::default();
    let done = template.render_captured_to(context, &mut written).map(|_| ());
    if written.is_full {
        let (kind, error) = (ErrorKind::WriteFailure, TooMuch { limit: OUTPUT_BYTES_MAX });
        return Err(Error::new(kind, error.to_string()).with_source(error));
    }
    done?;
    let no_text = |_| Error::new(ErrorKind::WriteFailure, "what is written is no text");
    String::from_utf8(written.bytes).map_err(no_text)
}

/// Takes [`OUTPUT_BYTES_MAX`] bytes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > OUTPUT_BYTES_MAX {
            self.is_full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `f` with so much stack that no template within bounds is too deep.
///
/// # Errors
/// Where the system gives no thread.
pub fn deep<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK_BYTES);
        let thread = builder.spawn_scoped(scope, f)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// `{% generation %}` marks the assistant's tokens for training and writes nothing: it becomes an
/// `if` that is always true, which trims the same blanks.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        let inner = tag.trim_start_matches(['-', '+']).trim_start();
        let word: String = inner.chars().take_while(char::is_ascii_lowercase).collect();
        let after = inner[word.len()..].trim_start().trim_start_matches(['-', '+']);
        let instead = match word.as_str() {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        out.push_str(before);
        rest = tag;
        if let (Some(instead), true) = (instead, after.starts_with("%}")) {
            out.push_str(&tag[..tag.len() - inner.len()]);
            out.push_str(instead);
            rest = &inner[word.len()..];
        }
    }
    out + rest
}
