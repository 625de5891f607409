//! The learning rate as a function of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Learning rate as a function of the step: no state, so a resumed run needs none.
///
/// Steps count from 0. A warmup of `w` steps goes up by `peak_lr / w` a step and begins with one
/// such part, not with 0; `last_lr` is what step `total_steps` would have, and what all later have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same at every step.
    Constant {
        /// The learning rate.
        peak_lr: f32,
    },
    /// Up in a line, down along half a cosine.
    ///
    /// Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    /// arXiv:1608.03983, eq. 5, without restarts.
    WarmupCosine {
        /// The highest learning rate.
        peak_lr: f32,
        /// The learning rate at the end.
        last_lr: f32,
        /// How long it goes up.
        warmup_steps: u64,
        /// The length of the run.
        total_steps: u64,
    },
    /// Up in a line, down in a line.
    WarmupLinear {
        /// The highest learning rate.
        peak_lr: f32,
        /// The learning rate at the end.
        last_lr: f32,
        /// How long it goes up.
        warmup_steps: u64,
        /// The length of the run.
        total_steps: u64,
    },
    /// Up in a line, level, down at the end by `1 - sqrt`. The level part does not depend on the
    /// length, so a run can be extended from any checkpoint of it.
    ///
    /// Hu et al., "`MiniCPM`", arXiv:2404.06395, section 4; the shape of the decay: Haegele et al.,
    /// "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
    /// arXiv:2405.18392.
    WarmupStableDecay {
        /// The highest learning rate.
        peak_lr: f32,
        /// The learning rate at the end.
        last_lr: f32,
        /// How long it goes up.
        warmup_steps: u64,
        /// How long it goes down.
        decay_steps: u64,
        /// The length of the run.
        total_steps: u64,
    },
}

/// Why a schedule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum ScheduleError {
    /// A peak of zero would train nothing.
    #[error("`peak_lr` is {0}, not a positive number")]
    Peak(f32),
    /// It must lie between zero and the peak.
    #[error("`last_lr` is {last_lr}, not between 0 and `peak_lr` = {peak_lr}")]
    Last {
        /// What was given.
        last_lr: f32,
        /// Its upper bound.
        peak_lr: f32,
    },
    /// The parts are longer than the run.
    #[error(
        "`warmup_steps` = {warmup_steps}{} not fit into {total_steps} steps",
        and_decay(*decay_steps)
    )]
    TooLong {
        /// What was given.
        warmup_steps: u64,
        /// What was given; none where the schedule has no such part.
        decay_steps: Option<u64>,
        /// The length of the run.
        total_steps: u64,
    },
}

fn and_decay(steps: Option<u64>) -> String {
    steps.map_or(" does".to_owned(), |steps| format!(" and `decay_steps` = {steps} do"))
}

impl ScheduleError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Peak(_) => "peaks between 1e-4 and 3e-3 are usual for AdamW".to_owned(),
            Self::Last { .. } => "a tenth of `peak_lr`, or 0, is usual".to_owned(),
            Self::TooLong { total_steps, .. } => {
                format!("raise the number of steps, or warm up for {} of them", total_steps / 20)
            }
        })
    }
}

impl Schedule {
    /// The learning rate of a step. Steps count from 0.
    pub fn at(&self, step: u64) -> f32 {
        match *self {
            Self::Constant { peak_lr } => peak_lr,
            Self::WarmupCosine { peak_lr, warmup_steps, .. }
            | Self::WarmupLinear { peak_lr, warmup_steps, .. }
            | Self::WarmupStableDecay { peak_lr, warmup_steps, .. }
                if step < warmup_steps =>
            {
                (f64::from(peak_lr) * (step + 1) as f64 / warmup_steps as f64) as f32
            }
            Self::WarmupCosine { peak_lr, last_lr, warmup_steps, total_steps } => {
                let done = progress(step, warmup_steps, total_steps);
                between(last_lr, peak_lr, f64::midpoint(1.0, (PI * done).cos()))
            }
            Self::WarmupLinear { peak_lr, last_lr, warmup_steps, total_steps } => {
                between(last_lr, peak_lr, 1.0 - progress(step, warmup_steps, total_steps))
            }
            Self::WarmupStableDecay { peak_lr, last_lr, decay_steps, total_steps, .. } => {
                let done = progress(step, total_steps.saturating_sub(decay_steps), total_steps);
                between(last_lr, peak_lr, 1.0 - done.sqrt())
            }
        }
    }

    /// Refuses what would train nothing, or what does not fit.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let (peak_lr, last_lr, lens) = match *self {
            Self::Constant { peak_lr } => (peak_lr, peak_lr, (0, None, 0)),
            Self::WarmupCosine { peak_lr, last_lr, warmup_steps, total_steps }
            | Self::WarmupLinear { peak_lr, last_lr, warmup_steps, total_steps } => {
                (peak_lr, last_lr, (warmup_steps, None, total_steps))
            }
            Self::WarmupStableDecay {
                peak_lr,
                last_lr,
                warmup_steps,
                decay_steps,
                total_steps,
            } => (peak_lr, last_lr, (warmup_steps, Some(decay_steps), total_steps)),
        };
        if !(peak_lr.is_finite() && peak_lr > 0.0) {
            return Err(ScheduleError::Peak(peak_lr));
        }
        if !(0.0..=peak_lr).contains(&last_lr) {
            return Err(ScheduleError::Last { last_lr, peak_lr });
        }
        let (warmup_steps, decay_steps, total_steps) = lens;
        match warmup_steps.checked_add(decay_steps.unwrap_or(0)) {
            Some(len) if len <= total_steps => Ok(()),
            _ => Err(ScheduleError::TooLong { warmup_steps, decay_steps, total_steps }),
        }
    }
}

