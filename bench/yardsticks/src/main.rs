//! f32 products of this project beside those of the crates `faer`, `gemm` and `rten-gemm`, in
//! turns.
//!
//! `cargo run --release --manifest-path bench/yardsticks/Cargo.toml` prints the median GFLOP/s
//! of each, for the three products of a linear layer, at any load of the machine.

use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut as MatRefMut, MatRef, Par};
use kernels::Isa;
use kernels::gemm::{Epilogue, Mat, MatMut, Multiply};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

/// `[m, n, k]`, and whether the left and the right operand are stored transposed.
type Case = ([usize; 3], [bool; 2]);

fn main() {
    let names = ["kernels", "faer", "gemm", "rten-gemm"].map(|name| format!("{name:>10}"));
    println!("{:>24} {}", "[m, n, k]", names.join(" "));
    for [r, k, m] in [[2048, 512, 2048], [2048, 2048, 512], [2048, 512, 10_000]] {
        compare(([r, m, k], [false, true]));
        compare(([r, k, m], [false, false]));
        compare(([m, k, r], [true, false]));
    }
}

fn compare(case: Case) {
    let [m, n, k] = case.0;
    let numbers =
        |len: usize| -> Vec<f32> { (0..len).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect() };
    let (a, b) = (numbers(m * k), numbers(k * n));
    let mut c = [(); 4].map(|()| vec![0f32; m * n]);
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..8 {
        for (i, run) in [ours, faer, gemm_crate, rten].into_iter().enumerate() {
            let start = Instant::now();
            run(&mut c[i], &a, &b, case);
            times[i].push(start.elapsed().as_secs_f64());
        }
    }
    let [ours, others @ ..] = &c;
    let close = |x: &[f32]| ours.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-2);
    assert!(others.iter().all(|c| close(c)), "results differ");
    let speeds = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        2e-9 * (m * n * k) as f64 / times[times.len() / 2]
    });
    let speeds = speeds.map(|speed| format!("{speed:10.1}"));
    println!("{:>24} {}", format!("{:?}", case.0), speeds.join(" "));
}

fn ours(c: &mut [f32], a: &[f32], b: &[f32], ([m, n, k], [a_t, b_t]): Case) {
    let a = if a_t { Mat::new(a, k, m).t() } else { Mat::new(a, m, k) };
    let b = if b_t { Mat::new(b, n, k).t() } else { Mat::new(b, k, n) };
    let (isa, c) = (Isa::detect(), MatMut::new(c, m, n));
    kernels::gemm::gemm(isa, Multiply::F32, c, a, b, Epilogue::default());
}

fn faer(c: &mut [f32], a: &[f32], b: &[f32], ([m, n, k], [a_t, b_t]): Case) {
    let view = |x, rows, cols, transposed: bool| {
        if transposed {
            MatRef::from_column_major_slice(x, rows, cols)
        } else {
            MatRef::from_row_major_slice(x, rows, cols)
        }
    };
    let (a, b) = (view(a, m, k, a_t), view(b, k, n, b_t));
    let c = MatRefMut::from_row_major_slice_mut(c, m, n);
    matmul(c, Accum::Replace, a, b, 1.0, Par::rayon(0));
}

fn gemm_crate(c: &mut [f32], a: &[f32], b: &[f32], ([m, n, k], [a_t, b_t]): Case) {
    assert_eq!([c.len(), a.len(), b.len()], [m * n, m * k, k * n]);
    let strides = |transposed, rows: usize, cols: usize| {
        if transposed { [rows as isize, 1] } else { [1, cols as isize] }
    };
    let [a_cs, a_rs] = strides(a_t, m, k);
    let [b_cs, b_rs] = strides(b_t, k, n);
    let threads = gemm::Parallelism::Rayon(0);
    // SAFETY: the slices are as long as sizes and strides say, by the assertion above.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_cs,
            a_rs,
            b.as_ptr(),
            b_cs,
            b_rs,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

fn rten(c: &mut [f32], a: &[f32], b: &[f32], ([m, n, k], [a_t, b_t]): Case) {
    let view = |x, rows, cols, transposed: bool| {
        let shape = if transposed { [cols, rows] } else { [rows, cols] };
        let view = NdTensorView::from_data(shape, x);
        if transposed { view.transposed() } else { view }
    };
    let (a, b) = (view(a, m, k, a_t), view(b, k, n, b_t));
    let gemm = GemmExecutor::<f32, f32, f32>::new();
    let done =
        gemm.gemm(c, GemmInputA::Unpacked(a), GemmInputB::Unpacked(b), GemmOptions::default());
    done.expect("shapes agree");
}
