//! The trunk.

use tensor::{DType, ParamsBuilder, Tape, Var};

use crate::attention::Attention;
use crate::block::Block;
use crate::config::{Checked, TransformerConfig};
use crate::context::Context;
use crate::norm::Norm;

/// Blocks around a residual stream: every family's trunk, encoder and decoder alike.
pub struct Transformer {
    config: Checked<TransformerConfig>,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
}

impl Transformer {
    /// Registers the parameters of a trunk that sees positions below `max_len`.
    pub fn new(
        builder: &mut ParamsBuilder,
        config: Checked<TransformerConfig>,
        max_len: usize,
    ) -> Self {
        let c = config.get();
        let rope = Attention::rope_table(c, max_len);
        let block = |i: usize, builder: &mut ParamsBuilder| {
            builder.scope(format!("blocks.{i}"), |b| Block::new(b, c, rope.clone()))
        };
        let blocks = (0..c.n_layers).map(|i| block(i, builder)).collect();
        let final_norm = c.final_norm.then(|| Norm::new(builder, "final_norm", c));
        Self { config, blocks, final_norm }
    }

    /// What it is made of.
    pub fn config(&self) -> &Checked<TransformerConfig> {
        &self.config
    }

    /// `[B, T, D] -> [B, T, D]`: training, prefill and decoding alike.
    ///
    /// Offers `hidden`, each block's input, to a capture.
    pub fn forward<'a>(&'a self, tape: &Tape<'a>, mut x: Var, ctx: &mut Context) -> Var {
        for (i, block) in self.blocks.iter().enumerate() {
            tape.scope("blocks", Some(i), || tape.capture("hidden", x.value()));
            x = tape.scope("blocks", Some(i), || match &mut ctx.cache {
                Some(cache) => {
                    let held = cache.len();
                    block.forward(tape, &x, &ctx.call, Some((&mut cache.layers[i], held)))
                }
                None if ctx.call.recompute => {
                    let call = ctx.call.clone();
                    tape.recompute(&x, move |tape, x| block.forward(tape, &x, &call, None))
                }
                None => block.forward(tape, &x, &ctx.call, None),
            });
        }
        if let Some(cache) = &mut ctx.cache {
            cache.advance(x.value().shape()[1]);
        }
        match &self.final_norm {
            None => x,
            Some(norm) => {
                let out = if tape.is_recording() { tape.compute() } else { DType::F32 };
                tape.scope("final_norm", None, || norm.forward(tape, &x, out))
            }
        }
    }
}
