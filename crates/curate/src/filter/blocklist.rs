//! Addresses and words that nobody wants, from lists in files.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, BuildError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use twox_hash::XxHash3_64;

use super::Reason;
use crate::words::is_unspaced;

/// Files of lists: an entry a line, in any case; what begins with `#` is a comment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlocklistConfig {
    /// Domains; every host below one is refused with it.
    pub domains: Vec<PathBuf>,
    /// Whole addresses.
    pub urls: Vec<PathBuf>,
    /// Words that refuse an address; a word is a run of letters and digits.
    pub url_words: Vec<PathBuf>,
    /// Words that refuse an address when enough of them are in it.
    pub url_soft_words: Vec<PathBuf>,
    /// How many of the soft words are enough.
    pub min_soft_words: usize,
    /// What refuses an address wherever it stands in it, other characters than letters and digits
    /// left out.
    pub url_parts: Vec<PathBuf>,
    /// Words and phrases that refuse a text, when they stand there as words.
    pub words: Vec<PathBuf>,
    /// How many of them a text may have and stay.
    pub max_words: usize,
}

impl Default for BlocklistConfig {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            urls: Vec::new(),
            url_words: Vec::new(),
            url_soft_words: Vec::new(),
            min_soft_words: 2,
            url_parts: Vec::new(),
            words: Vec::new(),
            max_words: 0,
        }
    }
}

/// Why a list cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListError {
    /// It cannot be read, or is not UTF-8.
    #[error("failed to read the list `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More than fits into an automaton.
    #[error("too many entries to look for at once")]
    Size(#[from] BuildError),
}

/// Lists, ready to be asked.
#[derive(Debug)]
pub struct Blocklist {
    /// Hashes: millions of domains are eight bytes each.
    domains: HashSet<u64>,
    urls: HashSet<u64>,
    url_words: HashSet<u64>,
    url_soft_words: HashSet<u64>,
    min_soft_words: usize,
    url_parts: AhoCorasick,
    words: AhoCorasick,
    max_words: usize,
}

impl Blocklist {
    /// Reads all lists.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn load(config: &BlocklistConfig) -> Result<Self, ListError> {
        let hashes = |paths: &[PathBuf], normal: &dyn Fn(&str) -> String| {
            let entries = read(paths)?;
            Ok::<_, ListError>(entries.iter().map(|entry| hash(&normal(entry))).collect())
        };
        let parts = read(&config.url_parts)?.iter().map(|part| letters(part)).collect::<Vec<_>>();
        let parts = parts.iter().filter(|part| !part.is_empty());
        let domain = |entry: &str| entry.trim_matches('.').to_lowercase();
        Ok(Self {
            domains: hashes(&config.domains, &domain)?,
            urls: hashes(&config.urls, &normal_url)?,
            url_words: hashes(&config.url_words, &letters)?,
            url_soft_words: hashes(&config.url_soft_words, &letters)?,
            min_soft_words: config.min_soft_words.max(1),
            url_parts: AhoCorasick::new(parts)?,
            words: AhoCorasick::new(read(&config.words)?.iter().map(|word| word.to_lowercase()))?,
            max_words: config.max_words,
        })
    }

    /// Says why an address is refused.
    ///
    /// # Errors
    /// The reason.
    pub fn check_url(&self, url: &str) -> Result<(), Reason> {
        let normal = normal_url(url);
        let host = normal.split(['/', '?', ':']).next().unwrap_or_default();
        let parents = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let lower = url.to_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        let words: HashSet<u64> = words.filter(|word| !word.is_empty()).map(hash).collect();
        if parents.chain([host]).any(|domain| self.domains.contains(&hash(domain))) {
            Err("url.domain")
        } else if self.urls.contains(&hash(&normal)) {
            Err("url.address")
        } else if !words.is_disjoint(&self.url_words) {
            Err("url.word")
        } else if words.intersection(&self.url_soft_words).count() >= self.min_soft_words {
            Err("url.soft_words")
        } else if self.url_parts.is_match(&letters(url)) {
            Err("url.part")
        } else {
            Ok(())
        }
    }

    /// Says why a text is refused.
    ///
    /// # Errors
    /// The reason.
    pub fn check_text(&self, text: &str) -> Result<(), Reason> {
        if self.words.patterns_len() == 0 {
            return Ok(());
        }
        let text = text.to_lowercase();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c));
        let stands = |word: &aho_corasick::Match| {
            let found = &text[word.range()];
            let before =
                joins(found.chars().next()) && joins(text[..word.start()].chars().next_back());
            let after =
                joins(found.chars().next_back()) && joins(text[word.end()..].chars().next());
            !before && !after
        };
        let n_found =
            self.words.find_overlapping_iter(&text).filter(stands).take(self.max_words + 1);
        if n_found.count() > self.max_words { Err("words.banned") } else { Ok(()) }
    }
}

