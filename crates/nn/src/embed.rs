//! From tokens or images to the residual stream.

use std::sync::{Arc, OnceLock};

use tensor::{DType, Init, Param, ParamsBuilder, Tape, Var};

use crate::config::{ConfigError, check_matrix, check_probability, check_size};
use crate::context::Call;
use crate::dropout::Dropout;
use crate::linear::{Linear, LinearInit};
use crate::norm::{Norm, NormConfig};
use crate::patch::{PatchConfig, PatchEmbedding};

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

/// What an embedding of tokens is made of; or one of images, which has no vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedConfig {
    /// How images are cut, where those come in; none is tokens.
    pub patches: Option<PatchConfig>,
    /// `V`.
    pub vocab_size: usize,
    /// `D`.
    pub d_model: usize,
    /// Width of the tables, where it is not `D`: the sum is then projected to `D`.
    pub d_embed: Option<usize>,
    /// Positions below this.
    pub max_len: usize,
    /// Where they come from.
    pub positions: TokenPositions,
    /// Rows of the table of positions before that of position 0.
    pub first_position: usize,
    /// Tokens of this id have no position, and are not counted in that of others.
    pub padding: Option<u32>,
    /// Rows of each further table: types of tokens, tasks.
    pub types: Vec<usize>,
    /// What a token's row is multiplied with.
    pub scale: f32,
    /// Normalizes the sum.
    pub norm: Option<NormConfig>,
    /// How the tables start.
    pub init: Init,
    /// Probability of dropping from the sum.
    pub dropout: f32,
}

impl EmbedConfig {
    /// Tokens alone, to write the differences of a family over.
    pub fn base(vocab_size: usize, d_model: usize, max_len: usize) -> Self {
        Self {
            patches: None,
            vocab_size,
            d_model,
            d_embed: None,
            max_len,
            positions: TokenPositions::None,
            first_position: 0,
            padding: None,
            types: Vec::new(),
            scale: 1.0,
            norm: None,
            init: Init::Normal { std: 0.02 },
            dropout: 0.0,
        }
    }

    /// Images, cut into patches.
    pub fn of_images(patches: PatchConfig, d_model: usize) -> Self {
        let positions = TokenPositions::Learned;
        Self { patches: Some(patches), positions, ..Self::base(0, d_model, 0) }
    }

    /// Width of the tables.
    pub fn width(&self) -> usize {
        self.d_embed.unwrap_or(self.d_model)
    }

    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(patches) = &self.patches {
            check_size("hidden_size", self.d_model)?;
            patches.check(self.d_model)?;
            return check_probability("embed_dropout", self.dropout);
        }
        check_size("vocab_size", self.vocab_size)?;
        check_size("max_len", self.max_len)?;
        check_size("d_embed", self.width())?;
        let n_positions = self.max_len.saturating_add(self.first_position);
        check_matrix("vocab_size", [self.vocab_size, self.width()])?;
        check_matrix("max_len", [n_positions, self.width()])?;
        for &n in &self.types {
            check_size("types", n)?;
        }
        check_probability("embed_dropout", self.dropout)
    }
}

/// How things come in: a closed set.
pub enum Embed {
    /// Tokens.
    Token(TokenEmbedding),
    /// Images.
    Patch(PatchEmbedding),
}

impl Embed {
    /// Registers the parameters.
    pub fn new(builder: &mut ParamsBuilder, config: &EmbedConfig) -> Self {
        match config.patches {
            None => Self::Token(TokenEmbedding::new(builder, config)),
            Some(patches) => Self::Patch(PatchEmbedding::new(builder, config, patches)),
        }
    }

    /// The table of tokens `[V, D]`, where there are tokens.
    pub fn table(&self) -> Option<&Param> {
        match self {
            Self::Token(embed) => Some(&embed.table),
            Self::Patch(_) => None,
        }
    }

    /// The fixed waves `[max_len, D]`, if that is where positions come from.
    pub fn waves(&self) -> Option<&[f32]> {
        match self {
            Self::Token(embed) => embed.waves(),
            Self::Patch(_) => None,
        }
    }
}

