//! What a run will take, told before its first step, and refused where it is not there.

use data::Cursor;
use models::Model;
use train::SamplePlan;
use train::report::format::{bytes, duration};

use crate::commands::plan::share_of_peak;
use crate::commands::pretrain::peak_gflops;
use crate::environment::Env;
use crate::estimate::{Estimate, Load};
use crate::failure::Failure;
use crate::machine;
use recipe::FinetuneRecipe;

/// Steps that are looked at for how many tokens they have.
const STEPS: usize = 1000;

/// Says how much memory and time a run takes.
///
/// # Errors
/// Where there is less memory.
pub fn say(
    recipe: &FinetuneRecipe,
    (model, plan): (&Model, &SamplePlan),
    (asks_tokens, eval_tokens, copies): (bool, usize, usize),
    env: &Env,
) -> Result<(), Failure> {
    let precision = recipe.train.precision(env.isa)?;
    let n_virtual = recipe.n_virtual();
    let sizes = step_tokens(plan, copies, n_virtual);
    let mean = sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let most = sizes.iter().copied().fold(0.0, f64::max);
    let micro = recipe.train.micro_batch() as f64 / recipe.train.batch_size.max(1) as f64;
    let micro = micro.min(1.0);
    let n = plan.lengths.len().max(1) as f64;
    let mean_len = plan.lengths.iter().map(|len| f64::from(*len)).sum::<f64>() / n;
    let load = Load {
        rows: most * micro,
        step_rows: most,
        eval_rows: eval_tokens as f64,
        asks_tokens,
        text_bytes: 0.0,
        recompute: recipe.train.recompute,
        precision,
        isa: env.isa,
    };
    let estimate = Estimate::of_tuning(model, &load, mean_len as usize + n_virtual);
    let regime = recipe.regime();
    // The mean of the weights; those of the start, and of the step meanwhile.
    let n_arenas = usize::from(regime.ema > 0.0) + 2 * usize::from(regime.mixout > 0.0);
    let beside = (n_arenas * size_of_val(model.params.values())) as u64;
    let total_bytes = estimate.total_bytes() + beside;
    let (peak, share) = (peak_gflops(env, precision), share_of_peak(&model.config)?);
    let seconds =
        estimate.flops_per_token * mean * recipe.train.steps as f64 / (peak * 1e9 * share);
    env.say(&format!(
        "it will take about {} of memory and {}, evaluations apart",
        bytes(total_bytes),
        duration(seconds)
    ));
    let hint = "lower `train.micro_batch`, or set `train.recompute=true`";
    machine::refuse_beyond_memory("recipe: `train`", total_bytes, hint)
}

/// Tokens of the first steps, with so many learned ones a sample.
fn step_tokens(plan: &SamplePlan, copies: usize, n_virtual: usize) -> Vec<f64> {
    let (mut cursor, mut sizes) = (Cursor::default(), vec![]);
    while sizes.len() < STEPS && cursor.epoch == 0 {
        let (step, next) = plan.step(cursor);
        let n: usize = step.iter().map(|i| plan.lengths[*i] as usize + n_virtual).sum();
        sizes.push((n * copies) as f64);
        cursor = next;
    }
    sizes
}
