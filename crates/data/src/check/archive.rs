//! Tar archives, entry by entry.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tar::{Archive, Entry};

use super::{Checked, Layout, image_problem, is_image};
use crate::DataError;
use crate::source::bytes::Bytes;

/// A name in an entry of its own (GNU's and PAX's long ones) is no longer than this.
const NAME_BYTES_MAX: u64 = 64 << 10;
/// What an archive is made of; two of zeros end it.
const BLOCK: u64 = 512;
/// Different sets of endings, and samples of each, that are remembered.
const SETS_MAX: usize = 64;
const EXAMPLES_MAX: usize = 20;

/// Checks one archive, whose entries are told with `prefix` before them.
pub(super) fn check(path: &Path, prefix: &str, checked: &mut Checked) -> Result<(), DataError> {
    let bytes = Bytes::open(path, &Arc::default())?;
    let n_zeros = Arc::new(AtomicU64::new(0));
    let mut reader = Watched { bytes, n_zeros: Arc::clone(&n_zeros) };
    checked.n_archives += 1;
    let mut walk = Walk { checked, prefix, last: String::new(), seen: Seen::default() };
    let is_whole = walk.archive(&mut reader, "");
    if is_whole && n_zeros.load(Ordering::Relaxed) < BLOCK {
        let last = walk.last.clone();
        walk.problem(&last, "is the last, and no end of the archive follows: is it cut short?");
    }
    walk.end();
    Ok(())
}

/// Bytes of which is known how many zeros the last ones are.
struct Watched {
    bytes: Bytes,
    n_zeros: Arc<AtomicU64>,
}

impl Read for Watched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read(into)?;
        let n_zeros = into[..n].iter().rev().take_while(|&&byte| byte == 0).count();
        if n_zeros == n {
            self.n_zeros.fetch_add(n as u64, Ordering::Relaxed);
        } else {
            self.n_zeros.store(n_zeros as u64, Ordering::Relaxed);
        }
        Ok(n)
    }
}

struct Walk<'a> {
    checked: &'a mut Checked,
    prefix: &'a str,
    /// The name of the last entry that could be read.
    last: String,
    seen: Seen,
}

/// What came before.
#[derive(Default)]
struct Seen {
    names: HashSet<blake3::Hash>,
    /// Samples that are over.
    samples: HashSet<blake3::Hash>,
    /// The present sample, and its endings.
    sample: Option<(String, BTreeSet<String>)>,
    /// How many samples have these endings, and some of them.
    sets: BTreeMap<BTreeSet<String>, (u64, Vec<String>)>,
}

