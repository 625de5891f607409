//! What a model's files say of how it is to be run: `generation_config.json`, or the older place,
//! `config.json`.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::beam::{Beams, Stopping};
use crate::rules::{Rules, Timestamps};
use crate::sampling::Sampling;
use crate::search::Choice;

/// Beams that a file may ask for: what is more is a mistake, and would take memory by it.
const MAX_BEAMS: usize = 1024;

/// What `generate` of `transformers` would follow and is not followed here, with the number that
/// changes nothing. Not among them is `forced_decoder_ids`: it does not follow that one either.
const NOT_FOLLOWED: [(&str, f64, When); 16] = [
    ("constraints", 0.0, When::Beams),
    ("diversity_penalty", 0.0, When::Beams),
    ("encoder_no_repeat_ngram_size", 0.0, When::Always),
    ("encoder_repetition_penalty", 1.0, When::Always),
    ("epsilon_cutoff", 0.0, When::Drawing),
    ("eta_cutoff", 0.0, When::Drawing),
    ("exponential_decay_length_penalty", 0.0, When::Always),
    ("force_words_ids", 0.0, When::Beams),
    ("guidance_scale", 1.0, When::Always),
    ("num_beam_groups", 1.0, When::Beams),
    ("penalty_alpha", 0.0, When::Drawing),
    ("sequence_bias", 0.0, When::Always),
    ("stop_strings", 0.0, When::Always),
    ("top_h", 0.0, When::Drawing),
    ("typical_p", 1.0, When::Drawing),
    ("watermarking_config", 0.0, When::Always),
];

/// Where a setting changes what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Drawing,
    Beams,
}

/// What a model's files say.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What a decoder starts from.
    pub start: Option<u32>,
    /// What ends a text.
    pub ends: Vec<u32>,
    /// New tokens, where a number of them is said.
    pub max_new_tokens: Option<usize>,
    /// Tokens, the prompt's among them, where a number of them is said.
    pub max_length: Option<usize>,
    /// Tokens, the prompt's among them, before a text may end.
    min_length: usize,
    /// How wide a search is; one beam is greedy.
    pub beams: Beams,
    /// How tokens are drawn, where they are to be drawn.
    pub sampling: Option<Sampling>,
    /// What may come. `min_tokens` is that of new tokens alone: see [`Settings::rules`].
    rules: Rules,
    /// What a model of speech is told beside.
    pub speech: Option<Speech>,
    /// What is said and not followed.
    not_followed: Vec<(SettingsError, When)>,
}

/// What a model of speech is told: tokens of its prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Asks for text without times; the token after it is the time 0.
    pub no_timestamps: u32,
    /// The largest time that may come first, in tokens after that of 0.
    pub max_initial: Option<u32>,
    /// Languages with their tokens, such as `<|en|>`; none where the model knows but one.
    pub languages: Vec<(String, u32)>,
    /// Tasks with their tokens: `transcribe` and `translate`.
    pub tasks: Vec<(String, u32)>,
}

/// A setting that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{key}` is {found}, expected {expected}")]
pub struct SettingsError {
    /// The setting.
    pub key: &'static str,
    /// What it is, in JSON; cut where that is long.
    pub found: String,
    /// What it may be.
    pub expected: &'static str,
}

impl SettingsError {
    fn new(key: &'static str, found: &Value, expected: &'static str) -> Self {
        Self { key, found: found.to_string().chars().take(40).collect(), expected }
    }
}

type Result<T> = std::result::Result<T, SettingsError>;

impl Settings {
    /// Of `generation_config.json`, where there is one, and `config.json`: of that the tokens that
    /// begin and end a text alone, where the other file is there.
    ///
    /// # Errors
    /// With the first setting that cannot be followed.
    pub fn read(
        generation: Option<&Map<String, Value>>,
        config: &Map<String, Value>,
    ) -> Result<Self> {
        let said = Said(generation.unwrap_or(config));
        let either = |key| match said.tokens(key)? {
            tokens if tokens.is_empty() => Said(config).tokens(key),
            tokens => Ok(tokens),
        };
        let first = |key| Ok(either(key)?.first().copied());
        let start = match first("decoder_start_token_id")? {
            None => first("bos_token_id")?,
            start => start,
        };
        let ends = either("eos_token_id")?;
        let speech = Speech::read(&said)?;
        Ok(Self {
            start,
            max_new_tokens: said.size("max_new_tokens")?,
            max_length: said.size("max_length")?,
            min_length: said.size("min_length")?.unwrap_or(0),
            beams: said.beams()?,
            sampling: said.sampling()?,
            rules: Rules {
                no_repeat_ngram: said.size("no_repeat_ngram_size")?.unwrap_or(0),
                bad_words: said.words("bad_words_ids")?,
                min_tokens: said.size("min_new_tokens")?.unwrap_or(0),
                forced_begin: said.tokens("forced_bos_token_id")?.first().copied(),
                forced_end: said.tokens("forced_eos_token_id")?,
                suppress: said.tokens("suppress_tokens")?,
                begin_suppress: said.tokens("begin_suppress_tokens")?,
                timestamps: None,
            },
            speech,
            ends,
            not_followed: said.not_followed(),
        })
    }

