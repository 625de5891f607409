//! From a sequence to one vector of it.

use std::sync::Arc;

use tensor::{
    Activation, AttentionArgs, DType, Init, Param, ParamsBuilder, Pattern, Projected, Tape, Var,
};

use crate::config::{
    BiasConfig, ConfigError, FfnKind, NormKind, TransformerConfig, check_matrix, check_size,
};
use crate::context::Call;
use crate::ffn::Dense;
use crate::linear::{Linear, LinearInit};
use crate::norm::{Norm, NormConfig};

/// Where the vector comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pool {
    /// The first position.
    First,
    /// The last position.
    Last,
    /// The first token of this id; none is the largest id of the row.
    End(Option<u32>),
    /// What a learned query makes of all positions.
    Probe(ProbeConfig),
}

impl Pool {
    /// The first or the last position of every text of a batch, numbered as rows of `[B * T]`.
    ///
    /// A text is a run of one segment that is not 0, in one row of the batch, so that padding on
    /// either side and several texts a row are one mechanism; without segments it is a whole row.
    ///
    /// # Panics
    /// Where another place is meant, or there are other than `B * T` segments.
    #[track_caller]
    pub fn rows(self, segments: Option<&[u32]>, [batch, len]: [usize; 2]) -> Arc<[u32]> {
        let is_last = match self {
            Self::First => false,
            Self::Last => true,
            Self::End(_) | Self::Probe(_) => panic!("pool: {self:?} is no first or last"),
        };
        let Some(segments) = segments else {
            let at = if is_last { len - 1 } else { 0 };
            return (0..batch).map(|row| (row * len + at) as u32).collect();
        };
        assert_eq!(segments.len(), batch * len, "pool: segments of {batch} x {len}");
        let ends = |(number, row): (usize, &[u32])| {
            let is_end = |at: &usize| {
                let beside = if is_last { at.checked_add(1) } else { at.checked_sub(1) };
                row[*at] != 0 && beside.and_then(|at| row.get(at)) != Some(&row[*at])
            };
            (0..len).filter(is_end).map(|at| (number * len + at) as u32).collect::<Vec<_>>()
        };
        segments.chunks_exact(len.max(1)).enumerate().flat_map(ends).collect()
    }
}

/// A learned query that attends to all positions, and a feed-forward network behind it. Zhai et
/// al., "Scaling Vision Transformers", arXiv:2106.04560, section 3.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeConfig {
    /// Heads.
    pub n_heads: usize,
    /// Width of the feed-forward network's middle.
    pub d_ff: usize,
    /// Its activation.
    pub activation: Activation,
    /// Added to the variance.
    pub norm_eps: f32,
}

/// What a head that gives a vector is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbeddingHeadConfig {
    /// Where it comes from.
    pub pool: Pool,
    /// Normalizes it.
    pub norm: Option<NormConfig>,
    /// Width that it is projected to, and whether with a bias.
    pub project: Option<(usize, bool)>,
}

impl EmbeddingHeadConfig {
    /// Everything that can be wrong with it, on a stream of width `d_model`.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(&self, d_model: usize) -> Result<(), ConfigError> {
        let width = self.project.map_or(1, |(width, _)| width);
        check_size("projection_dim", width)?;
        check_matrix("projection_dim", [width, d_model])?;
        match self.pool {
            Pool::Probe(probe) => probe.block(d_model).check().map(|_| ()),
            Pool::First | Pool::Last | Pool::End(_) => Ok(()),
        }
    }
}

/// A vector of the whole sequence.
pub struct EmbeddingHead {
    pool: Pool,
    probe: Option<Probe>,
    norm: Option<Norm>,
    project: Option<Linear>,
}

impl EmbeddingHead {
    pub(crate) fn new(
        b: &mut ParamsBuilder,
        config: &EmbeddingHeadConfig,
        d_model: usize,
        init: Init,
    ) -> Self {
        let start = LinearInit { weight: init, bias: Init::Zeros };
        Self {
            pool: config.pool,
            probe: match config.pool {
                Pool::Probe(probe) => Some(Probe::new(b, probe, d_model, start)),
                Pool::First | Pool::Last | Pool::End(_) => None,
            },
            norm: config.norm.map(|norm| Norm::new(b, "norm", norm)),
            project: config
                .project
                .map(|(width, bias)| Linear::new(b, "project", [d_model, width], bias, start)),
        }
    }

