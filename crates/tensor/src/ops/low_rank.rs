//! A change of low rank of a linear map, on what the map gave.
//!
//! ```text
//! z = x A^T,    l = s z B^T
//! y += by l                                 (LoRA)
//! y += by (g (u + l) - u),    g = m / |W + s B A|    (DoRA; the norm of a row is a constant)
//! ```
//!
//! `u` is what the map gives of the same `x` without its bias. A map may be several side by side
//! (queries, keys and values): each part of its columns has its own `B`, and its own rows of `A`.
//!
//! Shapes: `x` `[.., I]`, `y` `[.., O]`, `A` `[r, I]`, `B` `[O', r']`, `m` `[O']`. Hu et al.,
//! "LoRA", arXiv:2106.09685, eq. 3; Liu et al., "DoRA", arXiv:2402.09353, eq. 5 and section 4.3.

use std::ops::Range;

use kernels::Element;
use kernels::gemm::{Epilogue, Mat, MatMut, Multiply, Write, gemm, gemm_among};
use kernels::reduce;
use rayon::prelude::*;

use crate::dtype::{DType, by_dtype, by_dtypes};
use crate::frozen::{Rows, by_values};
use crate::params::{Param, Params};
use crate::tape::{Sweep, Tape, Var};
use crate::value::{Device, Tensor};

/// Some columns of what a map gives, and what is added there.
#[derive(Clone, Debug)]
pub struct LowRankPart {
    /// Which columns: rows of the map's weight.
    pub rows: Range<usize>,
    /// `B`, one row for each.
    pub b: Param,
    /// `s`.
    pub scale: f32,
    /// `m`, where directions and lengths learn apart.
    pub magnitude: Option<Param>,
}

/// What a change of low rank needs beside input and output of the map.
#[derive(Clone, Copy)]
pub struct LowRankArgs<'v> {
    /// `A` of all parts, one below the other.
    pub a: &'v Param,
    /// In the order of their rows of `A`; their columns do not overlap.
    pub parts: &'v [LowRankPart],
    /// What the whole change is multiplied with.
    pub by: f32,
    /// The map's own weight and bias, neither of which may learn beside a magnitude.
    pub map: (&'v Param, Option<&'v Param>),
    /// `u`, where `x` is not what `y` was made of: it was dropped from.
    pub dropped: Option<&'v Var>,
}

/// What backward needs again of one part.
struct Saved {
    part: LowRankPart,
    /// Its rows of `A`.
    ranks: Range<usize>,
    /// What `z` was multiplied with.
    scale: f32,
    lengths: Option<Lengths>,
}

/// Of a part whose lengths learn apart.
struct Lengths {
    magnitude: Param,
    /// `|W + s B A|` and `g`.
    norms: Vec<f32>,
    gains: Vec<f32>,
    /// `u + l`.
    sum: Tensor,
}

