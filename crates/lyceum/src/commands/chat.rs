//! `lyceum chat`: a conversation with a model, in the words of its own template.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::ops::ControlFlow;
use std::path::Path;

use ::checkpoint::{OsDisk, atomic};
use ::generate::{Decoder, Draw, Finish, Search, draw};
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
    let loaded = Loaded::with(&args.model, &args.adapters, args.precision, env)?.scores_tokens()?;
    let tokenizer = loaded.tokenizer()?;
    let template = loaded.chat_template(&tokenizer)?;
    let device = env.device();
    let mut heard = Heard {
        decoder: Decoder::new(&loaded.model, &device, loaded.precision, [1, 0]),
        tokens: vec![],
    };
    let search =
        Search { max_tokens: args.max_tokens, ends: loaded.ends(&tokenizer)?, ..Search::default() };
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
        let line = line.context("failed to read standard input")?;
        match talk.take(line.trim(), env) {
            Taken::Turn => {}
            Taken::Command => continue,
            Taken::End => break,
        }
        let prompt = match talk.prompt(&loaded) {
            Err(failure) if is_person => {
                talk.messages.pop();
                env.warn(failure.text(false).trim_start_matches("error: "));
                continue;
            }
            prompt => prompt?,
        };
        let n =
            heard.keep(&prompt, loaded.max_len().min(prompt.len().saturating_add(args.max_tokens)));
        env.debug(|| format!("{n} of {} tokens were read before", prompt.len()));
        let seed = args.seed.wrapping_add(talk.messages.len() as u64);
        let how = Draw { sampling, seed, n_samples: 1, first_row: 0 };
        let (answer, finish) = heard.answer(&tokenizer, &prompt, (&search, &how))?;
        talk.messages.push(Message::new("assistant", &answer));
        match finish {
            Finish::Length => env.say("(cut: `--max-tokens` allows more)"),
            Finish::ContextFull => env.warn("the model's context is full: begin anew, `/reset`"),
            Finish::End | Finish::Stopped => {}
        }
    }
    Ok(Exit::Done)
}

/// What the model has read and written.
struct Heard<'m> {
    decoder: Decoder<'m>,
    tokens: Vec<u32>,
}

impl Heard<'_> {
    /// Forgets what is no beginning of `prompt`, and makes room for `capacity` positions; how many
    /// tokens of it are left.
    fn keep(&mut self, prompt: &[u32], capacity: usize) -> usize {
        let same = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // Something is left to be read: what follows is scored by it.
        let n = same.min(prompt.len() - 1);
        self.decoder.rewind(n, capacity);
        n
    }

    /// Streams one answer to standard output; what it is, and why it ended.
    fn answer(
        &mut self,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        how: (&Search, &Draw),
    ) -> Result<(String, Finish), Failure> {
        let (mut text, mut stream) = (String::new(), tokenizer.decode_stream());
        let on_terminal = io::stdout().is_terminal();
        let mut failed = None;
        let mut say = |piece: &str| {
            text += piece;
            print(&if on_terminal { printable(piece, true) } else { piece.to_owned() }).map(|_| ())
        };
        self.tokens = prompt.to_vec();
        let drawn = draw(&mut self.decoder, prompt, how, |_, token| {
            self.tokens.push(token);
            let pushed = stream.push(token).map_err(Failure::from).and_then(|piece| say(&piece));
            match pushed {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => {
                    failed = Some(failure);
                    ControlFlow::Break(())
                }
            }
        });
        // The last one was not shown to the model.
        self.tokens.truncate(self.decoder.len());
        failed.map_or(Ok(()), Err)?;
        let finish = drawn?[0];
        say(&stream.finish()?)?;
        print("\n")?;
        Ok((text, finish))
    }
}

/// A conversation.
struct Talk<'t> {
    args: &'t Chat,
    template: &'t ChatTemplate,
    tokenizer: &'t Tokenizer,
    messages: Vec<Message>,
}

/// What a line was.
enum Taken {
    Turn,
    Command,
    End,
}

impl Talk<'_> {
    /// Takes a line: a command is done, a turn is added.
    fn take(&mut self, line: &str, env: &Env) -> Taken {
        match line {
            "" => {}
            "/quit" | "/exit" => return Taken::End,
            "/reset" => {
                self.reset();
                env.say("a new conversation");
            }
            command if command == "/save" || command.starts_with("/save ") => {
                let file = command["/save".len()..].trim();
                match self.save(Path::new(file)) {
                    _ if file.is_empty() => env.warn("`/save` needs the name of a file"),
                    Ok(()) => env.say(&format!("saved in `{file}`")),
                    Err(failure) => env.warn(failure.text(false).trim_start_matches("error: ")),
                }
            }
            command if command.starts_with('/') => {
                env.warn(&format!("`{command}` is no command: {COMMANDS}"));
            }
            text => {
                self.messages.push(Message::new("user", text));
                return Taken::Turn;
            }
        }
        Taken::Command
    }

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
        if n == 0 {
            return Err(Failure::new("the chat template makes nothing of the conversation")
                .hint("compare `chat_template` with that of the model's source"));
        }
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
