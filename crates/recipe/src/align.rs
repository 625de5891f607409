//! `[align]` of a recipe: how it is learned which answers are good.

use std::time::Duration;

use datasets::Task;
use generate::Sampling;
use serde::{Deserialize, Serialize};
use tasks::Preference;
use tasks::rewards::{Checker, Reward, Rewards};

use super::sections::shortest;
use super::{refused, within};
use terminal::failure::Failure;

/// How answers are learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignSection {
    /// Of pairs `dpo` (if nothing is said), `ipo`, `orpo`, `simpo` or `reward`; of judged answers
    /// `kto`; of problems `grpo`.
    pub loss: Option<String>,
    /// How firmly the model is held to where it began, 0.1 unless said otherwise, but 0 for `grpo`;
    /// of `orpo` the weight of the odds, of `simpo` the scale of rewards (2).
    pub beta: Option<f64>,
    /// How far apart rewards ought to be, of `simpo`.
    pub margin: f64,
    /// What good answers and bad ones are worth, of `kto`.
    pub weights: [f64; 2],
    /// Answers that `grpo` lets the model write to each problem.
    pub answers: usize,
    /// Tokens of these, at most.
    pub max_tokens: usize,
    /// How boldly they are drawn.
    #[serde(serialize_with = "shortest")]
    pub temperature: f32,
    /// What they are worth.
    pub rewards: Vec<RewardSection>,
    /// The share of programs that may fail in a step.
    pub max_failed: f64,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardSection {
    /// `exact`, `number`, `pattern` or `program`.
    pub kind: String,
    /// What it counts in the sum.
    pub weight: f64,
    /// A regular expression; its first group, if there is one, is to be the right answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A program and its arguments: reads JSON with `prompt`, `completion` and `answer`, writes a
    /// number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// It is ended after so long.
    pub seconds: f64,
    /// Its memory, at most.
    pub memory_mib: u64,
}

impl Default for AlignSection {
    fn default() -> Self {
        Self {
            loss: None,
            beta: None,
            margin: 0.5,
            weights: [1.0, 1.0],
            answers: 8,
            max_tokens: 128,
            temperature: 1.0,
            rewards: vec![],
            max_failed: 0.1,
        }
    }
}

impl Default for RewardSection {
    fn default() -> Self {
        Self {
            kind: String::new(),
            weight: 1.0,
            pattern: None,
            command: vec![],
            seconds: 5.0,
            memory_mib: 1024,
        }
    }
}

/// What is learned from answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aligned {
    /// How likely they are.
    Preference(Preference),
    /// What scores the better one more.
    Reward,
    /// To write better ones: how firmly the model is held to where it began.
    Grouped(f64),
}

/// Losses, and what they are learned from.
const LOSSES: [(&str, Task); 7] = [
    ("dpo", Task::Preference),
    ("ipo", Task::Preference),
    ("orpo", Task::Preference),
    ("simpo", Task::Preference),
    ("reward", Task::Preference),
    ("kto", Task::Judged),
    ("grpo", Task::Problem),
];

impl AlignSection {
    /// Everything that can be wrong with single values.
    ///
    /// # Errors
    /// With the first field at fault.
    pub fn check(&self) -> Result<(), Failure> {
        let (beta, [good, bad]) = (self.beta.unwrap_or(0.1), self.weights);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        within(&[
            ("align.beta", &beta, (0.0..1e3).contains(&beta), "in [0, 1000)"),
            ("align.margin", &self.margin, self.margin.abs() < 1e3, "in (-1000, 1000)"),
            ("align.weights", &good, positive(good), "above 0"),
            ("align.weights", &bad, positive(bad), "above 0"),
            ("align.answers", &self.answers, (2..=128).contains(&self.answers), "in [2, 128]"),
            ("align.max_tokens", &self.max_tokens, self.max_tokens > 0, "above 0"),
            (
                "align.max_failed",
                &self.max_failed,
                (0.0..=1.0).contains(&self.max_failed),
                "in [0, 1]",
            ),
        ])?;
        let t = self.temperature;
        within(&[("align.temperature", &t, t > 0.0 && t.is_finite(), "above 0")])
    }