impl Tape<'_> {
    /// `y`, changed; `x` and `y` are input and output of the map.
    ///
    /// # Panics
    /// When the shapes disagree, or a magnitude stands beside a map that learns.
    #[track_caller]
    pub fn low_rank(&self, y: Var, x: &Var, args: &LowRankArgs) -> Var {
        let ((n_rows, d_in), (y_rows, d_out)) = (x.value.rows(), y.value.rows());
        let &[n_ranks, a_in] = args.a.shape() else { panic!("low_rank: A {:?}", args.a.shape()) };
        assert!(n_rows == y_rows && d_in == a_in, "low_rank: x {:?}", x.value.shape());
        let (device, params, multiply) =
            (self.device(), self.params(), self.precision().multiply());
        let among = self.rows_of(n_rows);
        let mut z = device.empty(&[n_rows, n_ranks], x.value.dtype());
        by_dtype!(x.value.dtype(), X => {
            let a = Mat::new(params.get(args.a), n_ranks, d_in).t();
            let c = MatMut::new(z.as_mut_slice::<X>(), n_rows, n_ranks);
            let x = Mat::new(x.value.as_slice::<X>(), n_rows, d_in);
            gemm_among(device.isa, multiply, among, c, x, a, Epilogue::default());
        });
        let mut saved = self.parts(args, n_ranks, y.value.dtype(), n_rows);
        let Var { value, slot } = y;
        let mut out = device.unshared(value);
        by_dtypes!(z.dtype(), X, out.dtype(), Y => {
            for Saved { part, ranks, scale, lengths } in &mut saved {
                scale_columns(&mut z, ranks, *scale);
                let n = part.rows.len();
                let z = Mat::new(&z.as_slice::<X>()[ranks.start..], n_rows, ranks.len());
                let z = z.with_stride(n_ranks);
                let b = Mat::new(params.get(&part.b), n, ranks.len()).t();
                let out = out.as_mut_slice::<Y>();
                let Some(Lengths { gains, sum, .. }) = lengths else {
                    let c = MatMut::new(&mut out[part.rows.start..], n_rows, n).with_stride(d_out);
                    let epilogue = Epilogue { write: Write::Add, ..Epilogue::default() };
                    gemm_among(device.isa, multiply, among, c, z, b, epilogue);
                    continue;
                };
                let sum = sum.as_mut_slice::<Y>();
                let c = MatMut::new(&mut *sum, n_rows, n);
                gemm_among(device.isa, multiply, among, c, z, b, Epilogue::default());
                let bias = args.map.1.map(|bias| &params.get(bias)[part.rows.clone()]);
                let own = args.dropped.map(|u| u.value.as_slice::<Y>());
                let rows = out.par_chunks_exact_mut(d_out).zip(sum.par_chunks_exact_mut(n));
                rows.enumerate().with_min_len(16).for_each(|(r, (y, sum))| {
                    let y = &mut y[part.rows.clone()];
                    let own = own.map(|u| &u[r * d_out + part.rows.start..][..n]);
                    for j in 0..n {
                        let u = match (own, bias) {
                            (Some(own), _) => own[j].to_f32(),
                            (None, bias) => y[j].to_f32() - bias.map_or(0.0, |b| b[j]),
                        };
                        let both = sum[j].to_f32() + u;
                        sum[j] = Y::from_f32(both);
                        y[j] = Y::from_f32(y[j].to_f32() + args.by * (gains[j] * both - u));
                    }
                });
            }
        });
        let learns = saved.iter().any(|s| s.part.b.is_trained()) || args.a.is_trained();
        let own = args.dropped.map_or(slot, |u| u.slot);
        let flows = learns || x.flows() || slot.is_some() || own.is_some();
        let back = Back { x: x.clone(), y: slot, own, a: args.a.clone(), z, saved, by: args.by };
        self.finish("low_rank", flows, out, move |sweep, dy| back.run(sweep, dy))
    }

    /// The parts with their rows of `A`, and the lengths of those that have such.
    #[track_caller]
    fn parts(&self, args: &LowRankArgs, n_ranks: usize, dtype: DType, n_rows: usize) -> Vec<Saved> {
        let mut next = 0;
        let of = |part: &LowRankPart| {
            let &[n, rank] = part.b.shape() else { panic!("low_rank: B {:?}", part.b.shape()) };
            assert_eq!(n, part.rows.len(), "low_rank: B {:?}", part.b.shape());
            let ranks = next..next + rank;
            next = ranks.end;
            let lengths = part.magnitude.as_ref().map(|magnitude| {
                let (weight, bias) = args.map;
                let learns = weight.is_trained() || bias.is_some_and(Param::is_trained);
                assert!(!learns, "low_rank: a magnitude beside a map that learns");
                let a = &self.params().get(args.a)[ranks.start * args.a.shape()[1]..];
                let norms = norms(self.device(), self.params(), weight, (part, a));
                let m = self.params().get(magnitude);
                let gains = m.iter().zip(&norms).map(|(m, norm)| m / norm).collect();
                let sum = self.device().empty(&[n_rows, n], dtype);
                Lengths { magnitude: magnitude.clone(), norms, gains, sum }
            });
            let scale = if lengths.is_some() { part.scale } else { args.by * part.scale };
            Saved { part: part.clone(), ranks, scale, lengths }
        };
        let parts = args.parts.iter().map(of).collect();
        assert_eq!(next, n_ranks, "low_rank: {next} ranks of {n_ranks}");
        parts
    }
}

