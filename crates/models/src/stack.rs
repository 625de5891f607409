//! Embed, run one trunk, read out.

use std::sync::Arc;

use nn::{
    Call, Checked, ConfigError, Context, Embed, EmbedConfig, Head, HeadConfig, Input, KvCache,
    Lead, LedRows, Pool, PooledHead, TagHead, TokenEmbedConfig, TokenHead, Transformer,
    TransformerConfig,
};
use tensor::{DType, Device, Param, Params, ParamsBuilder, Tape, Var};

/// What a stack is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct StackConfig {
    /// How tokens or images come in.
    pub embed: EmbedConfig,
    /// The trunk.
    pub trunk: TransformerConfig,
    /// How it is read out, by the name of what comes out; none is the last hidden state.
    pub heads: Vec<(&'static str, HeadConfig)>,
}

impl StackConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        self.embed.check()?;
        self.trunk.clone().check()?;
        let (embed, trunk) = (self.embed.d_model(), self.trunk.d_model);
        if embed != trunk {
            let problem = format!("{embed} in the embedding and {trunk} in the trunk");
            return Err(ConfigError::new("d_model", problem));
        }
        for (_, head) in &self.heads {
            match head {
                HeadConfig::Pooled(head) => head.check()?,
                HeadConfig::Tag(head) => head.check()?,
                HeadConfig::Embedding(head) => head.check(self.trunk.d_model)?,
                HeadConfig::Token(_) if self.embed.tokens().is_none() => {
                    return Err(ConfigError::new("heads", "there is no vocabulary to score"));
                }
                HeadConfig::Token(_) => {}
            }
        }
        Ok(Checked::vouch(self))
    }

    /// How tokens come in.
    ///
    /// # Panics
    /// Where something else comes in.
    #[track_caller]
    pub fn tokens(&self) -> &TokenEmbedConfig {
        self.embed.tokens().expect("a stack that reads tokens")
    }
}

/// Embed, trunk, heads: GPT, BERT, `ViT` and their relatives.
pub struct Stack {
    config: Checked<StackConfig>,
    /// How tokens or images come in.
    pub embed: Embed,
    /// The trunk.
    pub trunk: Transformer,
    /// How it is read out, by the name of what comes out.
    pub heads: Vec<(&'static str, Head)>,
    /// Learned tokens before each text.
    lead: Option<Lead>,
}

impl Stack {
    /// Registers every parameter.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<StackConfig>) -> Self {
        Self::sharing(builder, config, [None; 2])
    }

    /// The same; tables of tokens and positions are `shared` where there are some already.
    pub(crate) fn sharing(
        builder: &mut ParamsBuilder,
        config: Checked<StackConfig>,
        shared: [Option<&Param>; 2],
    ) -> Self {
        let c = config.get();
        let embed = Embed::new(builder, &c.embed, shared);
        let trunk = c.trunk.clone().check().expect("a part of a checked config");
        let trunk = Transformer::new(builder, trunk);
        let table = (embed.table(), c.embed.init());
        let head = |builder: &mut ParamsBuilder, (name, head): &(&'static str, HeadConfig)| {
            builder.scope("heads", |b| {
                b.scope(*name, |b| (*name, Head::new(b, head, c.trunk.d_model, table)))
            })
        };
        let heads = c.heads.iter().map(|config| head(builder, config)).collect();
        let width = c.embed.tokens().map_or(0, TokenEmbedConfig::width);
        let reads_first =
            |head: &HeadConfig| matches!(head, HeadConfig::Pooled(head) if head.at == Pool::First);
        let reads_first = c.heads.iter().any(|(_, head)| reads_first(head));
        let lead = Lead::new(builder, (c.trunk.beside, reads_first), (width, c.embed.init()));
        Self { config, embed, trunk, heads, lead }
    }

    /// The head over the vocabulary, where there is one.
    pub fn token_head(&self) -> Option<&TokenHead> {
        self.heads.iter().find_map(|(_, head)| match head {
            Head::Token(head) => Some(head),
            _ => None,
        })
    }

    /// The head that scores classes of every position, where there is one.
    pub fn tag_head(&self) -> Option<&TagHead> {
        self.heads.iter().find_map(|(_, head)| match head {
            Head::Tag(head) => Some(head),
            _ => None,
        })
    }

    /// The head that scores classes of a sequence, where there is one.
    pub fn class_head(&self) -> Option<&PooledHead> {
        self.heads.iter().find_map(|(_, head)| match head {
            Head::Pooled(head) if head.has_classes() => Some(head),
            _ => None,
        })
    }

    /// What it is made of.
    pub fn config(&self) -> &StackConfig {
        self.config.get()
    }

    /// `[B, T]` tokens to the last hidden state `[B, T, D]`: training, prefill and decoding alike.
    ///
    /// # Panics
    /// When it reads images.
    #[track_caller]
    pub fn forward<'a>(
        &'a self,
        tape: &Tape<'a>,
        ids: &Arc<[u32]>,
        shape: [usize; 2],
        ctx: &mut Context,
    ) -> Var {
        self.read(tape, Input::Tokens(ids, shape), ctx)
    }

    /// The same of whatever comes in; learned tokens go before each text, and are left out again.
    pub fn read<'a>(&'a self, tape: &Tape<'a>, input: Input, ctx: &mut Context) -> Var {
        let is_first = ctx.cache.as_ref().is_none_or(|cache| cache.is_empty());
        if let (Some(lead), Input::Tokens(ids, shape)) = (&self.lead, &input)
            && is_first
            && lead.is_used(tape.params())
        {
            let LedRows { ids, shape: led, call, tokens } = lead.before(ids, *shape, &ctx.call);
            let mut ctx = Context { call, cache: ctx.cache.as_deref_mut() };
            let x = self.embed.forward(tape, Input::Tokens(&ids, led), &ctx.call);
            let x = self.trunk.forward(tape, x, &mut ctx);
            let d = self.config().trunk.d_model;
            return tape.select_rows(&x, &tokens).reshape(&[shape[0], shape[1], d]);
        }
        let x = self.embed.forward(tape, input, &ctx.call);
        self.trunk.forward(tape, x, ctx)
    }

    /// A cache for `capacity` positions in each of `batch` rows.
    pub fn cache(&self, device: &Device, dtype: DType, [batch, capacity]: [usize; 2]) -> KvCache {
        let n_lead = self.config().trunk.beside.n_tokens();
        let shape = [batch, capacity + n_lead];
        KvCache::new(device, self.trunk.config(), dtype, shape)
    }

    /// What a row of such a cache takes.
    pub fn cache_bytes(&self, dtype: DType, positions: usize) -> usize {
        let c = &self.config().trunk;
        2 * c.n_layers * c.n_kv_heads * c.d_head * (positions + c.beside.n_tokens()) * dtype.bytes()
    }

    /// Positions that there are for the tokens of a text.
    pub fn max_len(&self) -> usize {
        self.config().tokens().max_len.saturating_sub(self.config().trunk.beside.n_tokens())
    }

    /// Learned tokens that go before each text: positions of a cache that the text does not have.
    pub fn n_lead(&self, params: &Params) -> usize {
        let used = self.lead.as_ref().filter(|lead| lead.is_used(params));
        used.map_or(0, Lead::n_tokens)
    }

    /// A call at positions `0..T`, seeing everything its pattern lets it see.
    pub fn plain_call([batch, len]: [usize; 2]) -> Call {
        Context::plain(batch, len).call
    }
}
