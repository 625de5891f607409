//! How an encoder-decoder writes: what its files say, and what was asked for instead.

use ::generate::{Choice, Draw, Sampling, Search, Settings};
use models::EncoderDecoder;

use crate::cli::SearchArgs;
use crate::commands::load::Loaded;
use crate::failure::Failure;
use crate::machine;

/// New tokens where neither the model's files nor the user say a number.
const MAX_TOKENS: usize = 256;

/// How the next token is chosen; `first_row` is the number of the first text.
///
/// # Errors
/// Where a setting of drawing is out of range.
pub fn choice(args: &SearchArgs, settings: &Settings, first_row: usize) -> Result<Choice, Failure> {
    let repetition_penalty = args.repetition_penalty.unwrap_or(settings.beams.repetition_penalty);
    let asked = args.temperature.is_some()
        || args.filters.top_k.is_some()
        || args.filters.top_p.is_some()
        || args.filters.min_p.is_some();
    let usual = settings.sampling.filter(|_| args.beams.is_none());
    let draws = asked || usual.is_some();
    if usual.is_some() && !asked && settings.beams.n > 1 {
        return Err(Failure::new(format!(
            "the model's files ask for drawing (`do_sample`) by {} beams (`num_beams`), which is \
             not followed here",
            settings.beams.n
        ))
        .hint("give `--beams` for a search, or `--temperature` for drawing"));
    }
    let mut beams = settings.beams;
    beams.n = args.beams.unwrap_or(beams.n);
    beams.repetition_penalty = repetition_penalty;
    if !draws && beams.n > 1 {
        return followed(settings, Choice::Beams(beams));
    }
    let usual = usual.unwrap_or(if draws { Sampling::default() } else { Sampling::GREEDY });
    let sampling = Sampling {
        repetition_penalty,
        temperature: args.temperature.unwrap_or(usual.temperature),
        top_k: args.filters.top_k.or(usual.top_k),
        top_p: args.filters.top_p.or(usual.top_p),
        min_p: args.filters.min_p.or(usual.min_p),
    };
    let sampling = sampling.check()?;
    followed(settings, Choice::Draw(Draw { sampling, seed: args.seed, n_samples: 1, first_row }))
}

/// The choice, where nothing that the model's files say of it is left out.
fn followed(settings: &Settings, choice: Choice) -> Result<Choice, Failure> {
    settings.check(&choice).map_err(|error| {
        Failure::new(format!("the model's generation settings cannot be followed: {error}"))
            .hint("take it out of `generation_config.json`, else `config.json`")
    })?;
    Ok(choice)
}

/// How far it goes behind a prompt of so many tokens.
pub fn search(args: &SearchArgs, settings: &Settings, n_prompt: usize) -> Search {
    let said = args.max_tokens.or(settings.max_tokens(n_prompt));
    Search {
        max_tokens: said.unwrap_or(MAX_TOKENS),
        ends: settings.ends.clone(),
        rules: settings.rules(n_prompt),
    }
}

/// Refuses what would take more memory than there is: the encoder's pass, then caches of all beams
/// and what they read.
///
/// # Errors
/// With what is needed and what there is.
pub fn refuse_too_large(
    (loaded, pair): (&Loaded, &EncoderDecoder),
    [batch, len]: [usize; 2],
    (max_tokens, choice): (usize, &Choice),
    hint: &str,
) -> Result<(), Failure> {
    let beams = if let Choice::Beams(beams) = choice { beams.n } else { 1 };
    let config = pair.config().decoder.tokens();
    let row = loaded.row_bytes(max_tokens.min(config.max_len).saturating_add(len));
    let width = pair.config().encoder.trunk.d_model;
    let read = recipe::estimate::forward_bytes(
        &pair.encoder,
        loaded.precision,
        [batch, len],
        width,
        (false, false),
    );
    let n_rows = (batch as u64).saturating_mul(beams as u64);
    let needed = n_rows.saturating_mul(row).saturating_add(read);
    machine::refuse_beyond_memory("what is to be read and written at once", needed, hint)
}
