//! Embed, run one trunk, read out.

use std::sync::Arc;

use nn::{
    Call, Checked, ConfigError, Context, Embed, EmbedConfig, Head, KvCache, Transformer,
    TransformerConfig,
};
use tensor::{DType, Device, ParamsBuilder, Tape, Var};

/// Which head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadConfig {
    /// A score a token.
    Token {
        /// Whether its projection is the embedding's table; else it starts as that one does.
        tied: bool,
    },
}

/// What a stack is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct StackConfig {
    /// How tokens come in.
    pub embed: EmbedConfig,
    /// The trunk.
    pub trunk: TransformerConfig,
    /// How it is read out.
    pub head: HeadConfig,
}

impl StackConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        nn::check_size("vocab_size", self.embed.vocab_size)?;
        nn::check_size("max_len", self.embed.max_len)?;
        nn::check_probability("embed_dropout", self.embed.dropout)?;
        self.trunk.clone().check()?;
        if self.embed.d_model != self.trunk.d_model {
            let (embed, trunk) = (self.embed.d_model, self.trunk.d_model);
            let problem = format!("{embed} in the embedding and {trunk} in the trunk");
            return Err(ConfigError::new("d_model", problem));
        }
        Ok(Checked::vouch(self))
    }
}

/// Embed, trunk, head: GPT and its relatives.
pub struct Stack {
    config: Checked<StackConfig>,
    /// How tokens come in.
    pub embed: Embed,
    /// The trunk.
    pub trunk: Transformer,
    /// How it is read out.
    pub head: Head,
}

impl Stack {
    /// Registers every parameter.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<StackConfig>) -> Self {
        let c = config.get();
        let embed = nn::TokenEmbedding::new(builder, &c.embed);
        let trunk = c.trunk.clone().check().expect("a part of a checked config");
        let trunk = Transformer::new(builder, trunk, c.embed.max_len);
        let weight = match c.head {
            HeadConfig::Token { tied: true } => embed.table.clone(),
            HeadConfig::Token { tied: false } => {
                let shape = [c.embed.vocab_size, c.embed.d_model];
                builder.param("head.weight", &shape, c.embed.init)
            }
        };
        Self { embed: Embed::Token(embed), trunk, head: Head::Token { weight }, config }
    }

    /// What it is made of.
    pub fn config(&self) -> &StackConfig {
        self.config.get()
    }

    /// `[B, T]` tokens to the last hidden state `[B, T, D]`: training, prefill and decoding alike.
    pub fn forward<'a>(
        &'a self,
        tape: &Tape<'a>,
        ids: &Arc<[u32]>,
        shape: [usize; 2],
        ctx: &mut Context,
    ) -> Var {
        let Embed::Token(embed) = &self.embed;
        let x = embed.forward(tape, ids, shape, &ctx.call);
        self.trunk.forward(tape, x, ctx)
    }

    /// A cache for `capacity` positions in each of `batch` rows.
    pub fn cache(&self, device: &Device, dtype: DType, shape: [usize; 2]) -> KvCache {
        KvCache::new(device, self.trunk.config(), dtype, shape)
    }

    /// A call at positions `0..T`, seeing everything its pattern lets it see.
    pub fn plain_call([batch, len]: [usize; 2]) -> Call {
        Context::plain(batch, len).call
    }
}
