//! Speed of attention and of the row kernels beside the roof of the machine.
//!
//! `cargo bench -p kernels --bench rows [-- FILTER]` prints one line a case, of the shapes of a
//! GPT with `d_model` 512 on 8 x 256 tokens in bf16: the median of the rounds in GB/s of what must
//! be read and written at least, beside what memory was read with just before; attention in GFLOP/s
//! of what a causal mask leaves, beside the roof of the dot product.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use kernels::activation::{self, Activation};
use kernels::adamw::{self, AdamW};
use kernels::attention::{self, AttnShape, AttnSpec, Pattern, Qkv, QkvGrads, Saved};
use kernels::dropout::{self, Dropout};
use kernels::gemm::{Multiply, Write};
use kernels::layer_norm::{self, NormGrads, RowStats};
use kernels::rope::{self, Direction, Pairing, RopeTable};
use kernels::{
    Element, HeadRows, Isa, bf16, cross_entropy, embedding, philox, reduce, rms_norm, roof,
};

const ROWS: usize = 2048;
const D_MODEL: usize = 512;
const D_FF: usize = 2048;
const VOCAB: usize = 10_000;
/// Rounds of a case, and seconds of one, about.
const ROUNDS: usize = 9;
const SECONDS: f64 = 0.05;

/// What a case is measured in.
#[derive(Clone, Copy)]
enum Work {
    Bytes(usize),
    Flops(f64),
}

struct Bench {
    filter: String,
    isa: Isa,
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    // On a thread of the pool, as in training: others would wait to be woken after each kernel.
    rayon::scope(|_| {
        let bench = Bench { filter: filter.to_lowercase(), isa: Isa::detect() };
        println!("isa {}, {} threads", bench.isa, rayon::current_num_threads());
        bench.attention();
        bench.activations();
        bench.norms();
        bench.tokens();
        bench.arenas();
    });
}

fn numbers<T: Element>(n: usize) -> Vec<T> {
    (0..n).map(|i| T::from_f32((i % 251) as f32 / 251.0 - 0.5)).collect()
}

