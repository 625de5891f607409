//! Speed of matrix products beside the roof of the machine, measured in turns in one run.
//!
//! `cargo bench -p kernels --bench gemm [-- FILTER]` prints one line a case: the median of the
//! rounds in GFLOP/s, and the median share of the roof that was measured just before each round.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use kernels::gemm::{Epilogue, Mat, MatMut, Multiply, Write, gemm};
use kernels::{Element, Isa, bf16, roof};

/// One product of a linear layer with rows `R`, inputs `K` and outputs `M`.
#[derive(Clone, Copy, Debug)]
enum Product {
    /// `y[R, M] = x[R, K] * W[M, K]^T`.
    Forward,
    /// `dx[R, K] = dy[R, M] * W[M, K]`.
    Input,
    /// `dW[M, K] += dy[R, M]^T * x[R, K]`.
    Weight,
}

/// `[R, K, M]`.
const LAYERS: [[usize; 3]; 6] = [
    [2048, 512, 2048],
    [2048, 2048, 512],
    [2048, 512, 10_000],
    [2048, 512, 512],
    [256, 512, 1536],
    [1, 2048, 8192],
];

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    // On a thread of the pool, as in training: others would wait to be woken after each product.
    rayon::scope(|_| bench_all(&filter));
}

fn bench_all(filter: &str) {
    let isa = Isa::detect();
    println!("isa {isa}, {} threads", rayon::current_num_threads());
    println!("read {:.1} GB/s", roof::read_gb_per_s(isa));
    for layer in LAYERS {
        for product in [Product::Forward, Product::Input, Product::Weight] {
            if roof::bf16_gflops(isa).is_some() {
                let roof = || roof::bf16_gflops(isa).unwrap_or(f64::NAN);
                bench::<bf16, bf16>(filter, isa, Multiply::Bf16, product, layer, roof);
            }
            bench::<f32, f32>(filter, isa, Multiply::F32, product, layer, || roof::f32_gflops(isa));
        }
    }
}

fn bench<T: Element, C: Element>(
    filter: &str,
    isa: Isa,
    multiply: Multiply,
    product: Product,
    [r, k, m]: [usize; 3],
    roof: impl Fn() -> f64,
) {
    let name = format!("{} {product:?} [{r}, {k}, {m}]", T::NAME);
    if !name.to_lowercase().contains(&filter.to_lowercase()) {
        return;
    }
    let numbers = |n: usize| -> Vec<T> {
        (0..n).map(|i| T::from_f32((i % 251) as f32 / 251.0 - 0.5)).collect()
    };
    let (x, w, dy) = (numbers(r * k), numbers(m * k), numbers(r * m));
    let mut y = vec![C::from_f32(0.0); (r * m).max(r * k)];
    let mut dw = vec![0f32; m * k];
    let (x, w, dy) = (Mat::new(&x, r, k), Mat::new(&w, m, k), Mat::new(&dy, r, m));
    let mut run = || match product {
        Product::Forward => {
            gemm(isa, multiply, MatMut::new(&mut y, r, m), x, w.t(), Epilogue::default());
        }
        Product::Input => {
            gemm(isa, multiply, MatMut::new(&mut y, r, k), dy, w, Epilogue::default());
        }
        Product::Weight => {
            let epilogue = Epilogue { write: Write::Add, ..Epilogue::default() };
            gemm(isa, multiply, MatMut::new(&mut dw, m, k), dy.t(), x, epilogue);
        }
    };
    run();
    let flops = 2.0 * (r * k * m) as f64;
    let (mut speeds, mut shares) = (vec![], vec![]);
    let n_calls = (2e9 / flops).ceil().min(200.0) as usize;
    for _ in 0..9 {
        let roof = roof();
        let start = Instant::now();
        (0..n_calls).for_each(|_| run());
        let speed = flops * n_calls as f64 / start.elapsed().as_secs_f64() / 1e9;
        speeds.push(speed);
        shares.push(speed / roof);
    }
    let median = |x: &mut Vec<f64>| {
        x.sort_by(f64::total_cmp);
        x[x.len() / 2]
    };
    let best = speeds.iter().copied().fold(0.0, f64::max);
    let (speed, share) = (median(&mut speeds), 100.0 * median(&mut shares));
    println!("{name:32} {speed:7.1} GFLOP/s, best {best:7.1}, {share:5.1} % of the roof");
}
