//! What a run will take, told before its first step, and refused where it is not there.

use data::Cursor;
use generate::rows_at_once;
use models::{HeadKind, Model};
use train::report::format::{bytes, duration};
use train::{Portion, ROWS_AT_ONCE, SamplePlan};

use crate::commands::plan::share_of_peak;
use crate::commands::pretrain::peak_gflops;
use crate::environment::Env;
use crate::failure::Failure;
use crate::machine;
use recipe::FinetuneRecipe;
use recipe::estimate::{Estimate, Load, row_bytes_of};
use tune::{EVAL_TOKENS, Goal};

/// Steps that are looked at for how many tokens they have.
const STEPS: usize = 1000;

/// Says how much memory and time a run takes.
///
/// # Errors
/// Where there is less memory.
pub fn say(
    recipe: &FinetuneRecipe,
    (model, plan): (&Model, &SamplePlan),
    goal: &Goal,
    env: &Env,
) -> Result<(), Failure> {
    // Where the model goes on with samples itself, and learns from that.
    let judged = goal.rollouts.as_ref().map(|rollouts| [goal.n_judged, rollouts.longest_judged]);
    let copies = goal.copies;
    let precision = recipe.train.precision(env.isa)?;
    let n_more = recipe.n_virtual() + judged.map_or(0, |_| recipe.align.max_tokens);
    let sizes = step_tokens(plan, copies, n_more);
    let mean = sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let most = sizes.iter().copied().fold(0.0, f64::max);
    let micro = recipe.train.micro_batch() as f64 / recipe.train.batch_size.max(1) as f64;
    let micro = micro.min(1.0);
    let n = plan.lengths.len().max(1) as f64;
    let mean_len = plan.lengths.iter().map(|len| f64::from(*len)).sum::<f64>() / n;
    let load = Load {
        rows: most * micro,
        step_rows: most,
        eval_rows: EVAL_TOKENS as f64,
        asks_tokens: goal.head == HeadKind::Tokens,
        text_bytes: 0.0,
        recompute: recipe.train.recompute,
        precision,
        isa: env.isa,
    };
    let estimate = Estimate::of_tuning(model, &load, mean_len as usize + n_more);
    let regime = recipe.regime();
    // The mean of the weights; those of the start, and of the step meanwhile.
    let n_arenas = usize::from(regime.ema > 0.0) + 2 * usize::from(regime.mixout > 0.0);
    let beside = (n_arenas * size_of_val(model.params.values())) as u64;
    let has_reference = judged.is_some() && recipe.align.beta.is_some_and(|beta| beta > 0.0);
    let mut total_bytes = estimate.total_bytes() + beside;
    if let Some([n_judged, longest_judged]) = judged {
        let longest = plan.lengths.iter().max().map_or(0, |len| *len as usize);
        let n_prompts = match plan.portion {
            Portion::Samples(n) => n,
            Portion::Tokens(_) => plan.lengths.len(),
        };
        let written = |n: usize, longest: usize| {
            let most = rows_at_once(model, precision, longest + n_more, ROWS_AT_ONCE);
            let row = row_bytes_of(model, longest + n_more, precision);
            row.saturating_mul(n.min(most) as u64)
        };
        let learned = written(n_prompts.saturating_mul(copies), longest);
        let all_judged = written(n_judged, longest_judged);
        total_bytes = total_bytes.saturating_add(learned.max(all_judged));
    }
    if has_reference {
        let params = &model.params;
        let all = params.entries().iter().map(|entry| params.n_bytes(&entry.param) as u64);
        total_bytes = total_bytes.saturating_add(all.sum());
    }
    let (peak, share) = (peak_gflops(env, precision), share_of_peak(&model.config)?);
    // Where learning began is asked forward alone: beside each step, or once.
    let reference = if has_reference { estimate.forward_flops } else { 0.0 };
    let once = goal.anchor.as_ref().map_or(0.0, |anchor| anchor.n_tokens as f64);
    let flops = (estimate.flops_per_token + reference) * mean * recipe.train.steps as f64
        + estimate.forward_flops * once;
    env.say(&format!(
        "it will take about {} of memory and {}, {} apart",
        bytes(total_bytes),
        duration(flops / (peak * 1e9 * share)),
        if judged.is_some() { "what it writes and evaluations" } else { "evaluations" },
    ));
    let hint = match judged {
        None => "lower `train.micro_batch`, or set `train.recompute=true`",
        Some(_) => "lower `train.micro_batch`, `align.answers` or `align.max_tokens`",
    };
    machine::refuse_beyond_memory("recipe: `train`", total_bytes, hint)
}

/// Tokens of the first steps, with so many more a sample.
fn step_tokens(plan: &SamplePlan, copies: usize, n_more: usize) -> Vec<f64> {
    let (mut cursor, mut sizes) = (Cursor::default(), vec![]);
    while sizes.len() < STEPS && cursor.epoch == 0 {
        let (step, next) = plan.step(cursor);
        let n: usize = step.iter().map(|i| plan.lengths[*i] as usize + n_more).sum();
        sizes.push((n * copies) as f64);
        cursor = next;
    }
    sizes
}
