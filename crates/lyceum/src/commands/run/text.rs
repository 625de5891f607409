//! What the head of a model of texts does: embed, fill in masks, classify texts or their tokens.

use std::cmp::Reverse;
use std::sync::Arc;

use nn::{Context, Head, Mask};
use rayon::prelude::*;
use serde_json::{Value, json};
use tensor::{Device, Tape, Var};
use tokenize::{Encoded, Tokenizer};

use super::inputs::{Input, in_batches};
use super::npy::Npy;
use super::pooling::Pool;
use super::workers::Workers;
use crate::cli::Run;
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
    let pool = Pool::of(args, &loaded.dir)?;
    let mut out = None;
    if let Some(path) = &args.out {
        if !matches!(what, What::Embed) {
            return Err(Failure::new("`--out` is for embeddings, and the model makes none")
                .hint("leave it out: what the model says is written to standard output"));
        }
        out = Some(Npy::create(path, loaded.model.stack().config().trunk.d_model)?);
    }
    let mut model = Runner { args, env, device: env.device(), loaded, tokenizer, what, pool, out };
    // Texts of about one length go through the model together, so that little of it is padding.
    let window = if args.batch == 1 { 1 } else { args.batch.saturating_mul(WINDOW) };
    in_batches(args, window, |first, inputs| model.texts(first, inputs))?;
    if let Some(out) = model.out {
        env.say(&format!("{} embeddings", out.finish()?));
    }
    Ok(Exit::Done)
}

/// Batches that are read before the first one runs.
const WINDOW: usize = 32;

/// What the head does.
#[derive(Clone, Copy)]
enum What {
    Embed,
    Fill { mask: u32 },
    Classify,
    Tag,
}

