//! `lyceum run`: what a model's head does, on lines of text.

use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::sync::Arc;

use nn::{Context, Head, Mask};
use serde_json::{Value, json};
use tensor::{Tape, Var};
use tokenize::{Encoded, Tokenizer};

use super::load::Loaded;
use super::print;
use super::table::printable;
use crate::cli::{Pooling, Run};
use crate::environment::Env;
use crate::estimate::forward_bytes;
use crate::failure::{Exit, Failure};
use crate::machine;

/// Runs every line through the model.
///
/// # Errors
/// Where the model, its tokenizer or a line is refused.
pub fn run(args: &Run, env: &Env) -> Result<Exit, Failure> {
    let loaded = Loaded::open(&args.model, args.precision, env)?;
    loaded.reads_text()?;
    let tokenizer = loaded.tokenizer()?;
    let what = What::of(&loaded, &tokenizer)?;
    let mut model = Runner { args, env, loaded: &loaded, tokenizer: &tokenizer, what };
    if args.input != "-" {
        return model.lines(std::slice::from_ref(&args.input));
    }
    let mut batch = Vec::with_capacity(args.batch);
    for line in io::stdin().lock().lines() {
        batch.push(line?);
        if batch.len() == args.batch {
            model.lines(&batch)?;
            batch.clear();
        }
    }
    model.lines(&batch)
}

/// What the head does.
#[derive(Clone, Copy)]
enum What {
    Embed,
    Fill { mask: u32 },
    Classify,
}

impl What {
    fn of(loaded: &Loaded, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let stack = loaded.model.stack();
        let sees_all = stack.config().trunk.layer(0).pattern == tensor::Pattern::Full;
        match stack.heads.first() {
            None => Ok(Self::Embed),
            Some((name, _)) if *name == "pooler_output" => Ok(Self::Embed),
            Some((_, Head::Pooled(_) | Head::Embedding(_))) => Ok(Self::Classify),
            Some((_, Head::Token(_))) if sees_all => {
                let mask = tokenizer.special_ids().mask.ok_or_else(|| {
                    Failure::new("the model fills in masks, and its tokenizer has no mask token")
                        .hint("copy the tokenizer the model was trained with")
                })?;
                Ok(Self::Fill { mask })
            }
            Some((_, Head::Token(_))) => {
                Err(Failure::new("the model continues a text").hint("use `lyceum generate`"))
            }
        }
    }
}

struct Runner<'r> {
    args: &'r Run,
    env: &'r Env,
    loaded: &'r Loaded,
    tokenizer: &'r Tokenizer,
    what: What,
}

