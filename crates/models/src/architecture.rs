//! How a model computes: the architectures, a closed set.

use nn::{ConfigError, Waves};
use tensor::ParamsBuilder;

use crate::detector::{Detector, DetectorConfig};
use crate::dual_encoder::{DualEncoder, DualEncoderConfig};
use crate::encoder_decoder::{EncoderDecoder, EncoderDecoderConfig};
use crate::stack::{Stack, StackConfig};

/// What an architecture is made of.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // One a model.
pub enum ArchitectureConfig {
    /// Embed, one trunk, heads.
    Stack(Box<StackConfig>),
    /// One that reads, and one that writes what it makes of it.
    EncoderDecoder(Box<EncoderDecoderConfig>),
    /// One for texts and one for images.
    DualEncoder(Box<DualEncoderConfig>),
    /// One that finds what another put in; alone, it is a stack.
    Detector(Box<DetectorConfig>),
}

/// How a model computes.
pub enum Architecture {
    /// Embed, one trunk, heads.
    Stack(Box<Stack>),
    /// One that reads, and one that writes what it makes of it.
    EncoderDecoder(Box<EncoderDecoder>),
    /// One for texts and one for images.
    DualEncoder(Box<DualEncoder>),
    /// One that finds what another put in; alone, it is a stack.
    Detector(Box<Detector>),
}

impl ArchitectureConfig {
    /// Checks it and registers every parameter.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn build(self, builder: &mut ParamsBuilder) -> Result<Architecture, ConfigError> {
        Ok(match self {
            Self::Stack(c) => Architecture::Stack(Box::new(Stack::new(builder, c.check()?))),
            Self::EncoderDecoder(c) => {
                let pair = EncoderDecoder::new(builder, c.check()?);
                Architecture::EncoderDecoder(Box::new(pair))
            }
            Self::DualEncoder(c) => {
                Architecture::DualEncoder(Box::new(DualEncoder::new(builder, c.check()?)))
            }
            Self::Detector(c) => {
                Architecture::Detector(Box::new(Detector::new(builder, &c.check()?)))
            }
        })
    }

    /// The stack; of a detector, its discriminator.
    ///
    /// # Errors
    /// Where it is another architecture.
    pub fn into_stack(self) -> Result<StackConfig, ConfigError> {
        match self {
            Self::Stack(stack) => Ok(*stack),
            Self::Detector(pair) => Ok(pair.discriminator),
            Self::EncoderDecoder(_) | Self::DualEncoder(_) => Err(no_stack()),
        }
    }

    /// The one stack, which reads tokens.
    ///
    /// # Errors
    /// Where it is something else.
    pub(crate) fn read_text(&mut self) -> Result<&mut StackConfig, ConfigError> {
        match self {
            Self::Stack(stack) if stack.embed.tokens().is_some() => Ok(stack),
            _ => Err(ConfigError::new("model_type", "has no single trunk that reads tokens")),
        }
    }
}

impl Architecture {
    /// The stack, where it is one; of a detector, its discriminator.
    ///
    /// # Errors
    /// Where it is another architecture.
    pub fn stack(&self) -> Result<&Stack, ConfigError> {
        match self {
            Self::Stack(stack) => Ok(stack),
            Self::Detector(pair) => Ok(&pair.discriminator),
            Self::EncoderDecoder(_) | Self::DualEncoder(_) => Err(no_stack()),
        }
    }

    /// What positions are made of that a file may hold.
    pub(crate) fn waves(&self) -> Option<&Waves> {
        match self {
            Self::Stack(stack) => stack.embed.waves(),
            Self::EncoderDecoder(pair) => pair.encoder.embed.waves(),
            Self::DualEncoder(_) | Self::Detector(_) => None,
        }
    }

    /// The same, to be set.
    pub(crate) fn waves_mut(&mut self) -> Option<&mut Waves> {
        match self {
            Self::Stack(stack) => stack.embed.waves_mut(),
            Self::EncoderDecoder(pair) => pair.encoder.embed.waves_mut(),
            Self::DualEncoder(_) | Self::Detector(_) => None,
        }
    }
}

fn no_stack() -> ConfigError {
    ConfigError::new("model_type", "has more than one trunk; a single one is needed here")
}
