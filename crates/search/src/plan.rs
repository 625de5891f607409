//! What is tried, for how long, and what of it goes on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::SEED;
use crate::axis::{Axis, Values};
use crate::error::SearchError;

/// Trials at most.
pub const MAX_TRIALS: usize = 10_000;

/// How points are found among all that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Every combination.
    #[default]
    Grid,
    /// So many, each key drawn by itself: Bergstra, Bengio, "Random Search for Hyper-Parameter
    /// Optimization", 2012.
    Random(usize),
}

/// A search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Keys and their values, as [`Axis::parse`] reads them.
    pub over: Vec<String>,
    /// Which of the points are tried.
    pub strategy: Strategy,
    /// One of so many goes on to so many times the steps, until one rung has all of them: Jamieson,
    /// Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
    /// arXiv:1502.07943. None is all steps at once.
    pub halve: Option<usize>,
    /// Decides what is drawn.
    pub seed: u64,
}

/// Settings that are tried together, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Counts from 1.
    pub number: usize,
    /// Key and value, as TOML.
    pub settings: Vec<(String, String)>,
}

/// So many of the best points, each so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// Points that come so far.
    pub n_points: usize,
    /// The share of all steps.
    pub share: f64,
}

/// What came of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which.
    pub point: Point,
    /// How far it came, of all rungs.
    pub rung: usize,
    /// What was measured, a value each seed.
    pub values: Vec<f64>,
}

impl Standing {
    /// The mean over the seeds, and their standard deviation where there are several.
    pub fn mean(&self) -> Option<(f64, Option<f64>)> {
        let n = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        let spread = (self.values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!self.values.is_empty()).then_some((mean, spread))
    }
}

/// Best first: what came furthest, of that what failed with the fewest seeds, of that what is best.
pub fn ranked(mut standings: Vec<Standing>, is_better_small: bool) -> Vec<Standing> {
    let worth = |standing: &Standing| {
        let mean = standing.mean().map(|(mean, _)| mean).filter(|mean| mean.is_finite());
        mean.map_or(f64::NEG_INFINITY, |mean| if is_better_small { -mean } else { mean })
    };
    standings.sort_by(|a, b| {
        let by_worth = worth(b).total_cmp(&worth(a));
        let by_seeds = b.values.len().cmp(&a.values.len());
        let by_number = a.point.number.cmp(&b.point.number);
        b.rung.cmp(&a.rung).then(by_seeds).then(by_worth).then(by_number)
    });
    standings
}

impl Plan {
    /// The keys, held to what the strategy needs of them.
    ///
    /// # Errors
    /// Where one is wrong, or there are too many points.
    pub fn axes(&self) -> Result<Vec<Axis>, SearchError> {
        let axes = self.over.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if axes.is_empty() {
            return Err(SearchError::Nothing);
        }
        for (i, axis) in axes.iter().enumerate() {
            if axes[..i].iter().any(|before| before.key == axis.key) {
                return Err(SearchError::Twice(axis.key.clone()));
            }
            let is_drawn = matches!(self.strategy, Strategy::Random(_)) && axis.key != SEED;
            if matches!(axis.values, Values::Between { .. }) && !is_drawn {
                return Err(SearchError::Range(axis.key.clone()));
            }
        }
        if let Some(eta) = self.halve.filter(|eta| *eta < 2) {
            return Err(SearchError::Eta(eta));
        }
        let product = |n: usize, axis: &Axis| n.saturating_mul(axis.n_values());
        let n = match self.strategy {
            Strategy::Grid => axes.iter().fold(1, product),
            Strategy::Random(n) => n.saturating_mul(seeds(&axes).len()),
        };
        if n > MAX_TRIALS {
            return Err(SearchError::TooMany { n, most: MAX_TRIALS });
        }
        Ok(axes)
    }

    /// What is tried: no point twice, so of few values there may be fewer than were to be drawn.
    ///
    /// # Errors
    /// As [`Self::axes`].
    pub fn points(&self) -> Result<Vec<Point>, SearchError> {
        let axes = self.axes()?;
        let axes: Vec<&Axis> = axes.iter().filter(|axis| axis.key != SEED).collect();
        let mut all: Vec<Vec<(String, String)>> = match self.strategy {
            Strategy::Random(n) => {
                let drawn = |i: u32| {
                    let of =
                        |(at, axis): (u32, &&Axis)| (axis.key.clone(), axis.draw(self.seed, i, at));
                    (0..).zip(&axes).map(of).collect()
                };
                (0..n as u32).map(drawn).collect()
            }
            Strategy::Grid => axes.iter().fold(vec![vec![]], |before, axis| {
                let Values::Each(values) = &axis.values else { return before };
                let with = |settings: &Vec<(String, String)>| {
                    let settings = settings.clone();
                    let longer = move |value: &String| {
                        let new = (axis.key.clone(), value.clone());
                        settings.iter().cloned().chain([new]).collect()
                    };
                    values.iter().map(longer).collect::<Vec<_>>()
                };
                before.iter().flat_map(with).collect()
            }),
        };
        let mut seen = BTreeSet::new();
        all.retain(|settings| seen.insert(settings.clone()));
        let point = |(number, settings)| Point { number, settings };
        Ok((1..).zip(all).map(point).collect())
    }

