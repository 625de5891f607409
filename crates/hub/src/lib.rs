//! A model from the Hugging Face hub, or a mirror of it, into a folder.
//!
//! ```text
//! name     `owner/name[@revision]`
//! client   requests, and what is refused
//! listing  the files of a revision, and which of them make the model
//! part     a file as far as it has come, and its hash
//! fetch    a file, from where it stands, however often the connection ends
//! folder   what fills beside its target and takes its name once it is whole
//! ```
//!
//! Nothing that the server says is believed: names stay below the folder, sizes are those of the
//! listing, and every file has the hash that is listed for it.

mod client;
mod error;
mod fetch;
mod folder;
mod listing;
mod name;
mod part;

pub use client::{Client, Settings, Token};
pub use error::HubError;
pub use fetch::Event;
pub use folder::Folder;
pub use listing::{Listing, RemoteFile};
pub use name::ModelName;
pub use part::Hash;
