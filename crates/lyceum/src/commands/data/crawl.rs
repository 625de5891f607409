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
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use curate::crawl::{Corpus, Crawl as Slices, CrawlError, Manifest, Page, Stages};
use curate::dedup::{Dedup, DedupConfig};
use curate::{Document, Notes, Places};
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
use crate::recipe::CrawlRecipe;
use crate::stop;

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
    let Some(out) = args.out.to_str() else {
        let problem = format!("`{}` is no UTF-8", args.out.display());
        return Err(Failure::new(problem).hint("give another `--out`").into());
    };
    let curator = Curator::new(recipe)?;
    let extract = |page: &Page| curator.extract(page);
    let judge = |document: &mut Document, notes: &mut Notes| curator.judge(document, notes);
    let stages = Stages { extract: &extract, judge: vec![&judge] };
    let places = Places::new(&recipe.crawl.servers, env.s3_keys.clone());
    let shards = args.out.join("shards");
    let shards = shards.to_str().unwrap_or(out);
    let slices = Slices::new(&places, &recipe.crawl, stages, &recipe.of_shards()?, shards)?;
    let n = slices.slices().len();
    if rank.is_first() {
        env.say(&format!("{} slices, of each of which a shard is made", grouped(n as u64)));
    }
    read(&slices, rank)?;
    let config = &recipe.duplicates;
    let dir = args.out.join("duplicates");
    let dedup = if config.is_on() { Some(open(&dir, config, n, rank)?) } else { None };
    let of_corpus = recipe.of_corpus()?;
    let corpus = Corpus::new(&slices, (dedup.as_ref(), &curator.sets), &of_corpus, out);
    let mut same = None;
    if let Some(dedup) = &dedup {
        find(&corpus, dedup, n, rank)?;
        if rank.is_first() {
            // Alone, it may have all the memory.
            same = Some(Dedup::open(&dir, config, n as u32)?.reduce()?);
        }
        rank.wait(("list of duplicates", 1), |_| Ok::<_, CrawlError>(dedup.is_reduced()))?;
    }
    let is_done = |i| if rank.is_first() { corpus.is_done(i) } else { Ok(true) };
    rank.share(("shard of the corpus", n), |i| corpus.write(i).map(drop), is_done)?;
    if !rank.is_first() {
        return Ok(None);
    }
    let summary = Summary::new(slices.report()?, corpus.report()?, same);
    summary.write(&args.out, recipe)?;
    let report = args.out.join(REPORT_FILE);
    env.say(&format!("report: {}", report.display()));
    let paths = shell_word(&args.out.join("final"));
    let program = shell_word(&env.program);
    env.say(&format!("look at it: {program} data sample {paths}"));
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
    rank.wait(("slice", n), |i| slices.is_done(i))
}

/// The folder in which duplicates are looked for, by as many threads at once as there are.
fn open(dir: &Path, config: &DedupConfig, n: usize, rank: &Rank) -> Result<Dedup, Halt> {
    if !rank.is_first() {
        rank.wait(("folder for duplicates", 1), |_| Ok::<_, CrawlError>(Dedup::is_begun(dir)))?;
    }
    let memory_mib = (config.memory_mib / rayon::current_num_threads()).max(1);
    Ok(Dedup::open(dir, &DedupConfig { memory_mib, ..config.clone() }, n as u32)?)
}

/// Looks for duplicates, up to what one process must do alone.
fn find(corpus: &Corpus, dedup: &Dedup, n: usize, rank: &Rank) -> Result<(), Halt> {
    let is_mapped = |i| Ok::<_, CrawlError>(dedup.is_mapped(i as u32));
    rank.share(("compared shard", n), |i| corpus.map(i), is_mapped)?;
    let is_merged = |i| Ok(dedup.is_merged(i));
    rank.share(("partition", dedup.n_partitions()), |i| dedup.merge(i), is_merged)
}
