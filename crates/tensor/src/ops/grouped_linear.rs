//! A linear map of each expert on the rows that were sent to it.
//!
//! ```text
//! y[pair] = W[e] x[pair],    dx[pair] = W[e]^T dy[pair],    dW[e] += dy[e]^T x[e]
//! ```
//!
//! Shapes: `x` `[P, I]` and `y` `[P, O]`, pairs sorted by expert e; `W` `[E * O, I]`, the experts'
//! matrices one below the other. An expert without rows has a gradient of zero, and it is written.

use std::sync::Arc;

use kernels::gemm::{Epilogue, Mat, MatMut, Write, gemm, gemm_among};

use super::route::Routing;
use crate::dtype::by_dtypes;
use crate::frozen::{Rows, by_values};
use crate::params::Param;
use crate::tape::{Sweep, Tape, Var};
use crate::value::Tensor;

impl Routing {
    /// Experts that have rows, each with its pairs.
    fn groups(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        let ranges = self.starts.windows(2).map(|at| at[0]..at[1]).enumerate();
        ranges.filter(|(_, pairs)| !pairs.is_empty())
    }

    fn n_experts(&self) -> usize {
        self.starts.len() - 1
    }
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
            // The parts of a frozen weight: some columns of one expert, or all of some experts.
            for Rows { first, n, values } in self.params().rows(weight) {
                for (e, pairs) in routing.groups() {
                    let lines = first.max(e * d_out)..(first + n).min((e + 1) * d_out);
                    if lines.is_empty() {
                        continue;
                    }
                    let (rows, n) = (pairs.len(), lines.len());
                    let a = Mat::new(&x[pairs.start * d_in..], rows, d_in);
                    let y = &mut y[pairs.start * d_out + lines.start - e * d_out..];
                    let c = MatMut::new(y, rows, n).with_stride(d_out);
                    by_values!(values, w => {
                        let b = Mat::new(&w[(lines.start - first) * d_in..], n, d_in).t();
                        let n_rows = routing.n_rows();
                        gemm_among(device.isa, multiply, n_rows, c, a, b, Epilogue::default());
                    });
                }
            }
        });
        if weight.is_frozen() {
            assert!(!self.is_recording(), "grouped_linear: no backward over a frozen weight");
            return self.finish("grouped_linear", y, |_, _| ());
        }
        let (x, weight, routing) = (x.clone(), weight.clone(), routing.clone());
        self.finish("grouped_linear", y, move |sweep, dy| {
            let dx = backward(sweep, &x.value, &dy, &weight, &routing);
            sweep.wrote(&weight);
            sweep.give(x.slot, dx);
        })
    }
}

/// `dW` in the arena, and `dx`.
fn backward(sweep: &Sweep, x: &Tensor, dy: &Tensor, weight: &Param, routing: &Routing) -> Tensor {
    let (device, multiply) = (sweep.device(), sweep.precision().multiply());
    let ((_, d_in), (_, d_out)) = (x.rows(), dy.rows());
    let mut dx = device.empty(x.shape(), x.dtype());
    let mut grads = sweep.grads();
    let (dw, write) = grads.slot(weight);
    if write == Write::Overwrite {
        let idle = routing.starts.windows(2).enumerate().filter(|(_, at)| at[0] == at[1]);
        idle.for_each(|(e, _)| dw[e * d_out * d_in..][..d_out * d_in].fill(0.0));
    }
    by_dtypes!(x.dtype(), X, dy.dtype(), G => {
        let (x, dy, dx) = (x.as_slice::<X>(), dy.as_slice::<G>(), dx.as_mut_slice::<X>());
        for (e, pairs) in routing.groups() {
            let (rows, own) = (pairs.len(), e * d_out * d_in);
            let [a, b] = [pairs.start * d_out, pairs.start * d_in];
            let dy = Mat::new(&dy[a..], rows, d_out);
            let c = MatMut::new(&mut dw[own..], d_out, d_in);
            let epilogue = Epilogue { write, ..Epilogue::default() };
            gemm(device.isa, multiply, c, dy.t(), Mat::new(&x[b..], rows, d_in), epilogue);
            let w = Mat::new(&sweep.params().get(weight)[own..], d_out, d_in);
            let c = MatMut::new(&mut dx[b..], rows, d_in);
            gemm(device.isa, multiply, c, dy, w, Epilogue::default());
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
