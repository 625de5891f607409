//! What a run will take, before it takes it: parameters, arithmetic, memory by part.
//!
//! Memory is counted as the engine takes it: what a block keeps for its backward pass, the buffers
//! of the chunked head, packed operands, and what the preparation of text leaves behind. Buffers
//! that are freed stay with their pool, so parts that are never alive together still add up.

use models::{Model, ModelConfig, Stack, StackConfig};
use nn::{ConfigError, FfnKind, NormPlacement, TransformerConfig};
use tensor::{DType, Isa, ParamsBuilder, Precision};

/// What a training step is asked to do, and what goes on around it.
#[derive(Clone, Copy, Debug)]
pub struct StepShape {
    /// Windows of a step.
    pub batch: usize,
    /// Windows that go through the model at once.
    pub micro_batch: usize,
    /// Tokens of a window.
    pub seq_len: usize,
    /// Storage of activations.
    pub precision: Precision,
    /// The instruction set: it decides how operands are packed.
    pub isa: Isa,
    /// Whether blocks are recomputed.
    pub recompute: bool,
    /// Windows an evaluation shows the model at once; 0 where there is none.
    pub eval_batch: usize,
    /// Bytes of text that are made tokens first; 0 where that was done before.
    pub text_bytes: u64,
}

/// The estimate.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Trainable values.
    pub n_params: usize,
    /// Floating-point operations of the model's arithmetic for each token, forward and backward.
    pub flops_per_token: f64,
    /// Bytes by part, largest use at the same time.
    pub memory: Vec<(String, u64)>,
}

impl Estimate {
    /// For a family's config; takes no memory itself.
    ///
    /// # Errors
    /// Where the config cannot be built.
    pub fn new(config: &ModelConfig, step: StepShape) -> Result<Self, ConfigError> {
        let (stack, builder) = Model::register(config)?;
        let n_params: usize = builder.entries().iter().map(|e| e.param.len()).sum();
        Ok(Self {
            n_params,
            flops_per_token: flops_per_token(&stack, n_params, step.seq_len),
            memory: memory(&stack, n_params, step),
        })
    }

    /// All parts together.
    pub fn total_bytes(&self) -> u64 {
        self.memory.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// Parameters by what they belong to, which `part` tells from a name; in order of appearance.
pub fn parameters_by(builder: &ParamsBuilder, part: impl Fn(&str) -> &str) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = vec![];
    for entry in builder.entries() {
        let (name, n) = (part(&entry.name), entry.param.len() as u64);
        match parts.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += n,
            None => parts.push((name.to_owned(), n)),
        }
    }
    parts
}

/// ```text
/// 6 P + 12 L D T / 2,    P without tables of positions; causal attention counted as half
/// ```
///
/// Chowdhery et al., "`PaLM`", arXiv:2204.02311, appendix B.
pub fn flops_per_token(stack: &Stack, n_params: usize, seq_len: usize) -> f64 {
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let learned = embed.positions == nn::TokenPositions::Learned;
    let tables = if learned { embed.max_len * embed.d_model } else { 0 };
    let d_heads = trunk.n_heads * trunk.d_head;
    let attention = 6.0 * trunk.n_layers as f64 * d_heads as f64 * seq_len as f64;
    6.0 * (n_params - tables) as f64 + attention
}

/// What a pass over `[B, T]` tokens takes beside the weights: activations of one block, and what is
/// kept of logits, hidden states and attention probabilities, once as tensors and once as written.
pub fn forward_bytes(
    stack: &Stack,
    precision: Precision,
    [batch, len]: [usize; 2],
    (hidden_states, attentions): (bool, bool),
) -> u64 {
    let StackConfig { embed, trunk, .. } = stack.config();
    let n_layers = trunk.n_layers;
    let hidden = if hidden_states { (n_layers + 1) * trunk.d_model } else { 0 };
    let weights = if attentions { n_layers * trunk.n_heads * len } else { 0 };
    let kept = (embed.vocab_size + hidden).saturating_add(weights).saturating_mul(2 * 4);
    let a_row = kept.saturating_add(pass_row(trunk, precision.compute.bytes()));
    batch.saturating_mul(len).saturating_mul(a_row) as u64
}

/// What a row of a pass that keeps nothing for a backward one takes.
fn pass_row(trunk: &TransformerConfig, compute: usize) -> usize {
    let TransformerConfig { d_model: d, d_ff: f, .. } = *trunk;
    (2 * 4 * d).saturating_add(compute.saturating_mul(5 * d + 2 * f))
}

