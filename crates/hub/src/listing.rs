//! The files of a revision, and which of them make the model.

use std::fmt::Write as _;
use std::io::Read;

use serde::Deserialize;

use crate::client::Client;
use crate::{Hash, HubError, ModelName};

/// Thousands of files with their hashes.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// How files end that say something about a model, and are small.
const BESIDE_WEIGHTS: [&str; 7] =
    [".json", ".txt", ".model", ".spm", ".tiktoken", ".jinja", "README.md"];
/// How a model is told to average what it makes of tokens.
const POOLING: &str = "1_Pooling/config.json";
const INDEX: &str = ".index.json";
/// How files of weights end, read here or not.
const WEIGHTS: [&str; 8] =
    [".safetensors", ".gguf", ".bin", ".msgpack", ".h5", ".pt", ".pth", ".onnx"];

/// A file of the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteFile {
    /// Where it lies below the model's folder, with `/`.
    pub path: String,
    /// Its bytes.
    pub n_bytes: u64,
    /// What its content must give.
    pub hash: Hash,
}

/// A revision as the hub lists it.
#[derive(Debug)]
pub struct Listing {
    /// What was asked for.
    pub model: ModelName,
    /// The commit it means.
    pub commit: String,
    files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Client {
    /// Asks for the files of a model.
    ///
    /// # Errors
    /// There is no such model or revision, it is not handed out, the hub cannot be reached, or
    /// answers with what is no listing; [`HubError::Path`] for a file that would lie elsewhere.
    pub fn list(&self, model: &ModelName) -> Result<Listing, HubError> {
        let revision = escape(model.revision(), false);
        let path = format!("api/models/{}/revision/{revision}?blobs=true", model.repo());
        let url = self.url(&path);
        let mut json = vec![];
        let problem = |problem: String| HubError::Answer { url: url.clone(), problem };
        let body = self.get(model, &url, 0)?.into_body();
        let read = body.into_reader().take(MAX_LISTING_BYTES).read_to_end(&mut json);
        read.map_err(|error| problem(error.to_string()))?;
        let answer: Answer =
            serde_json::from_slice(&json).map_err(|error| problem(error.to_string()))?;
        if answer.sha.is_empty() || !answer.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(problem(format!("commit `{}`", answer.sha)));
        }
        if let Some(hostile) = answer.siblings.iter().find(|file| !is_below(&file.rfilename)) {
            return Err(HubError::Path { file: hostile.rfilename.clone() });
        }
        let file = |sibling: Sibling| {
            let name = sibling.rfilename.clone();
            let bare = || problem(format!("`{name}` has no size, or no hash to hold it to"));
            RemoteFile::new(sibling).ok_or_else(bare)
        };
        let files = answer.siblings.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(Listing { model: model.clone(), commit: answer.sha, files })
    }
}

impl RemoteFile {
    /// `None` without size or hash: nothing could hold it to them.
    fn new(Sibling { rfilename, size, blob_id, lfs }: Sibling) -> Option<Self> {
        let (n_bytes, hash) = match lfs {
            Some(Lfs { sha256, size }) => (size, Hash::sha256(&sha256)?),
            None => (size?, Hash::git(&blob_id?)?),
        };
        Some(Self { path: rfilename, n_bytes, hash })
    }

    /// Where the hub has it.
    pub(crate) fn path_at_hub(&self, listing: &Listing) -> String {
        let file = escape(&self.path, true);
        format!("{}/resolve/{}/{file}", listing.model.repo(), listing.commit)
    }

    fn ends_with(&self, ends: &[&str]) -> bool {
        ends.iter().any(|end| self.path.ends_with(end))
    }
}

impl Listing {
    /// The files that make the model: one set of weights, and all that is beside them. Of weights
    /// that are there in several formats, the first that would be read.
    ///
    /// # Errors
    /// [`HubError::NoFile`] where `weights` is not there, [`HubError::NoWeights`] where no file is
    /// the obvious choice.
    pub fn choose(&self, weights: Option<&str>) -> Result<Vec<&RemoteFile>, HubError> {
        let model = || self.model.clone();
        let weights = match weights {
            Some(file) => self.named(file).ok_or_else(|| {
                let (file, there) = (file.to_owned(), self.weights());
                HubError::NoFile { model: model(), file, there }
            })?,
            None => self
                .usual()
                .ok_or_else(|| HubError::NoWeights { model: model(), there: self.weights() })?,
        };
        let is_beside = |file: &&RemoteFile| {
            let is_at_top = !file.path.contains('/') && !file.path.starts_with('.');
            let says = file.ends_with(&BESIDE_WEIGHTS) && !file.path.ends_with(INDEX);
            is_at_top && (says || file.path.starts_with("LICENSE")) || file.path == POOLING
        };
        let is_chosen = |file: &RemoteFile| weights.iter().any(|chosen| chosen.path == file.path);
        let beside = self.files.iter().filter(is_beside).filter(|file| !is_chosen(file));
        Ok(beside.chain(weights.iter().copied()).collect())
    }

