//! Patches of an image as a sequence: a class token in front, and positions, which may lie between
//! those that are learned.
//!
//! ```text
//! y[b] = (class | x[b]) + p,    p[t] = sum over the taps (row, w) of t of w table[row]
//! dclass += sum over b of dy[b, 0],    dtable[row] += w dy[b, t]
//! ```
//!
//! Shapes: `x` `[B, n, D]`, `class` `[D]`, `table` `[positions, D]`, `y` `[B, T, D]`, all in f32;
//! T is n, and one more with a class token. Dosovitskiy et al., "An Image is Worth 16x16 Words",
//! arXiv:2010.11929, eq. 1.

use std::sync::Arc;

use crate::dtype::DType;
use crate::params::Param;
use crate::tape::{Tape, Var};

/// What is put in front of patches and added to them.
#[derive(Clone)]
pub struct PatchArgs<'p> {
    /// `[D]`, in front of each image.
    pub class: Option<&'p Param>,
    /// `[positions, D]`.
    pub table: &'p Param,
    /// The same number of taps for each of T rows: a position's row of the table and its weight.
    pub taps: &'p Arc<[(u32, f32)]>,
}

impl Tape<'_> {
    /// `[B, n, D] -> [B, T, D]`.
    ///
    /// # Panics
    /// When the shapes disagree.
    #[track_caller]
    pub fn patches(&self, x: &Var, args: &PatchArgs) -> Var {
        let &[batch, n, d] = x.value.shape() else { panic!("patches: x {:?}", x.value.shape()) };
        let first = usize::from(args.class.is_some());
        let (len, taps) = (n + first, args.taps.clone());
        let n_taps = taps.len() / len.max(1);
        assert!(n_taps * len == taps.len() && n_taps > 0, "patches: {} taps, {len}", taps.len());
        assert_eq!(args.table.shape()[1..], [d], "patches: table");
        let table = self.params().get(args.table);
        let mut positions = vec![0.0; len * d];
        for (row, taps) in positions.chunks_exact_mut(d).zip(taps.chunks_exact(n_taps)) {
            for &(at, w) in taps {
                let from = &table[at as usize * d..][..d];
                row.iter_mut().zip(from).for_each(|(y, x)| *y += w * x);
            }
        }
        if let Some(class) = args.class {
            let class = self.params().get(class);
            positions[..d].iter_mut().zip(class).for_each(|(y, x)| *y += x);
        }
        let mut y = self.device().empty(&[batch, len, d], DType::F32);
        let images = x.value.as_slice::<f32>().chunks_exact(n * d);
        for (y, x) in y.as_mut_slice::<f32>().chunks_exact_mut(len * d).zip(images) {
            y.copy_from_slice(&positions);
            y[first * d..].iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        let (class, table, slot) = (args.class.cloned(), args.table.clone(), x.slot);
        let trained = table.is_trained() || class.as_ref().is_some_and(Param::is_trained);
        self.finish("patches", trained || slot.is_some(), y, move |sweep, dy| {
            let mut dx = sweep.device().empty(&[batch, n, d], DType::F32);
            let images = dy.as_slice::<f32>().chunks_exact(len * d);
            let mut sum = vec![0.0_f32; len * d];
            for (dx, dy) in dx.as_mut_slice::<f32>().chunks_exact_mut(n * d).zip(images) {
                dx.copy_from_slice(&dy[first * d..]);
                sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
            {
                let mut grads = sweep.grads();
                if let Some(class) = &class {
                    let d_class = grads.zeroed(class);
                    d_class.iter_mut().zip(&sum).for_each(|(to, dy)| *to += dy);
                }
                let d_table = grads.zeroed(&table);
                for (dy, taps) in sum.chunks_exact(d).zip(taps.chunks_exact(n_taps)) {
                    for &(at, w) in taps {
                        let to = &mut d_table[at as usize * d..][..d];
                        to.iter_mut().zip(dy).for_each(|(to, dy)| *to += w * dy);
                    }
                }
            }
            class.iter().chain([&table]).for_each(|param| sweep.wrote(param));
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
        let taps: Arc<[(u32, f32)]> =
            [(0, 1.0), (0, 0.0), (1, 0.3), (2, 0.7), (2, 1.1), (1, -0.1), (3, 0.5), (1, 0.5)]
                .into();
        let fixture = Fixture::new(&[("c", &[5]), ("t", &[4, 5])], &[&[2, 3, 5]]);
        check(&fixture, |tape, p, x| {
            let args = PatchArgs { class: Some(&p[0]), table: &p[1], taps: &taps };
            tape.patches(&x[0], &args)
        });
        let fixture = Fixture::new(&[("t", &[4, 5])], &[&[2, 4, 5]]);
        check(&fixture, |tape, p, x| {
            tape.patches(&x[0], &PatchArgs { class: None, table: &p[0], taps: &taps })
        });
    }
}
