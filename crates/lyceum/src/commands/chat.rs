//! `lyceum chat`: a conversation with a model, in the words of its own template.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::ops::ControlFlow;
use std::path::Path;

use ::checkpoint::{OsDisk, atomic};
use ::generate::Request;
use serde_json::json;
use tokenize::{Chat as Conversation, ChatTemplate, Message, Tokenizer};

use super::generate::sampling;
use super::load::Loaded;
use super::print;
use super::table::printable;
use crate::cli::Chat;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};

const COMMANDS: &str =
    "/reset begins anew, /save FILE keeps the conversation, /quit or end of input leaves";

/// Talks until the input ends.
///
/// # Errors
/// Where the model is refused, has no template, or a turn cannot be encoded.
pub fn run(args: &Chat, env: &Env) -> Result<Exit, Failure> {
    let sampling = sampling(&args.sampling).check()?;
    let loaded = Loaded::open(&args.model, args.precision, env)?.scores_tokens()?;
    let tokenizer = loaded.tokenizer()?;
    let template = loaded.chat_template(&tokenizer)?;
    let device = env.device();
    let mut talk = Talk { args, template: &template, tokenizer: &tokenizer, messages: vec![] };
    talk.reset();
    if let Some(path) = &args.load {
        talk.load(path)?;
    }
    env.say(COMMANDS);
    let is_person = io::stdin().is_terminal() && !env.is_quiet();
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_person {
            let _ = io::Write::write_all(&mut io::stderr(), b"> ");
        }
        let Some(line) = lines.next() else { break };
        let line = line?;
        match line.trim() {
            "" => continue,
            "/quit" | "/exit" => break,
            "/reset" => {
                talk.reset();
                env.say("a new conversation");
                continue;
            }
            command if command.starts_with("/save") => {
                let file = command["/save".len()..].trim();
                match talk.save(Path::new(file)) {
                    Ok(()) => env.say(&format!("saved in `{file}`")),
                    Err(failure) => env.warn(&failure.text(false)),
                }
                continue;
            }
            command if command.starts_with('/') => {
                env.warn(&format!("`{command}` is no command: {COMMANDS}"));
                continue;
            }
            text => talk.messages.push(Message::new("user", text)),
        }
        let request = Request {
            prompt: talk.prompt(&loaded)?,
            max_tokens: args.max_tokens,
            sampling,
            seed: args.seed.wrapping_add(talk.messages.len() as u64),
            end: loaded.end(&tokenizer),
            n_samples: 1,
        };
        let answer = answer((&loaded, &tokenizer), &device, &request)?;
        talk.messages.push(Message::new("assistant", &answer));
    }
    Ok(Exit::Done)
}

/// Streams one answer to standard output, and returns it.
fn answer(
    (loaded, tokenizer): (&Loaded, &Tokenizer),
    device: &tensor::Device,
    request: &Request,
) -> Result<String, Failure> {
    let (mut text, mut stream) = (String::new(), tokenizer.decode_stream());
    let on_terminal = io::stdout().is_terminal();
    let mut failed = None;
    let mut say = |piece: &str| {
        text += piece;
        print(&if on_terminal { printable(piece, true) } else { piece.to_owned() }).map(|_| ())
    };
    let model = (&loaded.model, device, loaded.precision);
    let generated = ::generate::generate(model, request, |_, token| {
        let pushed = stream.push(token).map_err(Failure::from).and_then(|piece| say(&piece));
        match pushed {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                failed = Some(failure);
                ControlFlow::Break(())
            }
        }
    });
    failed.map_or(Ok(()), Err)?;
    generated?;
    say(&stream.finish()?)?;
    print("\n")?;
    Ok(text)
}

/// A conversation.
struct Talk<'t> {
    args: &'t Chat,
    template: &'t ChatTemplate,
    tokenizer: &'t Tokenizer,
    messages: Vec<Message>,
}

impl Talk<'_> {
    fn reset(&mut self) {
        self.messages = self.args.system.iter().map(|text| Message::new("system", text)).collect();
    }

    /// The tokens up to where the answer begins.
    fn prompt(&self, loaded: &Loaded) -> Result<Vec<u32>, Failure> {
        let conversation = Conversation {
            messages: &self.messages,
            add_generation_prompt: true,
            ..Conversation::default()
        };
        let ids = self.tokenizer.encode_with_specials(&self.template.render(&conversation)?)?;
        let (n, max_len) = (ids.len(), loaded.max_len());
        if n >= max_len {
            let problem = format!("the conversation has {n} tokens, the model's context {max_len}");
            return Err(Failure::new(problem).hint("begin anew with `/reset`"));
        }
        Ok(ids)
    }

    /// Writes the turns as JSON lines.
    fn save(&self, path: &Path) -> Result<(), Failure> {
        let turn = |m: &Message| format!("{}\n", json!({ "role": m.role, "content": m.content }));
        let lines: String = self.messages.iter().map(turn).collect();
        Ok(atomic::write_file(&OsDisk, path, lines.as_bytes())?)
    }

    fn load(&mut self, path: &Path) -> Result<(), Failure> {
        self.messages.clear();
        for (i, line) in fs::read_to_string(path).reading(path)?.lines().enumerate() {
            let turn: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let (Some(role), Some(content)) = (turn["role"].as_str(), turn["content"].as_str())
            else {
                let problem = format!("`{}` line {} is no turn", path.display(), i + 1);
                let hint = "a turn is an object with `role` and `content`, as `/save` writes them";
                return Err(Failure::new(problem).hint(hint));
            };
            self.messages.push(Message::new(role, content));
        }
        Ok(())
    }
}
