//! A key of a recipe, and the values it may have.

use kernels::philox::philox4x32;

use crate::error::SearchError;

/// A key of a recipe, and the values it may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// As `--set` has it.
    pub key: String,
    pub(crate) values: Values,
}

/// Values that are listed, or a range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Each, as TOML.
    Each(Vec<String>),
    Between {
        from: f64,
        to: f64,
        /// Orders of magnitude are equally likely.
        is_log: bool,
        /// Whole numbers alone.
        is_whole: bool,
    },
}

impl Axis {
    /// Reads `key=A,B,C`, `key=LOW..HIGH` or `key=LOW..HIGH:log`. Values are TOML; a word that is
    /// none is a text. Whole bounds give whole numbers.
    ///
    /// # Errors
    /// Where it is none of these, or a range is empty or not to be drawn from.
    pub fn parse(text: &str) -> Result<Self, SearchError> {
        let wrong =
            |problem: &str| SearchError::Axis { text: text.into(), problem: problem.into() };
        let (key, values) = text.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
        let key = key.trim();
        let is_part = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !key.split('.').all(is_part) {
            return Err(wrong("its key is not that of a recipe"));
        }
        let values = match values.split_once("..") {
            // Paths have such points, too.
            Some((from, to)) if is_number(from) || to.split(':').next().is_some_and(is_number) => {
                between(from, to).map_err(wrong)?
            }
            _ => Values::Each(listed(values).map_err(|problem| wrong(&problem))?),
        };
        Ok(Self { key: key.to_owned(), values })
    }

    /// The value that the draw `(seed, point, axis)` gives.
    pub(crate) fn draw(&self, seed: u64, point: u32, axis: u32) -> String {
        let key = [seed as u32, (seed >> 32) as u32];
        let [high, low, ..] = philox4x32([point, axis, 0, 0], key);
        let unit = ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1_u64 << 53) as f64;
        match &self.values {
            Values::Each(all) => all[(unit * all.len() as f64) as usize].clone(),
            &Values::Between { from, to, is_log, is_whole } => {
                let to = if is_whole { to + 1.0 } else { to };
                let x = if is_log {
                    (from.ln() + unit * (to.ln() - from.ln())).exp()
                } else {
                    from + unit * (to - from)
                };
                if is_whole { format!("{}", x.floor() as i64) } else { short(x) }
            }
        }
    }
}

/// Four digits, which is more than a setting is worth.
fn short(x: f64) -> String {
    let rounded: f64 = format!("{x:.3e}").parse().unwrap_or(x);
    format!("{rounded:?}")
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

fn between(from: &str, to: &str) -> Result<Values, &'static str> {
    let (to, is_log) = match to.split_once(':') {
        None => (to, false),
        Some((to, "log")) => (to, true),
        Some(_) => return Err("behind `:` stands `log` or nothing"),
    };
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let (Some(low), Some(high)) = (number(from), number(to)) else {
        return Err("a range has two numbers");
    };
    let is_whole = [from, to].iter().all(|text| text.trim().parse::<i64>().is_ok());
    match () {
        () if low >= high => Err("its range is empty"),
        () if is_log && low <= 0.0 => Err("orders of magnitude begin above 0"),
        () => Ok(Values::Between { from: low, to: high, is_log, is_whole }),
    }
}

/// What stands between commas; one inside of brackets or quotes does not count.
fn listed(text: &str) -> Result<Vec<String>, String> {
    let (mut depth, mut quote, mut all, mut one) = (0_i32, None, vec![], String::new());
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                all.push(std::mem::take(&mut one));
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    all.push(one);
    let mut values = Vec::new();
    for value in all {
        let value = value.trim();
        if value.is_empty() {
            return Err("one of its values is empty".into());
        }
        let is_toml = format!("x = {value}").parse::<toml::Table>().is_ok();
        let value = if is_toml { value.to_owned() } else { toml::Value::from(value).to_string() };
        if values.contains(&value) {
            return Err(format!("`{value}` is there twice"));
        }
        values.push(value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(text: &str) -> Vec<String> {
        match Axis::parse(text).expect("an axis").values {
            Values::Each(all) => all,
            other @ Values::Between { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_toml_and_words_are_texts() {
        assert_eq!(each("optim.peak_lr=1e-5, 3e-5"), ["1e-5", "3e-5"]);
        assert_eq!(each("method.kind=full,lora"), ["\"full\"", "\"lora\""]);
        let lists = each("method.targets=[\"q\",\"v\"],[\"q\"]");
        assert_eq!(lists, ["[\"q\",\"v\"]", "[\"q\"]"]);
        assert_eq!(each("a='x,y',b"), ["'x,y'", "\"b\""]);
    }

    #[test]
    fn draws_stay_in_their_range_and_are_of_the_seed() {
        let rate = Axis::parse("optim.peak_lr=1e-5..1e-3:log").expect("an axis");
        let drawn: Vec<f64> =
            (0..1000).map(|i| rate.draw(1, i, 0).parse().expect("a number")).collect();
        assert!(drawn.iter().all(|x| (1e-5..=1e-3).contains(x)));
        let below = drawn.iter().filter(|x| **x < 1e-4).count();
        assert!((430..570).contains(&below), "{below} of an order of magnitude of two");
        assert_eq!(rate.draw(1, 7, 0), rate.draw(1, 7, 0));
        assert_ne!(rate.draw(1, 7, 0), rate.draw(2, 7, 0));
        let rank = Axis::parse("method.rank=2..4").expect("an axis");
        let mut ranks: Vec<String> = (0..100).map(|i| rank.draw(3, i, 1)).collect();
        ranks.sort();
        ranks.dedup();
        assert_eq!(ranks, ["2", "3", "4"]);
    }

    #[test]
    fn what_is_no_axis_is_named() {
        for (text, problem) in [
            ("optim.peak_lr", "it has no `=`"),
            ("=1", "its key is not that of a recipe"),
            ("a b=1", "its key is not that of a recipe"),
            ("a=", "one of its values is empty"),
            ("a=1,,2", "one of its values is empty"),
            ("a=1,1", "`1` is there twice"),
            ("a=2..1", "its range is empty"),
            ("a=0..1:log", "orders of magnitude begin above 0"),
            ("a=x..1", "a range has two numbers"),
            ("a=1..2:lin", "behind `:` stands `log` or nothing"),
        ] {
            let problem = problem.to_owned();
            assert_eq!(Axis::parse(text), Err(SearchError::Axis { text: text.into(), problem }));
        }
    }
}
