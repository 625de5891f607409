//! What a run will take, before it takes it: parameters, arithmetic, memory by part.
//!
//! Memory is counted as the engine takes it: what a block keeps for its backward pass, the buffers
//! of the chunked head, packed operands, and what the preparation of text leaves behind. Buffers
//! that are freed stay with their pool, so parts that are never alive together still add up.

use models::{Architecture, Model, ModelConfig, Stack};
use nn::{FfnKind, NormPlacement, TransformerConfig};
use tensor::{CrossEntropyArgs, DType, Isa, ParamsBuilder, Precision};

use crate::Recipe;
use terminal::failure::Failure;

/// The estimate.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Trainable values.
    pub n_params: usize,
    /// Floating-point operations of the model's arithmetic for each token, forward and backward.
    pub flops_per_token: f64,
    /// Those of a pass forward alone.
    pub forward_flops: f64,
    /// Bytes by part, largest use at the same time.
    pub memory: Vec<(String, u64)>,
}

impl Estimate {
    /// For a family's config and the recipe it is trained by; `text_bytes` are to be made tokens
    /// first, none where nobody knows how many. Takes no memory itself.
    ///
    /// # Errors
    /// Where the config cannot be built, or the recipe's precision is unknown.
    pub fn new(
        config: &ModelConfig,
        recipe: &Recipe,
        isa: Isa,
        text_bytes: Option<u64>,
    ) -> Result<Self, Failure> {
        let (architecture, builder) = Model::register(config)?;
        let n_of = |prefix: &str| -> usize {
            let own = builder.entries().iter().filter(|e| e.name.starts_with(prefix));
            own.map(|e| e.param.len()).sum()
        };
        let (n_params, seq_len) = (n_of(""), recipe.data.seq_len);
        let stored = Stored { n_learned: n_params as f64, fixed: 0.0 };
        let sizes = |stack, len| Sizes::of_recipe(stack, recipe, (isa, len), text_bytes);
        let (flops_per_token, memory) = match &architecture {
            Architecture::EncoderDecoder(pair) => {
                let [read, written] = recipe.task.lengths(seq_len);
                // The encoder has the table, which the decoder's head multiplies with.
                let table = table_len(&pair.encoder);
                let counts = [n_of("encoder.") - table, n_of("decoder.") + table];
                let flops = [(&pair.encoder, read), (&pair.decoder, written)]
                    .into_iter()
                    .zip(counts)
                    .map(|((stack, len), n)| len as f64 * flops_per_token(stack, n, len));
                let sizes = [sizes(&pair.encoder, read)?, sizes(&pair.decoder, written)?];
                let flops = flops.sum::<f64>() / (read + written) as f64;
                (flops, Sizes::parts(&sizes, stored))
            }
            Architecture::Detector(pair) => {
                // Both read by the same tables; the generator's head multiplies with one of them.
                let [table, positions, own] =
                    ["embed.tokens", "embed.positions", "generator."].map(n_of);
                let flops = flops_per_token(&pair.discriminator, n_params - own, seq_len)
                    + flops_per_token(&pair.generator, own + table + positions, seq_len);
                let spared = (2.0 - recipe.task.asked_share()) * 6.0 * table as f64;
                let reader = Sizes { vocab_size: 0.0, ..sizes(&pair.discriminator, seq_len)? };
                let sizes = [reader, sizes(&pair.generator, seq_len)?];
                (flops - spared, Sizes::parts(&sizes, stored))
            }
            _ => {
                let stack = architecture.stack()?;
                let flops = flops_per_token(stack, n_params, seq_len);
                // Rows that are not asked for do not go through the head.
                let spared = (1.0 - recipe.task.asked_share()) * 6.0 * table_len(stack) as f64;
                let sizes = [sizes(stack, seq_len)?];
                (flops - spared, Sizes::parts(&sizes, stored))
            }
        };
        let forward_flops = flops_per_token / 3.0;
        Ok(Self { n_params, flops_per_token, forward_flops, memory })
    }