fn hash(entry: &str) -> u64 {
    XxHash3_64::oneshot(entry.as_bytes())
}

/// Letters and digits of ASCII alone, in lower case.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn read(paths: &[PathBuf]) -> Result<Vec<String>, ListError> {
    let lines = |path: &Path| {
        let io = |source| ListError::Io { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(io)?;
        let entries = text.lines().map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
        Ok(entries.map(str::to_owned).collect::<Vec<_>>())
    };
    Ok(paths.iter().map(|path| lines(path)).collect::<Result<Vec<_>, ListError>>()?.concat())
}

/// An address as it is compared with others: no scheme, user, `www.`, default port, fragment, slash
/// at the end or parameter that only says who sent the reader; the host in lower case.
pub fn normal_url(url: &str) -> String {
    let url = url.trim();
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let url = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => url,
    };
    let url = url.split('#').next().unwrap_or_default();
    let (host, path) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
    let host = host.rsplit('@').next().unwrap_or_default().to_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    let host = host.strip_suffix(":80").or(host.strip_suffix(":443")).unwrap_or(host);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let tracks = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        name.is_empty() || name.starts_with("utm_") || ["fbclid", "gclid"].contains(&name)
    };
    let query: Vec<&str> = query.split('&').filter(|parameter| !tracks(parameter)).collect();
    let mut normal = format!("{}{}", host.trim_end_matches('.'), path.trim_end_matches('/'));
    if !query.is_empty() {
        normal.push('?');
        normal.push_str(&query.join("&"));
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dir: &Path, name: &str, entries: &str) -> Vec<PathBuf> {
        let path = dir.join(name);
        fs::write(&path, entries).unwrap();
        vec![path]
    }

    #[test]
    fn an_address_has_one_form() {
        let cases = [
            ("HTTP://User@WWW.Example.com:80/A/?utm_source=x&q=1#top", "example.com/A?q=1"),
            ("https://example.com", "example.com"),
            ("example.com./?", "example.com"),
            ("example.com/?to=http://b.example/", "example.com?to=http://b.example/"),
            ("", ""),
        ];
        for (url, expected) in cases {
            assert_eq!(normal_url(url), expected, "{url}");
            assert_eq!(normal_url(expected), expected);
        }
    }

    #[test]
    fn lists_refuse() {
        let dir = tempfile::tempdir().unwrap();
        let config = BlocklistConfig {
            domains: list(dir.path(), "domains", "# no\nBad.example\n\nco.test"),
            urls: list(dir.path(), "urls", "http://ok.example/one"),
            url_words: list(dir.path(), "hard", "casino"),
            url_soft_words: list(dir.path(), "soft", "free\nspins\n"),
            url_parts: list(dir.path(), "parts", "big win"),
            words: list(dir.path(), "words", "ass\nblow up\n\u{8272}\u{60c5}\n"),
            ..BlocklistConfig::default()
        };
        let lists = Blocklist::load(&config).unwrap();
        let cases = [
            ("https://a.b.bad.example/", Err("url.domain")),
            ("https://bad.example:8080/", Err("url.domain")),
            ("https://notbad.example/", Ok(())),
            ("https://www.ok.example/one/", Err("url.address")),
            ("https://ok.example/two", Ok(())),
            ("https://ok.example/my-Casino.html", Err("url.word")),
            ("https://ok.example/casinos", Ok(())),
            ("https://ok.example/free-spins", Err("url.soft_words")),
            ("https://ok.example/free-free", Ok(())),
            ("https://ok.example/b-i-g_win", Err("url.part")),
        ];
        for (url, expected) in cases {
            assert_eq!(lists.check_url(url), expected, "{url}");
        }
        let refused = Err("words.banned");
        for (text, expected) in [
            ("An Ass.", refused),
            ("assets, class", Ok(())),
            ("to Blow up", refused),
            ("\u{6709}\u{8272}\u{60c5}\u{7684}", refused),
            ("", Ok(())),
        ] {
            assert_eq!(lists.check_text(text), expected, "{text}");
        }
        let lenient = Blocklist::load(&BlocklistConfig { max_words: 1, ..config }).unwrap();
        assert_eq!(lenient.check_text("ass"), Ok(()));
        assert_eq!(lenient.check_text("ass ass"), refused);
    }

    #[test]
    fn a_missing_list_is_named() {
        let config =
            BlocklistConfig { words: vec!["no/such".into()], ..BlocklistConfig::default() };
        let error = Blocklist::load(&config).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the list `no/such`");
    }
}
