//! Sums of two values.
//!
//! ```text
//! y = a + b,    da = dy,    db = dy
//! ```

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};

impl Tape<'_> {
    /// Element by element; both of one shape and type.
    ///
    /// # Panics
    /// When they are not.
    #[track_caller]
    pub fn add(&self, a: &Var, b: &Var) -> Var {
        assert_eq!(a.value.shape(), b.value.shape(), "add");
        assert_eq!(a.value.dtype(), b.value.dtype(), "add");
        let device = self.device();
        let mut y = device.unshared(a.value.clone());
        by_dtype!(a.value.dtype(), T => {
            let (y, b) = (y.as_mut_slice::<T>(), b.value.as_slice::<T>());
            kernels::cast::add_assign(device.isa, y, b);
        });
        let (a, b) = (a.slot, b.slot);
        self.finish("add", a.is_some() || b.is_some(), y, move |sweep, dy| {
            sweep.give(a, dy.clone());
            sweep.give(b, dy);
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[3, 4], &[3, 4]]), |tape, _, x| tape.add(&x[0], &x[1]));
        check(&Fixture::new(&[], &[&[3, 4]]), |tape, _, x| tape.add(&x[0], &x[0]));
    }
}