/// A table of tokens and, perhaps, of positions and types.
pub struct TokenEmbedding {
    /// `[V, D]`.
    pub table: Param,
    /// With the row of position 0.
    learned: Option<(Param, u32)>,
    sinusoidal: Option<Waves>,
    types: Vec<Param>,
    scale: f32,
    norm: Option<Norm>,
    dropout: Dropout,
    project: Option<Linear>,
}

/// Fixed waves `[max_len, D]`, made when they are first asked for.
struct Waves {
    max_len: usize,
    d_model: usize,
    values: OnceLock<Vec<f32>>,
}

impl TokenEmbedding {
    /// Registers the tables.
    pub fn new(builder: &mut ParamsBuilder, config: &EmbedConfig) -> Self {
        let (d, n) = (config.width(), config.max_len);
        let (first, init) = (config.first_position, config.init);
        let types = |b: &mut ParamsBuilder| {
            let table = |(i, &n): (usize, &usize)| b.param(&format!("types.{i}"), &[n, d], init);
            config.types.iter().enumerate().map(table).collect()
        };
        let project = |b: &mut ParamsBuilder, width| {
            let start = LinearInit { weight: init, bias: Init::Zeros };
            Linear::new(b, "project", [width, config.d_model], true, start)
        };
        builder.scope("embed", |b| Self {
            table: b.matrix("tokens", [config.vocab_size, d], init),
            learned: (config.positions == TokenPositions::Learned)
                .then(|| (b.param("positions", &[first + n, d], init), first as u32)),
            sinusoidal: (config.positions == TokenPositions::Sinusoidal).then(|| Waves {
                max_len: n,
                d_model: d,
                values: OnceLock::new(),
            }),
            types: types(b),
            scale: config.scale,
            norm: config.norm.map(|norm| Norm::new(b, "norm", norm)),
            dropout: Dropout::new(b, "output", config.dropout),
            project: config.d_embed.map(|width| project(b, width)),
        })
    }

    /// The fixed waves `[max_len, D]`, if that is where positions come from.
    pub fn waves(&self) -> Option<&[f32]> {
        self.sinusoidal.as_ref().map(Waves::values)
    }

    /// Takes the waves as they are stored: a stored table differs from ours in the last bits of its
    /// exponentials, and far out that is 2e-4.
    pub fn set_waves(&mut self, stored: Vec<f32>) {
        if let Some(waves) = &mut self.sinusoidal {
            waves.values = stored.into();
        }
    }

    /// `[B, T]` tokens to `[B, T, D]` in f32.
    pub fn forward(&self, tape: &Tape, ids: &Arc<[u32]>, shape: [usize; 2], call: &Call) -> Var {
        tape.scope("embed", None, || {
            let mut x = tape.embedding(&self.table, ids, shape, self.scale);
            if let Some((table, first)) = &self.learned {
                let at = match first {
                    0 => call.positions.clone(),
                    _ => call.positions.iter().map(|at| at.wrapping_add(*first)).collect(),
                };
                x = tape.embedding_add(&x, table, &at);
            }
            if let Some(waves) = &self.sinusoidal {
                let shape = x.value().shape();
                x = tape.add(&x, &rows(tape, waves.values(), shape, &call.positions));
            }
            for (i, table) in self.types.iter().enumerate() {
                let given = call.types.get(i).cloned().flatten();
                let types = given.unwrap_or_else(|| vec![0; ids.len()].into());
                x = tape.embedding_add(&x, table, &types);
            }
            if let Some(norm) = &self.norm {
                x = norm.forward(tape, &x, DType::F32);
            }
            x = self.dropout.forward(tape, x, call);
            match &self.project {
                None => x,
                Some(project) => tape.linear(&x, project.args(DType::F32)),
            }
        })
    }
}

impl Waves {
    fn values(&self) -> &[f32] {
        self.values.get_or_init(|| sinusoidal(self.max_len, self.d_model))
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
