//! The recipe of a corpus: what is read, what is kept, what is taken out.

use std::fmt::Display;
use std::fs::File;
use std::path::PathBuf;

use curate::contamination::ContaminationConfig;
use curate::crawl::CrawlConfig;
use curate::dedup::{DedupConfig, DedupError};
use curate::filter::{BlocklistConfig, Filter, Gopher, Repetition};
use curate::personal::{Kind as PersonalKind, Personal, Placeholder};
use curate::{html, language};
use serde::{Deserialize, Serialize};

use super::override_::Kind;
use super::refused;
use terminal::failure::{Context, Failure};

/// Recipes of corpora. What is not said is as in FineWeb (Penedo et al., arXiv:2406.17557), which
/// does without C4's rule on the ends of lines.
const KIND: Kind = Kind {
    sections: "a recipe of a corpus is TOML with the sections crawl, extract, language, filter, \
               blocklist, personal, duplicates and contamination",
    example: "language.min_score=0.8",
    base: "filter.c4.end_marks = ''",
    embedded: &[("crawl", include_str!("../../../recipes/crawl.toml"))],
};

/// A whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrawlRecipe {
    /// What is read, and what it is written as.
    pub crawl: CrawlConfig,
    /// How a page becomes text.
    pub extract: html::Options,
    /// Which languages are kept.
    pub language: LanguageSection,
    /// Which texts are worth reading.
    pub filter: Filter,
    /// Addresses and words that nobody wants.
    pub blocklist: BlocklistConfig,
    /// What is done about personal data.
    pub personal: PersonalSection,
    /// What is taken for the same.
    pub duplicates: DedupConfig,
    /// What is asked in tests.
    pub contamination: ContaminationConfig,
}

/// Which languages are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageSection {
    /// Their codes, ISO 639-1; all of them where there are none.
    pub keep: Vec<String>,
    /// How sure a language must be, from 0 to 1.
    pub min_score: f32,
}

impl Default for LanguageSection {
    /// `FineWeb`'s.
    fn default() -> Self {
        Self { keep: vec!["en".to_owned()], min_score: 0.65 }
    }
}

/// What is done about personal data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonalSection {
    /// What.
    pub action: PersonalAction,
    /// The kinds that are looked for.
    pub kinds: Vec<PersonalKind>,
    /// What stands in their place.
    pub placeholder: Placeholder,
    /// Whether addresses of private, local and documentation networks stay.
    pub public_ip_only: bool,
}

/// What is done about personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonalAction {
    /// A placeholder stands in its place.
    #[default]
    Scrub,
    /// It stays, and the column `personal` says where it is.
    Tag,
    /// Nothing.
    Off,
}

impl Default for PersonalSection {
    fn default() -> Self {
        let Personal { kinds, placeholder, public_ip_only } = Personal::default();
        let kinds = kinds.into_iter().collect();
        Self { action: PersonalAction::default(), kinds, placeholder, public_ip_only }
    }
}

impl PersonalSection {
    /// What looks for it; nothing where nothing is done.
    pub fn finder(&self) -> Option<Personal> {
        let Self { action, kinds, placeholder, public_ip_only } = self.clone();
        let kinds = kinds.into_iter().collect();
        let finder = Personal { kinds, placeholder, public_ip_only };
        (action != PersonalAction::Off).then_some(finder)
    }
}

