//! What computes: threads and precision.

use checkpoint::{Dtype, Weights};
use clap::ValueEnum;
use kernels::Isa;
use tensor::Precision;

use crate::environment::Env;
use crate::failure::{Context, Failure};

/// In what precision a model that is there already is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// As the weights are stored: bf16 for bf16 where the CPU has its dot product, else f32.
    #[default]
    Auto,
    /// Everything in 32 bits.
    F32,
    /// Products and activations in bfloat16, sums in 32 bits.
    Bf16,
}

impl PrecisionArg {
    /// The precision for weights stored as `dtypes` say.
    pub fn resolve(self, isa: Isa, dtypes: impl IntoIterator<Item = Dtype>) -> Precision {
        let stored_bf16 = || dtypes.into_iter().all(|dtype| dtype == Dtype::BF16);
        match self {
            Self::Bf16 => Precision::BF16,
            Self::Auto if isa == Isa::Avx512Bf16 && stored_bf16() => Precision::BF16,
            Self::F32 | Self::Auto => Precision::F32,
        }
    }
}

/// How every tensor is stored.
pub fn dtypes(weights: &Weights) -> impl Iterator<Item = Dtype> {
    weights.names().filter_map(|name| Some(weights.get(name).ok()?.dtype))
}

/// What the main thread has, and a deep call may need.
const STACK_BYTES: usize = 8 << 20;

/// Runs `command` on the threads that compute: as one of them, for a thread outside would be put to
/// sleep and woken at every kernel.
///
/// # Errors
/// Where the system grants no threads, and as `command`.
pub fn on_threads<T: Send>(
    env: &Env,
    command: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let n = env.n_threads;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).stack_size(STACK_BYTES).build();
    pool.context(format!("failed to start {n} threads"))
        .map_err(|failure| failure.hint("ask for fewer with `--threads`"))?
        .install(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_computes_as_the_weights_are_stored() {
        let auto = |isa, dtypes: &[Dtype]| PrecisionArg::Auto.resolve(isa, dtypes.iter().copied());
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16; 2]), Precision::BF16);
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16, Dtype::F32]), Precision::F32);
        assert_eq!(auto(Isa::Avx2, &[Dtype::BF16]), Precision::F32);
        assert_eq!(PrecisionArg::Bf16.resolve(Isa::Avx2, []), Precision::BF16);
    }
}
