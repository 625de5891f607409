//! The trunk.

use std::borrow::Cow;

use tensor::{DType, Init, Param, ParamsBuilder, Tape, Var};

use crate::attention::Layer;
use crate::beside::Beside;
use crate::block::Block;
use crate::config::{AttnPositions, Checked, LayerConfig, TransformerConfig};
use crate::context::{Call, Context};
use crate::norm::{Norm, NormConfig};
use crate::relative::RelativeBias;
use crate::rope::Rope;

/// Blocks around a residual stream: every family's trunk, encoder and decoder alike.
pub struct Transformer {
    config: Checked<TransformerConfig>,
    blocks: Vec<Block>,
    /// One a kind of layer.
    ropes: Vec<Option<Rope>>,
    relative: Option<Param>,
    prefix: Option<Param>,
    final_norm: Option<Norm>,
}

impl Transformer {
    /// Registers the parameters.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<TransformerConfig>) -> Self {
        let c = config.get();
        let rope = |layer: &LayerConfig| match layer.positions {
            AttnPositions::Rope(rope) => Some(Rope::new(rope)),
            AttnPositions::None | AttnPositions::RelativeBias { .. } => None,
        };
        let n_buckets = c.cycle.iter().find_map(|layer| match layer.positions {
            AttnPositions::RelativeBias { n_buckets, .. } => Some(n_buckets),
            AttnPositions::None | AttnPositions::Rope(_) => None,
        });
        let init = Init::Normal { std: (c.d_model as f32).sqrt().recip() };
        let relative = n_buckets.map(|n| builder.param("relative_bias", &[n, c.n_heads], init));
        let prefix = match c.beside {
            Beside::Prefix(n) => {
                let d = 2 * c.n_layers * c.n_kv_heads * c.d_head;
                Some(builder.param("prefix", &[n, d], Init::Normal { std: 0.02 }))
            }
            _ => None,
        };
        let block = |i: usize, builder: &mut ParamsBuilder| {
            builder.scope(format!("blocks.{i}"), |b| Block::new(b, c, i))
        };
        let blocks = (0..c.n_blocks()).map(|i| block(i, builder)).collect();
        let final_norm = c.final_norm.then(|| Norm::new(builder, "final_norm", NormConfig::of(c)));
        let ropes = c.cycle.iter().map(rope).collect();
        Self { config, blocks, ropes, relative, prefix, final_norm }
    }

    /// What it is made of.
    pub fn config(&self) -> &Checked<TransformerConfig> {
        &self.config
    }

    /// `[B, T, D] -> [B, T, D]`: training, prefill and decoding alike.
    ///
    /// Offers `hidden`, each layer's input and what the last one makes of it, to a capture.
    pub fn forward<'a>(&'a self, tape: &Tape<'a>, mut x: Var, ctx: &mut Context) -> Var {
        let kinds = self.kinds(&ctx.call);
        for i in 0..self.config.get().n_layers {
            let mut layer = kinds[i % kinds.len()].clone();
            let of_layer =
                |table: &Param| (table.clone(), i * table.shape()[1] / self.config.get().n_layers);
            layer.prefix = self.prefix.as_ref().map(of_layer);
            let block = &self.blocks[self.config.get().block_of(i)];
            let call = &*self.call_of(i, &ctx.call);
            tape.scope("blocks", Some(i), || tape.capture("hidden", x.value()));
            x = tape.scope("blocks", Some(i), || match &mut ctx.cache {
                Some(cache) => block.forward(tape, &x, (&layer, call), Some(cache.rows(i))),
                None if call.recompute => {
                    let call = call.clone();
                    let memory = call.memory.iter().map(|memory| &memory.hidden);
                    let inputs: Vec<_> = [&x].into_iter().chain(memory).cloned().collect();
                    tape.recompute(&inputs, move |tape, inputs| {
                        let call = call.reading(inputs.get(1));
                        block.forward(tape, &inputs[0], (&layer, &call), None)
                    })
                }
                None => block.forward(tape, &x, (&layer, call), None),
            });
        }
        if let Some(cache) = &mut ctx.cache {
            cache.advance(x.value().shape()[1]);
        }
        tape.capture("hidden", x.value());
        match &self.final_norm {
            None => x,
            Some(norm) => {
                let out = if tape.is_recording() { tape.compute() } else { DType::F32 };
                tape.scope("final_norm", None, || norm.forward(tape, &x, out))
            }
        }
    }

    /// What every kind of layer is told in this call.
    fn kinds(&self, call: &Call) -> Vec<Layer> {
        let len = call.positions.iter().max().map_or(0, |&last| last as usize + 1);
        let cycle = self.config.get().cycle.iter().zip(&self.ropes);
        let kind = |(layer, rope): (&LayerConfig, &Option<Rope>)| {
            let max_distance = match layer.positions {
                AttnPositions::RelativeBias { max_distance, .. } => Some(max_distance),
                AttnPositions::None | AttnPositions::Rope(_) => None,
            };
            let relative = max_distance.zip(self.relative.clone());
            let both_ways = RelativeBias::both_ways(layer.pattern);
            Layer {
                pattern: call.mask.over(layer.pattern),
                rope: rope.as_ref().map(|rope| rope.table(len)),
                relative: relative.map(|(max_distance, table)| RelativeBias {
                    table,
                    max_distance,
                    both_ways,
                }),
                prefix: None,
            }
        };
        cycle.map(kind).collect()
    }

    /// The call as a layer sees it: where blocks are shared, what it drops is its own, and so is
    /// what its router does.
    fn call_of<'c>(&self, layer: usize, call: &'c Call) -> Cow<'c, Call> {
        let shared = self.config.get().sharing.is_some();
        if !shared && call.balance.is_none() {
            return Cow::Borrowed(call);
        }
        let rng = call.rng.map(|rng| if shared { rng.in_layer(layer) } else { rng });
        let balance = call.balance.as_ref().map(|balance| balance.in_layer(layer));
        Cow::Owned(Call { rng, balance, ..call.clone() })
    }
}