impl Bench {
    fn run(&self, name: &str, work: Work, mut call: impl FnMut()) {
        if !name.contains(&self.filter) {
            return;
        }
        call();
        let began = Instant::now();
        call();
        let n_calls = (SECONDS / began.elapsed().as_secs_f64()).ceil().min(1e4) as usize;
        let (mut speeds, mut shares) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            let (amount, roof) = match work {
                Work::Bytes(bytes) => (bytes as f64, roof::read_gb_per_s(self.isa)),
                Work::Flops(flops) => {
                    let f32 = || roof::f32_gflops(self.isa);
                    (flops, roof::bf16_gflops(self.isa).unwrap_or_else(f32))
                }
            };
            let began = Instant::now();
            (0..n_calls).for_each(|_| call());
            let speed = amount * n_calls as f64 / began.elapsed().as_secs_f64() / 1e9;
            speeds.push(speed);
            shares.push(100.0 * speed / roof);
        }
        for x in [&mut speeds, &mut shares] {
            x.sort_by(f64::total_cmp);
        }
        let (speed, share) = (speeds[ROUNDS / 2], shares[ROUNDS / 2]);
        let unit = if matches!(work, Work::Bytes(_)) { "GB/s" } else { "GFLOP/s" };
        println!("{name:34} {speed:7.1} {unit:7} {share:6.1} % of the roof");
    }

    fn attention(&self) {
        for (batch, len, n_kv_heads) in [(8, 256, 8), (1, 2048, 8), (1, 2048, 2)] {
            let (n_heads, d_head) = (8, 64);
            let shape = AttnShape { batch, q_len: len, k_len: len, n_heads, n_kv_heads, d_head };
            let spec = AttnSpec::new(shape, Pattern::Causal);
            let qkv: Vec<bf16> = numbers(batch * len * (n_heads + 2 * n_kv_heads) * d_head);
            let (mut out, mut lse) =
                (vec![bf16::ZERO; shape.out_len()], vec![0.0; shape.lse_len()]);
            let (d_out, mut grads) = (numbers(shape.out_len()), vec![bf16::ZERO; qkv.len()]);
            // A product of every query and half of the keys; two forward, four backward.
            let product = (batch * n_heads * d_head * len * len) as f64;
            let name =
                |way| format!("attention {way} [{batch}, {len}, {n_heads}/{n_kv_heads}, 64]");
            let (isa, packed) = (self.isa, Qkv::packed(&qkv, &shape));
            self.run(&name("forward"), Work::Flops(2.0 * product), || {
                attention::forward(isa, Multiply::Bf16, &mut out, &mut lse, packed, &spec);
            });
            self.run(&name("backward"), Work::Flops(4.0 * product), || {
                let saved = Saved { out: &out, lse: &lse, d_out: &d_out };
                let into = QkvGrads::Packed(&mut grads);
                attention::backward(isa, Multiply::Bf16, into, None, saved, packed, &spec);
            });
        }
    }

    fn activations(&self) {
        let n = ROWS * D_FF;
        let (x, dy, mut y) = (numbers::<bf16>(n), numbers::<bf16>(n), vec![bf16::ZERO; n]);
        for act in Activation::ALL {
            let name = |way| format!("{act:?} {way} [{ROWS}, {D_FF}]").to_lowercase();
            self.run(&name("forward"), Work::Bytes(4 * n), || {
                activation::forward(self.isa, act, &mut y, &x);
            });
            self.run(&name("backward"), Work::Bytes(6 * n), || {
                activation::backward(self.isa, act, &mut y, &dy, &x);
            });
        }
    }

    fn norms(&self) {
        let (isa, n) = (self.isa, ROWS * D_MODEL);
        let (x, w, dy) = (numbers::<f32>(n), numbers::<f32>(D_MODEL), numbers::<bf16>(n));
        let (mut y, mut dx) = (vec![bf16::ZERO; n], vec![0f32; n]);
        let [mut mean, mut rstd] = [vec![0.0; ROWS], vec![0.0; ROWS]];
        let [mut dw, mut db] = [vec![0.0; D_MODEL], vec![0.0; D_MODEL]];
        self.run("layer norm forward", Work::Bytes(6 * n), || {
            let stats = RowStats { mean: &mut mean, rstd: &mut rstd };
            layer_norm::forward(isa, &mut y, stats, &x, &w, Some(&w), 1e-5);
        });
        self.run("layer norm backward", Work::Bytes(10 * n), || {
            let grads = NormGrads { dw: &mut dw, db: Some(&mut db) };
            let stats = (&*mean, &*rstd);
            layer_norm::backward(isa, &mut dx, grads, &dy, &x, &w, stats, Write::Overwrite);
        });
        self.run("rms norm forward", Work::Bytes(6 * n), || {
            rms_norm::forward(isa, &mut y, &mut rstd, &x, &w, 1e-5);
        });
        self.run("rms norm backward", Work::Bytes(10 * n), || {
            rms_norm::backward(isa, &mut dx, &mut dw, &dy, &x, &w, &rstd, Write::Overwrite);
        });
        let dropout = Dropout { p: 0.1, key: philox::Key::new(1), offset: 0 };
        self.run("dropout", Work::Bytes(4 * n), || dropout::forward(isa, &mut y, &dy, dropout));
        let table = RopeTable::new(ROWS, 64, 1e4, Pairing::Halves);
        let positions: Vec<u32> = (0..ROWS as u32).collect();
        let rows = HeadRows { row_stride: D_MODEL, offset: 0, n_heads: 8, d_head: 64 };
        self.run("rope", Work::Bytes(4 * n), || {
            rope::rotate(isa, &mut y, rows, &table, &positions, Direction::Forward);
        });
        self.run("column sum", Work::Bytes(2 * n), || {
            reduce::column_sum(isa, &mut db, &dy, Write::Overwrite);
        });
    }

    fn tokens(&self) {
        let (isa, rows) = (self.isa, 768);
        let ids: Vec<u32> = (0..ROWS as u32).map(|i| i * 4801 % VOCAB as u32).collect();
        let (mut table, dy) = (numbers::<f32>(VOCAB * D_MODEL), numbers::<f32>(ROWS * D_MODEL));
        let mut x = vec![0f32; ROWS * D_MODEL];
        self.run("embedding", Work::Bytes(8 * x.len()), || {
            embedding::gather(isa, &mut x, &table, &ids, 1.0);
        });
        self.run("embedding backward", Work::Bytes(12 * dy.len()), || {
            embedding::scatter_add(isa, &mut table, &ids, &dy, 1.0);
        });
        let logits = numbers::<f32>(rows * VOCAB);
        let (mut d_logits, mut losses) =
            (vec![bf16::ZERO; logits.len()], vec![cross_entropy::RowLoss::default(); rows]);
        let targets = &ids[..rows];
        self.run("cross entropy", Work::Bytes(6 * logits.len()), || {
            let (d, losses) = (&mut d_logits, &mut losses);
            cross_entropy::forward_backward(isa, &logits, d, targets, None, 0.0, losses);
        });
    }

    fn arenas(&self) {
        let n = 1 << 24;
        let [mut w, g, mut m, mut v] = [(); 4].map(|()| vec![0.01f32; n]);
        let [beta1, beta2, eps, weight_decay] = [0.9, 0.95, 1e-8, 0.1];
        let rule = AdamW { lr: 1e-4, beta1, beta2, eps, weight_decay, grad_scale: 1.0, step: 10 };
        self.run("adamw", Work::Bytes(28 * n), || {
            adamw::step(self.isa, &mut w, &g, &mut m, &mut v, rule);
        });
        self.run("global norm", Work::Bytes(4 * n), || {
            std::hint::black_box(reduce::sum_squares(self.isa, &g));
        });
    }
}