impl What {
    fn of(loaded: &Loaded, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let stack = loaded.model.stack();
        let sees_all = stack.config().trunk.layer(0).pattern == tensor::Pattern::Full;
        match stack.heads.first() {
            None => Ok(Self::Embed),
            Some((name, _)) if *name == "pooler_output" => Ok(Self::Embed),
            Some((_, Head::Pooled(_) | Head::Embedding(_))) => Ok(Self::Classify),
            Some((_, Head::Tag(_))) => Ok(Self::Tag),
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
    /// One for all batches: what one gives back, the next one takes.
    device: Device,
    loaded: &'r Loaded,
    tokenizer: &'r Tokenizer,
    what: What,
    pool: Pool,
    /// Where embeddings go instead of standard output.
    out: Option<Npy>,
}

/// What comes of a text.
enum Answer {
    /// What goes to a file.
    Vector(Vec<f32>),
    /// Lines of text or JSON.
    Said(String),
}

impl Runner<'_> {
    /// Runs some texts through the model, those of about one length together, and tells what comes
    /// of each in the order they came in.
    ///
    /// Those before one that is refused are told before it is.
    fn texts(&mut self, first: usize, inputs: &[Input]) -> Result<(), Failure> {
        let encode = |(i, input)| self.encode(first + i + 1, input);
        let encoded: Vec<_> = inputs.par_iter().enumerate().map(encode).collect();
        let n = encoded.iter().position(Result::is_err).unwrap_or(inputs.len());
        let mut encoded = encoded.into_iter();
        let good: Vec<Encoded> = encoded.by_ref().take(n).flatten().collect();
        self.run(&inputs[..n], &good)?;
        encoded.next().map_or(Ok(()), |refused| refused.map(|_| ()))
    }

    fn run(&mut self, inputs: &[Input], encoded: &[Encoded]) -> Result<(), Failure> {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        // The longest first: what does not fit into memory is refused before anything ran.
        order.sort_by_key(|&i| Reverse(encoded[i].ids.len()));
        let Some(longest) = order.first().map(|&i| encoded[i].ids.len()) else { return Ok(()) };
        let needed = self.needed_bytes([self.args.batch.min(inputs.len()), longest])?;
        let batches: Vec<&[usize]> = order.chunks(self.args.batch).collect();
        let answers = Workers::new(self.env, batches.len(), needed)?.run(|i| {
            let batch: Vec<_> = batches[i].iter().map(|&i| (&inputs[i], &encoded[i])).collect();
            self.batch(&batch)
        })?;
        let mut answers: Vec<_> = order.iter().zip(answers.into_iter().flatten()).collect();
        answers.sort_by_key(|(i, _)| **i);
        let mut text = String::new();
        for (_, answer) in answers {
            match answer {
                Answer::Vector(vector) => self.out.as_mut().expect("its place").push(&vector)?,
                Answer::Said(lines) => text += &lines,
            }
        }
        print(&text).map(|_| ())
    }

    /// What a forward pass takes.
    fn needed_bytes(&self, shape: [usize; 2]) -> Result<u64, Failure> {
        let (stack, precision) = (self.loaded.model.stack(), self.loaded.precision);
        let width = stack.config().trunk.d_model;
        let needed = forward_bytes(stack, precision, shape, width, (false, false));
        let hint = "give fewer lines at once with `--batch`, or shorter ones";
        machine::refuse_beyond_memory("the forward pass", needed, hint)?;
        Ok(needed)
    }

    fn batch(&self, batch: &[(&Input, &Encoded)]) -> Result<Vec<Answer>, Failure> {
        let len = batch.iter().map(|(_, e)| e.ids.len()).max().unwrap_or(0).max(1);
        let shape = [batch.len(), len];
        let model = &self.loaded.model;
        let padded = |of: fn(&Encoded) -> &[u32]| -> Arc<[u32]> {
            let row = |(_, e): &(&Input, &Encoded)| {
                let mut row = of(e).to_vec();
                row.resize(len, 0);
                row
            };
            batch.iter().flat_map(row).collect()
        };
        let is_text = |(_, e): &(_, &Encoded)| {
            (0..len).map(|i| u32::from(i < e.ids.len())).collect::<Vec<_>>()
        };
        let segments: Arc<[u32]> = batch.iter().flat_map(is_text).collect();
        let tape = Tape::new(&self.device, &model.params, self.loaded.precision);
        let mut ctx = Context::plain(shape[0], len);
        ctx.call.mask = Mask { segments: Some(segments), keys_only: true, prefix: 0 };
        ctx.call.types = vec![Some(padded(|e| &e.type_ids))];
        let ids = padded(|e| &e.ids);
        let hidden = model.stack().forward(&tape, &ids, shape, &mut ctx);
        match self.what {
            What::Embed => self.embed(&hidden, batch),
            What::Classify => self.classify(&tape, &hidden, batch),
            What::Tag => self.tag(&tape, &hidden, batch),
            What::Fill { mask } => self.fill((&tape, &hidden), mask, batch),
        }
    }

    fn encode(&self, number: usize, input: &Input) -> Result<Encoded, Failure> {
        let (text, pair) = (&*input.text, input.pair.as_deref());
        let encoded = match self.what {
            What::Fill { .. } => self.tokenizer.encode_for_model_with_specials(text, pair)?,
            What::Embed | What::Classify | What::Tag => {
                self.tokenizer.encode_for_model(text, pair)?
            }
        };
        let (n, max_len) = (encoded.ids.len(), self.loaded.max_len());
        if n > max_len {
            let start = input.start();
            let problem = format!(
                "text {number}, `{start}..`, has {n} tokens, the model's context {max_len}"
            );
            return Err(Failure::new(problem).hint("cut the text into parts"));
        }
        Ok(encoded)
    }

    /// A vector a text.
    fn embed(&self, hidden: &Var, batch: &[(&Input, &Encoded)]) -> Result<Vec<Answer>, Failure> {
        let &[_, len, d] = hidden.value().shape() else { panic!("{:?}", hidden.value().shape()) };
        let values = hidden.value().to_vec();
        let pool = |(row, (input, encoded)): (&[f32], &(&Input, &Encoded))| {
            let vector = self.pool.vector(&row[..encoded.ids.len() * d], d);
            finite(&vector, input)?;
            Ok(match &self.out {
                Some(_) => Answer::Vector(vector),
                None => Answer::Said(input.line("embedding", &vector)),
            })
        };
        values.chunks_exact(len * d).zip(batch).map(pool).collect()
    }

    fn classify<'a>(
        &'a self,
        tape: &Tape<'a>,
        hidden: &Var,
        batch: &[(&Input, &Encoded)],
    ) -> Result<Vec<Answer>, Failure> {
        let stack = self.loaded.model.stack();
        let Some((_, Head::Pooled(head))) = stack.heads.first() else { panic!("no classifier") };
        let scores = head.forward(tape, hidden).value().to_vec();
        let n = scores.len() / batch.len();
        let label = self.labels();
        let answer = |(scores, (input, _)): (&[f32], &(&Input, _))| {
            let likely = likeliest(finite(scores, input)?, self.args.top);
            let named: Vec<_> = likely.into_iter().map(|(i, p)| (label(i), p)).collect();
            Ok(Answer::Said(self.line(input, &named)))
        };
        scores.chunks_exact(n).zip(batch).map(answer).collect()
    }

