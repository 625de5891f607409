//! What the head of a model of texts does: embed, fill in masks, classify.

use std::fmt::Write as _;
use std::sync::Arc;

use nn::{Context, Head, Mask};
use serde_json::{Value, json};
use tensor::{Tape, Var};
use tokenize::{Encoded, Tokenizer};

use super::inputs::{Input, in_batches};
use super::npy::Npy;
use crate::cli::{Pooling, Run};
use crate::commands::load::Loaded;
use crate::commands::print;
use crate::commands::table::printable;
use crate::environment::Env;
use crate::estimate::forward_bytes;
use crate::failure::{Exit, Failure};
use crate::machine;

/// Runs every text through the model.
///
/// # Errors
/// Where the model, its tokenizer or a text is refused.
pub fn run(args: &Run, env: &Env, loaded: &Loaded) -> Result<Exit, Failure> {
    loaded.reads_text()?;
    let tokenizer = &loaded.tokenizer()?;
    let what = What::of(loaded, tokenizer)?;
    let mut out = None;
    if let Some(path) = &args.out {
        if !matches!(what, What::Embed) {
            return Err(Failure::new("`--out` is for embeddings, and the model makes none")
                .hint("leave it out: what the model says is written to standard output"));
        }
        out = Some(Npy::create(path, loaded.model.stack().config().trunk.d_model)?);
    }
    let mut model = Runner { args, env, loaded, tokenizer, what, out };
    in_batches(args, |_, inputs| model.texts(inputs))?;
    if let Some(out) = model.out {
        env.say(&format!("{} embeddings", out.finish()?));
    }
    Ok(Exit::Done)
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
    /// Where embeddings go instead of standard output.
    out: Option<Npy>,
}

impl Runner<'_> {
    /// Runs some texts at once, and prints what comes of each.
    fn texts(&mut self, inputs: &[Input]) -> Result<(), Failure> {
        let encoded = self.encode(inputs)?;
        let len = encoded.iter().map(|e| e.ids.len()).max().unwrap_or(0).max(1);
        let shape = [inputs.len(), len];
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
            What::Embed => {
                let vectors = self.embed(&hidden, &encoded);
                if let Some(out) = &mut self.out {
                    return vectors.iter().try_for_each(|vector| out.push(vector));
                }
                let line = |(input, vector): (&Input, &Vec<f32>)| {
                    format!("{}\n", input.json("embedding", &json!(vector)))
                };
                inputs.iter().zip(&vectors).map(line).collect()
            }
            What::Classify => self.classify(&tape, &hidden, inputs),
            What::Fill { mask } => self.fill((&tape, &hidden), mask, &encoded, inputs)?,
        };
        print(&out).map(|_| ())
    }

    fn encode(&self, inputs: &[Input]) -> Result<Vec<Encoded>, Failure> {
        let max_len = self.loaded.max_len();
        let encode = |input: &Input| {
            let (text, pair) = (&*input.text, input.pair.as_deref());
            let encoded = match self.what {
                What::Fill { .. } => self.tokenizer.encode_for_model_with_specials(text, pair)?,
                What::Embed | What::Classify => self.tokenizer.encode_for_model(text, pair)?,
            };
            let n = encoded.ids.len();
            if n > max_len {
                let start = input.start();
                let problem = format!("`{start}..` has {n} tokens, the model's context {max_len}");
                return Err(Failure::new(problem).hint("cut the text into parts"));
            }
            Ok(encoded)
        };
        inputs.iter().map(encode).collect()
    }

    /// A vector a text.
    fn embed(&self, hidden: &Var, encoded: &[Encoded]) -> Vec<Vec<f32>> {
        let &[_, len, d] = hidden.value().shape() else { panic!("{:?}", hidden.value().shape()) };
        let values = hidden.value().to_vec();
        let pool = |(row, encoded): (&[f32], &Encoded)| {
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
            vector
        };
        values.chunks_exact(len * d).zip(encoded).map(pool).collect()
    }

    fn classify<'a>(&'a self, tape: &Tape<'a>, hidden: &Var, inputs: &[Input]) -> String {
        let stack = self.loaded.model.stack();
        let Some((_, Head::Pooled(head))) = stack.heads.first() else { panic!("no classifier") };
        let scores = head.forward(tape, hidden).value().to_vec();
        let n = scores.len() / inputs.len();
        let config = self.loaded.model.config.family().to_json();
        let label = |i: usize| {
            let said = config["id2label"][i.to_string()].as_str();
            said.map_or_else(|| format!("LABEL_{i}"), str::to_owned)
        };
        let mut out = String::new();
        for (scores, input) in scores.chunks_exact(n).zip(inputs) {
            let likely = likeliest(scores, self.args.top);
            let named: Vec<_> = likely.into_iter().map(|(i, p)| (label(i), p)).collect();
            self.say(&mut out, input, &named);
        }
        out
    }

    fn fill<'a>(
        &'a self,
        (tape, hidden): (&Tape<'a>, &Var),
        mask: u32,
        encoded: &[Encoded],
        inputs: &[Input],
    ) -> Result<String, Failure> {
        let len = hidden.value().shape()[1];
        let mut out = String::new();
        let head = self.loaded.model.stack().token_head().expect("it fills in masks");
        for (row, (encoded, input)) in encoded.iter().zip(inputs).enumerate() {
            let masks = encoded.ids.iter().enumerate().filter(|(_, id)| **id == mask);
            let at: Arc<[u32]> = masks.map(|(i, _)| (row * len + i) as u32).collect();
            if at.is_empty() {
                let token = self.tokenizer.token(mask).unwrap_or_default();
                let start = input.start();
                let problem = format!("`{start}` has no `{token}`, and the model fills in that");
                return Err(Failure::new(problem).hint("put it where a word is missing"));
            }
            let logits = head.logits(tape, &tape.select_rows(hidden, &at)).value().to_vec();
            for scores in logits.chunks_exact(logits.len() / at.len()) {
                let token = |i: usize| self.tokenizer.decode(&[i as u32]).unwrap_or_default();
                let likely = likeliest(scores, self.args.top);
                let named: Vec<_> = likely.into_iter().map(|(i, p)| (token(i), p)).collect();
                self.say(&mut out, input, &named);
            }
        }
        Ok(out)
    }

    /// One line of what is likely.
    fn say(&self, out: &mut String, input: &Input, named: &[(String, f32)]) {
        if self.args.json {
            let named: Vec<Value> =
                named.iter().map(|(name, p)| json!({ "name": name, "p": p })).collect();
            let _ = writeln!(out, "{}", input.json("likely", &named.into()));
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
