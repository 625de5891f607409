//! `lyceum search`: a training command with one setting after another, and which is best.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checkpoint::{OsDisk, atomic};
use search::{Plan, Point, SEED, Standing, Strategy, ranked};
use serde::{Deserialize, Serialize};
use serde_json::json;
use train::report::format::duration;

use super::runs::{RunSummary, is_run};
use super::show;
use super::table::Table;
use crate::cli::{Search, Until};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};
use crate::stop;

const PLAN_FILE: &str = "search.json";
const PAGE_FILE: &str = "search.html";
const TRIALS_DIR: &str = "trials";
/// What is run may be one of these.
const KINDS: [&str; 2] = ["finetune", "pretrain"];
/// What a run ends with that `train.max_hours` ended.
const OUT_OF_TIME: i32 = Exit::Interrupted as i32;
/// A note of its own has this size at most.
const MAX_PLAN_BYTES: u64 = 16 << 20;

/// What is stored of a search.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    command: Vec<String>,
    plan: Plan,
}

/// Tries what is asked for, or what is left of it.
///
/// # Errors
/// Where the plan or the command is refused, or nothing can be judged.
pub fn run(args: &Search, env: &Env) -> Result<Exit, Failure> {
    let stored = stored(args)?;
    let points = stored.plan.points().map_err(|error| Failure::of(&error, error.hint()))?;
    let said = env.clone();
    let stop = stop::flag(move || said.say("stopped at once")).context("no handler")?;
    let (out, stop) = (&*args.out, &*stop);
    let mut search =
        Under { stored: &stored, out, env, stop, metric: None, any_began: false, refused: None };
    let Some(standings) = search.all(points)? else {
        let out = super::table::shell_word(out);
        env.say(&format!("stopped: `lyceum search --out {out} --resume` goes on"));
        return Ok(Exit::Interrupted);
    };
    let Some(metric) = search.metric.clone() else {
        return Err(Failure::new("every trial failed")
            .hint(format!("their logs are in `{}`", out.join(TRIALS_DIR).display())));
    };
    let all = ranked(standings, metric.is_better_small);
    let n: usize = all.iter().map(|standing| standing.values.len()).sum();
    let lead = format!("lyceum {}: {n} runs", stored.command.join(" "));
    let page = search::page("Search", &lead, &metric.name, &all);
    atomic::write_file(&OsDisk, &out.join(PAGE_FILE), page.as_bytes())?;
    env.say(&format!("page: {}", out.join(PAGE_FILE).display()));
    let keys: Vec<&str> = all[0].point.settings.iter().map(|(key, _)| key.as_str()).collect();
    let (head, rows) = search::table(&keys, &metric.name, &all);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head);
    for row in &rows {
        table.row(row);
    }
    let of = |standing: &Standing| {
        let settings: serde_json::Map<_, _> = standing
            .point
            .settings
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let (mean, spread) = standing.mean().unzip();
        json!({
            "trial": standing.point.number, "settings": settings, "metric": metric.name,
            "values": standing.values, "mean": mean, "std": spread.flatten(),
            "rung": standing.rung + 1,
        })
    };
    show(args.json, (table.text(), all.iter().map(of).collect()))
}

/// What was asked for, or is stored; a new one is stored.
fn stored(args: &Search) -> Result<Stored, Failure> {
    let path = args.out.join(PLAN_FILE);
    if args.resume {
        let size = fs::metadata(&path).reading(&path)?.len();
        if size > MAX_PLAN_BYTES {
            return Err(Failure::new(format!("`{}` is no search: {size} bytes", path.display())));
        }
        let text = fs::read_to_string(&path).reading(&path)?;
        let found = serde_json::from_str(&text);
        return found.map_err(|error| {
            let message = format!("`{}` is no search: {error}", path.display());
            Failure::new(message).hint("begin anew, in another directory")
        });
    }
    let trials = args.out.join(TRIALS_DIR);
    // One whose command was refused has no run.
    if path.exists() && super::runs::paths_in(&trials)?.iter().any(|path| is_run(path)) {
        return Err(Failure::new(format!("`{}` has a search already", args.out.display()))
            .hint("go on with it by `--resume`, or choose another `--out`"));
    }
    check(&args.command)?;
    let strategy = args.trials.map_or(Strategy::Grid, Strategy::Random);
    let plan = Plan { over: args.over.clone(), strategy, halve: args.halve, seed: args.seed };
    plan.points().map_err(|error| Failure::of(&error, error.hint()))?;
    let stored = Stored { command: args.command.clone(), plan };
    fs::create_dir_all(&trials).context(format!("cannot make `{}`", trials.display()))?;
    let text = serde_json::to_string_pretty(&stored).context("a plan is plain")?;
    atomic::write_file(&OsDisk, &path, text.as_bytes())?;
    Ok(stored)
}