    /// For a model that is there and samples of these sizes. What does not learn takes no gradient,
    /// and a third of the arithmetic less: its inputs' gradients pass through it, its own are not
    /// formed.
    pub fn of_tuning(model: &Model, load: &Load, mean_len: usize) -> Self {
        let params = &model.params;
        let n_params: usize = params.trained().map(|entry| entry.param.len()).sum();
        let arena = params.values().len();
        let all: usize = params.entries().iter().map(|entry| params.n_bytes(&entry.param)).sum();
        let fixed = all.saturating_sub(size_of_val(params.values())) as f64;
        let stored = Stored { n_learned: arena as f64, fixed };
        let stacks = match &model.architecture {
            Architecture::EncoderDecoder(pair) => vec![&pair.encoder, &pair.decoder],
            _ => vec![model.stack()],
        };
        let sizes: Vec<_> = stacks.iter().map(|stack| Sizes::new(stack, load)).collect();
        let last = stacks.last().expect("a stack");
        let spared = 2.0 * (params.n_values() - n_params) as f64;
        // A table is looked up, not multiplied with, where no token is asked for.
        let looked_up = if load.asks_tokens { 0 } else { table_len(stacks[0]) };
        let all = flops_per_token(last, params.n_values(), mean_len) - 6.0 * looked_up as f64;
        let (flops_per_token, forward_flops) = (all - spared, all / 3.0);
        let memory = Sizes::parts(&sizes, stored);
        Self { n_params, flops_per_token, forward_flops, memory }
    }

