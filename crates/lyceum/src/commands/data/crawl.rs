//! `lyceum data crawl`: from web archives to a clean corpus.
//!
//! | module | what |
//! |---|---|
//! | `curator` | what is done to a page and to its text |
//! | `ranks` | processes that share the work |
//! | `report` | what came of every record |

mod curator;
mod ranks;
mod report;

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use curate::crawl::{Corpus, Crawl as Slices, Manifest, Page, Stages};
use curate::dedup::{Dedup, DedupConfig};
use curate::{Document, Notes, Places, join};
use train::report::REPORT_FILE;
use train::report::format::grouped;

use self::curator::Curator;
use self::ranks::{Halt, Rank, finish, tick};
use self::report::Summary;
use super::super::show;
use super::super::table::shell_word;
use crate::cli::Crawl;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::stop;
use recipe::CrawlRecipe;

const STOPPING: &str = "stopping after the pieces in hand; again to stop at once";
const GO_ON: &str = "stopped: the same command goes on where it was";

/// Works on what the recipe says, from the start or where it was left.
///
/// # Errors
/// Where recipe, inputs or disk refuse; what is finished stays.
pub fn run(args: &Crawl, env: &Env) -> Result<Exit, Failure> {
    let recipe = CrawlRecipe::load(&args.recipe, &args.set)?;
    let stop = stop::flag({
        let env = env.clone();
        move || env.say(GO_ON)
    });
    let stop = stop.context("no handler")?;
    let rank = Rank::new(args, env, &stop)?;
    let work = || work(&recipe, args, (env, &rank));
    let ended = stop::during(&stop, || env.say(STOPPING), work);
    match ended {
        Ok(Some(summary)) => show(args.json, summary.shown()?),
        Ok(None) => Ok(Exit::Done),
        Err(Halt::Failed(failure)) => Err(failure),
        Err(Halt::Stopped) => {
            env.say(GO_ON);
            Ok(Exit::Interrupted)
        }
    }
}

fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

/// All stages; a summary where this process is to write it.
fn work(
    recipe: &CrawlRecipe,
    args: &Crawl,
    (env, rank): (&Env, &Rank),
) -> Result<Option<Summary>, Halt> {
    let out = &args.out;
    let curator = Curator::new(recipe)?;
    let extract = |page: &Page| curator.extract(page);
    let judge = |document: &mut Document, notes: &mut Notes| curator.judge(document, notes);
    let stages = Stages { extract: &extract, judge: vec![&judge] };
    let places = Places::new(&recipe.crawl.servers, env.s3_keys.clone());
    let shards = join(out, "shards");
    let slices = Slices::new(&places, &recipe.crawl, stages, &recipe.of_shards()?, &shards)?;
    let n = slices.slices().len();
    let _lock = rank.lock(out)?;
    if rank.is_first() {
        env.say(&format!("{} slices, of each of which a shard is made", grouped(n as u64)));
    }
    read(&slices, rank)?;
    let config = &recipe.duplicates;
    let dir = join(out, "duplicates");
    let dedup = if config.is_on() { Some(open((&places, &dir), config, n, rank)?) } else { None };
    let of_corpus = recipe.of_corpus()?;
    let corpus = Corpus::new(&slices, (dedup.as_ref(), &curator.sets), &of_corpus, out);
    let mut same = None;
    if let Some(dedup) = &dedup {
        find(&corpus, dedup, n, rank)?;
        if rank.is_first() {
            // Alone, it may have all the memory.
            same = Some(Dedup::open(&places, &dir, config, n as u32)?.reduce()?);
        }
        rank.wait_for("list of duplicates", || dedup.is_reduced())?;
    }
    let pieces = ("shard of the corpus", n);
    rank.work(pieces, |i| corpus.write(i).map(drop))?;
    if !rank.is_first() {
        return Ok(None);
    }
    rank.wait(pieces, || corpus.done())?;
    let summary = Summary::new(slices.report()?, corpus.report()?, same);
    summary.write((&places, out), recipe)?;
    if let Some(warning) = summary.warning() {
        env.warn(warning);
    }
    env.say(&format!("report: {}", join(out, REPORT_FILE)));
    if !out.contains("://") {
        let paths = shell_word(join(out, "final").as_ref());
        let program = shell_word(&env.program);
        env.say(&format!("look at it: {program} data sample {paths}"));
    }
    Ok(Some(summary))
}

/// Slices become shards.
fn read(slices: &Slices, rank: &Rank) -> Result<(), Halt> {
    let n = slices.slices().len();
    let (progress, n_documents) = (rank.progress(n), AtomicU64::new(0));
    let each = |_: usize, manifest: &Manifest| {
        let here = manifest.counts.documents;
        let n_documents = n_documents.fetch_add(here, Ordering::Relaxed) + here;
        tick(&progress, "slice", &format!("{} documents", grouped(n_documents)));
        if rank.go_on().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    slices.run(rank.number, rank.world, &each)?;
    finish(&progress);
    rank.go_on()?;
    rank.wait(("slice", n), || slices.done())?;
    // Of each process one: whether all have the same recipe.
    Ok((0..n.min(rank.world)).try_for_each(|i| slices.check(i))?)
}

/// The folder in which duplicates are looked for, by as many threads at once as there are.
fn open(
    (places, dir): (&Places, &str),
    config: &DedupConfig,
    n: usize,
    rank: &Rank,
) -> Result<Dedup, Halt> {
    rank.wait_for("folder for duplicates", || Dedup::is_begun(places, dir))?;
    let memory_mib = (config.memory_mib / rayon::current_num_threads()).max(1);
    Ok(Dedup::open(places, dir, &DedupConfig { memory_mib, ..config.clone() }, n as u32)?)
}

/// Looks for duplicates, up to what one process must do alone.
fn find(corpus: &Corpus, dedup: &Dedup, n: usize, rank: &Rank) -> Result<(), Halt> {
    let shards = ("compared shard", n);
    rank.work(shards, |i| corpus.map(i))?;
    rank.wait(shards, || dedup.mapped())?;
    let partitions = ("partition", dedup.n_partitions());
    rank.work(partitions, |i| dedup.merge(i))?;
    rank.wait(partitions, || dedup.merged())
}
