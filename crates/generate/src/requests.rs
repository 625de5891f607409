//! Many prompts and what follows each, some rows of them at once.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::slice;

use kernels::gemm::FEW_ROWS;
use models::Model;
use rayon::prelude::*;
use tensor::{Device, Precision};

use crate::decoder::Decoder;
use crate::error::GenerateError;
use crate::rules::Rules;
use crate::sampling::Sampling;
use crate::search::{Draw, Finish, Row, Search, check};

/// Rows at once, at most, that are written in about the shortest time.
pub const ROWS_AT_ONCE: usize = 64;
/// What their keys and values may take.
const CACHE_BYTES: usize = 2 << 30;
/// Tokens of prompts that are read at once.
const TOKENS: usize = 4096;

/// What is to be generated.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens it goes on from; at least one.
    pub prompt: Vec<u32>,
    /// At most so many new tokens.
    pub max_tokens: usize,
    /// How each is drawn.
    pub sampling: Sampling,
    /// Equal seeds, equal text.
    pub seed: u64,
    /// Each ends a row, and is not part of it.
    pub ends: Vec<u32>,
    /// Rows that go on from the same prompt.
    pub n_samples: usize,
}

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It gets a token.
    Token(u32),
    /// Nothing follows.
    Ended(Finish),
}

impl Request {
    /// The positions that it may take of a model that knows `max_len` of them.
    pub fn capacity(&self, max_len: usize) -> usize {
        max_len.min(self.prompt.len().saturating_add(self.max_tokens))
    }

    fn how(&self) -> (Search, Draw) {
        let &Self { max_tokens, ref ends, sampling, seed, n_samples, .. } = self;
        let search = Search { max_tokens, ends: ends.clone(), rules: Rules::default() };
        (search, Draw { sampling, seed, n_samples, first_row: 0 })
    }
}