    fn get(&self, path: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A file, and what an index stands for.
    fn named(&self, path: &str) -> Option<Vec<&RemoteFile>> {
        let file = self.get(path)?;
        let Some(whole) = path.strip_suffix(INDEX) else { return Some(vec![file]) };
        let (stem, end) = whole.rsplit_once('.')?;
        let is_shard = |file: &&RemoteFile| {
            let middle = file.path.strip_prefix(stem).and_then(|path| path.strip_suffix(end));
            middle.is_some_and(|middle| middle.starts_with('-') && middle.contains("-of-"))
        };
        Some(self.files.iter().filter(is_shard).chain([file]).collect())
    }

    /// What a folder with all of these files would be read from.
    fn usual(&self) -> Option<Vec<&RemoteFile>> {
        let gguf = self.files.iter().filter(|file| file.ends_with(&[".gguf"]));
        let gguf: Vec<_> = gguf.map(|file| file.path.as_str()).collect();
        let only_gguf = if let [only] = gguf[..] { only } else { "" };
        let order = [
            "model.safetensors",
            "model.safetensors.index.json",
            only_gguf,
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "flax_model.msgpack",
        ];
        order.iter().find_map(|name| self.named(name))
    }

    /// The names of files of weights, for messages.
    fn weights(&self) -> Vec<String> {
        const MOST: usize = 20;
        let all = self.files.iter().filter(|file| file.ends_with(&WEIGHTS));
        all.take(MOST).map(|file| file.path.clone()).collect()
    }
}

/// Whether a path leads below a folder, on every system, whatever is in the folder.
fn is_below(path: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    let is_plain = |c: char| !c.is_control() && !matches!(c, '\\' | ':');
    path.split('/').all(is_name) && path.chars().all(is_plain)
}

/// A part of an address.
fn escape(text: &str, is_path: bool) -> String {
    let mut escaped = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'/' if is_path => escaped.push('/'),
            b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let file = |path: &&str| RemoteFile {
            path: (*path).to_owned(),
            n_bytes: 1,
            hash: Hash::git(&"0".repeat(40)).expect("a hash"),
        };
        let files = paths.iter().map(file).collect();
        Listing { model: "a/b".parse().expect("a name"), commit: "0".into(), files }
    }

    #[track_caller]
    fn chosen(paths: &[&str], weights: Option<&str>) -> Vec<String> {
        let listing = listing(paths);
        let chosen = listing.choose(weights).expect("weights");
        chosen.into_iter().map(|file| file.path.clone()).collect()
    }

    #[test]
    fn one_set_of_weights_is_chosen_and_all_that_says_how_to_use_it() {
        let all = [
            ".gitattributes",
            "LICENSE.txt",
            "README.md",
            "config.json",
            "consolidated.safetensors",
            "flax_model.msgpack",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "onnx/model.onnx",
            "onnx/config.json",
            "1_Pooling/config.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.json",
            "spiece.model",
            "chat_template.jinja",
            "tf_model.h5",
        ];
        let expected = [
            "LICENSE.txt",
            "README.md",
            "config.json",
            "1_Pooling/config.json",
            "tokenizer.json",
            "spiece.model",
            "chat_template.jinja",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
        ];
        assert_eq!(chosen(&all, None), expected);
        let whole = [&all[..], &["model.safetensors"]].concat();
        assert_eq!(chosen(&whole, None).last().expect("some"), "model.safetensors");
        assert_eq!(chosen(&["a.gguf", "tf_model.h5"], None), ["a.gguf"]);
        assert_eq!(chosen(&["a.gguf", "b.gguf"], Some("b.gguf")), ["b.gguf"]);
        assert_eq!(chosen(&["config.json", "pytorch_model.bin"], None).len(), 2);
    }

    #[test]
    fn where_no_file_is_the_obvious_choice_they_are_named() {
        let listing = listing(&["a.gguf", "b.gguf", "config.json"]);
        let error = listing.choose(None).expect_err("two").to_string();
        assert!(error.ends_with("there are `a.gguf`, `b.gguf`"), "{error}");
        let error = listing.choose(Some("c.gguf")).expect_err("not there").to_string();
        assert!(error.contains("no file `c.gguf`; there are"), "{error}");
    }

    #[test]
    fn only_what_lies_below_is_a_path() {
        for path in ["config.json", "1_Pooling/config.json", ".gitattributes", "a b/\u{e9}", "..."]
        {
            assert!(is_below(path), "{path}");
        }
        for path in
            ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "C:x", "a\\b", "a\0"]
        {
            assert!(!is_below(path), "{path}");
        }
        assert_eq!(escape("a b/\u{e9}%#?", true), "a%20b/%C3%A9%25%23%3F");
        assert_eq!(escape("refs/pr/1", false), "refs%2Fpr%2F1");
    }
}