/// The lengths of the rows of `W + s B A` that a part has, in f32.
///
/// ```text
/// |w + s b A|^2 = |w|^2 + 2 s b (A w) + s^2 b (A A^T) b
/// ```
fn norms(
    device: &Device,
    params: &Params,
    weight: &Param,
    (part, a): (&LowRankPart, &[f32]),
) -> Vec<f32> {
    let (n, rank, d_in) = (part.rows.len(), part.b.shape()[1], weight.shape()[1]);
    let squares = squares(device, params, weight, part.rows.clone());
    let mut aw = vec![0.0_f32; rank * n];
    let mut aa = vec![0.0_f32; rank * rank];
    let a = Mat::new(a, rank, d_in);
    let c = MatMut::new(&mut aa, rank, rank);
    gemm(device.isa, Multiply::F32, c, a, a.t(), Epilogue::default());
    for Rows { first, n: n_there, values } in params.rows(weight) {
        let lines = first.max(part.rows.start)..(first + n_there).min(part.rows.end);
        if lines.is_empty() {
            continue;
        }
        let at = lines.start - part.rows.start;
        let mut held = None;
        by_values!(values.plain(device, Multiply::F32, &mut held), w => {
            let c = MatMut::new(&mut aw[at..], rank, lines.len()).with_stride(n);
            let w = Mat::new(&w[(lines.start - first) * d_in..], lines.len(), d_in).t();
            gemm(device.isa, Multiply::F32, c, a, w, Epilogue::default());
        });
    }
    let (b, s) = (params.get(&part.b), f64::from(part.scale));
    let norm = |(o, b): (usize, &[f32])| {
        let b = |i: usize| f64::from(b[i]);
        let cross: f64 = (0..rank).map(|i| b(i) * f64::from(aw[i * n + o])).sum();
        let of = |i: usize| (0..rank).map(|j| b(j) * f64::from(aa[i * rank + j])).sum::<f64>();
        let own: f64 = (0..rank).map(|i| b(i) * of(i)).sum();
        (squares[o] + 2.0 * s * cross + s * s * own).max(0.0).sqrt() as f32
    };
    b.chunks_exact(rank.max(1)).enumerate().map(norm).collect()
}

/// The sum of squares of some rows of a matrix, each.
fn squares(device: &Device, params: &Params, weight: &Param, rows: Range<usize>) -> Vec<f64> {
    let (d_in, mut squares) = (weight.shape()[1], vec![0.0; rows.len()]);
    for Rows { first, n, values } in params.rows(weight) {
        let lines = first.max(rows.start)..(first + n).min(rows.end);
        if !lines.is_empty() {
            let mut held = None;
            by_values!(values.plain(device, Multiply::F32, &mut held), w => {
                let w = w[(lines.start - first) * d_in..].par_chunks_exact(d_in);
                let to = squares[lines.start - rows.start..][..lines.len()].par_iter_mut();
                to.zip(w).for_each(|(to, w)| {
                    *to = w.iter().map(|w| f64::from(w.to_f32()).powi(2)).sum();
                });
            });
        }
    }
    squares
}

impl Params {
    /// The lengths of some rows of a matrix.
    pub fn row_norms(&self, device: &Device, weight: &Param, rows: Range<usize>) -> Vec<f32> {
        squares(device, self, weight, rows).into_iter().map(|square| square.sqrt() as f32).collect()
    }