    /// What is learned from records of `task`, of pairs of which a share of `smoothing` may be the
    /// wrong way round.
    ///
    /// # Errors
    /// Where the loss is unknown, or learned from others.
    pub fn of(&self, task: Task, smoothing: f32) -> Result<Aligned, Failure> {
        let usual = LOSSES.iter().find(|(_, of)| *of == task).map_or("", |(name, _)| name);
        let name = self.loss.as_deref().unwrap_or(usual);
        let names = || LOSSES.map(|(name, _)| name).join(", ");
        let known = LOSSES.iter().find(|(known, _)| *known == name);
        let known = known.ok_or_else(|| {
            refused("align.loss", format!("`{name}` is no loss of answers"))
                .hint(format!("there are {}", names()))
        })?;
        if known.1 != task {
            let problem = format!("`{name}` is learned from `{}`, and this is `{task}`", known.1);
            return Err(refused("align.loss", problem));
        }
        let smoothing = f64::from(smoothing);
        if smoothing > 0.0 && (name != "dpo" || smoothing >= 0.5) {
            return Err(refused("task.label_smoothing", "is of `dpo`, and below 0.5"));
        }
        let beta = self.beta.unwrap_or(match name {
            "grpo" => 0.0,
            "simpo" => 2.0,
            _ => 0.1,
        });
        if beta == 0.0 && name != "grpo" {
            return Err(refused("align.beta", format!("0 leaves nothing to learn of `{name}`")));
        }
        Ok(match name {
            "ipo" => Aligned::Preference(Preference::Ipo { beta }),
            "orpo" => Aligned::Preference(Preference::Orpo { beta }),
            "simpo" => Aligned::Preference(Preference::Simpo { beta, margin: self.margin }),
            "kto" => Aligned::Preference(Preference::Kto { beta, weights: self.weights }),
            "reward" => Aligned::Reward,
            "grpo" => Aligned::Grouped(beta),
            _ => Aligned::Preference(Preference::Dpo { beta, smoothing }),
        })
    }

    /// How answers are drawn.
    pub fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, ..Sampling::default() }
    }

    /// What answers are worth.
    ///
    /// # Errors
    /// Where nothing is said, or a reward is none.
    pub fn rewards(&self) -> Result<Rewards, Failure> {
        if self.rewards.is_empty() {
            return Err(refused("align.rewards", "nobody says what an answer is worth").hint(
                "give a kind each: `--set 'align.rewards=[{kind=\"number\"}]'`; there are exact, \
                 number, pattern and program",
            ));
        }
        let rules: Result<Vec<_>, _> = self.rewards.iter().map(RewardSection::rule).collect();
        Ok(Rewards { rules: rules?, max_failed: self.max_failed })
    }
}

impl RewardSection {
    fn rule(&self) -> Result<(Reward, f64), Failure> {
        let wrong = |problem: String| Err(refused("align.rewards", problem));
        if !(self.weight.is_finite() && (1e-3..=1e6).contains(&self.seconds)) {
            return wrong("a weight is finite, and seconds are in [0.001, 1e6]".into());
        }
        let rule = match (self.kind.as_str(), &self.pattern, &self.command[..]) {
            ("exact", None, []) => Reward::Exact,
            ("number", None, []) => Reward::Number,
            ("pattern", Some(pattern), []) => {
                Reward::pattern(pattern).map_err(|error| refused("align.rewards", error))?
            }
            ("program", None, [_, ..]) => Reward::Program(Checker {
                command: self.command.clone(),
                time_max: Duration::from_secs_f64(self.seconds),
                memory_mib: self.memory_mib.clamp(1, 1 << 30),
            }),
            (kind, ..) => {
                return wrong(format!(
                    "`{kind}` is not `exact` or `number` alone, `pattern` with its `pattern`, or \
                     `program` with its `command`"
                ));
            }
        };
        Ok((rule, self.weight))
    }
}