/// How much of `[begin, end]` is done at `step`: 0 before it, 1 after it.
fn progress(step: u64, begin: u64, end: u64) -> f64 {
    match step {
        _ if step >= end => 1.0,
        _ if step <= begin => 0.0,
        _ => (step - begin) as f64 / (end - begin) as f64,
    }
}

fn between(low: f32, high: f32, share: f64) -> f32 {
    let (low, high) = (f64::from(low), f64::from(high));
    (low + (high - low) * share) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSINE: Schedule =
        Schedule::WarmupCosine { peak_lr: 1.0, last_lr: 0.1, warmup_steps: 4, total_steps: 10 };
    const STABLE: Schedule = Schedule::WarmupStableDecay {
        peak_lr: 1.0,
        last_lr: 0.0,
        warmup_steps: 2,
        decay_steps: 4,
        total_steps: 10,
    };

    fn drawn(schedule: Schedule, steps: impl Iterator<Item = u64>) -> String {
        let drawn: Vec<String> = steps.map(|step| format!("{:.2}", schedule.at(step))).collect();
        drawn.join(" ")
    }

    #[test]
    fn shapes_of_the_schedules() {
        let cosine = "0.25 0.50 0.75 1.00 1.00 0.94 0.77 0.55 0.32 0.16 0.10";
        assert_eq!(drawn(COSINE, 0..=10), cosine);
        let stable = "0.50 1.00 1.00 1.00 1.00 1.00 1.00 0.50 0.29 0.13 0.00";
        assert_eq!(drawn(STABLE, 0..=10), stable);
        assert_eq!(drawn(Schedule::Constant { peak_lr: 0.3 }, 0..3), "0.30 0.30 0.30");
    }

    #[test]
    fn after_the_end_it_stays_and_parts_may_be_empty() {
        let beyond = [10, 11, u64::MAX];
        assert_eq!(drawn(COSINE, beyond.into_iter()), "0.10 0.10 0.10");
        assert_eq!(drawn(STABLE, beyond.into_iter()), "0.00 0.00 0.00");
        let short =
            Schedule::WarmupCosine { peak_lr: 1.0, last_lr: 0.0, warmup_steps: 0, total_steps: 2 };
        assert_eq!(drawn(short, 0..3), "1.00 0.50 0.00");
    }

    #[test]
    fn a_longer_run_has_the_same_level_part() {
        let Schedule::WarmupStableDecay { peak_lr, last_lr, warmup_steps, decay_steps, .. } =
            STABLE
        else {
            unreachable!()
        };
        let longer = Schedule::WarmupStableDecay {
            peak_lr,
            last_lr,
            warmup_steps,
            decay_steps,
            total_steps: 100,
        };
        assert!((0..=6).all(|step| longer.at(step) == STABLE.at(step)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cosine = |peak_lr, last_lr, warmup_steps| {
            let schedule =
                Schedule::WarmupCosine { peak_lr, last_lr, warmup_steps, total_steps: 10 };
            schedule.check().map_err(|error| error.to_string())
        };
        assert_eq!(cosine(1.0, 0.0, 10), Ok(()));
        assert_eq!(cosine(0.0, 0.0, 1), Err("`peak_lr` is 0, not a positive number".into()));
        assert_eq!(cosine(f32::NAN, 0.0, 1), Err("`peak_lr` is NaN, not a positive number".into()));
        let last = "`last_lr` is 2, not between 0 and `peak_lr` = 1";
        assert_eq!(cosine(1.0, 2.0, 1), Err(last.into()));
        assert!(cosine(1.0, f32::NAN, 1).is_err() && cosine(1.0, -0.1, 1).is_err());
        let long = "`warmup_steps` = 11 does not fit into 10 steps";
        assert_eq!(cosine(1.0, 0.0, 11), Err(long.into()));
        let long = Schedule::WarmupStableDecay {
            peak_lr: 1.0,
            last_lr: 0.0,
            warmup_steps: 7,
            decay_steps: 4,
            total_steps: 10,
        };
        let message = long.check().map_err(|error| error.to_string());
        let expected = "`warmup_steps` = 7 and `decay_steps` = 4 do not fit into 10 steps";
        assert_eq!(message, Err(expected.into()));
        assert!(cosine(1.0, 0.0, u64::MAX).is_err());
        assert_eq!(STABLE.check(), Ok(()));
        assert_eq!(Schedule::Constant { peak_lr: 1e-3 }.check(), Ok(()));
    }

    #[test]
    fn a_recipe_reads_back_as_it_was_written() {
        for schedule in [COSINE, STABLE, Schedule::Constant { peak_lr: 6e-4 }] {
            let text = toml::to_string(&schedule).unwrap();
            assert_eq!(toml::from_str::<Schedule>(&text), Ok(schedule), "{text}");
        }
        let misspelt = "kind = \"constant\"\npeak_lr = 1.0\nwarmup = 3\n";
        let error = toml::from_str::<Schedule>(misspelt).unwrap_err().to_string();
        assert!(error.contains("unknown field `warmup`"), "{error}");
    }
}
