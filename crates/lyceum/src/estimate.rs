//! What a run will take, before it takes it: parameters, arithmetic, memory by part.

use models::{Model, ModelConfig, Stack};
use nn::{ConfigError, FfnKind};
use tensor::{DType, Precision};

/// What a training step is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct StepShape {
    /// Windows that go through the model at once.
    pub micro_batch: usize,
    /// Tokens of a window.
    pub seq_len: usize,
    /// Storage of activations.
    pub precision: Precision,
    /// Whether blocks are recomputed.
    pub recompute: bool,
}

/// The estimate.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Trainable values.
    pub n_params: usize,
    /// Floating-point operations of the model's arithmetic for each token, forward and backward.
    pub flops_per_token: f64,
    /// Bytes by part, largest use at the same time.
    pub memory: Vec<(&'static str, u64)>,
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
        self.memory.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// ```text
/// 6 P + 12 L D T / 2,    P without tables of positions; causal attention counted as half
/// ```
///
/// Chowdhery et al., "PaLM", arXiv:2204.02311, appendix B.
pub fn flops_per_token(stack: &Stack, n_params: usize, seq_len: usize) -> f64 {
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let learned = embed.positions == nn::TokenPositions::Learned;
    let tables = if learned { embed.max_len * embed.d_model } else { 0 };
    let d_heads = trunk.n_heads * trunk.d_head;
    let attention = 12.0 * (trunk.n_layers * d_heads * seq_len) as f64 / 2.0;
    6.0 * (n_params - tables) as f64 + attention
}

/// Code, thread stacks, tokenizer and the pages of the store that are read.
const PROGRAM_BYTES: usize = 40 << 20;
/// f32 logits of one chunk, and gradients of logits of one chunk: as `linear_cross_entropy` cuts.
const LOGIT_BYTES: usize = 32 << 20;
const GRAD_BYTES: usize = 104 << 20;

fn memory(stack: &Stack, n_params: usize, step: StepShape) -> Vec<(&'static str, u64)> {
    let (embed, trunk) = (&stack.config().embed, &stack.config().trunk);
    let (d, f) = (trunk.d_model, trunk.d_ff);
    let rows = step.micro_batch * step.seq_len;
    let c = step.precision.compute.bytes();
    let up = match trunk.ffn {
        FfnKind::Plain(_) => f,
        FfnKind::Gated(_) => 2 * f,
    };
    let qkv = trunk.d_query_key_value();
    let inside = c * (2 * d + qkv + trunk.n_heads * trunk.d_head + up + f)
        + 4 * (d + trunk.n_heads + 4);
    let block = rows * (4 * d + inside);
    let activations = if step.recompute {
        trunk.n_layers * rows * 4 * d + block
    } else {
        trunk.n_layers * block
    };
    // Gradients on their way back through one block, and the stream's own.
    let transient = rows * (2 * 4 * d + c * (2 * f + d));
    let vocab = embed.vocab_size;
    let fits = |bytes: usize, element: usize| {
        (bytes / (vocab * element).max(1) / 48 * 48).clamp(48, rows.max(48)).min(rows)
    };
    let packed = if step.precision.compute == DType::Bf16 { 2 } else { 4 };
    let head = fits(LOGIT_BYTES, 4) * vocab * 4
        + fits(GRAD_BYTES, c) * vocab * c
        + vocab * d * packed
        + 2 * rows * d * c;
    let parts = [
        ("weights", 4 * n_params),
        ("gradients", 4 * n_params),
        ("moments", 8 * n_params),
        ("activations", activations),
        ("backward", transient),
        ("head and loss", head),
        ("program", PROGRAM_BYTES),
    ];
    parts.map(|(name, bytes)| (name, bytes as u64)).into()
}
