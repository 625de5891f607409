//! A nonlinearity on its own; [`Tape::linear`] applies one for less.

use kernels::activation;

use super::linear::activation_backward;
use crate::Activation;
use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// `y = f(x)`, element by element.
    pub fn activation(&self, x: &Var, f: Activation) -> Var {
        let device = self.device();
        let mut y = device.empty(x.value.shape(), x.value.dtype());
        by_dtype!(x.value.dtype(), T => {
            activation::forward(device.isa, f, y.as_mut_slice::<T>(), x.value.as_slice::<T>());
        });
        let Var { value, slot } = x.clone();
        self.finish("activation", slot.is_some(), y, move |sweep, dy| {
            let dx = activation_backward(sweep, f, &value, &dy);
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
        // ReLU has a kink, which differences cannot see: the kernel's own test holds it.
        for f in [Activation::GeluErf, Activation::GeluTanh, Activation::Silu] {
            check(&Fixture::new(&[], &[&[3, 7]]), |tape, _, x| tape.activation(&x[0], f));
        }
    }
}
