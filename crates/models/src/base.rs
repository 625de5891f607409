//! Which weights an adapter was trained beside: a mark of them that lies in its directory.

use std::path::Path;

use checkpoint::{Dtype, Stored, Weights};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// The file of an adapter's directory that has the mark; `peft` does not look at it.
pub const BASE_FILE: &str = "adapter_base.json";
const MAX_BYTES: u64 = 1 << 16;
/// Numbers of each tensor that are looked at.
const N_LOOKED_AT: usize = 16;

#[derive(Serialize, Deserialize)]
struct Base {
    /// BLAKE3 of names, shapes and some numbers of the weights.
    weights: String,
}

/// What is written to [`BASE_FILE`] of what is trained beside the weights of `dir`; none where they
/// are in blocks of fewer bits.
///
/// Of each tensor some numbers are looked at, as near as bf16 has them: the same weights stored in
/// f32 and in bf16 have one mark.
///
/// # Errors
/// Where there are no weights.
pub fn base_file(dir: &Path) -> Result<Option<String>, ModelError> {
    let mark = mark(&Weights::open(dir)?)?;
    let text = |weights| serde_json::to_string(&Base { weights }).expect("a map of one text");
    Ok(mark.map(|weights| text(weights) + "\n"))
}

/// Refuses a base that is not the one that the adapter in `adapter` was trained beside, where that
/// can be known: where either has no mark, shapes alone decide.
///
/// # Errors
/// Where it is another, or a file cannot be read.
pub fn check_base(adapter: &Path, base: &Path) -> Result<(), ModelError> {
    let path = adapter.join(BASE_FILE);
    if !path.exists() {
        return Ok(());
    }
    let text = mapped::read_small(&path, MAX_BYTES)
        .map_err(|source| ModelError::Read { path: path.clone(), source })?;
    let expected: Base =
        serde_json::from_slice(&text).map_err(|source| ModelError::Json { path, source })?;
    match mark(&Weights::open(base)?)? {
        Some(found) if found != expected.weights => {
            let [adapter, base] = [adapter, base].map(Path::to_owned);
            Err(ModelError::OtherBase { adapter, base })
        }
        _ => Ok(()),
    }
}

fn mark(weights: &Weights) -> Result<Option<String>, ModelError> {
    let mut names: Vec<&str> = weights.names().collect();
    names.sort_unstable();
    let mut hash = blake3::Hasher::new();
    for name in names {
        let view = weights.get(name)?;
        let size = match view.dtype {
            Stored::Plain(Dtype::F32) => 4,
            Stored::Plain(Dtype::BF16 | Dtype::F16) => 2,
            // Buffers of integers: positions.
            Stored::Plain(_) => continue,
            Stored::Blocks(_) => return Ok(None),
        };
        hash.update(format!("{name} {:?}\n", view.shape).as_bytes());
        let bytes = view.bytes();
        let n = bytes.len() / size;
        for i in 0..N_LOOKED_AT.min(n) {
            let at = i * n / N_LOOKED_AT.min(n) * size;
            let number = match view.dtype {
                Stored::Plain(Dtype::F32) => {
                    bf16::from_f32(f32::from_le_bytes(array(&bytes[at..at + 4])))
                }
                Stored::Plain(Dtype::F16) => {
                    bf16::from_f32(f16::from_le_bytes(array(&bytes[at..at + 2])).to_f32())
                }
                _ => bf16::from_le_bytes(array(&bytes[at..at + 2])),
            };
            hash.update(&number.to_le_bytes());
        }
    }
    Ok(Some(hash.finalize().to_hex().to_string()))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("so many bytes")
}
