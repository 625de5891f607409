//! A value times a number.
//!
//! ```text
//! y = a x,    dx = a dy
//! ```

use kernels::Element;

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};
use crate::value::{Device, Tensor};

impl Tape<'_> {
    /// Element by element, stored as `x` is.
    pub fn scale(&self, x: &Var, a: f32) -> Var {
        let slot = x.slot;
        self.finish(
            "scale",
            slot.is_some(),
            scaled(self.device(), &x.value, a),
            move |sweep, dy| {
                let dx = scaled(sweep.device(), &dy, a);
                sweep.give(slot, dx);
            },
        )
    }
}

fn scaled(device: &Device, x: &Tensor, a: f32) -> Tensor {
    let mut y = device.empty(x.shape(), x.dtype());
    by_dtype!(x.dtype(), T => {
        for (y, x) in y.as_mut_slice::<T>().iter_mut().zip(x.as_slice::<T>()) {
            *y = T::from_f32(a * x.to_f32());
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[3, 4]]), |tape, _, x| tape.scale(&x[0], -0.3));
    }
}