impl CrawlRecipe {
    /// The recipe `name`: a file, or one in the program; with `sets` on top, checked.
    ///
    /// # Errors
    /// Where it cannot be read, or a key or value is refused.
    pub fn load(name: &str, sets: &[String]) -> Result<Self, Failure> {
        let recipe: Self = KIND.read(&KIND.find(name)?, name, sets)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Every value that makes no sense, before anything is read.
    fn check(&self) -> Result<(), Failure> {
        let Self { crawl, language, duplicates, contamination, .. } = self;
        if crawl.inputs.is_empty() && crawl.path_lists.is_empty() {
            return Err(refused("crawl.inputs", "there is nothing to read")
                .hint("give files or folders: `--set 'crawl.inputs=[\"warcs/\"]'`"));
        }
        crawl.check()?;
        if let Some(code) = language.keep.iter().find(|code| !language::is_known(code)) {
            let problem = format!("no language has the code `{code}` here");
            return Err(refused("language.keep", problem)
                .hint("take codes of ISO 639-1, such as `en`, `de`, `zh`; `[]` keeps all"));
        }
        let score = ("language.min_score", f64::from(language.min_score), 1.0);
        if let Some((field, value, max)) =
            [score].into_iter().chain(self.thresholds()).find(|(_, value, max)| {
                // Of no number, this is false.
                !(0.0..=*max).contains(value)
            })
        {
            return Err(refused(field, format!("{value} is not in [0, {max}]")));
        }
        duplicates.check().map_err(|error| match error {
            DedupError::Config { field, value, min, max } => {
                refused(&format!("duplicates.{field}"), format!("{value} is not in [{min}, {max}]"))
            }
            error => Failure::of(&error, None),
        })?;
        let Gopher { min_words, max_words, min_mean_word_len, max_mean_word_len, .. } =
            self.filter.gopher;
        let ContaminationConfig { ngram, min_shared, .. } = *contamination;
        let values: [(_, &dyn Display, _, _); 4] = [
            ("filter.gopher.min_words", &min_words, min_words <= max_words, "at most `max_words`"),
            (
                "filter.gopher.min_mean_word_len",
                &min_mean_word_len,
                min_mean_word_len <= max_mean_word_len,
                "at most `max_mean_word_len`",
            ),
            ("contamination.ngram", &ngram, (1..=1000).contains(&ngram), "in [1, 1000]"),
            ("contamination.min_shared", &min_shared, min_shared > 0, "above 0"),
        ];
        for (field, value, fits, range) in values {
            if !fits {
                return Err(refused(field, format!("{value} is not {range}")));
            }
        }
        Ok(())
    }

    /// Thresholds with what they are at most.
    fn thresholds(&self) -> Vec<(&'static str, f64, f64)> {
        let Filter { gopher, repetition, fineweb, .. } = &self.filter;
        let most = f64::MAX;
        let mut all = vec![
            ("filter.gopher.min_mean_word_len", gopher.min_mean_word_len, most),
            ("filter.gopher.max_mean_word_len", gopher.max_mean_word_len, most),
            ("filter.gopher.max_symbol_ratio", gopher.max_symbol_ratio, most),
            ("filter.gopher.max_bullet_line_ratio", gopher.max_bullet_line_ratio, 1.0),
            ("filter.gopher.max_ellipsis_line_ratio", gopher.max_ellipsis_line_ratio, 1.0),
            ("filter.gopher.min_alphabetic_ratio", gopher.min_alphabetic_ratio, 1.0),
            ("filter.repetition.max_line_ratio", repetition.max_line_ratio, 1.0),
            ("filter.repetition.max_paragraph_ratio", repetition.max_paragraph_ratio, 1.0),
            ("filter.repetition.max_line_char_ratio", repetition.max_line_char_ratio, 1.0),
            (
                "filter.repetition.max_paragraph_char_ratio",
                repetition.max_paragraph_char_ratio,
                1.0,
            ),
            ("filter.fineweb.min_end_mark_ratio", fineweb.min_end_mark_ratio, 1.0),
            ("filter.fineweb.max_short_line_ratio", fineweb.max_short_line_ratio, 1.0),
            ("filter.fineweb.max_duplicate_char_ratio", fineweb.max_duplicate_char_ratio, 1.0),
            ("filter.fineweb.max_line_end_ratio", fineweb.max_line_end_ratio, most),
        ];
        let Repetition { max_top_ngram_ratio: top, max_ngram_ratio: again, .. } = *repetition;
        let top = top.map(|x| ("filter.repetition.max_top_ngram_ratio", x, 1.0));
        let again = again.map(|x| ("filter.repetition.max_ngram_ratio", x, 1.0));
        all.extend(top.into_iter().chain(again));
        all
    }

    /// What decides what the stages before the shards do, but `crawl`; with the hashes of the files
    /// that are named there.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn of_shards(&self) -> Result<String, Failure> {
        let Self { extract, language, filter, blocklist, personal, .. } = self;
        let BlocklistConfig { domains, urls, url_words, url_soft_words, url_parts, words, .. } =
            blocklist;
        let lists = [domains, urls, url_words, url_soft_words, url_parts, words];
        let files = hashes(lists.into_iter().flatten())?;
        Ok(json(&(extract, language, filter, blocklist, personal, files)))
    }

