//! Texts through a model, some at a time: what becomes of each is in `answers`.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use models::{Architecture, CHOICES, SPANS, Stack};
use nn::{Context, Head, Mask};
use rayon::prelude::*;
use tasks::Pooling;
use tensor::{Device, Tape};
use tokenize::{Encoded, Tokenizer};
use tune::Pool;

use super::answers::Seen;
use super::inputs::{Input, in_batches};
use super::npy::Npy;
use super::workers::Workers;
use crate::cli::{self, Run};
use crate::commands::load::Loaded;
use crate::commands::print;
use crate::environment::Env;
use crate::failure::{Exit, Failure};
use crate::machine;
use recipe::estimate::forward_bytes;

/// Runs every text through the model.
///
/// # Errors
/// Where the model, its tokenizer or a text is refused.
pub fn run(args: &Run, env: &Env, loaded: &Loaded) -> Result<Exit, Failure> {
    loaded.reads_text()?;
    let tokenizer = &loaded.tokenizer()?;
    let what = What::of(loaded, tokenizer)?;
    let pool = pool(args, &loaded.dir)?;
    let mut out = None;
    if let Some(path) = &args.out {
        if !matches!(what, What::Embed) {
            return Err(Failure::new("`--out` is for embeddings, and the model makes none")
                .hint("leave it out: what the model says is written to standard output"));
        }
        out = Some(Npy::create(path, loaded.model.head_stack().config().trunk.d_model)?);
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

/// What the user says, else the model's files, else a mean of length one.
fn pool(args: &Run, dir: &Path) -> Result<Pool, Failure> {
    let told = Pool::told(dir)?.unwrap_or_default();
    let asked = args.pooling.map(|asked| match asked {
        cli::Pooling::Mean => Pooling::Mean,
        cli::Pooling::Cls => Pooling::Cls,
        cli::Pooling::Last => Pooling::Last,
        cli::Pooling::Max => Pooling::Max,
    });
    Ok(Pool {
        pooling: asked.unwrap_or(told.pooling),
        normalize: told.normalize && !args.no_normalize,
    })
}

/// Batches that are read before the first one runs.
const WINDOW: usize = 32;

/// What the head does.
#[derive(Clone, Copy)]
pub(super) enum What {
    Embed,
    Fill {
        mask: u32,
    },
    Classify,
    Tag,
    /// The place of an answer.
    Answer,
    /// One of some choices.
    Choose,
}

impl What {
    fn of(loaded: &Loaded, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let stack = loaded.model.head_stack();
        let sees_all = stack.config().trunk.layer(0).pattern == tensor::Pattern::Full;
        match stack.heads.first() {
            None => Ok(Self::Embed),
            Some((name, _)) if *name == "pooler_output" => Ok(Self::Embed),
            Some((name, _)) if *name == SPANS => Ok(Self::Answer),
            Some((name, _)) if *name == CHOICES => Ok(Self::Choose),
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

pub(super) struct Runner<'r> {
    pub(super) args: &'r Run,
    env: &'r Env,
    /// One for all batches: what one gives back, the next one takes.
    device: Device,
    pub(super) loaded: &'r Loaded,
    pub(super) tokenizer: &'r Tokenizer,
    pub(super) what: What,
    pub(super) pool: Pool,
    /// Where embeddings go instead of standard output.
    pub(super) out: Option<Npy>,
}

/// What comes of a text.
pub(super) enum Answer {
    /// What goes to a file.
    Vector(Vec<f32>),
    /// Lines of text or JSON.
    Said(String),
    /// How well a choice fits.
    Score(f32),
}

impl Runner<'_> {
    /// Runs some texts through the model, those of about one length together, and tells what comes
    /// of each in the order they came in.
    ///
    /// Those before one that is refused are told before it is.
    fn texts(&mut self, first: usize, inputs: &[Input]) -> Result<(), Failure> {
        // Each choice is a text of its own; of others there is one.
        let chooses = matches!(self.what, What::Choose);
        let parts = |(i, input): (usize, &Input)| -> Vec<(usize, Input)> {
            let choice = |choice: &String| (i, input.with_pair(choice));
            if chooses && !input.choices.is_empty() {
                return input.choices.iter().map(choice).collect();
            }
            vec![(i, input.clone())]
        };
        let parts: Vec<_> = inputs.iter().enumerate().flat_map(parts).collect();
        let encode = |(i, input): &(usize, Input)| self.encode(first + i + 1, input);
        let encoded: Vec<_> = parts.par_iter().map(encode).collect();
        let refused = encoded.iter().position(Result::is_err);
        let n_inputs = refused.map_or(inputs.len(), |at| parts[at].0);
        let n = parts.partition_point(|(i, _)| *i < n_inputs);
        let mut encoded = encoded.into_iter();
        let good: Vec<Encoded> = encoded.by_ref().take(n).flatten().collect();
        let shown: Vec<&Input> = parts[..n].iter().map(|(_, input)| input).collect();
        let mut answers = self.run(&shown, &good)?.into_iter();
        let mut text = String::new();
        for input in &inputs[..n_inputs] {
            let n = if chooses { input.choices.len() } else { 1 };
            match &answers.by_ref().take(n).collect::<Vec<_>>()[..] {
                [Answer::Vector(vector)] => self.out.as_mut().expect("its place").push(vector)?,
                [Answer::Said(lines)] => text += lines,
                scores => text += &self.choose(input, scores),
            }
        }
        print(&text)?;
        encoded.find_map(Result::err).map_or(Ok(()), Err)
    }

    fn run(&self, inputs: &[&Input], encoded: &[Encoded]) -> Result<Vec<Answer>, Failure> {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        // The longest first: what does not fit into memory is refused before anything ran.
        order.sort_by_key(|&i| Reverse(encoded[i].ids.len()));
        let Some(longest) = order.first().map(|&i| encoded[i].ids.len()) else {
            return Ok(Vec::new());
        };
        let needed = self.needed_bytes([self.args.batch.min(inputs.len()), longest])?;
        let batches: Vec<&[usize]> = order.chunks(self.args.batch).collect();
        let answers = Workers::new(self.env, batches.len(), needed)?.run(|i| {
            let batch: Vec<_> = batches[i].iter().map(|&i| (inputs[i], &encoded[i])).collect();
            self.batch(&batch)
        })?;
        let mut answers: Vec<_> = order.iter().zip(answers.into_iter().flatten()).collect();
        answers.sort_by_key(|(i, _)| **i);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// What a forward pass takes.
    fn needed_bytes(&self, shape: [usize; 2]) -> Result<u64, Failure> {
        let bytes = |stack: &Stack| {
            let width = stack.config().trunk.d_model;
            forward_bytes(stack, self.loaded.precision, shape, width, (false, false))
        };
        let mut needed = bytes(self.loaded.model.head_stack());
        if let Architecture::EncoderDecoder(pair) = &self.loaded.model.architecture {
            needed = needed.saturating_add(bytes(&pair.encoder));
        }
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
        let hidden = model.hidden(&tape, &ids, shape, &mut ctx);
        let seen = Seen { tape: &tape, hidden: &hidden, call: &ctx.call, batch };
        match self.what {
            What::Embed => self.embed(&seen),
            What::Classify | What::Choose => self.classify(&seen),
            What::Tag => self.tag(&seen),
            What::Answer => self.answer(&seen),
            What::Fill { mask } => self.fill(&seen, mask),
        }
    }

    fn encode(&self, number: usize, input: &Input) -> Result<Encoded, Failure> {
        let (text, pair) = (&*input.text, input.pair.as_deref());
        let missing = match self.what {
            What::Answer if pair.is_none() => Some(("answers questions", "`text_pair`")),
            What::Choose if pair.is_none() => Some(("chooses", "`choices`")),
            _ => None,
        };
        if let Some((does, key)) = missing {
            let start = input.start();
            let problem = format!("text {number}, `{start}..`, has no {key}: the model {does}");
            let hint = "give lines as `--jsonl`: {\"question\": \"..\", \"context\": \"..\"}, or \
                {\"text\": \"..\", \"choices\": [\"..\", \"..\"]}";
            return Err(Failure::new(problem).hint(hint));
        }
        let encoded = match self.what {
            What::Fill { .. } => self.tokenizer.encode_for_model_with_specials(text, pair)?,
            _ => self.tokenizer.encode_for_model(text, pair)?,
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
}
