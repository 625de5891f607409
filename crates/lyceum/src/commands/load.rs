//! What a command needs of a model directory, with every surprise said.

use std::path::{Path, PathBuf};
use std::time::Instant;

use checkpoint::{Dtype, Stored, Weights};
use clap::ValueEnum;
use kernels::Isa;
use models::{Architecture, Model};
use tensor::Precision;
use tokenize::{TokenizeError, Tokenizer};

use crate::environment::Env;
use crate::failure::Failure;

/// In what precision a model that is there already is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// As the weights are stored: bf16 for bf16 where the CPU has its dot product, else f32.
    #[default]
    Auto,
    /// Everything in 32 bits.
    F32,
    /// Products and activations in bfloat16, sums in 32 bits.
    Bf16,
}

impl PrecisionArg {
    /// The precision for weights stored as `dtypes` say.
    pub fn resolve(self, isa: Isa, dtypes: impl IntoIterator<Item = Stored>) -> Precision {
        let stored_bf16 = || dtypes.into_iter().all(|dtype| dtype.is(Dtype::BF16));
        match self {
            Self::Bf16 => Precision::BF16,
            Self::Auto if isa == Isa::Avx512Bf16 && stored_bf16() => Precision::BF16,
            Self::F32 | Self::Auto => Precision::F32,
        }
    }
}

/// A model and where it came from.
pub struct Loaded {
    /// The model's directory.
    pub dir: PathBuf,
    /// The model.
    pub model: Model,
    /// The precision to run it in.
    pub precision: Precision,
}

impl Loaded {
    /// Loads the model that `path` means, a model directory or a run.
    ///
    /// # Errors
    /// Where there is none, or it is damaged.
    pub fn open(path: &Path, precision: PrecisionArg, env: &Env) -> Result<Self, Failure> {
        let began = Instant::now();
        let resolved = checkpoint::resolve(path)?;
        for skipped in &resolved.skipped {
            env.warn(&format!("{skipped}; an earlier checkpoint is used"));
        }
        let dir = resolved.dir;
        let (model, unused) = Model::load_frozen(&dir)?;
        if let [first, ..] = &unused[..] {
            let n = unused.len();
            env.warn(&format!("{n} tensors in `{}` are not used: `{first}` ..", dir.display()));
        }
        let weights = Weights::open(&dir)?;
        let dtypes = weights.names().filter_map(|name| Some(weights.get(name).ok()?.dtype));
        let precision = precision.resolve(env.isa, dtypes);
        env.debug(|| format!("loaded `{}` in {:.2?}", dir.display(), began.elapsed()));
        Ok(Self { dir, model, precision })
    }

    /// The model's tokenizer.
    ///
    /// # Errors
    /// Where there is none, it is damaged, or has more tokens than the model.
    pub fn tokenizer(&self) -> Result<Tokenizer, Failure> {
        let tokenizer = Tokenizer::load(&self.dir).map_err(|error| match error {
            TokenizeError::Missing { .. } => Failure::from(error).hint(
                "the model reads tokens: copy its `tokenizer.json` into the directory, or use \
                 `lyceum forward` with token ids",
            ),
            _ => error.into(),
        })?;
        let (n, vocab_size) = (tokenizer.vocab_size(), self.vocab_size());
        if n > vocab_size {
            let dir = self.dir.display();
            let problem =
                format!("the tokenizer in `{dir}` has {n} tokens, the model {vocab_size}");
            return Err(Failure::new(problem).hint("copy the tokenizer the model was trained with"));
        }
        Ok(tokenizer)
    }

    /// Refuses a model that does not score the next token of a text: what has an encoder needs
    /// something to read, too.
    ///
    /// # Errors
    /// With what it is.
    pub fn scores_tokens(self) -> Result<Self, Failure> {
        let why = match &self.model.architecture {
            Architecture::Stack(stack) if stack.token_head().is_some() => return Ok(self),
            Architecture::Stack(_) | Architecture::DualEncoder(_) => {
                "without a head that scores tokens"
            }
            Architecture::EncoderDecoder(_) => {
                "whose decoder reads what its encoder makes of another input"
            }
        };
        let (dir, family) = (self.dir.display(), self.model.config.family().model_type());
        let problem = format!("`{dir}` is a `{family}` {why}");
        Err(Failure::new(problem).hint("`lyceum forward` gives what it computes"))
    }

    /// The id that ends a text: the tokenizer's, else the config's.
    pub fn end(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let configured = self.model.config.family().end();
        let configured = configured.filter(|&id| (id as usize) < self.vocab_size());
        tokenizer.end_of_text().or(configured)
    }

    /// Tokens the model knows.
    pub fn vocab_size(&self) -> usize {
        self.model.stack().config().tokens().vocab_size
    }

    /// Positions the model knows.
    pub fn max_len(&self) -> usize {
        self.model.stack().config().tokens().max_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_computes_as_the_weights_are_stored() {
        let auto = |isa, dtypes: &[Dtype]| {
            PrecisionArg::Auto.resolve(isa, dtypes.iter().map(|&dtype| dtype.into()))
        };
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16; 2]), Precision::BF16);
        assert_eq!(auto(Isa::Avx512Bf16, &[Dtype::BF16, Dtype::F32]), Precision::F32);
        assert_eq!(auto(Isa::Avx2, &[Dtype::BF16]), Precision::F32);
        assert_eq!(PrecisionArg::Bf16.resolve(Isa::Avx2, []), Precision::BF16);
    }
}