    /// That nothing is left out where the next token is so chosen.
    ///
    /// # Errors
    /// With the first setting that would change what comes out, and is not followed.
    pub fn check(&self, choice: &Choice) -> Result<()> {
        let here = if let Choice::Beams(_) = choice { When::Beams } else { When::Drawing };
        let first = self.not_followed.iter().find(|(_, when)| [When::Always, here].contains(when));
        first.map_or(Ok(()), |(error, _)| Err(error.clone()))
    }

    /// New tokens behind a prompt of so many, where a number is said.
    pub fn max_tokens(&self, n_prompt: usize) -> Option<usize> {
        let after = |max: usize| max.saturating_sub(n_prompt);
        self.max_new_tokens.or(self.max_length.map(after))
    }

    /// What may come behind a prompt of so many tokens.
    pub fn rules(&self, n_prompt: usize) -> Rules {
        let min_tokens = self.rules.min_tokens.max(self.min_length.saturating_sub(n_prompt));
        Rules { min_tokens, ..self.rules.clone() }
    }

    /// How times follow each other in what the model writes, where it writes such.
    pub fn timestamps(&self) -> Option<Timestamps> {
        let speech = self.speech.as_ref()?;
        let end = self.ends.first().copied()?;
        Some(Timestamps { first: speech.no_timestamps + 1, end, max_initial: speech.max_initial })
    }
}

impl Speech {
    fn read(said: &Said) -> Result<Option<Self>> {
        let Some(&no_timestamps) = said.tokens("no_timestamps_token_id")?.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            no_timestamps: no_timestamps.min(u32::MAX - 1),
            max_initial: said.size("max_initial_timestamp_index")?.map(|n| n as u32),
            languages: said.named("lang_to_id")?,
            tasks: said.named("task_to_id")?,
        }))
    }
}

/// A file's settings.
struct Said<'a>(&'a Map<String, Value>);

impl Said<'_> {
    fn get<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        read(value).ok_or_else(|| SettingsError::new(key, value, expected)).map(Some)
    }

    fn not_followed(&self) -> Vec<(SettingsError, When)> {
        let expected = "nothing, as it is not followed here";
        let told = |(key, neutral, when)| {
            let value = self.0.get(key).filter(|value| !is_neutral(value, neutral))?;
            Some((SettingsError::new(key, value, expected), when))
        };
        NOT_FOLLOWED.into_iter().filter_map(told).collect()
    }

    fn size(&self, key: &'static str) -> Result<Option<usize>> {
        self.get(key, "a whole number", |v| v.as_u64().map(|n| n as usize))
    }

    fn real(&self, key: &'static str) -> Result<Option<f32>> {
        self.get(key, "a number", |v| v.as_f64().map(|x| x as f32))
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>> {
        self.get(key, "true or false", Value::as_bool)
    }

    /// A token, or several.
    fn tokens(&self, key: &'static str) -> Result<Vec<u32>> {
        let read = |value: &Value| token(value).map(|one| vec![one]).or_else(|| list(value));
        Ok(self.get(key, "a token or a list of them", read)?.unwrap_or_default())
    }

    fn words(&self, key: &'static str) -> Result<Vec<Vec<u32>>> {
        let read = |value: &Value| value.as_array()?.iter().map(list).collect();
        Ok(self.get(key, "a list of lists of tokens", read)?.unwrap_or_default())
    }

    fn named(&self, key: &'static str) -> Result<Vec<(String, u32)>> {
        let read = |value: &Value| {
            let pairs = value.as_object()?.iter();
            pairs.map(|(name, id)| Some((name.clone(), token(id)?))).collect()
        };
        Ok(self.get(key, "tokens by name", read)?.unwrap_or_default())
    }

    fn beams(&self) -> Result<Beams> {
        let number =
            |v: &Value| v.as_u64().map(|n| n as usize).filter(|n| (1..=MAX_BEAMS).contains(n));
        let stopping = |value: &Value| match value {
            Value::Bool(false) => Some(Stopping::Heuristic),
            Value::Bool(true) => Some(Stopping::Early),
            Value::String(text) if text == "never" => Some(Stopping::Never),
            _ => None,
        };
        let usual = Beams::default();
        Ok(Beams {
            n: self.get("num_beams", "a number from 1 to 1024", number)?.unwrap_or(usual.n),
            length_penalty: self.real("length_penalty")?.unwrap_or(usual.length_penalty),
            stopping: self
                .get("early_stopping", "true, false or \"never\"", stopping)?
                .unwrap_or_default(),
            repetition_penalty: self.repetition_penalty()?,
            renormalize: self.flag("renormalize_logits")?.unwrap_or(usual.renormalize),
        })
    }

    fn repetition_penalty(&self) -> Result<f32> {
        Ok(self.real("repetition_penalty")?.filter(|x| *x > 0.0).unwrap_or(1.0))
    }

    /// Where tokens are to be drawn; 0 or 1 is how a filter is switched off.
    fn sampling(&self) -> Result<Option<Sampling>> {
        if self.flag("do_sample")? != Some(true) {
            return Ok(None);
        }
        Ok(Some(Sampling {
            repetition_penalty: self.repetition_penalty()?,
            temperature: self.real("temperature")?.unwrap_or(1.0).max(0.0),
            // What `transformers` does where nothing is said.
            top_k: if self.0.contains_key("top_k") {
                self.size("top_k")?.filter(|k| *k > 0)
            } else {
                Some(50)
            },
            top_p: self.real("top_p")?.filter(|p| *p > 0.0 && *p < 1.0),
            min_p: self.real("min_p")?.filter(|p| *p > 0.0 && *p <= 1.0),
        }))
    }
}