/// Code, stacks, tables of the allocator: what a step of a tiny model takes.
const PROGRAM_BYTES: usize = 24 << 20;
/// A token of a batch: as input and as target, its document and its place there.
const TOKEN_BYTES: usize = 16;
/// What tokenizing leaves with the allocator: this, and [`TEXT_FACTOR`] times the text.
const TEXT_BYTES: usize = 10 << 20;
const TEXT_FACTOR: u64 = 16;
/// Beyond so much text, tokenizing takes no more memory: it goes in batches.
const TEXT_AT_ONCE: u64 = 2 << 20;
/// Arenas and activations smaller than this are cut from what tokenizing left, about half of them.
const SMALL_ARENA: usize = 4 << 20;
const SMALL_ACTIVATION: usize = 1 << 20;
/// f32 logits of one chunk, and gradients of logits of one chunk: as `linear_cross_entropy` cuts.
const LOGIT_BYTES: usize = 32 << 20;
const GRAD_BYTES: usize = 104 << 20;

/// Sizes that the parts are made of.
struct Sizes<'a> {
    trunk: &'a TransformerConfig,
    vocab_size: usize,
    /// Rows of a micro-batch, R.
    rows: usize,
    /// Rows of an evaluation.
    eval_rows: usize,
    /// Bytes of an activation inside a block.
    compute: usize,
    /// Bytes of a packed operand's element.
    packed: usize,
}

fn memory(stack: &Stack, n_params: usize, step: StepShape) -> Vec<(String, u64)> {
    let dot = step.precision.compute == DType::Bf16 && step.isa == Isa::Avx512Bf16;
    let sizes = Sizes {
        trunk: &stack.config().trunk,
        vocab_size: stack.config().embed.vocab_size,
        rows: step.micro_batch.saturating_mul(step.seq_len),
        eval_rows: step.eval_batch.saturating_mul(step.seq_len),
        compute: step.precision.compute.bytes(),
        packed: if dot { 2 } else { 4 },
    };
    let arenas = n_params.saturating_mul(16);
    let text = match step.text_bytes {
        0 => 0,
        n => TEXT_BYTES + (n.min(TEXT_AT_ONCE) * TEXT_FACTOR) as usize,
    };
    let small_arenas = if arenas / 4 < SMALL_ARENA { arenas } else { 0 };
    let reused = small_arenas.saturating_add(sizes.small_activations(step.recompute)) / 2;
    let text = text.saturating_sub(reused);
    let parts = [
        ("weights", n_params.saturating_mul(4)),
        ("gradients", n_params.saturating_mul(4)),
        ("moments", n_params.saturating_mul(8)),
        ("activations", sizes.activations(step.recompute)),
        ("backward", sizes.backward()),
        ("head and loss", sizes.head()),
        ("packed operands", sizes.shared_operand()),
        ("tokens of a step", step.batch.saturating_mul(step.seq_len).saturating_mul(TOKEN_BYTES)),
        ("evaluation", sizes.evaluation()),
        ("text", text),
        ("program", PROGRAM_BYTES),
    ];
    parts.map(|(name, bytes)| (name.to_owned(), bytes as u64)).into()
}