    /// `[B, T, D] -> [B, E]` in f32; `ids` are the tokens, where that is what was read.
    ///
    /// # Panics
    /// When the place depends on tokens and there are none.
    pub fn forward(&self, tape: &Tape, x: &Var, ids: Option<&[u32]>, call: &Call) -> Var {
        let &[batch, len, _] = x.value().shape() else { panic!("pool: {:?}", x.value().shape()) };
        let at = |row: usize| match self.pool {
            Pool::First | Pool::Probe(_) => 0,
            Pool::Last => len - 1,
            Pool::End(end) => end_of(&ids.expect("pool: tokens")[row * len..][..len], end),
        };
        let mut y = if let Some(probe) = &self.probe {
            probe.forward(tape, x, call)
        } else {
            let rows: Arc<[u32]> = (0..batch).map(|row| (row * len + at(row)) as u32).collect();
            tape.select_rows(x, &rows)
        };
        if let Some(norm) = &self.norm {
            y = norm.forward(tape, &y, DType::F32);
        }
        match &self.project {
            Some(project) => project.apply(tape, &y, project.args(DType::F32), None),
            None => y,
        }
    }
}

/// The first `end` of a row, its first token where there is none; without an `end`, the first of
/// the largest ids.
fn end_of(row: &[u32], end: Option<u32>) -> usize {
    let end = end.or_else(|| row.iter().max().copied());
    row.iter().position(|&id| Some(id) == end).unwrap_or(0)
}

impl ProbeConfig {
    /// The block that it is much like.
    fn block(&self, d_model: usize) -> TransformerConfig {
        TransformerConfig {
            norm: NormKind::LayerNorm,
            norm_eps: self.norm_eps,
            ffn: FfnKind::Plain(self.activation),
            bias: BiasConfig::all(true),
            ..TransformerConfig::base(1, d_model, self.n_heads, self.d_ff)
        }
    }
}

/// ```text
/// y = output(attention(probe, x)),    y + ffn(norm(y))
/// ```
struct Probe {
    n_heads: usize,
    /// `[1, D]`.
    query: Param,
    /// `[3D, D]`, of which the query uses one part and the sequence the others.
    query_key_value: Linear,
    output: Linear,
    norm: Norm,
    ffn: Dense,
}

impl Probe {
    fn new(b: &mut ParamsBuilder, config: ProbeConfig, d_model: usize, start: LinearInit) -> Self {
        let block = config.block(d_model);
        Self {
            n_heads: config.n_heads,
            query: b.param("probe", &[1, d_model], start.weight),
            query_key_value: Linear::new(b, "query_key_value", [d_model, 3 * d_model], true, start),
            output: Linear::new(b, "output", [d_model, d_model], true, start),
            norm: Norm::new(b, "ffn_norm", NormConfig::of(&block)),
            ffn: b.scope("ffn", |b| Dense::new(b, &block, config.d_ff)),
        }
    }

    /// `[B, T, D] -> [B, D]`.
    fn forward(&self, tape: &Tape, x: &Var, call: &Call) -> Var {
        let &[batch, _, d] = x.value().shape() else { panic!("probe: {:?}", x.value().shape()) };
        let probe = tape.embedding(&self.query, &vec![0; batch].into(), [batch, 1], 1.0);
        let query = tape.columns(&self.query_key_value.forward(tape, &probe, call), 0..d);
        let memory = tape.columns(&self.query_key_value.forward(tape, x, call), d..3 * d);
        let d_head = d / self.n_heads;
        let args = AttentionArgs {
            n_heads: self.n_heads,
            n_kv_heads: self.n_heads,
            d_head,
            scale: 1.0 / (d_head as f32).sqrt(),
            pattern: Pattern::Full,
            segments: None,
            keys_only: false,
            reads: None,
            bias: None,
            dropout: None,
        };
        let heads = tape.attention(Projected::Memory(&query, &memory), args);
        let y = self.output.apply(tape, &heads, self.output.args(DType::F32), Some(call));
        let inside = self.norm.forward(tape, &y, tape.compute());
        tape.add(&y, &self.ffn.forward(tape, &inside, call)).reshape(&[batch, d])
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, end_of};

    #[test]
    fn every_text_has_a_first_and_a_last_position() {
        let rows = |at: Pool, segments: &[u32]| at.rows(Some(segments), [2, 5]).to_vec();
        let packed = [1, 1, 2, 0, 0, 0, 7, 7, 7, 8];
        assert_eq!(rows(Pool::First, &packed), [0, 2, 6, 9]);
        assert_eq!(rows(Pool::Last, &packed), [1, 2, 8, 9]);
        // A text ends with its row.
        assert_eq!(rows(Pool::Last, &[1; 10]), [4, 9]);
        assert_eq!(Pool::Last.rows(None, [2, 5]).to_vec(), [4, 9]);
        assert_eq!(Pool::First.rows(None, [2, 5]).to_vec(), [0, 5]);
    }

    #[test]
    fn a_text_ends_at_its_first_end() {
        assert_eq!(end_of(&[5, 9, 3, 9], Some(9)), 1);
        assert_eq!(end_of(&[5, 9, 3, 9], None), 1);
        assert_eq!(end_of(&[5, 9, 3, 9], Some(7)), 0);
    }
}
