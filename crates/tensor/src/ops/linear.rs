//! A linear map with everything that can ride on it.
//!
//! ```text
//! u = x W^T + b,    y = f(u)    or    y = residual + u
//! dx = du W,    dW += du^T x,    db += sum over rows of du,    du = dy * f'(u)
//! ```
//!
//! Shapes: `x` `[.., I]`, `W` `[O, I]`, `b` `[O]`, `y` and `residual` `[.., O]`.

use kernels::gemm::{Epilogue, Mat, MatMut, Write, gemm, gemm_among};
use kernels::{activation, reduce};

use crate::dtype::{DType, by_dtype, by_dtypes};
use crate::frozen::{Rows, by_values};
use crate::params::Param;
use crate::tape::{Sweep, Tape, Var};
use crate::{Activation, Tensor};

/// What a linear map needs beside its input.
#[derive(Clone, Copy)]
pub struct LinearArgs<'v> {
    /// `[O, I]`.
    pub weight: &'v Param,
    /// `[O]`.
    pub bias: Option<&'v Param>,
    /// Applied to the sum.
    pub activation: Option<Activation>,
    /// `[.., O]` in f32, added to the result; excludes an activation.
    pub residual: Option<&'v Var>,
    /// Storage of the result; f32 where a residual is added.
    pub out: DType,
}

impl<'v> LinearArgs<'v> {
    /// The plain map, stored as `out`.
    pub fn new(weight: &'v Param, bias: Option<&'v Param>, out: DType) -> Self {
        Self { weight, bias, activation: None, residual: None, out }
    }
}

impl Tape<'_> {
    /// `[.., I] -> [.., O]`.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn linear(&self, x: &Var, args: LinearArgs) -> Var {
        let (rows, d_in) = x.value.rows();
        let &[d_out, weight_in] = args.weight.shape() else {
            panic!("linear: weight {:?}", args.weight.shape())
        };
        assert_eq!(d_in, weight_in, "linear: x {:?}, weight [{d_out}, ..]", x.value.shape());
        assert!(args.activation.is_none() || args.residual.is_none(), "linear: both epilogues");
        let mut shape = x.value.shape().to_vec();
        *shape.last_mut().expect("rank >= 1") = d_out;

        let (device, params, multiply) =
            (self.device(), self.params(), self.precision().multiply());
        let rides = args.activation.is_some() || args.residual.is_some();
        let mut sum = device.empty(&shape, args.out);
        let mut activated = args.activation.map(|_| device.empty(&shape, args.out));
        by_dtypes!(x.value.dtype(), X, args.out, Y => {
            let activated = activated.as_mut().map(|y| y.as_mut_slice::<Y>());
            let mut activated = activated.map(|y| MatMut::new(y, rows, d_out));
            let a = Mat::new(x.value.as_slice::<X>(), rows, d_in);
            // The parts of a frozen weight: each gives some columns of the result.
            for Rows { first, n, values } in params.rows(args.weight) {
                assert!(n == d_out || !rides, "linear: an epilogue on {n} columns of {d_out}");
                let epilogue = Epilogue {
                    write: Write::Overwrite,
                    bias: args.bias.map(|b| &params.get(b)[first..first + n]),
                    residual: args.residual.map(|r| r.value.as_slice::<f32>()),
                    activated: args.activation.zip(activated.take()),
                };
                let mut held = None;
                let values = values.plain(device, multiply, &mut held);
                let c = &mut sum.as_mut_slice::<Y>()[first..];
                let c = MatMut::new(c, rows, n).with_stride(d_out);
                by_values!(values, w => {
                    let b = Mat::new(w, n, d_in).t();
                    gemm_among(device.isa, multiply, self.rows_of(rows), c, a, b, epilogue);
                });
            }
        });

        let (value, saved) = match activated {
            Some(y) => (y, args.activation.map(|f| (f, sum))),
            None => (sum, None),
        };
        let residual = args.residual.and_then(|r| r.slot);
        let trained = args.weight.is_trained() || args.bias.is_some_and(Param::is_trained);
        let flows = trained || x.flows() || residual.is_some();
        let back = Back {
            x: x.clone(),
            weight: args.weight.clone(),
            bias: args.bias.cloned(),
            saved,
            residual,
        };
        self.finish("linear", flows, value, move |sweep, dy| back.run(sweep, dy))
    }
}

