//! The gated feed-forward's middle.
//!
//! ```text
//! y = f(gate) * up,    x = gate | up
//! ```
//!
//! Shapes: `x` `[.., 2F]`, `y` `[.., F]`.
//! Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, eq. 5-6.

use kernels::activation;

use crate::Activation;
use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// `[.., 2F] -> [.., F]`.
    ///
    /// # Panics
    /// When the width is odd.
    #[track_caller]
    pub fn gated_activation(&self, x: &Var, f: Activation) -> Var {
        let (device, (_, width)) = (self.device(), x.value.rows());
        assert!(width.is_multiple_of(2), "gated_activation: x {:?}", x.value.shape());
        let mut shape = x.value.shape().to_vec();
        *shape.last_mut().expect("rank >= 1") = width / 2;
        let mut y = device.empty(&shape, x.value.dtype());
        let d_ff = width / 2;
        by_dtype!(x.value.dtype(), T => {
            let (y, x) = (y.as_mut_slice::<T>(), x.value.as_slice::<T>());
            activation::gated_forward(device.isa, f, y, x, d_ff);
        });
        let Var { value, slot } = x.clone();
        self.finish("gated_activation", slot.is_some(), y, move |sweep, dy| {
            let device = sweep.device();
            let mut dx = device.empty(value.shape(), value.dtype());
            by_dtype!(value.dtype(), T => {
                let (dy, x) = (dy.as_slice::<T>(), value.as_slice::<T>());
                activation::gated_backward(device.isa, f, dx.as_mut_slice::<T>(), dy, x, d_ff);
            });
            sweep.give(slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        for f in [Activation::Silu, Activation::GeluTanh] {
            check(&Fixture::new(&[], &[&[3, 10]]), |tape, _, x| tape.gated_activation(&x[0], f));
        }
    }
}
