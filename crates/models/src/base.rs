//! Which weights an adapter was trained beside, and in what form: a mark of them that lies in its
//! directory; and models beside which adapters are used.

use std::path::{Path, PathBuf};

use checkpoint::{Dtype, Stored, Weights};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::adapted::TRAINED;
use crate::coded::Quantised;
use crate::error::ModelError;
use crate::model::{Model, Unused};

/// The file of an adapter's directory that has the mark; `peft` does not look at it.
pub const BASE_FILE: &str = "adapter_base.json";
const MAX_BYTES: u64 = 1 << 16;
/// Numbers of each tensor that are looked at.
const N_LOOKED_AT: usize = 16;

/// What is known of the base of an adapter.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Base {
    /// BLAKE3 of names, shapes and some numbers of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<String>,
    /// What its linear maps were rounded to.
    #[serde(skip_serializing_if = "Option::is_none")]
    rounded: Option<Quantised>,
}

impl Base {
    /// What lies beside an adapter; nothing is known where `peft` wrote it.
    fn read(adapter: &Path) -> Result<Self, ModelError> {
        let path = adapter.join(BASE_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = mapped::read_small(&path, MAX_BYTES)
            .map_err(|source| ModelError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| ModelError::Json { path, source })
    }

    /// Whether its weights are those of `dir`, where that can be known: where both have a mark.
    fn is_in(&self, dir: &Path) -> Result<Option<bool>, ModelError> {
        let Some(expected) = &self.weights else { return Ok(None) };
        Ok(mark(&Weights::open(dir)?)?.map(|found| found == *expected))
    }
}

/// What is written to [`BASE_FILE`] of what is trained beside the weights of `dir`, `rounded` or as
/// they are; there is no mark where they are in blocks of fewer bits, and no text without either.
///
/// Of each tensor some numbers are looked at, as near as bf16 has them: the same weights stored in
/// f32 and in bf16 have one mark.
///
/// # Errors
/// Where there are no weights.
pub fn base_file(dir: &Path, rounded: Option<Quantised>) -> Result<Option<String>, ModelError> {
    let base = Base { weights: mark(&Weights::open(dir)?)?, rounded };
    let is_known = base.weights.is_some() || rounded.is_some();
    let text = || serde_json::to_string(&base).expect("a map of texts") + "\n";
    Ok(is_known.then(text))
}

/// What the maps of its base were rounded to when an adapter was trained.
pub(crate) fn rounded(adapter: &Path) -> Result<Option<Quantised>, ModelError> {
    Ok(Base::read(adapter)?.rounded)
}

/// Refuses a base that is not the one that the adapter in `adapter` was trained beside, where that
/// can be known: where either has no mark, shapes alone decide.
///
/// # Errors
/// Where it is another, or a file cannot be read.
pub fn check_base(adapter: &Path, base: &Path) -> Result<(), ModelError> {
    if Base::read(adapter)?.is_in(base)? == Some(false) {
        let [adapter, base] = [adapter, base].map(Path::to_owned);
        return Err(ModelError::OtherBase { adapter, base });
    }
    Ok(())
}

/// Refuses weights out of which the adapter in `adapter` is to be taken, and that are those that it
/// was trained beside.
///
/// # Errors
/// Where they are, or a file cannot be read.
pub fn check_merged(adapter: &Path, weights: &Path) -> Result<(), ModelError> {
    if Base::read(adapter)?.is_in(weights)? == Some(true) {
        let [adapter, base] = [adapter, weights].map(Path::to_owned);
        return Err(ModelError::NotMerged { adapter, base });
    }
    Ok(())
}

impl Model {
    /// Loads a model directory and adapters, to be run, each so many times: less than none of what
    /// is taken out of weights again. A head comes with the first that brings one.
    ///
    /// # Errors
    /// As [`Model::load_adapted`]; where the base is known to be another.
    pub fn load_beside(
        dir: &Path,
        adapters: &[(PathBuf, f32)],
    ) -> Result<(Self, Unused), ModelError> {
        let mut own = None;
        for (adapter, by) in adapters {
            // What is taken out of weights was put into them: they are others than it was trained
            // on.
            if *by >= 0.0 {
                check_base(adapter, dir)?;
            }
            if own.is_none() && adapter.join("config.json").exists() {
                own = Some(Self::load_config(adapter)?);
            }
        }
        let name = |i| if i == 0 { TRAINED.to_owned() } else { format!("{TRAINED}-{i}") };
        let names: Vec<String> = (0..adapters.len()).map(name).collect();
        let named = names.iter().zip(adapters).map(|(name, (dir, by))| (&**name, &**dir, *by));
        Self::load_times(dir, own, &named.collect::<Vec<_>>())
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