/// What backward needs again.
struct Back {
    x: Var,
    weight: Param,
    bias: Option<Param>,
    /// The activation and its input.
    saved: Option<(Activation, Tensor)>,
    /// Where the residual's gradient goes, if there is one.
    residual: Option<usize>,
}

impl Back {
    fn run(self, sweep: &mut Sweep, dy: Tensor) {
        let du = match self.saved {
            None => dy,
            Some((f, u)) => activation_backward(sweep, f, &u, &dy),
        };
        backward_weight(sweep, &self.weight, self.bias.as_ref(), &self.x.value, &du);
        if self.x.flows() {
            backward_input(sweep, &self.weight, &self.x, &du);
        }
        sweep.give(self.residual, du);
    }
}

/// `du = dy * f'(u)`.
pub(super) fn activation_backward(sweep: &Sweep, f: Activation, u: &Tensor, dy: &Tensor) -> Tensor {
    let device = sweep.device();
    let mut du = device.empty(u.shape(), u.dtype());
    by_dtype!(u.dtype(), T => {
        let (dy, u) = (dy.as_slice::<T>(), u.as_slice::<T>());
        activation::backward(device.isa, f, du.as_mut_slice::<T>(), dy, u);
    });
    du
}

/// `dW += du^T x` and `db += sum(du)`, in the arena.
fn backward_weight(sweep: &Sweep, weight: &Param, bias: Option<&Param>, x: &Tensor, du: &Tensor) {
    let (device, multiply) = (sweep.device(), sweep.precision().multiply());
    let ((rows, d_in), (_, d_out)) = (x.rows(), du.rows());
    let (weight, bias) = (weight.is_trained().then_some(weight), bias.filter(|b| b.is_trained()));
    by_dtypes!(x.dtype(), X, du.dtype(), G => {
        let mut grads = sweep.grads();
        if let Some(weight) = weight {
            let (dw, write) = grads.slot(weight);
            let a = Mat::new(du.as_slice::<G>(), rows, d_out).t();
            let b = Mat::new(x.as_slice::<X>(), rows, d_in);
            let epilogue = Epilogue { write, ..Epilogue::default() };
            gemm(device.isa, multiply, MatMut::new(dw, d_out, d_in), a, b, epilogue);
        }
        if let Some(bias) = bias {
            let (db, write) = grads.slot(bias);
            reduce::column_sum(device.isa, db, du.as_slice::<G>(), write);
        }
    });
    weight.into_iter().chain(bias).for_each(|param| sweep.wrote(param));
}

/// Gives `x` its gradient `du W`, stored as `x` is.
fn backward_input(sweep: &mut Sweep, weight: &Param, x: &Var, du: &Tensor) {
    let (device, params) = (sweep.device(), sweep.params());
    let ((rows, d_in), (_, d_out), multiply) =
        (x.value.rows(), du.rows(), sweep.precision().multiply());
    let mut write = Write::Overwrite;
    let mut dx = device.empty(x.value.shape(), x.value.dtype());
    by_dtypes!(x.value.dtype(), X, du.dtype(), G => {
        // The parts of a frozen weight: each takes some columns of `du`.
        for Rows { first, n, values } in params.rows(weight) {
            let mut held = None;
            let values = values.plain(device, multiply, &mut held);
            let a = Mat::new(&du.as_slice::<G>()[first..], rows, n).with_stride(d_out);
            let c = MatMut::new(dx.as_mut_slice::<X>(), rows, d_in);
            let epilogue = Epilogue { write, ..Epilogue::default() };
            by_values!(values, w => {
                gemm(device.isa, multiply, c, a, Mat::new(w, n, d_in), epilogue);
            });
            write = Write::Add;
        }
    });
    sweep.give(x.slot, dx);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        for activation in [None, Some(Activation::GeluTanh), Some(Activation::Relu)] {
            let fixture = Fixture::new(&[("w", &[5, 3]), ("b", &[5])], &[&[2, 4, 3]]);
            check(&fixture, |tape, params, x| {
                let args = LinearArgs::new(&params[0], Some(&params[1]), DType::F32);
                tape.linear(&x[0], LinearArgs { activation, ..args })
            });
        }
    }

    #[test]
    fn the_residual_is_added_and_its_gradient_passes() {
        let fixture = Fixture::new(&[("w", &[5, 3])], &[&[4, 3], &[4, 5]]);
        check(&fixture, |tape, params, x| {
            let args = LinearArgs::new(&params[0], None, DType::F32);
            tape.linear(&x[0], LinearArgs { residual: Some(&x[1]), ..args })
        });
    }
}
