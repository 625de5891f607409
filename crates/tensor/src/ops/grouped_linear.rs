//! A linear map of each expert on the rows that were sent to it.
//!
//! ```text
//! y[pair] = W[e] x[pair],    dx[pair] = W[e]^T dy[pair],    dW[e] += dy[e]^T x[e]
//! ```
//!
//! Shapes: `x` `[P, I]` and `y` `[P, O]`, pairs sorted by expert e; `W` `[E * O, I]`, the experts'
//! matrices one below the other. An expert without rows has a gradient of zero, and it is written.

use std::ops::Range;
use std::sync::Arc;

use kernels::gemm::{Epilogue, Mat, MatMut, Write, gemm, gemm_among};

use super::route::Routing;
use crate::dtype::by_dtypes;
use crate::frozen::{Rows, Values, by_values};
use crate::params::Param;
use crate::tape::{Sweep, Tape, Var};
use crate::value::Tensor;

impl Routing {
    /// Experts that have rows, each with its pairs.
    fn groups(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ranges = self.starts.windows(2).map(|at| at[0]..at[1]).enumerate();
        ranges.filter(|(_, pairs)| !pairs.is_empty())
    }

    fn n_experts(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Some lines of one expert's matrix that lie together, and its pairs.
struct Lines<'p> {
    pairs: Range<usize>,
    /// The first of them, counted in the expert's matrix, and where it lies among the values.
    first: usize,
    at: usize,
    n: usize,
    values: Values<'p>,
}

/// The lines of all experts that have rows. The parts of a frozen weight are some columns of one
/// expert, or all of some experts.
fn lines_of<'p>(
    parts: impl Iterator<Item = Rows<'p>>,
    routing: &Routing,
    d_out: usize,
) -> impl Iterator<Item = Lines<'p>> {
    parts.flat_map(move |Rows { first, n, values }| {
        routing.groups().filter_map(move |(e, pairs)| {
            let lines = first.max(e * d_out)..(first + n).min((e + 1) * d_out);
            let (at, n) = (lines.start.saturating_sub(first), lines.len());
            let first = lines.start - e * d_out;
            (n > 0).then_some(Lines { pairs, first, at, n, values })
        })
    })
}

impl Tape<'_> {
    /// `[P, I] -> [P, O]`, stored as activations are.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn grouped_linear(&self, x: &Var, weight: &Param, routing: &Arc<Routing>) -> Var {
        let (n_pairs, d_in) = x.value.rows();
        let &[lines, weight_in] = weight.shape() else {
            panic!("grouped_linear: weight {:?}", weight.shape())
        };
        let d_out = lines / routing.n_experts();
        let fits = lines == d_out * routing.n_experts() && n_pairs == routing.choices.len();
        assert!(fits && d_in == weight_in, "grouped_linear: {:?}, {lines}", x.value.shape());
        let (device, multiply) = (self.device(), self.precision().multiply());
        let mut y = device.empty(&[n_pairs, d_out], self.compute());
        by_dtypes!(x.value.dtype(), X, self.compute(), Y => {
            let (x, y) = (x.value.as_slice::<X>(), y.as_mut_slice::<Y>());
            for lines in lines_of(self.params().rows(weight), routing, d_out) {
                let rows = lines.pairs.len();
                let a = Mat::new(&x[lines.pairs.start * d_in..], rows, d_in);
                let y = &mut y[lines.pairs.start * d_out + lines.first..];
                let c = MatMut::new(y, rows, lines.n).with_stride(d_out);
                by_values!(lines.values, w => {
                    let b = Mat::new(&w[lines.at * d_in..], lines.n, d_in).t();
                    let n_rows = self.rows_of(routing.n_rows());
                    gemm_among(device.isa, multiply, n_rows, c, a, b, Epilogue::default());
                });
            }
        });
        let flows = weight.is_trained() || x.flows();
        let (x, weight, routing) = (x.clone(), weight.clone(), routing.clone());
        self.finish("grouped_linear", flows, y, move |sweep, dy| {
            if weight.is_trained() {
                backward_weight(sweep, &x.value, &dy, &weight, &routing);
                sweep.wrote(&weight);
            }
            if x.flows() {
                let dx = backward_input(sweep, &x.value, &dy, &weight, &routing);
                sweep.give(x.slot, dx);
            }
        })
    }
}

/// `dW` in the arena.
fn backward_weight(sweep: &Sweep, x: &Tensor, dy: &Tensor, weight: &Param, routing: &Routing) {
    let (device, multiply) = (sweep.device(), sweep.precision().multiply());
    let ((_, d_in), (_, d_out)) = (x.rows(), dy.rows());
    let mut grads = sweep.grads();
    let (dw, write) = grads.slot(weight);
    if write == Write::Overwrite {
        let idle = routing.starts.windows(2).enumerate().filter(|(_, at)| at[0] == at[1]);
        idle.for_each(|(e, _)| dw[e * d_out * d_in..][..d_out * d_in].fill(0.0));
    }
    by_dtypes!(x.dtype(), X, dy.dtype(), G => {
        for (e, pairs) in routing.groups() {
            let rows = pairs.len();
            let x = Mat::new(&x.as_slice::<X>()[pairs.start * d_in..], rows, d_in);
            let dy = Mat::new(&dy.as_slice::<G>()[pairs.start * d_out..], rows, d_out);
            let c = MatMut::new(&mut dw[e * d_out * d_in..], d_out, d_in);
            let epilogue = Epilogue { write, ..Epilogue::default() };
            gemm(device.isa, multiply, c, dy.t(), x, epilogue);
        }
    });
}

/// `dx`.
fn backward_input(
    sweep: &Sweep,
    x: &Tensor,
    dy: &Tensor,
    weight: &Param,
    routing: &Routing,
) -> Tensor {
    let (device, multiply) = (sweep.device(), sweep.precision().multiply());
    let ((_, d_in), (_, d_out)) = (x.rows(), dy.rows());
    let mut dx = device.empty(x.shape(), x.dtype());
    by_dtypes!(x.dtype(), X, dy.dtype(), G => {
        for lines in lines_of(sweep.params().rows(weight), routing, d_out) {
            let rows = lines.pairs.len();
            let dy = &dy.as_slice::<G>()[lines.pairs.start * d_out + lines.first..];
            let dy = Mat::new(dy, rows, lines.n).with_stride(d_out);
            let dx = &mut dx.as_mut_slice::<X>()[lines.pairs.start * d_in..];
            let write = if lines.first == 0 { Write::Overwrite } else { Write::Add };
            let epilogue = Epilogue { write, ..Epilogue::default() };
            by_values!(lines.values, w => {
                let w = Mat::new(&w[lines.at * d_in..], lines.n, d_in);
                gemm(device.isa, multiply, MatMut::new(dx, rows, d_in), dy, w, epilogue);
            });
        }
    });
    dx
}

#[cfg(test)]
mod tests {
    use super::super::experts::tests::routing;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients_and_zeros_for_the_expert_without_rows() {
        check(&Fixture::new(&[("w", &[4 * 3, 5])], &[&[12, 5]]), |tape, p, x| {
            tape.grouped_linear(&x[0], &p[0], &routing(tape))
        });
    }
}
