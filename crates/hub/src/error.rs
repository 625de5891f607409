//! Why a model could not be fetched.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::ModelName;

/// Why a model could not be fetched. What had come of it stays, and the next try goes on there.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum HubError {
    #[error("`{text}` is no name of a model, expected `owner/name` or `owner/name@revision`")]
    Name { text: String },
    #[error("`{endpoint}` is no address of a hub: {problem}")]
    Endpoint { endpoint: String, problem: String },
    #[error("failed to read the certificates in `{path}`")]
    Certificates { path: PathBuf, source: io::Error },
    #[error("there is no model `{model}` at {endpoint}")]
    NoModel { model: ModelName, endpoint: String },
    #[error("model `{repo}` has no revision `{revision}`")]
    NoRevision { repo: String, revision: String },
    #[error("model `{model}` is gated, and {endpoint} does not hand it out{}", with(*has_token))]
    Gated { model: ModelName, endpoint: String, has_token: bool },
    #[error("{endpoint} refuses model `{model}`{}, with status {status}", with(*has_token))]
    Forbidden { model: ModelName, endpoint: String, status: u16, has_token: bool },
    #[error("{url} answers with status {status}")]
    Status { url: String, status: u16 },
    #[error("failed to reach {url}")]
    Network { url: String, source: Box<ureq::Error> },
    #[error("{url} is not what a hub answers: {problem}")]
    Answer { url: String, problem: String },
    #[error("the hub lists a file `{file}`, which is no place inside a folder")]
    Path { file: String },
    #[error("model `{model}` has no weights that are read here{}", listed(there))]
    NoWeights { model: ModelName, there: Vec<String> },
    #[error("model `{model}` has no file `{file}`{}", listed(there))]
    NoFile { model: ModelName, file: String, there: Vec<String> },
    #[error("`{file}` ended after {found} of {expected} bytes")]
    Cut { file: String, found: u64, expected: u64 },
    #[error("`{file}` has {kind} {found}, expected {expected}")]
    Hash { file: String, kind: &'static str, expected: String, found: String },
    #[error("`{path}` exists, and its `{file}` is not that of {model}")]
    Exists { path: PathBuf, file: String, model: String },
    #[error("`{path}` is being fetched by another process")]
    Locked { path: PathBuf },
    #[error("failed to read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to write `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

fn with(has_token: bool) -> &'static str {
    if has_token { " to the owner of your token" } else { " without a token" }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; there are `{}`", names.join("`, `")),
    }
}

impl HubError {
    /// Whether the same request may be answered a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Cut { .. } | Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        const TOKEN: &str = "make a token at https://huggingface.co/settings/tokens and set \
                             `HF_TOKEN` to it";
        Some(match self {
            Self::Name { .. } => "write it as in the address of its page, such as \
                                  `openai-community/gpt2` or `owner/name@v1.0`"
                .to_owned(),
            Self::Endpoint { .. } => {
                "set `HF_ENDPOINT` to something like `https://huggingface.co`, or unset it".into()
            }
            Self::Certificates { .. } => "`SSL_CERT_FILE` names a file in PEM format".into(),
            Self::NoModel { .. } => {
                format!("check the spelling; where the model is private, {TOKEN}")
            }
            Self::NoRevision { .. } => {
                "a revision is a branch, a tag or a commit; leave out `@..` for `main`".into()
            }
            Self::Gated { model, endpoint, has_token } => {
                let page = format!("accept the terms at {endpoint}/{}", model.repo());
                if *has_token { page } else { format!("{page}, then {TOKEN}") }
            }
            Self::Forbidden { has_token: false, .. } => {
                format!("where the model is private or gated, {TOKEN}; else check the spelling")
            }
            Self::Forbidden { .. } => "the token in `HF_TOKEN` (or the hub's token file) may be \
                                       wrong, too old, or without the right to read this model"
                .to_owned(),
            Self::Status { status: 429, .. } => {
                format!("too many requests: wait a while, or {TOKEN}")
            }
            Self::Status { status: 404, .. } => {
                "the hub lists it, and does not have it: try again later, or another mirror".into()
            }
            Self::Status { status: 400..=407 | 409..=499, .. } => {
                "the server refuses the request: check the name, and what `HF_ENDPOINT` names"
                    .into()
            }
            Self::Status { .. } | Self::Cut { .. } => {
                "the server has trouble: the same command goes on where this one ended".into()
            }
            Self::Network { .. } => "check the network; `HF_ENDPOINT` names a mirror, \
                                     `HTTPS_PROXY` a proxy, `SSL_CERT_FILE` its certificates"
                .to_owned(),
            Self::Answer { .. } => {
                "`HF_ENDPOINT` may name something else than a hub, or a proxy may be in the way"
                    .into()
            }
            Self::Path { .. } => "nothing was written: do not trust this model".into(),
            Self::NoWeights { .. } | Self::NoFile { .. } => {
                "name a file of weights with `--weights`".into()
            }
            Self::Hash { .. } => "what had come of the file was removed: try again, and where \
                                  that gives the same, do not trust the server"
                .to_owned(),
            Self::Exists { .. } => "give another folder with `--out`, or remove this one".into(),
            Self::Locked { .. } => "wait for the other process to end, or stop it".into(),
            Self::Write { source, .. } => return write_hint(source),
            Self::Read { .. } => return None,
        })
    }
}

fn write_hint(source: &io::Error) -> Option<String> {
    use io::ErrorKind::StorageFull;
    use io::ErrorKind::{InvalidInput, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem};
    match source.kind() {
        StorageFull | QuotaExceeded => Some(
            "free some space: what was fetched stays, and the same command goes on there".into(),
        ),
        PermissionDenied | ReadOnlyFilesystem => {
            Some("give a folder that you may write to with `--out`".into())
        }
        InvalidInput => Some("give a folder with a name of its own with `--out`".into()),
        _ => None,
    }
}