impl Walk<'_> {
    fn problem(&mut self, entry: &str, what: &str) {
        self.checked.problem(format!("{}{entry}", self.prefix), what);
    }

    /// Goes through an archive, or one of a class inside of it; whether to the end of it.
    fn archive(&mut self, reader: &mut dyn Read, class: &str) -> bool {
        let mut archive = Archive::new(reader);
        let entries = match archive.entries() {
            Ok(entries) => entries.raw(true),
            Err(error) => {
                self.problem(class, &error.to_string());
                return false;
            }
        };
        let mut long = None;
        for entry in entries {
            let read = entry.and_then(|mut entry| {
                let kind = entry.header().entry_type();
                if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                    let mut bytes = vec![];
                    (&mut entry).take(NAME_BYTES_MAX).read_to_end(&mut bytes)?;
                    long = if kind.is_gnu_longname() {
                        Some(gnu_name(bytes))
                    } else {
                        pax_name(&bytes)
                    };
                } else if !kind.is_pax_global_extensions() && !kind.is_gnu_longlink() {
                    let name = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                    self.entry(&name, &mut entry, class)?;
                }
                Ok(())
            });
            if let Err(error) = read {
                let (last, what) = (self.last.clone(), format!("here or behind it: {error}"));
                self.problem(&last, &what);
                return false;
            }
        }
        true
    }

    /// One entry; an error where it cannot be read whole.
    fn entry(
        &mut self,
        name: &[u8],
        entry: &mut Entry<&mut dyn Read>,
        class: &str,
    ) -> io::Result<()> {
        let text = String::from_utf8_lossy(name).into_owned();
        let told = if class.is_empty() { text.clone() } else { format!("{class}.tar/{text}") };
        self.last.clone_from(&told);
        if std::str::from_utf8(name).is_err() {
            self.problem(&told, "has a name that is not UTF-8");
        }
        let is_outside = |part: &str| part == ".." || part.contains('\0');
        if text.starts_with('/') || text.split(['/', '\\']).any(is_outside) {
            self.problem(&told, "has a name that leads out of the folder");
        }
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return Ok(());
        }
        if !kind.is_file() && !kind.is_contiguous() {
            let to = entry.link_name_bytes().unwrap_or_default();
            let to = String::from_utf8_lossy(&to).into_owned();
            let is_link = kind.is_symlink() || kind.is_hard_link();
            let what =
                if is_link { format!("is a link to `{to}`") } else { "is no file".to_owned() };
            self.problem(&told, &what);
            return Ok(());
        }
        if !self.seen.names.insert(blake3::hash(told.as_bytes())) {
            self.problem(&told, "is there twice");
        }
        if let Some(inner) = text.strip_suffix(".tar").filter(|_| class.is_empty()) {
            self.checked.layout = Layout::Classes;
            self.checked.n_archives += 1;
            self.archive(entry, &inner.replace('/', "_"));
            return Ok(());
        }
        let size = entry.header().entry_size()?;
        let mut start = Vec::with_capacity(16);
        let mut n = entry.take(16).read_to_end(&mut start)? as u64;
        n += io::copy(entry, &mut io::sink())?;
        if n < size {
            let what = format!("it has {n} bytes of {size}: the archive is cut short");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.checked.n_files += 1;
        self.checked.n_bytes += n;
        if let Some(what) = image_problem(&start).filter(|_| is_image(&text)) {
            self.problem(&told, what);
        }
        if class.is_empty() {
            self.part(&text);
        } else {
            self.checked.n_samples += u64::from(is_image(&text));
            self.checked.count(class);
        }
        Ok(())
    }

    /// A file of a sample: its name up to the first dot, and the ending behind it.
    fn part(&mut self, name: &str) {
        let at = name.rfind('/').map_or(0, |at| at + 1);
        let Some((stem, ending)) = name[at..].split_once('.').filter(|(stem, _)| !stem.is_empty())
        else {
            return self.problem(name, "has no ending, and belongs to no sample");
        };
        let key = format!("{}{stem}", &name[..at]);
        let ending = ending.to_lowercase();
        self.checked.count(&ending);
        let is_other = self.seen.sample.as_ref().is_none_or(|(present, _)| *present != key);
        if is_other {
            self.end_sample();
            if self.seen.samples.contains(&blake3::hash(key.as_bytes())) {
                self.problem(name, "lies apart from the other files of its sample");
            }
        }
        let (_, endings) = self.seen.sample.get_or_insert_with(|| (key, BTreeSet::new()));
        if endings.len() < SETS_MAX {
            endings.insert(ending);
        }
    }

    fn end_sample(&mut self) {
        let Some((key, endings)) = self.seen.sample.take() else { return };
        self.checked.n_samples += 1;
        self.seen.samples.insert(blake3::hash(key.as_bytes()));
        let sets = &mut self.seen.sets;
        if sets.len() < SETS_MAX || sets.contains_key(&endings) {
            let (n, examples) = sets.entry(endings).or_default();
            *n += 1;
            if examples.len() < EXAMPLES_MAX {
                examples.push(key);
            }
        }
    }

    /// Tells which samples lack what most have.
    fn end(&mut self) {
        self.end_sample();
        let sets = std::mem::take(&mut self.seen.sets);
        let Some((usual, _)) = sets.iter().max_by_key(|(_, (n, _))| *n) else { return };
        for (endings, (n, examples)) in sets.iter().filter(|(endings, _)| *endings != usual) {
            let listed = |of: &BTreeSet<String>, less: &BTreeSet<String>| {
                let names = of.difference(less).take(8).map(|name| format!("`.{name}`"));
                names.collect::<Vec<_>>().join(", ")
            };
            let (lacks, extra) = (listed(usual, endings), listed(endings, usual));
            let what = match (lacks.is_empty(), extra.is_empty()) {
                (false, true) => format!("lacks {lacks}"),
                (true, _) => format!("has {extra} too, which most samples have not"),
                (false, false) => format!("lacks {lacks}, and has {extra}"),
            };
            for example in examples {
                self.problem(example, &what);
            }
            self.checked.n_problems += n - examples.len() as u64;
        }
    }
}

/// The name in an entry of GNU's, up to its NUL.
fn gnu_name(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// The `path` of POSIX's records `LENGTH KEY=VALUE\n`.
fn pax_name(mut bytes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let space = bytes.iter().position(|&byte| byte == b' ')?;
        let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..len.checked_sub(1)?)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.to_vec());
        }
        bytes = &bytes[len..];
    }
}