    /// What decides what goes of the shards.
    ///
    /// # Errors
    /// Where a file that is named there cannot be read.
    pub fn of_corpus(&self) -> Result<String, Failure> {
        let duplicates = DedupConfig { memory_mib: 0, ..self.duplicates.clone() };
        let files = hashes(self.contamination.sets.values().flatten())?;
        Ok(json(&(duplicates, &self.contamination, files)))
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is a table")
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values")
}

/// BLAKE3 of each file.
fn hashes<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Result<Vec<String>, Failure> {
    let hash = |path: &PathBuf| {
        let mut hasher = blake3::Hasher::new();
        let hashed = File::open(path).and_then(|file| Ok(hasher.update_reader(file)?.finalize()));
        Ok(hashed.reading(path)?.to_hex().to_string())
    };
    paths.map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, sets: &[&str]) -> Result<CrawlRecipe, String> {
        let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
        let recipe: Result<CrawlRecipe, _> = KIND.read(text, "a.toml", &sets);
        let checked = recipe.and_then(|recipe| recipe.check().map(|()| recipe));
        checked.map_err(|failure| failure.text(false))
    }

    #[test]
    fn inputs_are_enough_and_the_rest_is_as_in_fineweb() {
        let recipe = read("crawl.inputs = ['warcs']", &[]).expect("a recipe");
        assert_eq!(recipe.filter.c4.end_marks, "");
        assert_eq!((recipe.filter.gopher.min_words, recipe.duplicates.bands), (50, 14));
        let recipe = read("crawl.inputs = ['warcs']", &["filter.c4.min_sentences=1"]);
        assert_eq!(recipe.expect("a recipe").filter.c4.end_marks, "");
        let (name, text) = KIND.embedded[0];
        let embedded = read(text, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(&embedded.to_toml(), &[]), Ok(embedded));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let cases = [
            ("", "`crawl.inputs`: there is nothing to read"),
            ("[filter.gohper]", "did you mean `gopher`?"),
            ("[filters]", "did you mean `filter`?"),
            ("[language]\nkeep = ['eng']", "no language has the code `eng` here"),
            ("[language]\nmin_score = nan", "`language.min_score`: NaN is not in [0, 1]"),
            ("[filter.gopher]\nmin_alphabetic_ratio = 80", "80 is not in [0, 1]"),
            ("[filter.fineweb]\nmin_end_mark_ratio = -0.1", "-0.1 is not in [0, 1]"),
            ("[filter.gopher]\nmin_words = 200_000", "200000 is not at most `max_words`"),
            ("[duplicates]\nrows = 0", "`duplicates.rows`: 0 is not in [1, 1000]"),
            ("[contamination]\nngram = 0", "`contamination.ngram`: 0 is not in [1, 1000]"),
            ("[personal]\naction = 'srcub'", "did you mean `scrub`?"),
        ];
        for (text, expected) in cases {
            let inputs = if text.is_empty() { "[crawl]" } else { "[crawl]\ninputs = ['warcs']" };
            let error = read(&format!("{inputs}\n{text}"), &[]).expect_err("refused");
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = read("crawl.inputs = ['a']", &["x"]).expect_err("refused");
        assert!(error.ends_with("hint: for instance `--set language.min_score=0.8`\n"), "{error}");
    }
}