/// Whether a setting that has this value is switched off.
fn is_neutral(value: &Value, neutral: f64) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_on) => !is_on,
        Value::Number(number) => number.as_f64() == Some(neutral),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

fn token(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

fn list(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::Draw;

    fn read(generation: Option<Value>, config: Value) -> Result<Settings> {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        Settings::read(generation.map(object).as_ref(), &object(config))
    }

    #[test]
    fn the_newer_file_comes_first_and_the_older_names_begin_and_end() {
        let config = json!({
            "num_beams": 4, "max_length": 100, "eos_token_id": 2, "decoder_start_token_id": 0,
        });
        let old = read(None, config.clone()).expect("fine");
        assert_eq!((old.beams.n, old.max_tokens(1)), (4, Some(99)));
        let new = json!({ "num_beams": 2, "eos_token_id": [3, 5], "min_length": 7 });
        let new = read(Some(new), config).expect("fine");
        assert_eq!((new.beams.n, new.max_tokens(1), new.start), (2, None, Some(0)));
        assert_eq!((new.ends.clone(), new.rules(3).min_tokens), (vec![3, 5], 4));
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (config, expected) in [
            (json!({ "num_beams": 0 }), "`num_beams` is 0, expected a number from 1 to 1024"),
            (json!({ "num_beams": 1e9 }), "`num_beams` is 1000000000.0"),
            (json!({ "bad_words_ids": [3] }), "`bad_words_ids` is [3], expected a list of lists"),
            (json!({ "eos_token_id": -1 }), "`eos_token_id` is -1, expected a token"),
            (json!({ "early_stopping": "no" }), "`early_stopping` is \"no\""),
        ] {
            let said = read(None, config).expect_err("refused").to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
    #[test]
    fn what_is_not_followed_is_refused_where_it_matters() {
        let draw = Draw { sampling: Sampling::GREEDY, seed: 0, n_samples: 1, first_row: 0 };
        let choices = [Choice::Draw(draw), Choice::Beams(Beams::default())];
        for (config, refused) in [
            (json!({ "typical_p": 0.9 }), [true, false]),
            (json!({ "num_beam_groups": 2 }), [false, true]),
            (json!({ "guidance_scale": 1.5 }), [true, true]),
            (json!({ "sequence_bias": [[[3], -1.0]] }), [true, true]),
            (
                json!({
                    "typical_p": 1.0, "num_beam_groups": 1, "guidance_scale": null,
                    "sequence_bias": {}, "diversity_penalty": 0.0, "forced_decoder_ids": [[1, 2]],
                }),
                [false, false],
            ),
        ] {
            let settings = read(None, config.clone()).expect("fine");
            let found = choices.map(|choice| settings.check(&choice).is_err());
            assert_eq!(found, refused, "{config}");
        }
        let settings = read(None, json!({ "typical_p": 0.9 })).expect("fine");
        let said = settings.check(&choices[0]).expect_err("refused").to_string();
        assert_eq!(said, "`typical_p` is 0.9, expected nothing, as it is not followed here");
    }
}
