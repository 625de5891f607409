//! Rows scaled by a gate of their own.
//!
//! ```text
//! s = 1 / (1 + exp(-g)),    y = s x,    dx = s dy,    dg = s (1 - s) dy . x
//! ```
//!
//! Shapes: `x`, `y` `[.., D]`, `g` `[.., 1]`, all in f32.

use rayon::prelude::*;

use crate::dtype::DType;
use crate::tape::{Tape, Var};

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Tape<'_> {
    /// `sigmoid(g) x`, row by row.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn sigmoid_gate(&self, x: &Var, g: &Var) -> Var {
        let (n_rows, d) = x.value.rows();
        assert_eq!(g.value.rows(), (n_rows, 1), "sigmoid_gate: x {:?}", x.value.shape());
        let mut y = self.device().empty(x.value.shape(), DType::F32);
        let rows = y.as_mut_slice::<f32>().par_chunks_exact_mut(d);
        rows.zip(x.value.as_slice::<f32>().par_chunks_exact(d))
            .zip(g.value.as_slice::<f32>())
            .for_each(|((y, x), &g)| y.iter_mut().zip(x).for_each(|(y, x)| *y = sigmoid(g) * x));
        let (x, g) = (x.clone(), g.clone());
        self.finish("sigmoid_gate", x.flows() || g.flows(), y, move |sweep, dy| {
            let mut dx = sweep.device().empty(x.value.shape(), DType::F32);
            let mut dg = sweep.device().empty(g.value.shape(), DType::F32);
            let rows = dx.as_mut_slice::<f32>().par_chunks_exact_mut(d);
            rows.zip(x.value.as_slice::<f32>().par_chunks_exact(d))
                .zip(dy.as_slice::<f32>().par_chunks_exact(d))
                .zip(g.value.as_slice::<f32>())
                .zip(dg.as_mut_slice::<f32>())
                .for_each(|((((dx, x), dy), &g), dg)| {
                    let s = sigmoid(g);
                    dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = s * dy);
                    *dg = s * (1.0 - s) * x.iter().zip(dy).map(|(x, dy)| x * dy).sum::<f32>();
                });
            sweep.give(x.slot, dx);
            sweep.give(g.slot, dg);
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        check(&Fixture::new(&[], &[&[2, 3, 5], &[2, 3, 1]]), |tape, _, x| {
            tape.sigmoid_gate(&x[0], &x[1])
        });
    }
}
