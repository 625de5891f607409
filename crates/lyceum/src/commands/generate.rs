//! `lyceum generate`: text out of a model, as it comes.

mod stops;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use ::generate::{Beams, Choice, Finish, Found, Request, Sampling, Search};
use models::Model;
use serde_json::json;
use tensor::{Device, Precision};
use tokenize::{DecodeStream, Tokenizer};
use train::report::format::grouped;

use self::stops::StopFilter;
use super::load::Loaded;
use super::print;
use super::table::printable;
use crate::cli::{Filters, Generate, SamplingArgs};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::machine;

/// The longest prompt that is read.
const MAX_PROMPT_BYTES: u64 = 64 << 20;

/// Continues a text.
///
/// # Errors
/// Where the prompt, the sampling or the model is refused; before any text is written.
pub fn run(args: &Generate, env: &Env) -> Result<Exit, Failure> {
    let sampling = sampling(&args.sampling).check()?;
    let prompt = read_prompt(args)?;
    let loaded = Loaded::with(&args.model, &args.adapters, args.precision, env)?.scores_tokens()?;
    let tokenizer = loaded.tokenizer()?;
    let request = Request {
        prompt: prompt_ids(&prompt, &loaded, &tokenizer)?,
        max_tokens: args.max_tokens,
        sampling,
        seed: args.seed,
        ends: loaded.ends(&tokenizer)?,
        n_samples: args.samples,
    };
    refuse_too_large(&request, args, &loaded)?;
    let streams = args.samples == 1 && !args.json;
    if streams && io::stderr().is_terminal() {
        // The prompt is no output, but a person wants to read on from it.
        let _ = io::Write::write_all(&mut io::stderr(), printable(&prompt, true).as_bytes());
    }
    let mut writing = Writing::new(&tokenizer, &request, args, streams);
    let model = (&loaded.model, &env.device(), loaded.precision);
    let mut failed = None;
    let mut take = |row, token| match writing.push(row, token) {
        Ok(true) => ControlFlow::Continue(()),
        Ok(false) => ControlFlow::Break(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    };
    let finish = match args.beams {
        None => ::generate::generate(model, &request, take)?,
        Some(n) => {
            let found = best(model, &request, n)?;
            let ended = found.tokens.iter().try_for_each(|&token| take(0, token));
            vec![if ended.is_break() { Finish::Stopped } else { found.finish }]
        }
    };
    failed.map_or(Ok(()), Err)?;
    writing.finish()?;
    if !streams {
        writing.print(args, &prompt, &finish)?;
    }
    env.say(&writing.speed(request.prompt.len(), &finish, args.beams.is_some()));
    Ok(Exit::Done)
}

/// The best of what so many beams find.
fn best(
    model: (&Model, &Device, Precision),
    request: &Request,
    n: usize,
) -> Result<Found, Failure> {
    let repetition_penalty = request.sampling.repetition_penalty;
    let beams = Choice::Beams(Beams { n, repetition_penalty, ..Beams::default() });
    let ends = request.ends.clone();
    let search = Search { max_tokens: request.max_tokens, ends, ..Search::default() };
    let mut found = ::generate::find(model, None, &request.prompt, (&search, &beams))?;
    Ok(found.swap_remove(0))
}

pub(super) fn sampling(args: &SamplingArgs) -> Sampling {
    let &SamplingArgs { temperature, filters, repetition_penalty, greedy } = args;
    let Filters { top_k, top_p, min_p } = filters;
    let temperature = if greedy { 0.0 } else { temperature };
    Sampling { repetition_penalty, temperature, top_k, top_p, min_p }
}

/// The prompt as it is, special tokens in it being text like any other.
fn read_prompt(args: &Generate) -> Result<String, Failure> {
    let Some(path) = &args.prompt_file else {
        return Ok(args.prompt.clone().unwrap_or_default());
    };
    let mut bytes = vec![];
    let (name, read) = if path == Path::new("-") {
        let input = io::stdin().lock().take(MAX_PROMPT_BYTES + 1).read_to_end(&mut bytes);
        ("standard input".to_owned(), input)
    } else {
        let read = |file: File| file.take(MAX_PROMPT_BYTES + 1).read_to_end(&mut bytes);
        (format!("`{}`", path.display()), File::open(path).and_then(read))
    };
    if read.reading(path)? as u64 > MAX_PROMPT_BYTES {
        let problem = format!("the prompt in {name} has more than {} MiB", MAX_PROMPT_BYTES >> 20);
        return Err(Failure::new(problem).hint("give the end of it alone"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(format!("the prompt in {name} is not UTF-8 at byte {at}"))
            .hint("convert it first, such as with `iconv -f LATIN1 -t UTF-8`")
    })
}

fn prompt_ids(prompt: &str, loaded: &Loaded, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    let mut ids: Vec<u32> = tokenizer.beginning().into_iter().collect();
    ids.extend(tokenizer.encode(prompt)?);
    if ids.is_empty() {
        let end = loaded.end(tokenizer).ok_or_else(|| {
            Failure::new("the prompt is empty, and the tokenizer has no token that begins a text")
                .hint("give some text with `--prompt`")
        })?;
        ids.push(end);
    }
    let (n, max_len) = (ids.len(), loaded.max_len());
    if n > max_len {
        let (n, max) = (grouped(n as u64), grouped(max_len as u64));
        let problem = format!("the prompt has {n} tokens, the model's context is {max}");
        return Err(Failure::new(problem).hint("shorten the prompt, or give the end of it alone"));
    }
    Ok(ids)
}

/// What all rows hold is what grows without bound.
fn refuse_too_large(request: &Request, args: &Generate, loaded: &Loaded) -> Result<(), Failure> {
    let row = loaded.row_bytes(request.capacity(loaded.max_len()));
    let (n, what) = match args.beams {
        Some(n) => (n, format!("a search by {n} beams")),
        None => (args.samples, format!("the cache of {} samples", args.samples)),
    };
    let hint = "ask for fewer with `--samples` or `--beams`, or in several calls";
    machine::refuse_beyond_memory(&what, row.saturating_mul(n as u64), hint)
}

/// One sample as text.
struct Row<'t> {
    /// None once it has ended.
    stream: Option<DecodeStream<'t>>,
    stops: StopFilter,
    text: String,
    n_tokens: usize,
}

/// All samples, and what was printed of them.
struct Writing<'t> {
    rows: Vec<Row<'t>>,
    /// Whether the one sample is printed as it comes.
    streams: bool,
    on_terminal: bool,
    began: Instant,
    prefill: Option<Duration>,
}

