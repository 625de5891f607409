//! Fixed waves as positions: a table that is computed, or taken as it is stored.
//!
//! Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.5.

use std::sync::OnceLock;

use tensor::{DType, Tape, Var};

/// How sines and cosines stand in a row, and how fast they slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveKind {
    /// ```text
    /// pe[t, 2i] = sin(t w_i),    pe[t, 2i + 1] = cos(t w_i),    w_i = exp(2i * -ln(10000) / D)
    /// ```
    ///
    /// In f32, with the roundings of the usual tensor code, so that an exported table is almost
    /// equal: exponentials differ between mathematics libraries in their last bit.
    Interleaved,
    /// ```text
    /// pe[t, i] = sin(t w_i),    pe[t, ceil(D / 2) + i] = cos(t w_i),    w_i = 10000^(-2i / D)
    /// ```
    Halves,
    /// The same, whose last pair of a row has a frequency of 1e-4: `w_i = 10000^(-i / (D/2 - 1))`.
    HalvesToLast,
}

/// Fixed waves `[max_len, D]`, made when they are first asked for.
pub struct Waves {
    kind: WaveKind,
    max_len: usize,
    d_model: usize,
    values: OnceLock<Vec<f32>>,
}

impl Waves {
    pub(crate) fn new(kind: WaveKind, [max_len, d_model]: [usize; 2]) -> Self {
        Self { kind, max_len, d_model, values: OnceLock::new() }
    }

    /// The table.
    pub fn values(&self) -> &[f32] {
        self.values.get_or_init(|| {
            let mut table = vec![0.0; self.max_len * self.d_model];
            for (t, row) in table.chunks_exact_mut(self.d_model).enumerate() {
                match self.kind {
                    WaveKind::Interleaved => interleaved(t, row),
                    WaveKind::Halves => halves(t, row, self.d_model as f64 / 2.0),
                    WaveKind::HalvesToLast => {
                        halves(t, row, (self.d_model / 2).saturating_sub(1) as f64);
                    }
                }
            }
            table
        })
    }

    /// Takes the table as it is stored: a stored one differs from ours in the last bits of its
    /// exponentials, and far out that is 2e-4.
    pub fn set(&mut self, stored: Vec<f32>) {
        self.values = stored.into();
    }

    /// `x` `[B, T, D]` in f32 and the row of each of its positions.
    pub(crate) fn add(&self, tape: &Tape, x: &Var, positions: &[u32]) -> Var {
        let mut rows = tape.device().empty(x.value().shape(), DType::F32);
        let (waves, d) = (self.values(), self.d_model);
        for (row, &at) in rows.as_mut_slice::<f32>().chunks_exact_mut(d).zip(positions) {
            row.copy_from_slice(&waves[at as usize * d..][..d]);
        }
        tape.add(x, &Var::constant(rows))
    }
}

fn interleaved(t: usize, row: &mut [f32]) {
    let step = -(10_000.0_f64.ln()) / row.len() as f64;
    for (i, pair) in row.chunks_mut(2).enumerate() {
        let frequency = ((2 * i) as f32 * step as f32).exp();
        let angle = f64::from(t as f32 * frequency);
        pair[0] = angle.sin() as f32;
        if let Some(odd) = pair.get_mut(1) {
            *odd = angle.cos() as f32;
        }
    }
}

/// `n` steps of a frequency lead to 1e-4.
fn halves(t: usize, row: &mut [f32], n: f64) {
    let (sines, cosines) = row.split_at_mut(row.len().div_ceil(2));
    let angle = |i: usize| t as f64 * 10_000.0_f64.powf(-(i as f64) / n.max(1.0));
    sines.iter_mut().enumerate().for_each(|(i, x)| *x = angle(i).sin() as f32);
    cosines.iter_mut().enumerate().for_each(|(i, x)| *x = angle(i).cos() as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_begin_at_zero_and_turn_ever_slower() {
        let (fast, slow) = (1.0_f64, 0.01_f64);
        let expected = [0.0, 1.0, 2.0]
            .into_iter()
            .flat_map(|t| [(fast * t).sin(), (fast * t).cos(), (slow * t).sin(), (slow * t).cos()]);
        let expected: Vec<f64> = expected.collect();
        for (kind, at) in [(WaveKind::Interleaved, [0, 1, 2, 3]), (WaveKind::Halves, [0, 2, 1, 3])]
        {
            let waves = Waves::new(kind, [3, 4]);
            for (row, expected) in waves.values().chunks(4).zip(expected.chunks(4)) {
                let found = at.map(|i| f64::from(row[i]));
                let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                assert!(worst.fold(0.0, f64::max) < 1e-7, "{kind:?}: {row:?}");
            }
        }
        let waves = Waves::new(WaveKind::HalvesToLast, [2, 4]);
        let row = &waves.values()[4..];
        assert!((row[1] - 1e-4).abs() < 1e-9 && (row[0] - 0.841_471).abs() < 1e-6, "{row:?}");
    }
}