    /// What classes are called.
    fn labels(&self) -> impl Fn(usize) -> String {
        let config = self.loaded.model.config.family().to_json();
        move |i| {
            let said = config["id2label"][i.to_string()].as_str();
            said.map_or_else(|| format!("LABEL_{i}"), str::to_owned)
        }
    }

    /// Each token with how likely its class is, or that it was put in.
    fn tag<'a>(
        &'a self,
        tape: &Tape<'a>,
        hidden: &Var,
        batch: &[(&Input, &Encoded)],
    ) -> Result<Vec<Answer>, Failure> {
        let len = hidden.value().shape()[1];
        let head = self.loaded.model.stack().tag_head().expect("it tags");
        let (scores, label) = (head.forward(tape, hidden).value().to_vec(), self.labels());
        let n = scores.len() / batch.len() / len;
        let answer = |(scores, (input, encoded)): (&[f32], &(&Input, &Encoded))| {
            let scores = finite(&scores[..encoded.ids.len() * n], input)?;
            let tag = |(&id, scores): (&u32, &[f32])| {
                let token = self.tokenizer.token(id).unwrap_or_default();
                if let [score] = scores {
                    return (token, 1.0 / (1.0 + (-score).exp()));
                }
                let (class, p) = likeliest(scores, 1)[0];
                (format!("{token}: {}", label(class)), p)
            };
            let tagged: Vec<_> = encoded.ids.iter().zip(scores.chunks_exact(n)).map(tag).collect();
            Ok(Answer::Said(self.line(input, &tagged)))
        };
        scores.chunks_exact(len * n).zip(batch).map(answer).collect()
    }

    fn fill<'a>(
        &'a self,
        (tape, hidden): (&Tape<'a>, &Var),
        mask: u32,
        batch: &[(&Input, &Encoded)],
    ) -> Result<Vec<Answer>, Failure> {
        let len = hidden.value().shape()[1];
        let head = self.loaded.model.stack().token_head().expect("it fills in masks");
        let answer = |(row, (input, encoded)): (usize, &(&Input, &Encoded))| {
            let masks = encoded.ids.iter().enumerate().filter(|(_, id)| **id == mask);
            let at: Arc<[u32]> = masks.map(|(i, _)| (row * len + i) as u32).collect();
            if at.is_empty() {
                let token = self.tokenizer.token(mask).unwrap_or_default();
                let start = input.start();
                let problem = format!("`{start}` has no `{token}`, and the model fills in that");
                return Err(Failure::new(problem).hint("put it where a word is missing"));
            }
            let logits = head.logits(tape, &tape.select_rows(hidden, &at)).value().to_vec();
            let lines = logits.chunks_exact(logits.len() / at.len()).map(|scores| {
                let token = |i: usize| self.tokenizer.decode(&[i as u32]).unwrap_or_default();
                let likely = likeliest(finite(scores, input)?, self.args.top);
                let named: Vec<_> = likely.into_iter().map(|(i, p)| (token(i), p)).collect();
                Ok(self.line(input, &named))
            });
            lines.collect::<Result<_, Failure>>().map(Answer::Said)
        };
        batch.iter().enumerate().map(answer).collect()
    }

    /// One line of what is likely.
    fn line(&self, input: &Input, named: &[(String, f32)]) -> String {
        if self.args.json {
            let named: Vec<Value> =
                named.iter().map(|(name, p)| json!({ "name": name, "p": p })).collect();
            return input.line("likely", &named);
        }
        let word = |(name, p): &(String, f32)| {
            format!("{} {:.1} %", printable(name.trim(), false), 100.0 * p)
        };
        named.iter().map(word).collect::<Vec<_>>().join(", ") + "\n"
    }
}

/// Numbers that are some.
fn finite<'v>(values: &'v [f32], input: &Input) -> Result<&'v [f32], Failure> {
    if values.iter().all(|x| x.is_finite()) {
        return Ok(values);
    }
    let problem = format!("what the model makes of `{}..` is not finite", input.start());
    Err(Failure::new(problem).hint("a weight is not, or overflows: try `--precision f32`"))
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
