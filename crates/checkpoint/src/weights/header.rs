//! The header of a safetensors file, believed only as far as the file's bytes bear it out.
//!
//! ```text
//! u64 length, JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..}, data
//! ```
//!
//! The tensors must cover the data from its first byte to its last, without overlap or hole, and
//! each must be as long as its shape and dtype say. So the file's size bounds the memory, and no
//! byte of it is out of sight.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Error as _, MapAccess, Visitor};

use super::view::{Info, Infos, Place};

/// The format's own bound.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: usize = 8;
const METADATA: &str = "__metadata__";

/// What the JSON says of one tensor, as it is.
#[derive(Deserialize)]
struct Claim {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads and checks the header of a whole file.
pub(super) fn parse(file: &[u8]) -> Result<Infos, String> {
    let (json, data_start) = split(file)?;
    let Claims(mut claims) = serde_json::from_slice(json)
        .map_err(|error| format!("its header is not what it should be: {error}"))?;
    claims.sort_by_key(|(_, claim)| claim.data_offsets);
    let data_len = (file.len() - data_start) as u64;
    let mut infos = Infos::new();
    let mut covered = 0;
    for (name, claim) in claims {
        let (dtype, shape) = claim
            .check(covered, data_len)
            .map_err(|problem| format!("tensor `{name}` {problem}"))?;
        let (begin, end) = claim.data_offsets;
        let bytes = data_start + begin as usize..data_start + end as usize;
        covered = end;
        infos.insert(name, Info { dtype: dtype.into(), shape, place: Place::Dense(bytes) });
    }
    match data_len - covered {
        0 => Ok(infos),
        n_bytes => Err(format!("{n_bytes} bytes after the last tensor")),
    }
}

/// The JSON, and where the data starts.
fn split(file: &[u8]) -> Result<(&[u8], usize), String> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("{} bytes are too few for a header", file.len()));
    };
    let header_len = u64::from_le_bytes(*length);
    if header_len > MAX_HEADER_BYTES {
        return Err(format!("a header of {header_len} bytes, at most {MAX_HEADER_BYTES} allowed"));
    }
    let header_len = header_len as usize;
    let Some(json) = rest.get(..header_len) else {
        return Err(format!("a header of {header_len} bytes in a file of {}", file.len()));
    };
    match json.first() {
        Some(b'{') => Ok((json, LENGTH_BYTES + header_len)),
        _ => Err("its header does not begin with `{`".to_owned()),
    }
}

impl Claim {
    /// Holds the claim against the `data_len` bytes there are, the first `covered` being taken.
    fn check(&self, covered: u64, data_len: u64) -> Result<(Dtype, Vec<usize>), String> {
        let (begin, end) = self.data_offsets;
        let offsets = format!("offsets [{begin}, {end}]");
        if begin > end {
            return Err(format!("{offsets} run backwards"));
        }
        if end > data_len {
            return Err(format!("{offsets} are out of the {data_len} bytes of data"));
        }
        if begin < covered {
            return Err(format!("{offsets} overlap the tensor before it, which ends at {covered}"));
        }
        if begin > covered {
            return Err(format!("{offsets} leave a hole after byte {covered}"));
        }
        let name = StrDeserializer::<ValueError>::new(&self.dtype);
        let Ok(dtype) = Dtype::deserialize(name) else {
            return Err(format!("has unknown dtype `{}`", self.dtype));
        };
        let overflows = || format!("has shape {:?}, which overflows", self.shape);
        let n_elements = self.shape.iter().try_fold(1_u64, |n, &dim| n.checked_mul(dim));
        let n_bits = n_elements.and_then(|n| n.checked_mul(dtype.bitsize() as u64));
        let n_bits = n_bits.ok_or_else(overflows)?;
        if (end - begin).checked_mul(8) != Some(n_bits) {
            let (shape, n_bytes) = (&self.shape, end - begin);
            return Err(format!("has {n_bytes} bytes, which is not {shape:?} of {dtype}"));
        }
        let dims = self.shape.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>();
        Ok((dtype, dims.map_err(|_| overflows())?))
    }
}

/// A JSON object in its order, a name given twice being an error.
struct Claims(Vec<(String, Claim)>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let (mut claims, mut names) = (vec![], HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("tensor `{name}` is there twice")));
            }
            if name == METADATA {
                map.next_value::<BTreeMap<String, String>>()
                    .map_err(|error| A::Error::custom(format_args!("`{METADATA}`: {error}")))?;
                continue;
            }
            let claim = map
                .next_value::<Claim>()
                .map_err(|error| A::Error::custom(format_args!("tensor `{name}`: {error}")))?;
            claims.push((name, claim));
        }
        Ok(Claims(claims))
    }
}