    /// Changes the values of a weight as [`Tape::low_rank`] changes what its map gives.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn merge_low_rank(
        &self,
        device: &Device,
        (values, weight): (&mut [f32], &Param),
        a: &Param,
        (parts, by): (&[LowRankPart], f32),
    ) {
        let (d_in, mut next) = (weight.shape()[1], 0);
        for part in parts {
            let (n, rank) = (part.rows.len(), part.b.shape()[1]);
            let own_a = &self.get(a)[next * d_in..][..rank * d_in];
            next += rank;
            let mut low = vec![0.0; n * d_in];
            let c = MatMut::new(&mut low, n, d_in);
            let (b, a) = (Mat::new(self.get(&part.b), n, rank), Mat::new(own_a, rank, d_in));
            gemm(device.isa, Multiply::F32, c, b, a, Epilogue::default());
            let gains = part.magnitude.as_ref().map(|magnitude| {
                let norms = norms(device, self, weight, (part, own_a));
                self.get(magnitude).iter().zip(norms).map(|(m, norm)| m / norm).collect::<Vec<_>>()
            });
            let rows = values[part.rows.start * d_in..].chunks_exact_mut(d_in);
            for (o, (w, low)) in rows.zip(low.chunks_exact(d_in)).enumerate() {
                let gain = gains.as_ref().map_or(1.0, |gains| gains[o]);
                for (w, low) in w.iter_mut().zip(low) {
                    *w += by * (gain * (*w + part.scale * low) - *w);
                }
            }
        }
    }
}

/// Multiplies some columns of `z` `[R, r]`.
fn scale_columns(z: &mut Tensor, columns: &Range<usize>, by: f32) {
    let (_, width) = z.rows();
    by_dtype!(z.dtype(), T => {
        let rows = z.as_mut_slice::<T>().par_chunks_exact_mut(width).with_min_len(64);
        rows.for_each(|row| {
            row[columns.clone()].iter_mut().for_each(|z| *z = T::from_f32(z.to_f32() * by));
        });
    });
}

/// What backward needs again.
struct Back {
    x: Var,
    y: Option<usize>,
    /// Where the gradient of `u` goes.
    own: Option<usize>,
    a: Param,
    /// Scaled.
    z: Tensor,
    saved: Vec<Saved>,
    by: f32,
}

impl Back {
    fn run(mut self, sweep: &mut Sweep, dy: Tensor) {
        let device = sweep.device();
        let mut dz = device.empty(self.z.shape(), self.z.dtype());
        let mut du = None;
        for mut saved in std::mem::take(&mut self.saved) {
            let first = saved.part.rows.start;
            match saved.lengths.take() {
                None => self.part(sweep, &saved, (&dy, first), &mut dz),
                Some(lengths) => {
                    let du = du.get_or_insert_with(|| device.zeros(dy.shape(), dy.dtype()));
                    let dl = lengths.backward(sweep, first, (self.by, &dy), du);
                    self.part(sweep, &saved, (&dl, 0), &mut dz);
                }
            }
            scale_columns(&mut dz, &saved.ranks, saved.scale);
        }
        self.input(sweep, &dz);
        sweep.give(self.y, dy);
        if let Some(du) = du {
            sweep.give(self.own, du);
        }
    }

    /// `dB` and `dz` of one part, from the gradient of what it added: columns from `first` on.
    fn part(&self, sweep: &Sweep, saved: &Saved, (dl, first): (&Tensor, usize), dz: &mut Tensor) {
        let Saved { part, ranks, .. } = saved;
        let (isa, multiply) = (sweep.device().isa, sweep.precision().multiply());
        let ((n_rows, width), (_, n_ranks)) = (dl.rows(), dz.rows());
        by_dtypes!(self.z.dtype(), X, dl.dtype(), Y => {
            let dl = Mat::new(&dl.as_slice::<Y>()[first..], n_rows, part.rows.len());
            let dl = dl.with_stride(width);
            if part.b.is_trained() {
                let z = Mat::new(&self.z.as_slice::<X>()[ranks.start..], n_rows, ranks.len());
                let mut grads = sweep.grads();
                let (db, write) = grads.slot(&part.b);
                let c = MatMut::new(db, part.rows.len(), ranks.len());
                let epilogue = Epilogue { write, ..Epilogue::default() };
                gemm(isa, multiply, c, dl.t(), z.with_stride(n_ranks), epilogue);
            }
            let b = Mat::new(sweep.params().get(&part.b), part.rows.len(), ranks.len());
            let c = &mut dz.as_mut_slice::<X>()[ranks.start..];
            let c = MatMut::new(c, n_rows, ranks.len()).with_stride(n_ranks);
            gemm(isa, multiply, c, dl, b, Epilogue::default());
        });
        if part.b.is_trained() {
            sweep.wrote(&part.b);
        }
    }

