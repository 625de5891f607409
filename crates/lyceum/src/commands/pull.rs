//! `lyceum pull`: a model from the Hugging Face hub.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hub::{Client, Event, Folder, HubError, Listing, ModelName, RemoteFile, Settings, Token};
use train::report::format::{bytes, duration};

use super::print;
use crate::cli::Pull;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::progress::Download;
use crate::{machine, stop};

/// Longer than any token.
const MAX_TOKEN_BYTES: u64 = 1 << 16;

/// Fetches the model, or what is missing of it.
///
/// # Errors
/// Where the hub does not hand it out, a file is not what it should be, there is no room, or
/// something else is at the target.
pub fn run(args: &Pull, env: &Env) -> Result<Exit, Failure> {
    let model: ModelName = args.model.parse()?;
    let target = args.out.clone().unwrap_or_else(|| PathBuf::from(model.name()));
    let client = Client::new(&settings(env)?)?;
    let stop = stop::flag(|| ()).context("no handler")?;
    let stopped = || env.warn("stopped: what was fetched stays, the same command goes on there");
    stop::at_once_during(&stop, stopped, || {
        let listing = client.list(&model)?;
        let files = listing.choose(args.weights.as_deref())?;
        if Folder::is_whole(&target, &listing, &files)? {
            env.say(&format!("`{}` is there already, and whole", target.display()));
        } else {
            fetch(&client, &listing, (&files, &target), env)?;
        }
        let is_any = |end: &str| files.iter().any(|file| file.path.ends_with(end));
        if !is_any(".gguf") && !files.iter().any(|file| file.path == "config.json") {
            env.warn(&format!("`{model}` has no `config.json`: commands that run it need one"));
        }
        print(&format!("{}\n", target.display()))
    })
}

fn settings(env: &Env) -> Result<Settings, Failure> {
    let from_file = || {
        let file = env.hub.token_file.as_ref()?;
        Some((mapped::read_small(file, MAX_TOKEN_BYTES).ok()?, format!("`{}`", file.display())))
    };
    let said = env.hub.token.as_ref();
    let said = said.map(|token| (token.clone().into_bytes(), "`HF_TOKEN`".to_owned()));
    let token = said.or_else(from_file).map(|(token, place)| {
        let token = str::from_utf8(&token).ok().and_then(Token::new);
        token.ok_or_else(|| {
            Failure::new(format!("{place} holds no token"))
                .hint("it is one word, such as `hf_..`; unset the variable to ask without one")
        })
    });
    let (endpoint, certificates) = (env.hub.endpoint.clone(), env.hub.certificates.clone());
    Ok(Settings { endpoint, token: token.transpose()?, certificates })
}

fn fetch(
    client: &Client,
    listing: &Listing,
    (files, target): (&[&RemoteFile], &Path),
    env: &Env,
) -> Result<(), Failure> {
    let folder = Folder::begin(target)?;
    let total = files.iter().map(|file| file.n_bytes).fold(0, u64::saturating_add);
    let there = files.iter().map(|file| folder.n_bytes(file)).fold(0, u64::saturating_add);
    refuse_beyond_disk(target, total.saturating_sub(there))?;
    env.say(&format!(
        "{} at {}: {} files, {}{}",
        listing.model,
        &listing.commit[..listing.commit.len().min(12)],
        files.len(),
        bytes(total),
        if there > 0 { format!(", {} are there", bytes(there)) } else { String::new() },
    ));
    let began = Instant::now();
    let mut download = Download::new(env, io::stderr().is_terminal(), total);
    let mut before = 0;
    let fetched = files.iter().try_for_each(|file| {
        let mut at = None;
        let mut tell = |event: Event| match event {
            Event::At { file, n_bytes } => {
                let n_new = n_bytes.saturating_sub(at.unwrap_or(n_bytes));
                at = Some(n_bytes);
                download.update(&file.path, before + n_bytes, n_new);
            }
            Event::Again { error } => download.say(&format!("{}: trying again", chain(error))),
        };
        folder.fetch(client, listing, file, &mut tell)?;
        before += file.n_bytes;
        Ok::<_, HubError>(())
    });
    download.finish();
    fetched?;
    folder.finish(files)?;
    let took = duration(began.elapsed().as_secs_f64());
    env.say(&format!("{} files are as the hub lists them, after {took}", files.len()));
    Ok(())
}

fn refuse_beyond_disk(target: &Path, needed: u64) -> Result<(), Failure> {
    let Some(free) = machine::disk_free(target).filter(|free| needed > *free) else {
        return Ok(());
    };
    let target = target.display();
    let problem =
        format!("`{target}` needs {} more, and {} of disk are free", bytes(needed), bytes(free));
    Err(Failure::new(problem).hint("free some space, or give a folder elsewhere with `--out`"))
}

/// An error with the cause below it, in one line.
fn chain(error: &HubError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
