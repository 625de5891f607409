//! What this machine can do at best: the roofs that kernels are measured against.
//!
//! Each function takes some tenths of a second on all threads of the current pool, and returns the
//! best of several rounds, so that other work on the machine disturbs it little.
#![allow(clippy::inline_always)] // As in `simd`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::Isa;
use crate::gemm::Multiply;
use crate::gemm::kernel::{Kernel, Path, kernel_fn};
use crate::gemm::product::{Product, prefetch};
use crate::simd::{LANES, Simd, simd_fn};

/// Billions of f32 operations a second (a fused multiply-add is two), from registers alone.
///
/// # Panics
/// When this CPU cannot run `isa`.
pub fn f32_gflops(isa: Isa) -> f64 {
    gflops(Kernel::new(isa, Multiply::F32))
}

/// Billions of operations a second of the bf16 dot product, from registers alone; `None` without
/// the instruction.
///
/// # Panics
/// When this CPU cannot run `isa`.
pub fn bf16_gflops(isa: Isa) -> Option<f64> {
    let kernel = Kernel::new(isa, Multiply::Bf16);
    (kernel.path() == Path::Dot).then(|| gflops(kernel))
}

/// Billions of bytes a second that are read from memory, all threads together.
///
/// # Panics
/// When this CPU cannot run `isa`.
pub fn read_gb_per_s(isa: Isa) -> f64 {
    const BYTES: usize = 256 << 20; // Far more than a cache.
    let data = vec![1f32; BYTES / size_of::<f32>()];
    let round = || {
        let start = Instant::now();
        let sum: f32 = data.par_chunks(1 << 18).map(|x| sum(isa, x)).sum();
        black_box(sum);
        start.elapsed()
    };
    BYTES as f64 / best(5, round).as_secs_f64() / 1e9
}

/// The shortest of several rounds.
fn best(n_rounds: usize, round: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(round).take(n_rounds).min().unwrap_or_default()
}

fn gflops(kernel: Kernel) -> f64 {
    const STEPS: usize = 1 << 16;
    let n_chains = if kernel.cols() > LANES { WIDE } else { NARROW };
    let round = || {
        let start = Instant::now();
        rayon::broadcast(|_| match n_chains {
            WIDE => wide(kernel, STEPS),
            _ => narrow(kernel, STEPS),
        });
        start.elapsed()
    };
    let per_thread = STEPS * n_chains * LANES * kernel.per_unit() * 2;
    let total = (per_thread * rayon::current_num_threads()) as f64;
    total / best(20, round).as_secs_f64() / 1e9
}

/// Independent sums: more than the steps in flight, and no more than registers.
const WIDE: usize = 24;
/// The same for 16 registers of half the width.
const NARROW: usize = 5;

kernel_fn! {
    fn wide(n_steps: usize) = chains::<_, WIDE>;
}
kernel_fn! {
    fn narrow(n_steps: usize) = chains::<_, NARROW>;
}

#[inline(always)]
fn chains<P: Product, const N: usize>(p: P, n_steps: usize) {
    // Zeros: sums that neither grow nor become subnormal.
    let (a, b) = (p.splat(black_box(0)), p.load(&black_box([0; LANES])));
    let mut sums = [p.simd().splat(0.0); N];
    for _ in 0..n_steps {
        for sum in &mut sums {
            *sum = p.step(*sum, a, b);
        }
    }
    for sum in sums {
        black_box(p.simd().reduce_add(sum));
    }
}

/// Numbers from what is read to what is asked for: a page.
const AHEAD: usize = 1024;

simd_fn! {
    fn sum(x: &[f32]) -> f32 = sum_body;
}

#[inline(always)]
fn sum_body<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    for x in x.as_chunks().0.as_chunks::<4>().0 {
        for (sum, x) in sums.iter_mut().zip(x) {
            prefetch(x.as_ptr().wrapping_add(AHEAD));
            *sum = s.add(*sum, s.load_f32(x));
        }
    }
    let [a, b, c, d] = sums;
    s.reduce_add(s.add(s.add(a, b), s.add(c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_roof_is_a_positive_number() {
        for isa in Isa::supported() {
            let gflops = f32_gflops(isa);
            assert!(gflops.is_finite() && gflops > 0.0, "{isa}: {gflops}");
            assert_eq!(bf16_gflops(isa).is_some(), isa == Isa::Avx512Bf16);
        }
        assert!(read_gb_per_s(Isa::detect()) > 0.0);
    }
}
