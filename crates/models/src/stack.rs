//! Embed, run one trunk, read out.

use std::sync::Arc;

use nn::{
    Call, Checked, ConfigError, Context, Embed, EmbedConfig, Head, HeadConfig, KvCache, TokenHead,
    Transformer, TransformerConfig,
};
use tensor::{DType, Device, Param, ParamsBuilder, Tape, Tensor, Var};

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
        if self.embed.d_model != self.trunk.d_model {
            let (embed, trunk) = (self.embed.d_model, self.trunk.d_model);
            let problem = format!("{embed} in the embedding and {trunk} in the trunk");
            return Err(ConfigError::new("d_model", problem));
        }
        for (_, head) in &self.heads {
            match head {
                HeadConfig::Token(_) => {}
                HeadConfig::Pooled(head) => {
                    nn::check_size("num_labels", head.n_classes.unwrap_or(1))?;
                }
                HeadConfig::Embedding(head) => head.check(self.trunk.d_model)?,
            }
        }
        Ok(Checked::vouch(self))
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
}

impl Stack {
    /// Registers every parameter.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<StackConfig>) -> Self {
        Self::sharing(builder, config, None)
    }

    /// The same; the table of tokens is `shared` where there is one already.
    pub(crate) fn sharing(
        builder: &mut ParamsBuilder,
        config: Checked<StackConfig>,
        shared: Option<&Param>,
    ) -> Self {
        let c = config.get();
        let embed = Embed::new(builder, &c.embed, shared);
        let trunk = c.trunk.clone().check().expect("a part of a checked config");
        let trunk = Transformer::new(builder, trunk);
        let table = (embed.table(), c.embed.init);
        let head = |builder: &mut ParamsBuilder, (name, head): &(&'static str, HeadConfig)| {
            builder.scope("heads", |b| {
                b.scope(*name, |b| (*name, Head::new(b, head, c.trunk.d_model, table)))
            })
        };
        let heads = c.heads.iter().map(|config| head(builder, config)).collect();
        Self { config, embed, trunk, heads }
    }

    /// The head over the vocabulary, where there is one.
    pub fn token_head(&self) -> Option<&TokenHead> {
        self.heads.iter().find_map(|(_, head)| match head {
            Head::Token(head) => Some(head),
            Head::Pooled(_) | Head::Embedding(_) => None,
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
        let Embed::Token(embed) = &self.embed else { panic!("tokens for a model of images") };
        let x = embed.forward(tape, ids, shape, &ctx.call);
        self.trunk.forward(tape, x, ctx)
    }

    /// `[B, C, H, W]` pixels to the last hidden state `[B, T, D]`, in a call of T positions.
    ///
    /// # Panics
    /// When it reads tokens.
    #[track_caller]
    pub fn see<'a>(&'a self, tape: &Tape<'a>, pixels: &Tensor, ctx: &mut Context) -> Var {
        let Embed::Patch(embed) = &self.embed else { panic!("images for a model of tokens") };
        let x = embed.forward(tape, pixels, &ctx.call);
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
