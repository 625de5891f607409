//! A file, from where it stands, however often the connection ends.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, header};

use crate::client::Client;
use crate::part::Part;
use crate::{HubError, Listing, RemoteFile};

/// Tries in a row that bring nothing.
const MAX_IN_VAIN: u32 = 5;
/// How long to wait before the second of them; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const BUFFER_BYTES: usize = 1 << 18;

/// What happens while files come.
#[derive(Debug)]
pub enum Event<'e> {
    /// A file stands at so many bytes.
    At {
        /// The file.
        file: &'e RemoteFile,
        /// How much of it is there.
        n_bytes: u64,
    },
    /// The connection ended early, and is made again.
    Again {
        /// Why.
        error: &'e HubError,
    },
}

/// Told what happens.
pub(crate) type Tell<'t> = &'t mut dyn FnMut(Event);

impl Client {
    /// Fetches what is missing of a file into `path`, and holds it to its hash.
    pub(crate) fn fetch(
        &self,
        listing: &Listing,
        file: &RemoteFile,
        path: &Path,
        tell: Tell,
    ) -> Result<(), HubError> {
        let write = |source| HubError::Write { path: path.to_owned(), source };
        let mut part = Part::open(path, &file.hash, file.n_bytes).map_err(write)?;
        tell(Event::At { file, n_bytes: part.n_bytes() });
        let (mut in_vain, mut wait) = (0, FIRST_WAIT);
        while part.n_bytes() < file.n_bytes {
            let before = part.n_bytes();
            let error = match self.receive(listing, file, (path, &mut part), tell) {
                Ok(()) => continue,
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            if part.n_bytes() > before {
                (in_vain, wait) = (0, FIRST_WAIT);
            } else if in_vain + 1 == MAX_IN_VAIN {
                return Err(error);
            } else {
                thread::sleep(wait);
                (in_vain, wait) = (in_vain + 1, wait * 2);
            }
            tell(Event::Again { error: &error });
        }
        let found = part.found();
        if found != file.hash.hex() {
            fs::remove_file(path).map_err(write)?;
            let (kind, expected) = (file.hash.kind(), file.hash.hex().to_owned());
            return Err(HubError::Hash { file: file.path.clone(), kind, expected, found });
        }
        part.sync().map_err(write)
    }

    /// One request for all that is missing, as far as it is answered.
    fn receive(
        &self,
        listing: &Listing,
        file: &RemoteFile,
        (path, part): (&Path, &mut Part),
        tell: Tell,
    ) -> Result<(), HubError> {
        let write = |source| HubError::Write { path: path.to_owned(), source };
        let url = self.url(&file.path_at_hub(listing));
        let response = self.get(&listing.model, &url, part.n_bytes())?;
        match begins_at(&response) {
            Some(at) if at == part.n_bytes() => {}
            // A server that knows no ranges sends all.
            Some(0) => part.restart().map_err(write)?,
            _ => {
                let problem = "another range than was asked for".to_owned();
                return Err(HubError::Answer { url, problem });
            }
        }
        // What comes beyond the size that is listed is not looked at: the hash tells.
        let mut body = response.into_body().into_reader().take(file.n_bytes - part.n_bytes());
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match body.read(&mut buffer) {
                Ok(0) | Err(_) if part.n_bytes() < file.n_bytes => {
                    let (file, expected) = (file.path.clone(), file.n_bytes);
                    return Err(HubError::Cut { file, found: part.n_bytes(), expected });
                }
                Ok(0) | Err(_) => return Ok(()),
                Ok(n) => part.push(&buffer[..n]).map_err(write)?,
            }
            tell(Event::At { file, n_bytes: part.n_bytes() });
        }
    }
}

/// The first byte that an answer holds.
fn begins_at(response: &Response<Body>) -> Option<u64> {
    if response.status() == 200 {
        return Some(0);
    }
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.parse().ok()
}
