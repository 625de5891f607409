//! Instruction sets: what a kernel may use, as a value.

use std::fmt;
use std::str::FromStr;

/// A set of CPU instructions, each a superset of the one before.
///
/// Every fast kernel takes one first. It is a value and never a global, so one process can run
/// (and test) all of them side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the compiler's baseline target has.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, VL and DQ, and everything of [`Isa::Avx2`].
    Avx512,
    /// The dot product of bfloat16 pairs (`vdpbf16ps`), and everything of [`Isa::Avx512`].
    Avx512Bf16,
}

/// A name that is none of [`Isa`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsa(
    /// The name as given.
    pub String,
);

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown instruction set `{}`", self.0)
    }
}

impl std::error::Error for UnknownIsa {}

impl UnknownIsa {
    /// The names there are.
    pub fn hint(&self) -> Option<String> {
        let names: Vec<_> = Isa::ALL.iter().map(|isa| format!("`{isa}`")).collect();
        Some(format!("one of {}", names.join(", ")))
    }
}

impl Isa {
    /// All of them, lowest first.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16];

    /// The best one this CPU can run.
    pub fn detect() -> Isa {
        Self::ALL.into_iter().rfind(|isa| isa.is_supported()).unwrap_or(Isa::Portable)
    }

    /// Whether this CPU can run it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_supported(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        match self {
            Isa::Portable => true,
            Isa::Avx2 => has!("avx2") && has!("fma") && has!("f16c"),
            Isa::Avx512 => {
                Isa::Avx2.is_supported()
                    && has!("avx512f")
                    && has!("avx512bw")
                    && has!("avx512vl")
                    && has!("avx512dq")
            }
            Isa::Avx512Bf16 => Isa::Avx512.is_supported() && has!("avx512bf16"),
        }
    }

    /// Whether this CPU can run it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_supported(self) -> bool {
        self == Isa::Portable
    }

    /// Those this CPU can run, lowest first.
    pub fn supported() -> Vec<Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_supported()).collect()
    }

    /// Panics unless this CPU can run it; the gate every kernel passes before `unsafe` code.
    #[track_caller]
    #[inline]
    pub fn assert_supported(self) {
        assert!(self.is_supported(), "this CPU cannot run the `{self}` kernels");
    }

    /// The name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        let known = Self::ALL.into_iter().find(|isa| isa.name() == name);
        known.ok_or_else(|| UnknownIsa(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert_eq!("sse9".parse::<Isa>(), Err(UnknownIsa("sse9".into())));
    }

    #[test]
    fn detect_is_the_best_supported() {
        assert_eq!(Some(&Isa::detect()), Isa::supported().last());
        assert!(Isa::Portable.is_supported());
    }
}
