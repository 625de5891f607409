//! Options of a search for the best settings.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::at_least_one;

/// Of `search`.
pub const EXAMPLES: &str = "\
Examples:
  lyceum search --over optim.peak_lr=2e-5,5e-5 --out runs/rates -- \\
    finetune --model minilm/ --data reviews.csv
  lyceum search --over train.seed=0,1,2,3,4 --out runs/spread -- finetune recipe.toml
  lyceum search --over optim.peak_lr=1e-5..1e-3:log --over method.rank=4,8,16 \\
    --trials 27 --halve 3 --out runs/wide -- finetune recipe.toml
  lyceum search --out runs/wide --resume

Every trial is a run below `--out`, in `trials/`; `search.html` there shows them side by side.
Values of `train.seed` are no choice: every point is tried with each, and judged by the mean.";

/// Options of `search`.
#[derive(Args, Debug)]
pub struct Search {
    /// A key of the recipe and its values, `KEY=A,B`, or a range, `KEY=LOW..HIGH[:log]`; may be
    /// repeated
    #[arg(long, value_name = "KEY=VALUES")]
    pub over: Vec<String>,
    /// Draw so many points (default: every combination)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub trials: Option<usize>,
    /// Successive halving: one of N goes on to N times the steps
    #[arg(long, value_name = "N")]
    pub halve: Option<usize>,
    /// Decides what is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The search's directory
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the search in `--out`
    #[arg(long, conflicts_with_all = ["over", "trials", "halve", "seed", "command"])]
    pub resume: bool,
    /// One JSON array instead of a table
    #[arg(long)]
    pub json: bool,
    /// What is run: `finetune ..` or `pretrain ..`, without `--out`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Where a run ends for now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// After this step.
    Step(u64),
    /// After this share of all, in (0, 1].
    Share(f64),
}

impl Until {
    /// The step, of so many.
    pub fn step(self, of: u64) -> u64 {
        match self {
            Self::Step(step) => step,
            // A share that was rounded up is none of the next step.
            Self::Share(share) => ((of as f64 * share) - 1e-6).ceil().max(1.0) as u64,
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a step, 200, nor a share of all, 25%");
        match text.strip_suffix('%') {
            None => match text.parse() {
                Ok(step) if step > 0 => Ok(Self::Step(step)),
                _ => Err(wrong()),
            },
            Some(percent) => match percent.parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => {
                    Ok(Self::Share(percent / 100.0))
                }
                _ => Err(wrong()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_all_steps() {
        assert_eq!("200".parse(), Ok(Until::Step(200)));
        let third = Until::from_str(&format!("{}%", 100.0 / 3.0)).expect("a share");
        assert_eq!((third.step(9), third.step(10), third.step(1)), (3, 4, 1));
        assert_eq!(Until::Share(1.0).step(7), 7);
        for text in ["0", "-1", "x", "0%", "101%", "%"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }
}