impl Sizes<'_> {
    /// What a row of a block keeps for the backward pass.
    fn block_row(&self) -> usize {
        let TransformerConfig { d_model: d, d_ff: f, n_heads, d_head, .. } = *self.trunk;
        let up = match self.trunk.ffn {
            FfnKind::Plain(_) => f,
            FfnKind::Gated(_) => f.saturating_mul(2),
        };
        let qkv = self.trunk.d_query_key_value();
        let inside = self.compute.saturating_mul(qkv + n_heads * d_head + up.saturating_add(f));
        // The stream after each sublayer in f32, and either its norm or, normalised after, the sum.
        let streams = match self.trunk.placement {
            NormPlacement::Pre => 2 * (4 + self.compute) * d,
            NormPlacement::Post => 4 * 4 * d,
        };
        // Mean and deviation of two norms, logsumexp of every head.
        inside.saturating_add(streams + 16 + 4 * n_heads)
    }

    fn activations(&self, recompute: bool) -> usize {
        let (n_layers, stream) = (self.trunk.n_layers, 4 * self.trunk.d_model);
        let a_row = if recompute {
            n_layers.saturating_mul(stream).saturating_add(self.block_row())
        } else {
            n_layers.saturating_mul(self.block_row())
        };
        self.rows.saturating_mul(a_row.saturating_add(stream))
    }

    /// Activations and gradients where the buffers of a step are small.
    fn small_activations(&self, recompute: bool) -> usize {
        if self.rows.saturating_mul(4 * self.trunk.d_model) >= SMALL_ACTIVATION {
            return 0;
        }
        self.activations(recompute).saturating_add(self.backward())
    }

    /// Gradients on their way back through one block: two of the stream, one a width inside; with
    /// dropout, what is dropped from and what is left.
    fn backward(&self) -> usize {
        let (d, f) = (self.trunk.d_model, self.trunk.d_ff);
        let streams = if self.trunk.dropout.residual > 0.0 { 4 } else { 2 };
        let inside = self.compute.saturating_mul(f + d);
        self.rows.saturating_mul((streams * 4 * d).saturating_add(inside))
    }

    /// Rows of a chunk of the head, of elements of so many bytes.
    fn fits(&self, bytes: usize, element: usize, rows: usize) -> usize {
        let fitting = bytes / self.vocab_size.saturating_mul(element).max(1) / 48 * 48;
        fitting.clamp(48, rows.max(48)).min(rows)
    }

    /// The last hidden state and its gradient, a chunk's logits and theirs, the packed projection.
    fn head(&self) -> usize {
        let d = self.trunk.d_model;
        let hidden = self.rows.saturating_mul(2 * self.compute * d + 8);
        let chunk = self.fits(LOGIT_BYTES, 4, self.rows) * 4
            + self.fits(GRAD_BYTES, self.compute, self.rows) * self.compute;
        let weight = self.packed * d;
        hidden.saturating_add(self.vocab_size.saturating_mul(chunk + weight))
    }

    /// The largest operand that is packed whole and shared by all threads: the one with fewer
    /// lines of a product `[m, k] x [k, n]`.
    fn shared_operand(&self) -> usize {
        let TransformerConfig { d_model: d, d_ff: f, .. } = *self.trunk;
        let (v, r) = (self.vocab_size, self.rows);
        let chunk = self.fits(GRAD_BYTES, self.compute, r);
        let products = [[chunk, d, v], [v, d, chunk], [r, f, d], [r, d, f], [f, d, r]];
        let operand =
            |[m, n, k]: [usize; 3]| m.min(n).saturating_mul(k).saturating_mul(self.packed);
        products.into_iter().map(operand).max().unwrap_or(0)
    }

    /// Buffers of an evaluation whose rows are not those of training: others are used again.
    fn evaluation(&self) -> usize {
        if self.eval_rows == 0 || self.eval_rows == self.rows {
            return 0;
        }
        let logits = |rows| self.fits(LOGIT_BYTES, 4, rows);
        let (own, others) = (logits(self.eval_rows), logits(self.rows));
        let chunk = if own == others { 0 } else { self.vocab_size.saturating_mul(own * 4) };
        let a_row = pass_row(self.trunk, self.compute);
        chunk.saturating_add(self.eval_rows.saturating_mul(a_row))
    }
}

#[cfg(test)]
mod tests {
    use models::Gpt2Config;

    use super::*;

    fn total_mib([v, max_len, l, d, n, batch, seq_len]: [usize; 7], precision: Precision) -> u64 {
        let config = ModelConfig::Gpt2(Gpt2Config {
            vocab_size: v,
            max_len,
            n_layers: l,
            d_model: d,
            n_heads: n,
            ..Gpt2Config::fresh()
        });
        let step = StepShape {
            batch,
            micro_batch: batch,
            seq_len,
            precision,
            isa: Isa::Avx512Bf16,
            recompute: false,
            eval_batch: 0,
            text_bytes: 0,
        };
        Estimate::new(&config, step).expect("builds").total_bytes() >> 20
    }

    /// Peaks of `bench train` on a CPU with AVX-512 BF16, 2 threads.
    #[test]
    fn the_estimate_is_what_runs_were_seen_to_use() {
        let [s, m, base] = [
            [10_000, 256, 6, 512, 8, 8, 256],
            [50_257, 1024, 12, 768, 12, 4, 64],
            [50_257, 1024, 12, 768, 12, 4, 512],
        ];
        for (size, precision, seen) in [
            (s, Precision::BF16, 725),
            (s, Precision::F32, 976),
            (m, Precision::BF16, 2149),
            (m, Precision::F32, 2338),
            (base, Precision::BF16, 2879),
            (base, Precision::F32, 3480),
        ] {
            let found = total_mib(size, precision);
            let off = found.abs_diff(seen) as f64 / seen as f64;
            assert!(off < 0.05, "{size:?} {precision:?}: estimated {found}, seen {seen} MiB");
        }
    }

    #[test]
    fn a_size_beyond_all_measure_does_not_overflow() {
        let huge = [1 << 24, 1 << 20, 16, 1 << 22, 1 << 10, 1 << 40, 1 << 40];
        assert!(total_mib(huge, Precision::F32) > 1 << 40);
    }
}
