//! Changes of low rank beside a linear map.

use std::sync::Arc;

use tensor::{
    DType, Init, LinearArgs, LowRankArgs, LowRankPart, LowRankSpec, Param, ParamsBuilder, PartSpec,
    Tape, Var,
};

use crate::beside::BY;
use crate::context::Call;
use crate::dropout::Dropout;

/// The change that one adapter makes to a linear map.
///
/// Its `A` starts as `peft` has it, uniform in `1 / sqrt(I)`, and its `B` zero. Of the input, the
/// same is dropped for all parts of a map.
pub(crate) struct LowRank {
    a: Param,
    parts: Vec<LowRankPart>,
    /// One number: what the change is multiplied with, zero where it is not in use.
    by: Param,
    dropout: Dropout,
}

impl LowRank {
    /// Registers it in the scope of the map.
    pub fn new(b: &mut ParamsBuilder, spec: LowRankSpec, [d_in, d_out]: [usize; 2]) -> Self {
        let n_ranks = spec.parts.iter().map(|part| part.rank).sum();
        let bound = (d_in as f32).sqrt().recip();
        b.scope(format!("{LORA}.{}", spec.adapter), |b| Self {
            a: b.param("a", &[n_ranks, d_in], Init::Uniform { bound }),
            parts: (spec.parts.into_iter().enumerate())
                .map(|(i, part)| {
                    let rows = part.rows.unwrap_or(0..d_out);
                    let n = rows.len();
                    LowRankPart {
                        rows,
                        b: b.param(&format!("b.{i}"), &[n, part.rank], Init::Zeros),
                        scale: part.scale,
                        magnitude: (part.magnitude)
                            .then(|| b.param(&format!("magnitude.{i}"), &[n], Init::Ones)),
                    }
                })
                .collect(),
            by: b.constant(BY, &[1], Init::Ones),
            dropout: Dropout::new(b, "input", spec.dropout),
        })
    }

    /// Changes `y`, which the map with these arguments made of `x`.
    pub fn change(
        &self,
        tape: &Tape,
        y: Var,
        (x, map): (&Var, LinearArgs),
        call: Option<&Call>,
    ) -> Var {
        let mut args = LowRankArgs {
            a: &self.a,
            parts: &self.parts,
            by: self.by(tape),
            map: (map.weight, map.bias),
            dropped: None,
        };
        let Some(site) = call.and_then(|call| self.dropout.site(call)) else {
            return tape.low_rank(y, x, &args);
        };
        let x = tape.dropout(x, site);
        if !self.has_magnitudes() {
            return tape.low_rank(y, &x, &args);
        }
        let own = tape.linear(&x, LinearArgs::new(map.weight, None, map.out));
        args.dropped = Some(&own);
        tape.low_rank(y, &x, &args)
    }

    /// What it is multiplied with; zero where it is not in use.
    pub fn by(&self, tape: &Tape) -> f32 {
        tape.params().get(&self.by)[0]
    }

    /// Whether there are lengths that learn apart: what the map gives alone is needed then.
    pub fn has_magnitudes(&self) -> bool {
        self.parts.iter().any(|part| part.magnitude.is_some())
    }
}

/// The change that one adapter makes to a table: of each row `b_v A^T`, which begins as `peft` has
/// it, with `b` of zero.
pub(crate) struct LowRankRows {
    /// `[D, r]`.
    a: Param,
    /// `[V, r]`.
    b: Param,
    scale: f32,
    by: Param,
}

impl LowRankRows {
    /// Registers it in the scope of the table `[V, D]`.
    pub fn new(b: &mut ParamsBuilder, spec: &LowRankSpec, [n, d]: [usize; 2]) -> Self {
        let PartSpec { rank, scale, .. } = spec.parts[0];
        b.scope(format!("{LORA}.{}", spec.adapter), |b| Self {
            a: b.param("a", &[d, rank], Init::Normal { std: 1.0 }),
            b: b.param("b", &[n, rank], Init::Zeros),
            scale,
            by: b.constant(BY, &[1], Init::Ones),
        })
    }

    /// Changes `x`, the rows `ids` of the table times `times`.
    pub fn change(&self, tape: &Tape, x: Var, ids: &Arc<[u32]>, times: f32) -> Var {
        let by = tape.params().get(&self.by)[0];
        if by == 0.0 {
            return x;
        }
        let shape = x.value().shape();
        let rows = tape.embedding(&self.b, ids, [shape[0], shape[1]], times * self.scale * by);
        let args = LinearArgs::new(&self.a, None, DType::F32);
        tape.linear(&rows, LinearArgs { residual: Some(&x), ..args })
    }
}

/// What stands between the name of a map and that of an adapter, in the names of its parameters.
pub const LORA: &str = "lora";