    /// All parts together.
    pub fn total_bytes(&self) -> u64 {
        self.memory.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// Values of the table of tokens, the projection of a tied head.
fn table_len(stack: &Stack) -> usize {
    let tokens = stack.config().tokens();
    tokens.vocab_size * tokens.width()
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
/// 6 P + 12 L D T / 2,    P without tables of positions and without the experts that a token does
///                        not go through; causal attention counted as half
/// ```
///
/// Chowdhery et al., "`PaLM`", arXiv:2204.02311, appendix B.
pub fn flops_per_token(stack: &Stack, n_params: usize, seq_len: usize) -> f64 {
    let (embed, trunk) = (stack.config().tokens(), &stack.config().trunk);
    let learned = embed.positions == nn::TokenPositions::Learned;
    let tables = if learned { embed.max_len * embed.width() } else { 0 };
    let d_heads = trunk.n_heads * trunk.d_head;
    let attention = 6.0 * trunk.n_layers as f64 * d_heads as f64 * seq_len as f64;
    6.0 * (n_params - tables - idle_params(trunk)) as f64 + attention
}

/// Weights of experts that a token does not go through.
fn idle_params(trunk: &TransformerConfig) -> usize {
    let Some(experts) = &trunk.experts else { return 0 };
    let projections = match trunk.ffn {
        FfnKind::Plain(_) => 2,
        FfnKind::Gated(_) => 3,
    };
    let each = projections * trunk.d_model * experts.d_ff;
    let n_sparse = (0..trunk.n_layers).filter(|&i| experts.serve(trunk.block_of(i))).count();
    n_sparse * (experts.n_experts - experts.per_token) * each
}

/// What a row of a search holds: a cache `[layers, heads, width of one, positions]` of numbers of
/// so many bytes, a layer of it twice while rows change places, and its scores, which are copied
/// where a prompt is read once for several rows.
fn row_bytes([n_layers, cache @ ..]: [usize; 4], width: usize, vocab_size: usize) -> u64 {
    let sizes = [2, n_layers.saturating_add(1), width].into_iter().chain(cache);
    let cache = sizes.fold(1_u64, |n, size| n.saturating_mul(size as u64));
    cache.saturating_add(3 * 4 * vocab_size as u64)
}

/// What a row of a search of `model` holds that goes so far.
pub fn row_bytes_of(model: &Model, positions: usize, precision: Precision) -> u64 {
    let config = model.head_stack().config();
    let trunk = &config.trunk;
    let cache = [trunk.n_layers, trunk.n_kv_heads, trunk.d_head, positions];
    row_bytes(cache, precision.compute.bytes(), config.tokens().vocab_size)
}

/// What a pass over `[B, T]` tokens takes beside the weights: activations of one block, and what is
/// kept of an output of this width, of hidden states and attention probabilities, once as tensors
/// and once as written.
pub fn forward_bytes(
    stack: &Stack,
    precision: Precision,
    [batch, len]: [usize; 2],
    width: usize,
    (hidden_states, attentions): (bool, bool),
) -> u64 {
    let trunk = &stack.config().trunk;
    let n_layers = trunk.n_layers as f64;
    let hidden = if hidden_states { (n_layers + 1.0) * trunk.d_model as f64 } else { 0.0 };
    let attended = if attentions { n_layers * (trunk.n_heads * len) as f64 } else { 0.0 };
    let kept = 2.0 * F32 * (width as f64 + hidden + attended);
    (batch as f64 * len as f64 * (kept + pass_row(trunk, precision.compute.bytes() as f64))) as u64
}

/// What a row of a pass that keeps nothing for a backward one takes.
fn pass_row(trunk: &TransformerConfig, compute: f64) -> f64 {
    let [d, f] = [trunk.d_model, trunk.active_d_ff()].map(|n| n as f64);
    2.0 * F32 * d + compute * ((5.0 + 2.0 * copies(trunk)) * d + 2.0 * f)
}

/// How often a row is copied for its experts.
fn copies(trunk: &TransformerConfig) -> f64 {
    trunk.experts.as_ref().map_or(0.0, |experts| experts.per_token as f64)
}

/// Bytes of an f32. Sizes are floats: none overflows, and none is larger than one holds exactly
/// where that matters.
const F32: f64 = 4.0;
const MIB: f64 = (1 << 20) as f64;
/// Code, stacks, tables of the allocator: what a step of a tiny model takes.
const PROGRAM_BYTES: f64 = 24.0 * MIB;
/// A token of a batch: as input and as target, its document and its place there.
const TOKEN_BYTES: f64 = 16.0;
/// What tokenizing leaves with the allocator: this, and [`TEXT_FACTOR`] times the text.
const TEXT_BYTES: f64 = 10.0 * MIB;
const TEXT_FACTOR: f64 = 16.0;
/// Beyond so much text, tokenizing takes no more memory: it goes in batches.
const TEXT_AT_ONCE: f64 = 2.0 * MIB;
/// Arenas and activations smaller than this are cut from what tokenizing left, about half of them.
const SMALL_ARENA: f64 = 4.0 * MIB;
const SMALL_ACTIVATION: f64 = MIB;
/// f32 logits of one chunk, and gradients of logits of one chunk: as `linear_cross_entropy` cuts.
const LOGIT_BYTES: f64 = CrossEntropyArgs::LOGIT_BYTES as f64;
const GRAD_BYTES: f64 = CrossEntropyArgs::GRAD_BYTES as f64;
/// Rows of the projection that `linear_cross_entropy` packs at a time.
const CLASSES_AT_ONCE: f64 = CrossEntropyArgs::CLASSES_AT_ONCE as f64;

/// Sizes that the parts are made of.
struct Sizes<'a> {
    trunk: &'a TransformerConfig,
    recompute: bool,
    d_model: f64,
    d_ff: f64,
    /// The table of tokens, with which a head multiplies.
    vocab_size: f64,
    width: f64,
    /// Rows of a micro-batch, R.
    rows: f64,
    /// Rows of a whole step.
    step_rows: f64,
    /// Rows of an evaluation.
    eval_rows: f64,
    text_bytes: f64,
    /// Bytes of an activation inside a block.
    compute: f64,
    /// Bytes of a packed operand's element.
    packed: f64,
}

/// What goes through a model at once.
pub struct Load {
    /// Tokens of a micro-batch.
    pub rows: f64,
    /// Tokens of a whole step.
    pub step_rows: f64,
    /// Tokens of an evaluation at once; 0 for none.
    pub eval_rows: f64,
    /// Whether a head over the vocabulary is asked.
    pub asks_tokens: bool,
    /// Text that is made tokens first.
    pub text_bytes: f64,
    /// Whether a block's inside is computed twice.
    pub recompute: bool,
    /// What products are in.
    pub precision: Precision,
    /// On which instructions.
    pub isa: Isa,
}

/// What is kept of a model.
#[derive(Clone, Copy)]
struct Stored {
    /// Values with gradients and moments.
    n_learned: f64,
    /// Bytes of all others.
    fixed: f64,
}

impl<'a> Sizes<'a> {
    fn of_recipe(
        stack: &'a Stack,
        recipe: &Recipe,
        (isa, seq_len): (Isa, usize),
        text_bytes: Option<u64>,
    ) -> Result<Self, Failure> {
        let Recipe { data, train, eval, .. } = recipe;
        let (precision, fraction) = (train.precision(isa)?, data.validation_fraction);
        let (seq_len, text_bytes) = (seq_len as f64, text_bytes.map_or(f64::MAX, |n| n as f64));
        // A token is three bytes or more, as a rule.
        let judged = match text_bytes {
            0.0 => f64::MAX,
            text => (text * fraction / 3.0 / seq_len).ceil(),
        };
        let judged = if fraction > 0.0 { judged.min(eval.batch_size as f64) } else { 0.0 };
        let load = Load {
            rows: train.micro_batch() as f64 * seq_len,
            step_rows: train.batch_size as f64 * seq_len,
            eval_rows: judged * seq_len,
            asks_tokens: true,
            text_bytes,
            recompute: train.recompute,
            precision,
            isa,
        };
        Ok(Self::new(stack, &load))
    }

    fn new(stack: &'a Stack, load: &Load) -> Self {
        let (trunk, embed) = (&stack.config().trunk, stack.config().tokens());
        let compute = load.precision.compute;
        let dot = compute == DType::Bf16 && load.isa == Isa::Avx512Bf16;
        Self {
            trunk,
            recompute: load.recompute,
            d_model: trunk.d_model as f64,
            d_ff: trunk.active_d_ff() as f64,
            vocab_size: if load.asks_tokens { embed.vocab_size as f64 } else { 0.0 },
            width: embed.width() as f64,
            rows: load.rows,
            step_rows: load.step_rows,
            eval_rows: load.eval_rows,
            text_bytes: load.text_bytes,
            compute: compute.bytes() as f64,
            packed: if dot { 2.0 } else { 4.0 },
        }
    }

    /// Of stacks one after the other, of which the last has the head.
    fn parts(stacks: &[Self], Stored { n_learned, fixed }: Stored) -> Vec<(String, u64)> {
        let last = stacks.last().expect("a stack");
        let sum = |of: fn(&Self) -> f64| stacks.iter().map(of).sum::<f64>();
        let most = |of: fn(&Self) -> f64| stacks.iter().map(of).fold(0.0, f64::max);
        let tokenizing = TEXT_BYTES + last.text_bytes.min(TEXT_AT_ONCE) * TEXT_FACTOR;
        let text = if last.text_bytes > 0.0 { tokenizing } else { 0.0 };
        let arenas = 4.0 * F32 * n_learned;
        let small_arenas = if arenas / 4.0 < SMALL_ARENA { arenas } else { 0.0 };
        let reused = f64::midpoint(small_arenas, sum(Self::small_activations));
        let parts = [
            ("weights", F32 * n_learned + fixed),
            ("gradients", F32 * n_learned),
            ("moments", 2.0 * F32 * n_learned),
            ("activations", sum(Self::activations)),
            ("backward", most(Self::backward)),
            ("head and loss", last.head()),
            ("packed operands", most(Self::shared_operand)),
            ("tokens of a step", sum(|stack| stack.step_rows * TOKEN_BYTES)),
            ("evaluation", sum(Self::evaluation)),
            ("text", text - reused),
            ("program", PROGRAM_BYTES),
        ];
        // Below zero is none.
        parts.map(|(name, bytes)| (name.to_owned(), bytes as u64)).into()
    }

    /// What a row of a block keeps for the backward pass.
    fn block_row(&self) -> f64 {
        let (d, f, n_heads) = (self.d_model, self.d_ff, self.trunk.n_heads as f64);
        let up = match self.trunk.ffn {
            FfnKind::Plain(_) => f,
            FfnKind::Gated(_) => 2.0 * f,
        };
        let attended = self.trunk.d_query_key_value() + self.trunk.n_heads * self.trunk.d_head;
        let inside = self.compute * (attended as f64 + up + f);
        // The stream after each sublayer in f32, and either its norm or, normalised after, the sum.
        let streams = match self.trunk.placement {
            NormPlacement::Pre | NormPlacement::Around => 2.0 * (F32 + self.compute) * d,
            NormPlacement::Post => 4.0 * F32 * d,
        };
        // Mean and deviation of two norms, logsumexp of every head.
        let copies = 2.0 * copies(self.trunk) * self.compute * d;
        inside + copies + streams + 4.0 * F32 + F32 * n_heads
    }

    fn activations(&self) -> f64 {
        let (n_layers, stream) = (self.trunk.n_layers as f64, F32 * self.d_model);
        let blocks = if self.recompute {
            n_layers * stream + self.block_row()
        } else {
            n_layers * self.block_row()
        };
        self.rows * (blocks + stream)
    }

    /// Activations and gradients where the buffers of a step are small.
    fn small_activations(&self) -> f64 {
        let is_small = self.rows * F32 * self.d_model < SMALL_ACTIVATION;
        if is_small { self.activations() + self.backward() } else { 0.0 }
    }

    /// Gradients on their way back through one block: two of the stream, one a width inside; with
    /// dropout, what is dropped from and what is left.
    fn backward(&self) -> f64 {
        let streams = if self.trunk.dropout.residual > 0.0 { 4.0 } else { 2.0 };
        let inside = self.compute * (self.d_ff + self.d_model);
        self.rows * (streams * F32 * self.d_model + inside)
    }

    /// Rows of a chunk of the head, of elements of so many bytes.
    fn fits(&self, bytes: f64, element: f64, rows: f64) -> f64 {
        let fitting = (bytes / (self.vocab_size * element) / 48.0).floor() * 48.0;
        fitting.max(48.0).min(rows)
    }

    /// The last hidden state and its gradient, a chunk's logits and theirs, the packed projection.
    fn head(&self) -> f64 {
        let hidden = self.rows * (2.0 * self.compute * self.width + 2.0 * F32);
        let chunk = self.fits(LOGIT_BYTES, F32, self.rows) * F32
            + self.fits(GRAD_BYTES, self.compute, self.rows) * self.compute;
        // And a chunk's gradient of the hidden state, summed in f32.
        let sums = self.fits(GRAD_BYTES, self.compute, self.rows) * self.width * F32;
        hidden + sums + self.vocab_size * (chunk + self.packed * self.width)
    }

    /// The largest operand that is packed whole and shared by all threads: the one with fewer
    /// lines of a product `[m, k] x [k, n]`.
    fn shared_operand(&self) -> f64 {
        let (d, f, r) = (self.d_model, self.d_ff, self.rows);
        let (v, w) = (self.vocab_size, self.width);
        let chunk = self.fits(GRAD_BYTES, self.compute, r);
        let classes = v.min(CLASSES_AT_ONCE);
        let products = [[chunk, w, classes], [v, w, chunk], [r, f, d], [r, d, f], [f, d, r]];
        products.into_iter().map(|[m, n, k]| m.min(n) * k * self.packed).fold(0.0, f64::max)
    }

    /// Buffers of an evaluation whose rows are not those of training: others are used again.
    fn evaluation(&self) -> f64 {
        if self.eval_rows == 0.0 || self.eval_rows == self.rows {
            return 0.0;
        }
        let [own, others] =
            [self.eval_rows, self.rows].map(|rows| self.fits(LOGIT_BYTES, F32, rows));
        let chunk = if own == others { 0.0 } else { self.vocab_size * own * F32 };
        chunk + self.eval_rows * pass_row(self.trunk, self.compute)
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
        let mut recipe = Recipe::default();
        recipe.train.batch_size = batch;
        recipe.train.precision = precision.compute.to_string();
        recipe.data.seq_len = seq_len;
        recipe.data.validation_fraction = 0.0;
        let found = Estimate::new(&config, &recipe, Isa::Avx512Bf16, Some(0));
        found.expect("builds").total_bytes() >> 20
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
            (s, Precision::BF16, 700),
            (s, Precision::F32, 914),
            (m, Precision::BF16, 2124),
            (m, Precision::F32, 2268),
            (base, Precision::BF16, 2735),
            (base, Precision::F32, 3314),
        ] {
            let found = total_mib(size, precision);
            let off = found.abs_diff(seen) as f64 / seen as f64;
            assert!(off < 0.05, "{size:?} {precision:?}: estimated {found}, seen {seen} MiB");
        }
    }

    /// The peak of `bench finetune` on a `MiniLM`, 32 x 128 in bf16, there.
    #[test]
    fn the_estimate_of_tuning_is_what_was_seen() {
        let config = serde_json::json!({
            "model_type": "bert", "architectures": ["BertForSequenceClassification"],
            "vocab_size": 30_522, "hidden_size": 384, "num_hidden_layers": 6,
            "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512,
            "type_vocab_size": 2, "id2label": {"0": "a", "1": "b"},
        });
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
        let config = Model::load_config(dir.path()).expect("a config");
        let model = Model::new(config, 0).expect("a model");
        let (rows, seen) = (32.0 * 128.0, 771.0);
        let load = Load {
            rows,
            step_rows: rows,
            eval_rows: 0.0,
            asks_tokens: false,
            text_bytes: 0.0,
            recompute: false,
            precision: Precision::BF16,
            isa: Isa::Avx512Bf16,
        };
        let found = Estimate::of_tuning(&model, &load, 128).total_bytes() as f64 / MIB;
        assert!((found / seen - 1.0).abs() < 0.1, "estimated {found:.0}, seen {seen} MiB");
    }

    #[test]
    fn a_pass_is_counted_by_what_is_asked_of_it() {
        let config = ModelConfig::Gpt2(Gpt2Config { n_layers: 2, ..Gpt2Config::fresh() });
        let (architecture, _) = Model::register(&config).expect("builds");
        let stack = architecture.stack().expect("a stack");
        let bytes = |batch, wanted| forward_bytes(stack, Precision::F32, [batch, 4], 10, wanted);
        let plain = bytes(1, (false, false));
        assert_eq!(bytes(3, (false, false)), 3 * plain);
        let (d_model, n_heads) = (stack.config().trunk.d_model, stack.config().trunk.n_heads);
        // Tensors and what is written of them, both in f32.
        assert_eq!(bytes(1, (true, false)) - plain, (2 * 4 * 4 * 3 * d_model) as u64);
        assert_eq!(bytes(1, (false, true)) - plain, (2 * 4 * 4 * 2 * n_heads * 4) as u64);
        assert!(bytes(1 << 60, (true, true)) > 1 << 63);
    }

    #[test]
    fn a_size_beyond_all_measure_does_not_overflow() {
        let huge = [1 << 24, 1 << 20, 16, 1 << 22, 1 << 10, 1 << 40, 1 << 40];
        assert!(total_mib(huge, Precision::F32) > 1 << 40);
    }
    #[test]
    fn a_row_of_a_search_holds_its_scores_beside_its_cache() {
        assert_eq!(row_bytes([2, 3, 8, 10], 4, 50_000), 2 * 3 * 3 * 8 * 10 * 4 + 600_000);
        assert_eq!(row_bytes([2, usize::MAX, 8, 10], 4, 50_000), u64::MAX);
    }
}
