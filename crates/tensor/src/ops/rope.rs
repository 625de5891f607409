//! Rotary positions on the queries and keys of a packed projection.
//!
//! ```text
//! (a, b) -> (a cos - b sin, a sin + b cos),    angle = position * theta^(-2i / d_rot)
//! ```
//!
//! Shapes: `x` `[B, T, (heads) * H]`, `positions` `[B * T]`; the first `n_heads` heads of a row
//! turn. Su et al., "RoFormer", arXiv:2104.09864, eq. 34.

use std::sync::Arc;

use kernels::HeadRows;
use kernels::rope::{self, Direction, RopeTable};

use crate::dtype::by_dtype;
use crate::tape::{Tape, Var};
use crate::value::{Device, Tensor};

/// Which heads turn, and by what.
#[derive(Clone)]
struct Turn {
    rows: HeadRows,
    table: Arc<RopeTable>,
    positions: Arc<[u32]>,
}

impl Turn {
    fn apply(&self, device: &Device, x: Tensor, direction: Direction) -> Tensor {
        let mut x = device.unshared(x);
        by_dtype!(x.dtype(), T => {
            let x = x.as_mut_slice::<T>();
            rope::rotate(device.isa, x, self.rows, &self.table, &self.positions, direction);
        });
        x
    }
}

impl Tape<'_> {
    /// Turns the first `n_heads` heads of width `d_head` of every row, in place where it can.
    ///
    /// # Panics
    /// When a position is not in the table, or the heads do not fit into a row.
    #[track_caller]
    pub fn rope(
        &self,
        x: Var,
        [n_heads, d_head]: [usize; 2],
        table: &Arc<RopeTable>,
        positions: &Arc<[u32]>,
    ) -> Var {
        let (_, width) = x.value.rows();
        let rows = HeadRows { row_stride: width, offset: 0, n_heads, d_head };
        let turn = Turn { rows, table: table.clone(), positions: positions.clone() };
        let Var { value, slot } = x;
        let y = turn.apply(self.device(), value, Direction::Forward);
        self.finish("rope", slot.is_some(), y, move |sweep, dy| {
            let dx = turn.apply(sweep.device(), dy, Direction::Inverse);
            sweep.give(slot, dx);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RopePairing;
    use crate::ops::testing::{Fixture, check};

    #[test]
    fn gradients() {
        for pairing in [RopePairing::Halves, RopePairing::Interleaved] {
            let table = Arc::new(RopeTable::new(8, 4, 10_000.0, pairing));
            let positions: Arc<[u32]> = [0, 1, 5].into();
            check(&Fixture::new(&[], &[&[1, 3, 12]]), |tape, _, x| {
                tape.rope(x[0].clone(), [2, 4], &table, &positions)
            });
        }
    }
}