fn check(command: &[String]) -> Result<(), Failure> {
    let refuse = |problem: String| {
        let hint = "end with what is run: `-- finetune --model DIR --data FILE`";
        Err(Failure::new(problem).hint(hint))
    };
    match command.first() {
        None => return refuse("there is no command to run".into()),
        Some(kind) if !KINDS.contains(&kind.as_str()) => {
            return refuse(format!("`{kind}` trains nothing: `finetune` and `pretrain` do"));
        }
        Some(_) => {}
    }
    let own = ["--out", "--resume", "--until"];
    let is_own = |word: &&String| own.iter().any(|o| word.split('=').next() == Some(*o));
    match command.iter().find(is_own) {
        Some(word) => refuse(format!("`{word}` is set by the search itself")),
        None => Ok(()),
    }
}

/// What trials are judged by.
#[derive(Clone, Debug)]
struct Metric {
    name: String,
    is_better_small: bool,
}

/// A search that goes on.
struct Under<'s> {
    stored: &'s Stored,
    out: &'s Path,
    env: &'s Env,
    stop: &'s AtomicBool,
    metric: Option<Metric>,
    any_began: bool,
    /// The last point that was refused, and why.
    refused: Option<(usize, String)>,
}

/// How a trial ended.
enum Tried {
    Value(f64),
    Failed,
    Interrupted,
}

