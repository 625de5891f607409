//! Numbers that may not be finite, in JSON: see the module above for the law.

use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, `NaN`, `inf`, `-inf` or null")]
enum Number {
    Finite(f64),
    Word(Word),
    Null(()),
}

#[derive(Deserialize)]
enum Word {
    NaN,
    #[serde(rename = "inf")]
    Inf,
    #[serde(rename = "-inf")]
    NegInf,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if x.is_finite() {
        serializer.serialize_f64(*x)
    } else {
        // Rust's own spelling of the three is the one wanted.
        serializer.collect_str(x)
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(match Number::deserialize(deserializer)? {
        Number::Finite(x) => x,
        Number::Word(Word::NaN) | Number::Null(()) => f64::NAN,
        Number::Word(Word::Inf) => f64::INFINITY,
        Number::Word(Word::NegInf) => f64::NEG_INFINITY,
    })
}

pub(super) fn nan() -> f64 {
    f64::NAN
}

/// Where there may be none, which is not written.
pub(super) mod option {
    use serde::{Deserializer, Serializer};

    // The signature is serde's.
    #[allow(clippy::ref_option)]
    pub fn serialize<S: Serializer>(x: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match x {
            Some(x) => super::serialize(x, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        super::deserialize(d).map(Some)
    }
}
