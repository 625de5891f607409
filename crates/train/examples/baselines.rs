//! What counting alone finds of hidden tokens: the accuracies that a masked language model has to
//! beat, at the very tokens that a run of one is judged by.
//!
//! `cargo run --release -p train --example baselines -- RUN`
//!
//! - unigram: always the most frequent token;
//! - trigram: the token that most often follows the two before it, in training text; else the one
//!   that most often follows the last; else the unigram;
//! - between: the token most often seen between its two neighbours; else the trigram;
//! - trigram of the bare text: the same, where nothing before the token is hidden: more than the
//!   model gets to see.
//!
//! A neighbour that is hidden itself is none: the next shorter context is asked.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use data::{BatchConfig, EvalBatches, IGNORED, Store};
use tasks::{Example, Masked, Replacement, TextObjective, Unit, Vocabulary};
use tokenize::Tokenizer;

/// How often each token was seen in a context.
type Seen<C> = HashMap<C, HashMap<u32, u32>>;

/// The most frequent token of each context; of equals, the first.
fn best<C: std::hash::Hash + Eq>(seen: Seen<C>) -> HashMap<C, u32> {
    let most = |tokens: HashMap<u32, u32>| {
        tokens.into_iter().max_by_key(|&(id, n)| (n, std::cmp::Reverse(id))).map(|(id, _)| id)
    };
    seen.into_iter().filter_map(|(context, tokens)| Some((context, most(tokens)?))).collect()
}

/// The likeliest token in each context of a text.
struct Grams {
    one: HashMap<(), u32>,
    two: HashMap<u32, u32>,
    three: HashMap<[u32; 2], u32>,
    between: HashMap<[u32; 2], u32>,
}

impl Grams {
    fn of(ids: &[u32]) -> Self {
        let (mut one, mut two, mut three, mut between) =
            (Seen::new(), Seen::new(), Seen::new(), Seen::new());
        for w in ids.windows(4) {
            *one.entry(()).or_default().entry(w[2]).or_default() += 1;
            *two.entry(w[1]).or_default().entry(w[2]).or_default() += 1;
            *three.entry([w[0], w[1]]).or_default().entry(w[2]).or_default() += 1;
            *between.entry([w[1], w[3]]).or_default().entry(w[2]).or_default() += 1;
        }
        Self { one: best(one), two: best(two), three: best(three), between: best(between) }
    }

    /// After two tokens, or the last of them, or nothing known.
    fn after(&self, before: Option<u32>, last: Option<u32>) -> Option<u32> {
        let pair = before.zip(last).map(|(a, b)| [a, b]);
        let three = pair.and_then(|pair| self.three.get(&pair));
        let two = || last.and_then(|last| self.two.get(&last));
        three.or_else(two).or_else(|| self.one.get(&())).copied()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = std::env::args().nth(1).ok_or("give the directory of a run")?;
    let data = Path::new(&run).join("data");
    let tokenizer = Tokenizer::load(&data.join("tokenizer"))?;
    let [train, validation] =
        ["train.tokens", "validation.tokens"].map(|name| Store::open(&data.join(name)));
    let (train, validation) = (train?, Arc::new(validation?));
    let mut ids = vec![0; train.n_tokens() as usize];
    train.read(0, &mut ids)?;
    let seen = Grams::of(&ids);

    let recipe: toml::Table =
        std::fs::read_to_string(Path::new(&run).join("recipe.toml"))?.parse()?;
    let seq_len = recipe["data"]["seq_len"].as_integer().ok_or("no data.seq_len")? as usize;
    let rate = recipe["task"].get("mask_rate").and_then(toml::Value::as_float).unwrap_or(0.15);
    let unit = match recipe["task"].get("unit").and_then(toml::Value::as_str) {
        Some("word") => Unit::Word,
        Some("phrase") => Unit::Phrase,
        Some("span") => Unit::Span { max_words: 3 },
        _ => Unit::Token,
    };
    let batches = BatchConfig { batch: 8, seq_len, around: Masked::AROUND, ..Default::default() };
    let objective = masked(&tokenizer, rate, unit)?;
    let mut tally = Tally::default();
    for rows in EvalBatches::new(validation, batches)? {
        // As an evaluation draws them.
        for example in objective.examples(&rows?, 0) {
            tally.add(&seen, &example);
        }
    }
    let n = tally.n;
    let names = ["unigram", "trigram", "between", "trigram of the bare text"];
    for (name, right) in names.iter().zip(tally.right) {
        println!("{name}: {:.2} % of {n} hidden tokens", 100.0 * f64::from(right) / f64::from(n));
    }
    Ok(())
}

/// What a run of masked language modelling asks.
fn masked(tokenizer: &Tokenizer, rate: f64, unit: Unit) -> Result<Masked, &'static str> {
    let vocabulary = Vocabulary::of(tokenizer);
    let special = |id: Option<u32>| id.ok_or("the tokenizer is not one of masked tokens");
    Ok(Masked {
        mask: special(vocabulary.mask)?,
        begin: special(vocabulary.begin)?,
        end: special(vocabulary.end)?,
        rate,
        unit,
        replacement: Replacement::default(),
        pair: None,
        vocabulary,
    })
}

/// What was right of how many.
#[derive(Default)]
struct Tally {
    n: u32,
    right: [u32; 4],
}

impl Tally {
    fn add(&mut self, grams: &Grams, example: &Example) {
        let (ids, targets) = (&example.input.ids, &example.targets);
        // What nobody can know of a neighbour is whether it was replaced.
        let seen = |at: usize| Some(*ids.get(at)?).filter(|_| targets[at] == IGNORED);
        let bare = |at: usize| match targets[at] {
            IGNORED => Some(ids[at]),
            target => Some(target),
        };
        for at in (0..ids.len()).filter(|&at| targets[at] != IGNORED) {
            let back = |of: &dyn Fn(usize) -> Option<u32>, n| at.checked_sub(n).and_then(of);
            let (last, next) = (back(&seen, 1), seen(at + 1));
            let trigram = grams.after(back(&seen, 2), last);
            let around = last.zip(next).map(|(a, b)| [a, b]);
            let between = around.and_then(|pair| grams.between.get(&pair).copied()).or(trigram);
            let bare = grams.after(back(&bare, 2), back(&bare, 1));
            self.n += 1;
            let guesses = [grams.one.get(&()).copied(), trigram, between, bare];
            for (right, guess) in self.right.iter_mut().zip(guesses) {
                *right += u32::from(guess == Some(targets[at]));
            }
        }
    }
}