    /// The seeds that every point is tried with; none is that of the recipe.
    ///
    /// # Errors
    /// As [`Self::axes`].
    pub fn seeds(&self) -> Result<Vec<String>, SearchError> {
        Ok(seeds(&self.axes()?))
    }

    /// How many points come how far, the shortest way first.
    pub fn rungs(&self, n_points: usize) -> Vec<Rung> {
        let mut rungs = vec![Rung { n_points, share: 1.0 }];
        let Some(eta) = self.halve else { return rungs };
        let mut n = n_points;
        while n > 1 {
            n = n.div_ceil(eta);
            rungs.push(Rung { n_points: n, share: 1.0 });
        }
        let n_rungs = rungs.len();
        for (i, rung) in rungs.iter_mut().enumerate() {
            rung.share = (eta as f64).powi(i as i32 - (n_rungs as i32 - 1));
        }
        rungs
    }
}

fn seeds(axes: &[Axis]) -> Vec<String> {
    let of = axes.iter().find(|axis| axis.key == SEED);
    match of.map(|axis| &axis.values) {
        Some(Values::Each(all)) => all.clone(),
        _ => vec![String::new()],
    }
}

impl Axis {
    fn n_values(&self) -> usize {
        if let Values::Each(all) = &self.values { all.len() } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(over: &[&str], strategy: Strategy, halve: Option<usize>) -> Plan {
        let over = over.iter().map(|text| (*text).to_owned()).collect();
        Plan { over, strategy, halve, seed: 1 }
    }

    #[test]
    fn a_grid_is_every_combination_and_seeds_are_no_choice() {
        let plan = plan(&["a=1,2", "train.seed=0,1,2", "b=x,y"], Strategy::Grid, None);
        let points = plan.points().expect("points");
        let text = |point: &Point| {
            point.settings.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        let texts: Vec<_> = points.iter().map(text).collect();
        assert_eq!(texts, ["a=1 b=\"x\"", "a=1 b=\"y\"", "a=2 b=\"x\"", "a=2 b=\"y\""]);
        assert_eq!(plan.seeds(), Ok(vec!["0".into(), "1".into(), "2".into()]));
    }

    #[test]
    fn seeds_alone_are_one_point() {
        let plan = plan(&["train.seed=0,1"], Strategy::Grid, None);
        assert_eq!(plan.points().expect("points").len(), 1);
    }

    #[test]
    fn no_point_is_drawn_twice() {
        let plan = plan(&["a=1,2", "b=3,4"], Strategy::Random(50), None);
        assert_eq!(plan.points().expect("points").len(), 4);
        let other = Plan { seed: 2, ..plan.clone() };
        assert_ne!(plan.points(), other.points());
    }

    #[test]
    fn a_third_of_the_points_goes_three_times_as_far() {
        let plan = plan(&["a=1"], Strategy::Grid, Some(3));
        let rungs: Vec<_> = plan.rungs(9).iter().map(|r| (r.n_points, r.share * 9.0)).collect();
        assert_eq!(rungs, [(9, 1.0), (3, 3.0), (1, 9.0)]);
        assert_eq!(plan.rungs(10).iter().map(|r| r.n_points).collect::<Vec<_>>(), [10, 4, 2, 1]);
        assert_eq!(plan.rungs(1), [Rung { n_points: 1, share: 1.0 }]);
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let refused = |over: &[&str], strategy, halve| plan(over, strategy, halve).points();
        assert_eq!(refused(&[], Strategy::Grid, None), Err(SearchError::Nothing));
        let range = refused(&["a=1..2"], Strategy::Grid, None);
        assert_eq!(range, Err(SearchError::Range("a".into())));
        let twice = refused(&["a=1", "a=2"], Strategy::Grid, None);
        assert_eq!(twice, Err(SearchError::Twice("a".into())));
        let many = refused(&["a=1,2"], Strategy::Random(MAX_TRIALS + 1), None);
        assert_eq!(many, Err(SearchError::TooMany { n: MAX_TRIALS + 1, most: MAX_TRIALS }));
        assert_eq!(refused(&["a=1"], Strategy::Grid, Some(1)), Err(SearchError::Eta(1)));
    }

    #[test]
    fn the_best_is_what_came_furthest() {
        let point = |number| Point { number, settings: vec![] };
        let standing = |number, rung, values: &[f64]| Standing {
            point: point(number),
            rung,
            values: values.to_vec(),
        };
        let all = || {
            vec![
                standing(1, 0, &[0.9]),
                standing(2, 1, &[0.7, 0.9]),
                standing(3, 1, &[f64::NAN, 0.9]),
                standing(4, 1, &[0.85, 0.85]),
                standing(5, 1, &[0.99]),
            ]
        };
        let order = |small| ranked(all(), small).iter().map(|s| s.point.number).collect::<Vec<_>>();
        assert_eq!(order(false), [4, 2, 3, 5, 1]);
        assert_eq!(order(true), [2, 4, 3, 5, 1]);
        let (mean, spread) = all()[1].mean().expect("two values");
        assert!(
            (mean - 0.8).abs() < 1e-12 && (spread.unwrap_or(0.0) - 0.02_f64.sqrt()).abs() < 1e-12
        );
    }
}