    /// `dA`, and `dx`.
    fn input(&self, sweep: &mut Sweep, dz: &Tensor) {
        let (device, multiply) = (sweep.device(), sweep.precision().multiply());
        let ((n_rows, d_in), (_, n_ranks)) = (self.x.value.rows(), dz.rows());
        by_dtype!(dz.dtype(), X => {
            let dz = Mat::new(dz.as_slice::<X>(), n_rows, n_ranks);
            if self.a.is_trained() {
                let mut grads = sweep.grads();
                let (da, write) = grads.slot(&self.a);
                let x = Mat::new(self.x.value.as_slice::<X>(), n_rows, d_in);
                let c = MatMut::new(da, n_ranks, d_in);
                gemm(device.isa, multiply, c, dz.t(), x, Epilogue { write, ..Epilogue::default() });
            }
            if self.x.flows() {
                let mut dx = device.empty(self.x.value.shape(), self.x.value.dtype());
                let c = MatMut::new(dx.as_mut_slice::<X>(), n_rows, d_in);
                let a = Mat::new(sweep.params().get(&self.a), n_ranks, d_in);
                gemm(device.isa, multiply, c, dz, a, Epilogue::default());
                sweep.give(self.x.slot, dx);
            }
        });
        if self.a.is_trained() {
            sweep.wrote(&self.a);
        }
    }
}

impl Lengths {
    /// `dm` in the arena, `du` in the part's columns, and `dl`.
    fn backward(
        mut self,
        sweep: &Sweep,
        first: usize,
        (by, dy): (f32, &Tensor),
        du: &mut Tensor,
    ) -> Tensor {
        let (device, (n_rows, width), n) = (sweep.device(), dy.rows(), self.norms.len());
        let mut dl = device.empty(&[n_rows, n], dy.dtype());
        by_dtype!(dy.dtype(), Y => {
            let given = dy.as_slice::<Y>().par_chunks_exact(width);
            let own = du.as_mut_slice::<Y>().par_chunks_exact_mut(width);
            let low = dl.as_mut_slice::<Y>().par_chunks_exact_mut(n);
            let sums = self.sum.as_mut_slice::<Y>().par_chunks_exact_mut(n);
            let (norms, gains) = (&self.norms, &self.gains);
            given.zip(own).zip(low.zip(sums)).with_min_len(16).for_each(|((dy, du), (dl, sum))| {
                let (dy, du) = (&dy[first..first + n], &mut du[first..first + n]);
                for j in 0..n {
                    let dy = by * dy[j].to_f32();
                    dl[j] = Y::from_f32(dy * gains[j]);
                    du[j] = Y::from_f32(dy * (gains[j] - 1.0));
                    sum[j] = Y::from_f32(dy * sum[j].to_f32() / norms[j]);
                }
            });
            if self.magnitude.is_trained() {
                let mut grads = sweep.grads();
                let (dm, write) = grads.slot(&self.magnitude);
                reduce::column_sum(device.isa, dm, self.sum.as_slice::<Y>(), write);
            }
        });
        if self.magnitude.is_trained() {
            sweep.wrote(&self.magnitude);
        }
        dl
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinearArgs;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        let shapes: [(&str, &[usize]); 4] =
            [("w", &[6, 4]), ("a", &[3, 4]), ("b", &[2, 2]), ("c", &[3, 1])];
        check(&Fixture::new(&shapes, &[&[2, 3, 4]]), |tape, p, x| {
            let y = tape.linear(&x[0], LinearArgs::new(&p[0], None, DType::F32));
            let part =
                |rows, b: &Param, scale| LowRankPart { rows, b: b.clone(), scale, magnitude: None };
            let parts = [part(4..6, &p[2], 0.5), part(0..3, &p[3], 2.0)];
            let args =
                LowRankArgs { a: &p[1], parts: &parts, by: 0.7, map: (&p[0], None), dropped: None };
            tape.low_rank(y, &x[0], &args)
        });
    }
}
