//! What a user calls a model.

use std::fmt;
use std::str::FromStr;

use crate::HubError;

/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// A model of the hub, and a revision of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    owner: String,
    name: String,
    revision: String,
}

impl ModelName {
    /// The name without its owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `owner/name`.
    pub fn repo(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// A branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl FromStr for ModelName {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let parts = repo.split_once('/').filter(|(owner, name)| is_word(owner) && is_word(name));
        match parts {
            Some((owner, name)) if revision.split('/').all(is_word) => {
                let [owner, name, revision] = [owner, name, revision].map(str::to_owned);
                Ok(Self { owner, name, revision })
            }
            _ => Err(HubError::Name { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if self.revision == MAIN { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

/// What the hub allows, and no path climbs out of.
fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_owner_a_name_and_perhaps_a_revision() {
        for (text, repo, revision) in [
            ("a/b", "a/b", "main"),
            ("HF-Tb/SmolLM2_1.7B@v1.0", "HF-Tb/SmolLM2_1.7B", "v1.0"),
            ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
        ] {
            let name: ModelName = text.parse().expect(text);
            assert_eq!((name.repo().as_str(), name.revision()), (repo, revision));
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "",
            "gpt2",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "a b/c",
            "a/b@",
            "a/b@..",
            "a/b@x/../y",
            "a/b@x@y",
            "https://huggingface.co/a/b",
            "a/b\n",
            "a/b?c",
            "a/b%2e",
        ] {
            assert!(text.parse::<ModelName>().is_err(), "{text}");
        }
    }
}
