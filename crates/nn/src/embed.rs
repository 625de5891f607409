//! From tokens to the residual stream.

use std::sync::Arc;

use tensor::{DType, Init, Param, ParamsBuilder, Tape, Var};

use crate::context::Call;
use crate::dropout::Dropout;

/// Where a token embedding's positions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPositions {
    /// From the trunk's attention.
    None,
    /// A learned table.
    Learned,
    /// Fixed waves. Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.5.
    Sinusoidal,
}

/// What a token embedding is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `D`.
    pub d_model: usize,
    /// Positions below this.
    pub max_len: usize,
    /// Where they come from.
    pub positions: TokenPositions,
    /// What a token's row is multiplied with.
    pub scale: f32,
    /// How the table starts.
    pub init: Init,
    /// Probability of dropping from the sum.
    pub dropout: f32,
}

/// How things come in: a closed set.
pub enum Embed {
    /// Tokens.
    Token(TokenEmbedding),
}

/// A table of tokens and, perhaps, of positions.
pub struct TokenEmbedding {
    /// `[V, D]`.
    pub table: Param,
    learned: Option<Param>,
    /// `[max_len, D]`.
    sinusoidal: Option<Vec<f32>>,
    scale: f32,
    dropout: Dropout,
}

impl TokenEmbedding {
    /// Registers the tables.
    pub fn new(builder: &mut ParamsBuilder, config: &EmbedConfig) -> Self {
        let (d, n) = (config.d_model, config.max_len);
        builder.scope("embed", |b| Self {
            table: b.param("tokens", &[config.vocab_size, d], config.init),
            learned: (config.positions == TokenPositions::Learned)
                .then(|| b.param("positions", &[n, d], config.init)),
            sinusoidal: (config.positions == TokenPositions::Sinusoidal).then(|| sinusoidal(n, d)),
            scale: config.scale,
            dropout: Dropout::new(b, "output", config.dropout),
        })
    }

    /// The fixed waves `[max_len, D]`, if that is where positions come from.
    pub fn waves(&self) -> Option<&[f32]> {
        self.sinusoidal.as_deref()
    }

    /// The same, writable: a stored table differs from ours in the last bits of its exponentials,
    /// and far out that is 2e-4.
    pub fn waves_mut(&mut self) -> Option<&mut [f32]> {
        self.sinusoidal.as_deref_mut()
    }

    /// `[B, T]` tokens to `[B, T, D]` in f32.
    pub fn forward(&self, tape: &Tape, ids: &Arc<[u32]>, shape: [usize; 2], call: &Call) -> Var {
        tape.scope("embed", None, || {
            let mut x = tape.embedding(&self.table, ids, shape, self.scale);
            if let Some(table) = &self.learned {
                x = tape.embedding_add(&x, table, &call.positions);
            }
            if let Some(waves) = &self.sinusoidal {
                x = tape.add(&x, &rows(tape, waves, x.value().shape(), &call.positions));
            }
            self.dropout.forward(tape, x, call)
        })
    }
}

fn rows(tape: &Tape, waves: &[f32], shape: &[usize], positions: &[u32]) -> Var {
    let mut out = tape.device().empty(shape, DType::F32);
    let (_, d) = out.rows();
    let rows = out.as_mut_slice::<f32>().chunks_exact_mut(d);
    for (row, &at) in rows.zip(positions) {
        row.copy_from_slice(&waves[at as usize * d..][..d]);
    }
    Var::constant(out)
}

/// ```text
/// pe[t, 2i] = sin(t w_i),    pe[t, 2i + 1] = cos(t w_i),    w_i = exp(2i * -ln(10000) / D)
/// ```
///
/// In f32, with the roundings of the usual tensor code, so that an exported table is almost equal:
/// exponentials differ between mathematics libraries in their last bit.
fn sinusoidal(max_len: usize, d_model: usize) -> Vec<f32> {
    let step = -(10_000.0_f64.ln()) / d_model as f64;
    let mut table = vec![0.0; max_len * d_model];
    for (t, row) in table.chunks_exact_mut(d_model).enumerate() {
        for (i, pair) in row.chunks_mut(2).enumerate() {
            let frequency = ((2 * i) as f32 * step as f32).exp();
            let angle = f64::from(t as f32 * frequency);
            pair[0] = angle.sin() as f32;
            if let Some(odd) = pair.get_mut(1) {
                *odd = angle.cos() as f32;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::sinusoidal;

    #[test]
    fn waves_begin_at_zero_and_turn_ever_slower() {
        let table = sinusoidal(3, 4);
        let (fast, slow) = (1.0_f64, 0.01_f64);
        let expected = [0.0, 1.0, 2.0]
            .into_iter()
            .flat_map(|t| [(fast * t).sin(), (fast * t).cos(), (slow * t).sin(), (slow * t).cos()]);
        for (found, expected) in table.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-7, "{table:?}");
        }
    }
}
