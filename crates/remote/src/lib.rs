//! Files on servers: `http://`, `https://` and `s3://`.
//!
//! ```text
//! client  requests, again where they fail for a moment; reading goes on where a connection ended
//! guard   addresses that are nobody's business
//! s3      where an object is, who asks for it (AWS Signature, version 4), and lists
//! ```
//!
//! Nothing that a server says is believed without bound, and by default no connection is made to an
//! address that is not public, wherever a name or a redirect leads.

mod client;
mod error;
mod guard;
mod s3;
#[cfg(test)]
mod tests;

pub use client::{ALL, Body, Client, Found, Settings};
pub use error::RemoteError;
pub use s3::{Keys, Secret};

/// Whether an address is one of a server.
pub fn is_remote(address: &str) -> bool {
    ["http://", "https://", "s3://"].iter().any(|scheme| address.starts_with(scheme))
}
