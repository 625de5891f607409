//! What a run will be given, said and held against the recipe before its first step.

use data::{Batches, Built, Cursors, DataError, Mode, Store};
use tasks::{Counts, TextObjective};
use train::RunSource;
use train::report::format::{compact, grouped};

use super::corpus::Corpora;
use crate::environment::Env;
use crate::failure::Failure;
use recipe::{Recipe, refused};

/// Windows that are looked at for what is asked.
const WINDOWS: usize = 64;

/// Says which records of a source have no text, and refuses more than the share `max_empty`.
///
/// # Errors
/// With the first of them, by file and line.
pub fn check_empty(name: &str, built: &Built, max_empty: f64, env: &Env) -> Result<(), Failure> {
    let (empty, n) = (&built.noted.empty, built.n_documents);
    let n_empty = empty.n;
    if n_empty == 0 {
        return Ok(());
    }
    let share = n_empty as f64 / n.max(1) as f64;
    let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
    let first = empty.first.join("; ");
    let what = format!("{n_empty} of {n} records{of} have no text ({:.1} %)", 100.0 * share);
    if share > max_empty {
        let most = 100.0 * max_empty;
        let problem = format!("{what}, more than {most:.1} %; the first: {first}");
        return Err(refused("data.max_empty", problem)
            .hint("is `data.read.field` the field with the text? or raise `data.max_empty`"));
    }
    env.warn(&format!("{what}, and are left out; the first: {first}"));
    Ok(())
}

/// Says what each source gives and what is asked of it.
///
/// # Errors
/// Where nothing is asked, or there are fewer windows than the run will read.
pub fn say(
    recipe: &Recipe,
    corpora: &Corpora,
    objective: &dyn TextObjective,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let mixture = RunSource::mixture(&corpora.sources, &corpora.shares);
    let config = recipe.batches()?;
    let mut batches = Batches::new(mixture, config, Cursors::default())?;
    for (source, n_windows) in corpora.sources.iter().zip(batches.n_windows()) {
        let RunSource { name, store, .. } = source;
        let (shortest, longest, n_long) = lengths(store, config.seq_len - config.around)?;
        let of = if name.is_empty() { "text" } else { name };
        let [n, windows] = [store.n_documents(), n_windows].map(grouped);
        let cut = match config.mode {
            Mode::Documents if n_long > 0 => format!(", {} of them cut", grouped(n_long)),
            _ => String::new(),
        };
        say(&format!(
            "{of}: {n} documents of {} to {} tokens{cut}; an epoch is {windows} windows",
            grouped(shortest),
            grouped(longest),
        ));
    }
    if let Some(most) = batches.last_until(recipe.train.steps) {
        let wanted = recipe.train.steps.saturating_mul(recipe.train.batch_size as u64);
        let problem = format!(
            "what has a weight has `max_epochs` too, and is used up after about {} windows of {}",
            grouped(most),
            grouped(wanted)
        );
        let hint = "raise one, give another source a weight, or lower `train.steps`";
        return Err(refused("data.sources", problem).hint(hint));
    }
    let mut counts = Counts::default();
    for _ in 0..WINDOWS.div_ceil(config.batch) {
        let batch = match batches.next_batch() {
            Err(DataError::UsedUp { .. }) => break,
            batch => batch?,
        };
        let seen = Counts::of(&objective.examples(&batch, recipe.train.seed));
        counts.n_targets += seen.n_targets;
        counts.n_tokens += seen.n_tokens;
    }
    if counts.n_targets == 0 {
        let problem = "nothing is asked of the first windows: they have no target";
        return Err(refused("task", problem));
    }
    let share = 100.0 * counts.n_targets as f64 / counts.n_tokens.max(1) as f64;
    if share < 99.95 {
        let n = compact(counts.n_tokens as f64);
        say(&format!("{share:.1} % of the tokens that are read are targets ({n} looked at)"));
    }
    Ok(())
}

/// The shortest and the longest document, in tokens, and how many are longer than a window.
fn lengths(store: &Store, window: usize) -> Result<(u64, u64, u64), DataError> {
    let (mut shortest, mut longest, mut n_long) = (u64::MAX, 0, 0);
    for i in 0..store.n_documents() {
        let document = store.document(i)?;
        let len = document.end - document.start;
        (shortest, longest) = (shortest.min(len), longest.max(len));
        n_long += u64::from(len > window as u64);
    }
    Ok((shortest.min(longest), longest, n_long))
}