impl<'t> Writing<'t> {
    fn new(tokenizer: &'t Tokenizer, request: &Request, args: &Generate, streams: bool) -> Self {
        let row = || Row {
            stream: Some(tokenizer.decode_stream()),
            stops: StopFilter::new(&args.stops),
            text: String::new(),
            n_tokens: 0,
        };
        Self {
            rows: (0..request.n_samples).map(|_| row()).collect(),
            streams,
            on_terminal: io::stdout().is_terminal(),
            began: Instant::now(),
            prefill: None,
        }
    }

    /// Takes a token of a row; whether more of them are wanted.
    fn push(&mut self, at: usize, token: u32) -> Result<bool, Failure> {
        self.prefill.get_or_insert_with(|| self.began.elapsed());
        let row = &mut self.rows[at];
        row.n_tokens += 1;
        let Some(stream) = &mut row.stream else { return Ok(false) };
        let passed = row.stops.push(&stream.push(token)?);
        if passed.stopped {
            row.stream = None;
        }
        self.emit(at, &passed.text)?;
        Ok(!passed.stopped)
    }

    fn emit(&mut self, at: usize, text: &str) -> Result<(), Failure> {
        self.rows[at].text += text;
        if self.streams && !text.is_empty() {
            print(&self.shown(text))?;
        }
        Ok(())
    }

    fn shown(&self, text: &str) -> String {
        if self.on_terminal { printable(text, true) } else { text.to_owned() }
    }

    /// Ends every row: what was held back comes out.
    fn finish(&mut self) -> Result<(), Failure> {
        for at in 0..self.rows.len() {
            let row = &mut self.rows[at];
            let Some(stream) = row.stream.take() else { continue };
            let rest = row.stops.push(&stream.finish()?).text + &row.stops.finish();
            self.emit(at, &rest)?;
        }
        if self.streams {
            print("\n")?;
        }
        Ok(())
    }

    /// Every sample, one after another.
    fn print(&self, args: &Generate, prompt: &str, finish: &[Finish]) -> Result<Exit, Failure> {
        let mut all = String::new();
        for (at, (Row { text, n_tokens, .. }, finish)) in self.rows.iter().zip(finish).enumerate() {
            if args.json {
                let line = json!({
                    "sample": at, "prompt": prompt, "text": text, "n_tokens": n_tokens,
                    "finish": finish_names(*finish).0, "seed": args.seed,
                });
                let _ = writeln!(all, "{line}");
            } else {
                let between = if at > 0 { "---\n" } else { "" };
                let _ = writeln!(all, "{between}{}", self.shown(text));
            }
        }
        print(&all)
    }

    /// How fast it went, and why it ended; of a search, whose tokens come when all is over, as one.
    fn speed(&self, n_prompt: usize, finish: &[Finish], is_search: bool) -> String {
        let total = self.began.elapsed();
        let prefill = self.prefill.unwrap_or(total);
        let rate = |n: usize, time: Duration| n as f64 / time.as_secs_f64().max(1e-9);
        let (n_rows, n_new) =
            (self.rows.len(), self.rows.iter().map(|row| row.n_tokens).sum::<usize>());
        let mut line = if is_search {
            let seconds = total.as_secs_f64();
            format!("prompt {n_prompt} tokens, {n_new} new tokens, in {seconds:.2} s")
        } else {
            let of_prompt = rate(n_prompt, prefill);
            format!("prompt {n_prompt} tokens, {of_prompt:.1} tokens/s; {n_new} new tokens")
        };
        if n_new > n_rows && !is_search {
            let decode = total.saturating_sub(prefill);
            let _ = write!(line, ", {:.1} tokens/s", rate(n_new - n_rows, decode));
        }
        if let [finish] = finish {
            let _ = write!(line, "; {}", finish_names(*finish).1);
        }
        line
    }
}

/// Why a sample ended, in JSON and in words.
fn finish_names(finish: Finish) -> (&'static str, &'static str) {
    match finish {
        Finish::End => ("end", "the model ended the text"),
        Finish::Stopped => ("stop", "a stop string came"),
        Finish::Length => ("length", "as many as asked for"),
        Finish::ContextFull => ("context", "the model's context is full"),
    }
}