impl Runner<'_> {
    /// Runs some lines at once, and prints what comes of each.
    fn lines(&mut self, lines: &[String]) -> Result<Exit, Failure> {
        if lines.is_empty() {
            return Ok(Exit::Done);
        }
        let encoded = self.encode(lines)?;
        let len = encoded.iter().map(|e| e.ids.len()).max().unwrap_or(0).max(1);
        let shape = [lines.len(), len];
        let model = &self.loaded.model;
        let width = model.stack().config().trunk.d_model;
        let needed =
            forward_bytes(model.stack(), self.loaded.precision, shape, width, (false, false));
        let hint = "give fewer lines at once with `--batch`, or shorter ones";
        machine::refuse_beyond_memory("the forward pass", needed, hint)?;
        let padded = |of: fn(&Encoded) -> &[u32]| -> Arc<[u32]> {
            let row = |e: &Encoded| {
                let mut row = of(e).to_vec();
                row.resize(len, 0);
                row
            };
            encoded.iter().flat_map(row).collect()
        };
        let segments: Arc<[u32]> =
            encoded.iter().flat_map(|e| (0..len).map(|i| u32::from(i < e.ids.len()))).collect();
        let device = self.env.device();
        let tape = Tape::new(&device, &model.params, self.loaded.precision);
        let mut ctx = Context::plain(shape[0], len);
        ctx.call.mask = Mask { segments: Some(segments), keys_only: true };
        ctx.call.types = vec![Some(padded(|e| &e.type_ids))];
        let ids = padded(|e| &e.ids);
        let hidden = model.stack().forward(&tape, &ids, shape, &mut ctx);
        let out = match self.what {
            What::Embed => self.embed(&hidden, &encoded, lines),
            What::Classify => self.classify(&tape, &hidden, lines),
            What::Fill { mask } => self.fill((&tape, &hidden), mask, &encoded, lines)?,
        };
        print(&out)
    }

    fn encode(&self, lines: &[String]) -> Result<Vec<Encoded>, Failure> {
        let max_len = self.loaded.max_len();
        let encode = |line: &String| {
            let encoded = match self.what {
                What::Fill { .. } => self.tokenizer.encode_for_model_with_specials(line, None)?,
                What::Embed | What::Classify => self.tokenizer.encode_for_model(line, None)?,
            };
            let n = encoded.ids.len();
            if n > max_len {
                let start: String = line.chars().take(40).collect();
                let problem = format!("`{start}..` has {n} tokens, the model's context {max_len}");
                return Err(Failure::new(problem).hint("cut the line into parts"));
            }
            Ok(encoded)
        };
        lines.iter().map(encode).collect()
    }

    fn embed(&self, hidden: &Var, encoded: &[Encoded], lines: &[String]) -> String {
        let &[_, len, d] = hidden.value().shape() else { panic!("{:?}", hidden.value().shape()) };
        let values = hidden.value().to_vec();
        let mut out = String::new();
        for ((row, encoded), line) in values.chunks_exact(len * d).zip(encoded).zip(lines) {
            let n = match self.args.pooling {
                Pooling::Mean => encoded.ids.len().max(1),
                Pooling::Cls => 1,
            };
            let mut vector = vec![0.0_f32; d];
            for token in row.chunks_exact(d).take(n) {
                vector.iter_mut().zip(token).for_each(|(sum, x)| *sum += x / n as f32);
            }
            if !self.args.no_normalize {
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                for x in &mut vector {
                    *x /= length;
                }
            }
            let _ = writeln!(out, "{}", json!({ "text": line, "embedding": vector }));
        }
        out
    }

    fn classify<'a>(&'a self, tape: &Tape<'a>, hidden: &Var, lines: &[String]) -> String {
        let stack = self.loaded.model.stack();
        let Some((_, Head::Pooled(head))) = stack.heads.first() else { panic!("no classifier") };
        let scores = head.forward(tape, hidden).value().to_vec();
        let n = scores.len() / lines.len();
        let config = self.loaded.model.config.family().to_json();
        let label = |i: usize| {
            let said = config["id2label"][i.to_string()].as_str();
            said.map_or_else(|| format!("LABEL_{i}"), str::to_owned)
        };
        let mut out = String::new();
        for (scores, line) in scores.chunks_exact(n).zip(lines) {
            let likely = likeliest(scores, self.args.top);
            let named: Vec<_> = likely.into_iter().map(|(i, p)| (label(i), p)).collect();
            self.say(&mut out, line, &named);
        }
        out
    }

    fn fill<'a>(
        &'a self,
        (tape, hidden): (&Tape<'a>, &Var),
        mask: u32,
        encoded: &[Encoded],
        lines: &[String],
    ) -> Result<String, Failure> {
        let len = hidden.value().shape()[1];
        let mut out = String::new();
        let head = self.loaded.model.stack().token_head().expect("it fills in masks");
        for (row, (encoded, line)) in encoded.iter().zip(lines).enumerate() {
            let masks = encoded.ids.iter().enumerate().filter(|(_, id)| **id == mask);
            let at: Arc<[u32]> = masks.map(|(i, _)| (row * len + i) as u32).collect();
            if at.is_empty() {
                let token = self.tokenizer.token(mask).unwrap_or_default();
                let start: String = line.chars().take(40).collect();
                let problem = format!("`{start}` has no `{token}`, and the model fills in that");
                return Err(Failure::new(problem).hint("put it where a word is missing"));
            }
            let logits = head.logits(tape, &tape.select_rows(hidden, &at)).value().to_vec();
            for scores in logits.chunks_exact(logits.len() / at.len()) {
                let token = |i: usize| self.tokenizer.decode(&[i as u32]).unwrap_or_default();
                let likely = likeliest(scores, self.args.top);
                let named: Vec<_> = likely.into_iter().map(|(i, p)| (token(i), p)).collect();
                self.say(&mut out, line, &named);
            }
        }
        Ok(out)
    }

    /// One line of what is likely.
    fn say(&self, out: &mut String, line: &str, named: &[(String, f32)]) {
        if self.args.json {
            let named: Vec<Value> =
                named.iter().map(|(name, p)| json!({ "name": name, "p": p })).collect();
            let _ = writeln!(out, "{}", json!({ "text": line, "likely": named }));
        } else {
            let named: Vec<_> = named
                .iter()
                .map(|(name, p)| format!("{} {:.1} %", printable(name.trim(), false), 100.0 * p))
                .collect();
            let _ = writeln!(out, "{}", named.join(", "));
        }
    }
}

/// The largest scores with their probabilities.
fn likeliest(scores: &[f32], top: usize) -> Vec<(usize, f32)> {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = scores.iter().map(|x| (x - max).exp()).sum();
    let mut all: Vec<_> = scores.iter().map(|x| (x - max).exp() / sum).enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(top);
    all
}
