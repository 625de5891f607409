//! Why something on a server could not be had.

use std::io;

use thiserror::Error;

/// Why something on a server could not be read or written.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it, and the fields are their facts.
pub enum RemoteError {
    #[error("`{url}` is no address: {problem}")]
    Address { url: String, problem: &'static str },
    #[error("{url} answers with status {status}{}", said(message))]
    Status { url: String, status: u16, message: String },
    #[error("failed to reach {url}")]
    Network { url: String, source: Box<ureq::Error> },
    #[error("{url} leads to {address}, which is not public")]
    Private { url: String, address: String },
    #[error("{url} is not what was asked for: {problem}")]
    Answer { url: String, problem: &'static str },
    #[error("{url} is not what was asked for: it was written anew")]
    Changed { url: String },
    #[error("{url} would have {n_bytes} bytes, and S3 takes 5 GiB at once")]
    TooLarge { url: String, n_bytes: u64 },
    #[error("failed to read what is to be sent to {url}")]
    Read { url: String, source: io::Error },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" (`{message}`)") }
}

impl RemoteError {
    /// Whether the same request may be answered a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Private { .. } => {
                "private addresses are asked only with `crawl.servers.allow_private = true`"
            }
            Self::Status { status: 401 | 403, .. } => {
                "check the keys (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`) and the region"
            }
            Self::Status { status: 404, message, .. } if message == "NoSuchBucket" => {
                "check the name of the bucket, and the server (`s3_endpoint`, `s3_region`)"
            }
            Self::Status { status: 404, .. } => "check the address: nothing is there",
            Self::Changed { .. } => "give another folder for what is made of it as it is now",
            Self::TooLarge { .. } => "make the pieces smaller: `slice_bytes`, or more `partitions`",
            Self::Network { .. } | Self::Status { status: 500.., .. } => {
                "check the network; what is finished stays, and the same command goes on there"
            }
            _ => return None,
        })
    }
}

impl From<RemoteError> for io::Error {
    fn from(error: RemoteError) -> Self {
        let kind = match &error {
            RemoteError::Status { status: 404, .. } => io::ErrorKind::NotFound,
            RemoteError::Status { status: 401 | 403, .. } | RemoteError::Private { .. } => {
                io::ErrorKind::PermissionDenied
            }
            RemoteError::Address { .. } => io::ErrorKind::InvalidInput,
            RemoteError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
