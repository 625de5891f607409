//! A model measured by other tables as it was where it was tuned: what it writes, prefers, finds or
//! ranks.

use std::fs;
use std::path::Path;

use checkpoint::{OsDisk, atomic};
use datasets::{Named, Task};
use evaluate::{MetricResult, RESULTS_FILE, Results, TaskResult};
use metrics::registry;
use models::{HeadKind, ModelConfig};
use recipe::FinetuneRecipe;
use serde_json::json;
use train::Evaluation;
use tune::{EVAL_TOKENS, Goal, Source};

use crate::cli::Eval;
use crate::commands::load::Loaded;
use crate::commands::show;
use crate::commands::table::Table;
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};

/// What is measured of pairs where the recipe says nothing: its loss, and what is written.
const OF_PAIRS: [&str; 3] = ["perplexity", "bleu", "chrf"];

/// How an adapter learned, whose head goes before that of the model it is beside, or a run.
///
/// # Errors
/// Where a recipe names no task that there is.
pub fn recipe(model: &Path, args: &Eval) -> Result<Option<FinetuneRecipe>, Failure> {
    let beside = args.adapters.all.iter().map(|(dir, _)| &**dir);
    let found = beside.chain([model]).find_map(FinetuneRecipe::of_run);
    found.as_ref().map(FinetuneRecipe::wanted).transpose()?;
    Ok(found)
}

/// The recipe and its task, where that is not judged by the scores of a head.
pub fn of_no_head(recipe: FinetuneRecipe) -> Option<(FinetuneRecipe, Task)> {
    let of_set = || Named::find(recipe.data.set.as_deref()?).ok().map(|set| set.task);
    let task = recipe.wanted().ok()?.task.or_else(of_set)?;
    let is_of_head =
        matches!(task, Task::Classify | Task::Score | Task::Choice | Task::Tag | Task::Span);
    (!is_of_head || recipe.task.loss.is_some()).then_some((recipe, task))
}

/// Measures, and writes what is asked for.
///
/// # Errors
/// Where data or model refuse, or do not fit each other.
pub fn run(
    model: &Path,
    (mut recipe, task): (FinetuneRecipe, Task),
    args: &Eval,
    env: &Env,
) -> Result<Exit, Failure> {
    super::refuse_existing(args.out.as_deref(), &[RESULTS_FILE])?;
    let fields = [
        ("--slice", !args.slice.is_empty()),
        ("--task", !args.task.is_empty()),
        ("--batch-tokens", args.batch_tokens != EVAL_TOKENS),
    ];
    for (option, is_said) in fields {
        if is_said {
            let problem = format!("`{option}` is for heads, and `{task}` is judged without one");
            return Err(Failure::new(problem).hint("leave it out"));
        }
    }
    let loaded = Loaded::with(model, &args.adapters, args.precision, env)?;
    let tokenizer = loaded.tokenizer()?;
    let config = as_it_began(&mut recipe, task, &loaded)?;
    let data = &mut recipe.data;
    (data.train, data.validation_fraction) = (args.data.clone(), 0.0);
    // What is said of such is a warning: nothing of it is learned.
    (data.max_cut, data.max_spoiled) = (1.0, 1.0);
    data.validation.clear();
    if data.set.is_none() {
        let table = datasets::Table::open(&args.data, None)?;
        data.columns.retain(|_, names| names.iter().all(|name| table.has(name)));
    }
    if matches!(task, Task::Pairs | Task::Chat | Task::Problem) {
        recipe.task.max_written = Some(u32::MAX as usize);
    }
    if task == Task::Pairs && recipe.task.metrics.is_empty() {
        recipe.task.metrics = OF_PAIRS.map(str::to_owned).to_vec();
    }
    let source = Source {
        recipe: &recipe,
        model: &config,
        tokenizer: &tokenizer,
        resumed: None,
        only_judges: true,
        env,
    };
    let goal = Goal::to_judge(&source)?;
    let n = goal.n_judged;
    if let Some(anchor) = goal.anchor {
        (anchor.find)(&mut [])?;
    }
    let device = env.device();
    let found = (goal.judge)((&loaded.model, &device, loaded.precision))?;
    let found = found.ok_or_else(|| Failure::new("there is nothing to judge by"))?;
    let result = result(&found, (args, task, n));
    let json = json!(result);
    if let Some(out) = &args.out {
        let (model, precision) = (args.adapters.name(model), loaded.precision.compute.to_string());
        let tasks = vec![result.clone()];
        let results = Results { model, precision, chat: false, seed: args.seed, tasks };
        fs::create_dir_all(out).context(format!("failed to make `{}`", out.display()))?;
        atomic::write_file(&OsDisk, &out.join(RESULTS_FILE), results.to_json().as_bytes())?;
    }
    let mut table = Table::new(&["metric", "value"]);
    for metric in &result.metrics {
        let value = metric.value.map_or("undefined".to_owned(), |value| format!("{value:.4}"));
        table.row(&[metric.metric.as_str(), &value]);
    }
    show(args.json, (format!("{task}, {n} samples\n\n{}", table.text()), json))
}

/// The config of the model that the tuned one began as, where samples are shown as to that; what is
/// compared with it is computed alike.
fn as_it_began(
    recipe: &mut FinetuneRecipe,
    task: Task,
    loaded: &Loaded,
) -> Result<ModelConfig, Failure> {
    let config = &loaded.model.config;
    recipe.train.precision = loaded.precision.compute.to_string();
    if !matches!(task, Task::Preference | Task::Judged) {
        // It need not be there any more.
        recipe.model.from.clone_from(&loaded.dir);
        return Ok(config.clone());
    }
    if loaded.base != loaded.dir || !loaded.model.adapters.is_empty() {
        recipe.model.from.clone_from(&loaded.base);
    }
    config.with_head(&HeadKind::Tokens).map_err(|error| Failure::of(&error, None))
}

fn result(found: &Evaluation, (args, task, n): (&Eval, Task, usize)) -> TaskResult {
    let loss = [("loss".to_owned(), found.losses.mean())];
    let one = |(metric, value): (String, Option<f64>)| MetricResult {
        larger_is_better: match registry::of_texts(&metric) {
            Ok(named) => named.larger_is_better,
            Err(_) => !tasks::is_better_small(&metric) && !LESS.contains(&metric.as_str()),
        },
        filter: "none".to_owned(),
        metric,
        value,
        ..MetricResult::default()
    };
    TaskResult {
        task: args.data.join(" + "),
        output_type: task.to_string(),
        n_docs: n,
        n_shots: 0,
        metrics: found.metrics.iter().cloned().chain(loss).map(one).collect(),
    }
}

/// Of what a goal measures, that of which less is better.
const LESS: [&str; 5] = ["loss", "perplexity", "kl", "rejected", "failed"];