/// All rows of one request at once: `each` sees row and token, and may stop a row. Returns why each
/// ended.
///
/// # Errors
/// As [`generate_all`].
///
/// # Panics
/// As [`generate_all`].
pub fn generate(
    at: (&Model, &Device, Precision),
    request: &Request,
    mut each: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Finish>, GenerateError> {
    let mut finish = vec![Finish::Stopped; request.n_samples];
    // Rows that are few to the end sum as such, which is faster.
    let how = (request.n_samples, request.n_samples.min(FEW_ROWS + 1));
    write(at, slice::from_ref(request), how, |[_, row], event| match event {
        Event::Token(token) => each(row, token),
        Event::Ended(why) => {
            finish[row] = why;
            ControlFlow::Continue(())
        }
    })?;
    Ok(finish)
}

/// Rows that [`generate_all`] writes at once where it may `most`, and the longest takes so many
/// positions: what 2 GiB of keys and values hold, and one at least.
pub fn rows_at_once(model: &Model, precision: Precision, positions: usize, most: usize) -> usize {
    let row = model.head_stack().cache_bytes(precision.compute, positions);
    (CACHE_BYTES / row.max(1)).min(most).max(1)
}

/// Rows of requests of a model without an encoder, `most` of them at once or as many as memory is
/// meant to hold, each as long as it is: where some end the next begin. `each` sees the request
/// and which row of it, and may stop a row at a token.
///
/// A row has the same bits whatever is beside it, whenever it begins and however many are at work:
/// products sum as those of more than [`FEW_ROWS`] rows.
///
/// # Errors
/// When the model's scores are not finite; what `each` has seen stays.
///
/// # Panics
/// When a prompt is empty, longer than the model's context or has a token that the model does not
/// know.
pub fn generate_all(
    at: (&Model, &Device, Precision),
    requests: &[Request],
    most: usize,
    each: impl FnMut([usize; 2], Event) -> ControlFlow<()>,
) -> Result<(), GenerateError> {
    let max_len = at.0.head_stack().max_len();
    let longest = requests.iter().map(|request| request.capacity(max_len)).max().unwrap_or(0);
    let n_rows = rows_at_once(at.0, at.2, longest, most);
    write(at, requests, (n_rows, FEW_ROWS + 1), each)
}

/// Rows of `requests`, `n_rows` of them at once; products sum as those of `among` rows at least.
fn write(
    (model, device, precision): (&Model, &Device, Precision),
    requests: &[Request],
    (n_rows, among): (usize, usize),
    each: impl FnMut([usize; 2], Event) -> ControlFlow<()>,
) -> Result<(), GenerateError> {
    let hows: Vec<(Search, Draw)> = requests.iter().map(Request::how).collect();
    let max_len = model.head_stack().max_len();
    for request in requests {
        check(&request.prompt, max_len);
    }
    let capacity = requests.iter().map(|request| request.capacity(max_len)).max().unwrap_or(0);
    let n_all = requests.iter().map(|request| request.n_samples).sum();
    let decoder = Decoder::new(model, device, precision, [n_rows.min(n_all), capacity]);
    let decoder = decoder.among(among).without_rows();
    let places = |(i, request): (usize, &Request)| (0..request.n_samples).map(move |row| [i, row]);
    let mut waiting = VecDeque::new();
    let mut work = InWork { requests, hows: &hows, decoder, max_len, rows: Vec::new(), each };
    for place in requests.iter().enumerate().flat_map(places) {
        let (search, n_prompt) = (&hows[place[0]].0, requests[place[0]].prompt.len());
        match search.room(max_len, n_prompt) {
            0 => _ = (work.each)(place, Event::Ended(search.finish(0))),
            _ => waiting.push_back(place),
        }
    }
    while !(work.rows.is_empty() && waiting.is_empty()) {
        let n_free = n_rows - work.rows.len();
        let mut n = 0;
        // Rows of a prompt begin together: it is read once.
        for rows in waiting.make_contiguous().chunk_by(|a, b| a[0] == b[0]) {
            if n + rows.len() > n_free {
                break;
            }
            n += rows.len();
        }
        if n == 0 && work.rows.is_empty() {
            n = n_free;
        }
        let fresh: Vec<Place> = waiting.drain(..n).collect();
        work.begin(&fresh)?;
        work.advance()?;
    }
    Ok(())
}

/// A request, and which row of it.
type Place = [usize; 2];

/// Rows that are written now.
struct InWork<'s, 'm, E> {
    requests: &'s [Request],
    hows: &'s [(Search, Draw)],
    decoder: Decoder<'m>,
    max_len: usize,
    /// Of each row of the decoder its place, and why it ended.
    rows: Vec<(Place, Row<'s>, Option<Finish>)>,
    each: E,
}

impl<E: FnMut(Place, Event) -> ControlFlow<()>> InWork<'_, '_, E> {
    /// Reads the prompts of some rows, of which those of a request are side by side, and draws the
    /// first token of each row.
    fn begin(&mut self, places: &[Place]) -> Result<(), GenerateError> {
        let requests = self.requests;
        let len = |places: &[Place]| requests[places[0][0]].prompt.len();
        let mut by_request: Vec<&[Place]> = places.chunk_by(|a, b| a[0] == b[0]).collect();
        by_request.sort_by_key(|places| len(places));
        let mut rest = &by_request[..];
        while let Some(first) = rest.first() {
            let mut n = 0;
            let fits = |places: &&&[Place]| {
                n += 1;
                // A prompt of a few tokens is summed as alone.
                n == 1 || len(first) > FEW_ROWS && n * len(places) <= TOKENS
            };
            let n = rest.iter().take_while(fits).count();
            let (some, others) = rest.split_at(n);
            self.read(some)?;
            rest = others;
        }
        Ok(())
    }

    /// Reads prompts at once, each for some rows.
    fn read(&mut self, by_request: &[&[Place]]) -> Result<(), GenerateError> {
        let (requests, hows) = (self.requests, self.hows);
        let prompt = |place: Place| &requests[place[0]].prompt[..];
        let row = |place: Place| {
            let (search, draw) = &hows[place[0]];
            (place, Row::new(prompt(place), place[1], (search, draw)), None)
        };
        let prompts: Vec<&[u32]> = by_request.iter().map(|places| prompt(places[0])).collect();
        let mut logits = self.decoder.begin(&prompts)?;
        let (vocab_size, first) = (logits.len() / prompts.len(), self.rows.len());
        self.rows.extend(by_request.iter().map(|places| row(places[0])));
        for (at, places) in by_request.iter().enumerate() {
            for &place in &places[1..] {
                self.rows.push(row(place));
                self.decoder.repeat(first + at);
                logits.extend_from_within(at * vocab_size..(at + 1) * vocab_size);
            }
        }
        self.draw(first, &mut logits);
        Ok(())
    }

    /// Shows every row its last token, and draws the next.
    fn advance(&mut self) -> Result<(), GenerateError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let last: Vec<u32> = self.rows.iter().map(|(_, row, _)| row.last()).collect();
        let mut logits = self.decoder.advance(&last)?;
        self.draw(0, &mut logits);
        Ok(())
    }

    /// Draws a token for each row from `first` on.
    fn draw(&mut self, first: usize, logits: &mut [f32]) {
        let rows = &mut self.rows[first..];
        let vocab_size = logits.len() / rows.len();
        let logits = logits.par_chunks_exact_mut(vocab_size);
        let tokens: Vec<u32> =
            rows.par_iter().zip(logits).map(|((_, row, _), z)| row.token(z)).collect();
        for ((place, row, ended), token) in rows.iter_mut().zip(tokens) {
            *ended =
                row.take(token, self.max_len, |token| (self.each)(*place, Event::Token(token)));
        }
        self.drop_ended();
    }

    /// Those that ended make room.
    fn drop_ended(&mut self) {
        for at in (0..self.rows.len()).rev() {
            if let (place, _, Some(why)) = self.rows[at] {
                self.rows.swap_remove(at);
                self.decoder.swap_remove(at);
                _ = (self.each)(place, Event::Ended(why));
            }
        }
    }
}