impl Under<'_> {
    /// Every point as far as it comes; none where somebody stopped it.
    fn all(&mut self, points: Vec<Point>) -> Result<Option<Vec<Standing>>, Failure> {
        let seeds = self.stored.plan.seeds().map_err(|error| Failure::of(&error, error.hint()))?;
        let rungs = self.stored.plan.rungs(points.len());
        let (mut going, mut ended) = (points, vec![]);
        let n_runs: usize = rungs.iter().map(|rung| rung.n_points * seeds.len()).sum();
        let (began, mut n_done, mut n_tried) = (Instant::now(), 0, 0);
        for (at, rung) in rungs.iter().enumerate() {
            let mut standings = Vec::new();
            let is_only = going.len() == 1;
            for point in going {
                let mut values = Vec::new();
                for seed in &seeds {
                    let trial = Trial::new(self.out, &point, seed);
                    let until = (rung.share < 1.0).then_some(Until::Share(rung.share));
                    let (tried, is_new) = self.bring(&trial, until, (point.number, is_only))?;
                    n_done += 1;
                    n_tried += usize::from(is_new);
                    let left = (is_new && n_done < n_runs)
                        .then(|| began.elapsed() / n_tried as u32 * (n_runs - n_done) as u32);
                    let head = format!("run {n_done} of {n_runs}");
                    let value = match tried {
                        Tried::Interrupted => return Ok(None),
                        Tried::Failed => None,
                        Tried::Value(value) => Some(value),
                    };
                    values.extend(value);
                    self.tell(&head, &trial, value, left);
                }
                standings.push(Standing { point, rung: at, values });
            }
            let is_better_small = self.metric.as_ref().is_some_and(|m| m.is_better_small);
            let mut standings = ranked(standings, is_better_small);
            let n_next = rungs.get(at + 1).map_or(0, |next| next.n_points);
            ended.extend(standings.split_off(n_next.min(standings.len())));
            going = standings.into_iter().map(|standing| standing.point).collect();
        }
        Ok(Some(ended))
    }

    fn tell(&self, head: &str, trial: &Trial, value: Option<f64>, left: Option<Duration>) {
        let metric = self.metric.as_ref().map_or("", |metric| &metric.name);
        let value = value.map_or_else(|| "failed".into(), |value| format!("{metric} {value:.4}"));
        let left = left.map_or_else(String::new, |left| {
            format!("; about {} left", duration(left.as_secs_f64()))
        });
        self.env.say(&format!("{head}: {}: {value}{left}", trial.settings.join(" ")));
    }

    /// Brings a trial as far as it is to come, and says whether there was anything to do. Where
    /// none began yet and another point was refused alike, or there `is_only` one, the command is
    /// wrong: the search ends.
    fn bring(
        &mut self,
        trial: &Trial,
        until: Option<Until>,
        (number, is_only): (usize, bool),
    ) -> Result<(Tried, bool), Failure> {
        let far_enough = |run: &RunSummary| {
            run.total_steps.is_some_and(|total| run.step >= until.map_or(total, |u| u.step(total)))
        };
        if is_run(&trial.dir) {
            let run = RunSummary::read(&trial.dir);
            self.any_began |= run.step > 0;
            if far_enough(&run)
                && let Some(value) = self.value(&run)
            {
                return Ok((Tried::Value(value), false));
            }
        }
        if self.stop.load(Ordering::Relaxed) {
            return Ok((Tried::Interrupted, false));
        }
        let code = self.start(trial, until)?;
        if self.stop.load(Ordering::Relaxed) {
            return Ok((Tried::Interrupted, true));
        }
        let run = is_run(&trial.dir).then(|| RunSummary::read(&trial.dir));
        let Some(run) = run.filter(|run| run.step > 0) else {
            let why = fs::read_to_string(&trial.log).unwrap_or_default();
            let why = why.lines().find_map(|line| line.strip_prefix("error: "));
            let why = why.unwrap_or("it did not begin").to_owned();
            let message = format!("{}: {why}", trial.settings.join(" "));
            let hint = format!("all it said is in `{}`", trial.log.display());
            let before = self.refused.replace((number, why.clone()));
            let is_alike = before.is_some_and(|(other, said)| other != number && said == why);
            if (is_only || is_alike) && !self.any_began {
                return Err(Failure::new(message).hint(hint));
            }
            self.env.warn(&format!("{message}; {hint}"));
            return Ok((Tried::Failed, true));
        };
        self.any_began = true;
        let value = self.value(&run);
        let is_out_of_time = code == Some(OUT_OF_TIME) && value.is_some();
        if code != Some(0) && !is_out_of_time {
            let code = code.map_or_else(|| "by a signal".into(), |c| format!("with exit code {c}"));
            let (dir, log) = (trial.dir.display(), trial.log.display());
            self.env.warn(&format!("trial `{dir}` ended at step {} {code}: see `{log}`", run.step));
            return Ok((Tried::Failed, true));
        }
        match value {
            Some(value) => Ok((Tried::Value(value), true)),
            None => Err(Failure::new("trials are judged by nothing: there is no evaluation")
                .hint("give the command something to judge by, such as `--validation FILE`")),
        }
    }

    /// The best that a run came to.
    fn value(&mut self, run: &RunSummary) -> Option<f64> {
        let (best, eval) = (run.best?, run.eval.as_ref()?);
        let (name, value) = eval.best_of(best.metric);
        let is_better_small = eval.is_better_small || eval.metrics.is_empty();
        self.metric.get_or_insert(Metric { name: name.to_owned(), is_better_small });
        Some(value)
    }

    /// Runs it; what it says goes into its log.
    fn start(&self, trial: &Trial, until: Option<Until>) -> Result<Option<i32>, Failure> {
        let log = File::options().create(true).append(true).open(&trial.log).reading(&trial.log)?;
        let program = std::env::current_exe().context("the program does not find itself")?;
        let mut command = Command::new(program);
        let asked = &self.stored.command;
        if is_run(&trial.dir) {
            command.arg(&asked[0]).arg("--resume");
        } else {
            command.args(asked);
            trial.settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        }
        command.arg("--out").arg(&trial.dir);
        if let Some(Until::Share(share)) = until {
            command.arg(format!("--until={}%", share * 100.0));
        }
        command.env("LYCEUM_THREADS", self.env.n_threads.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone().reading(&trial.log)?).stderr(log);
        let status = command.status().context("a trial does not start")?;
        Ok(status.code())
    }
}

/// One run.
struct Trial {
    dir: PathBuf,
    log: PathBuf,
    /// As `--set` has them.
    settings: Vec<String>,
}

impl Trial {
    fn new(out: &Path, point: &Point, seed: &str) -> Self {
        let of_seed = seed.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let name = match of_seed {
            "" => format!("{:04}", point.number),
            seed => format!("{:04}-seed{seed}", point.number),
        };
        let mut settings: Vec<String> =
            point.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !seed.is_empty() {
            settings.push(format!("{SEED}={seed}"));
        }
        let trials = out.join(TRIALS_DIR);
        Self { dir: trials.join(&name), log: trials.join(name + ".log"), settings }
    }
}
