//! Text to text: translations, summaries, and what else a model with an encoder was trained for.

use std::fmt::Write as _;

use ::generate::{Finish, Settings, Source, encode, find};
use models::EncoderDecoder;
use serde_json::json;
use tokenize::Tokenizer;

use super::inputs::{Input, in_batches};
use super::searching::{choice, refuse_too_large, search};
use crate::cli::Run;
use crate::commands::load::Loaded;
use crate::commands::print;
use crate::commands::table::printable;
use crate::environment::Env;
use crate::failure::{Exit, Failure};

/// Writes what the model makes of every text, a line each.
///
/// # Errors
/// Where the model, its tokenizer, an option or a text is refused.
pub fn run(
    args: &Run,
    env: &Env,
    (loaded, pair): (&Loaded, &EncoderDecoder),
) -> Result<Exit, Failure> {
    if loaded.dir.join("target_vocab.json").exists() {
        let problem = format!("`{}` has a vocabulary for each language", loaded.dir.display());
        return Err(Failure::new(problem).hint("models with a common `vocab.json` are run"));
    }
    let tokenizer = loaded.tokenizer()?;
    let (settings, prefix) = loaded.settings(args.task.as_deref())?;
    let start = settings.start.ok_or_else(|| {
        Failure::new("the model's files do not say what a text starts from")
            .hint("add `decoder_start_token_id` to its `generation_config.json`")
    })?;
    loaded.writes([start])?;
    let writer = Writer { args, env, loaded, pair, tokenizer, settings, prefix, start };
    in_batches(args, args.batch, |first, inputs| writer.write(first, inputs))?;
    Ok(Exit::Done)
}

struct Writer<'w> {
    args: &'w Run,
    env: &'w Env,
    loaded: &'w Loaded,
    pair: &'w EncoderDecoder,
    tokenizer: Tokenizer,
    settings: Settings,
    /// What a task puts before a text.
    prefix: String,
    start: u32,
}

impl Writer<'_> {
    fn write(&self, first: usize, inputs: &[Input]) -> Result<(), Failure> {
        let rows = inputs.iter().map(|input| self.encode(input)).collect::<Result<Vec<_>, _>>()?;
        let len = rows.iter().map(Vec::len).max().unwrap_or(0);
        let search = search(&self.args.search, &self.settings, 1);
        let choice = choice(&self.args.search, &self.settings, first)?;
        let hint = "give fewer texts at once with `--batch`, shorter ones, or fewer `--beams`";
        let at = (self.loaded, self.pair);
        refuse_too_large(at, [rows.len(), len], (search.max_tokens, &choice), hint)?;
        let device = self.env.device();
        let at = (&self.loaded.model, &device, self.loaded.precision);
        let memory = encode(at, &Source::Tokens(&rows));
        let found = find(at, Some(memory), &[self.start], (&search, &choice))?;
        let mut out = String::new();
        for (input, found) in inputs.iter().zip(found) {
            let text = self.tokenizer.decode(&found.tokens)?;
            let text = text.trim();
            if self.args.json {
                let finish = if found.finish == Finish::End { "end" } else { "length" };
                let n = found.tokens.len();
                let line = json!({
                    "text": input.text, "output": text, "n_tokens": n, "finish": finish,
                });
                let _ = writeln!(out, "{line}");
            } else {
                // A line stays a line.
                let line = text.split('\n').map(str::trim_end).collect::<Vec<_>>().join(" ");
                let _ = writeln!(out, "{}", printable(&line, false));
            }
        }
        print(&out).map(|_| ())
    }

    fn encode(&self, input: &Input) -> Result<Vec<u32>, Failure> {
        let text = format!("{}{}", self.prefix, input.text);
        let ids = self.tokenizer.encode_for_model(&text, input.pair.as_deref())?.ids;
        let (n, max_len) = (ids.len(), self.pair.config().encoder.embed.max_len());
        if n > max_len {
            let start = input.start();
            let problem = format!("`{start}..` has {n} tokens, the model reads {max_len}");
            return Err(Failure::new(problem).hint("cut the text into parts"));
        }
        let vocab_size = self.pair.config().encoder.tokens().vocab_size;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            let token = self.tokenizer.token(*id).unwrap_or_default();
            let problem = format!("the model does not know the token `{token}` of a text");
            return Err(Failure::new(problem).hint("copy the tokenizer it was trained with"));
        }
        if ids.is_empty() {
            return Err(Failure::new("a text is empty, and the model adds no token to it")
                .hint("leave empty lines out"));
        }
        Ok(ids)
    }
}
