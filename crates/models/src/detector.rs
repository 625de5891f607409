//! Two stacks: what one puts in, the other finds.

use nn::{Checked, ConfigError, HeadConfig};
use tensor::ParamsBuilder;

use crate::stack::{Stack, StackConfig};

/// What a detector is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorConfig {
    /// What says which tokens could stand in a place.
    pub generator: StackConfig,
    /// What says which tokens the generator put in.
    pub discriminator: StackConfig,
}

impl DetectorConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        self.generator.clone().check()?;
        self.discriminator.clone().check()?;
        let tables = |stack: &StackConfig| {
            let embed = stack.embed.tokens()?;
            Some(([embed.vocab_size, embed.max_len, embed.first_position], embed.width()))
        };
        let [one, other] = [&self.generator, &self.discriminator].map(tables);
        if one.is_none() || one != other {
            let problem = format!("its tables are {one:?} and {other:?} beside it");
            return Err(ConfigError::new("generator", problem));
        }
        let heads = [&self.generator, &self.discriminator].map(|stack| &stack.heads[..]);
        let [[(_, HeadConfig::Token(_))], [(_, HeadConfig::Tag(tags))]] = heads else {
            return Err(ConfigError::new("generator", "it scores tokens, the other replacements"));
        };
        if tags.n_classes != 1 {
            return Err(ConfigError::new("generator", "a token is replaced, or is not"));
        }
        Ok(Checked::vouch(self))
    }
}

/// A generator and a discriminator, which read by the same tables of tokens and positions: ELECTRA.
///
/// Clark, Luong, Le, Manning, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
/// Generators", arXiv:2003.10555, section 3.2. Once trained, it is its discriminator.
pub struct Detector {
    /// What says which tokens could stand in a place.
    pub generator: Stack,
    /// What says which tokens the generator put in.
    pub discriminator: Stack,
}

impl Detector {
    /// Registers every parameter, those of the generator as `generator.`, the others as those of a
    /// stack; what is shared is the discriminator's.
    pub fn new(builder: &mut ParamsBuilder, config: &Checked<DetectorConfig>) -> Self {
        let checked = |c: &StackConfig| c.clone().check().expect("a part of a checked config");
        let DetectorConfig { generator, discriminator } = config.get();
        let (generator, discriminator) = (checked(generator), checked(discriminator));
        let discriminator = Stack::new(builder, discriminator);
        let shared = [discriminator.embed.table(), discriminator.embed.positions()];
        let generator = builder.scope("generator", |b| Stack::sharing(b, generator, shared));
        Self { generator, discriminator }
    }
}
