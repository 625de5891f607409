//! A model with a larger vocabulary.

use nn::ConfigError;
use serde_json::Value;

use crate::families::ModelConfig;
use crate::model::Model;

impl ModelConfig {
    /// The same with another vocabulary.
    ///
    /// # Errors
    /// Where the family keeps its size elsewhere.
    pub fn with_vocab_size(&self, vocab_size: usize) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        match &mut config {
            Self::Gpt2(c) => c.vocab_size = vocab_size,
            Self::Seed(c) => c.vocab_size = vocab_size,
            Self::Hf(c) => match c.fields.0.get_mut("vocab_size") {
                Some(value) => *value = Value::from(vocab_size),
                None => return Err(ConfigError::new("vocab_size", "is not said by the config")),
            },
        }
        Ok(config)
    }
}

impl Model {
    /// The same model with room for `vocab_size` tokens.
    ///
    /// The row of a new token starts as the mean of those that `parts` names, what the old
    /// vocabulary makes of it; the mean of all where it names none. Gee et al., "Fast Vocabulary
    /// Transfer for Language Model Compression", arXiv:2402.09977, section 3.
    ///
    /// # Errors
    /// Where the config cannot be built with it.
    ///
    /// # Panics
    /// When it is fewer than there are, or `parts` names one that is not there.
    pub fn grow(
        &self,
        vocab_size: usize,
        parts: impl Fn(u32) -> Vec<u32>,
    ) -> Result<Self, ConfigError> {
        let config = self.config.with_vocab_size(vocab_size)?;
        let (architecture, builder) = Self::register(&config)?;
        let mut model =
            Self { config, architecture, params: builder.build_zeroed(), adapters: Vec::new() };
        for new in model.params.entries().to_vec() {
            let old = self.params.find(&new.name).expect("the same parameters");
            let values = self.params.get(&old.param);
            let to = model.params.get_mut(&new.param);
            to[..values.len()].copy_from_slice(values);
            if new.param.shape() == old.param.shape() {
                continue;
            }
            let (n_old, width) = (old.param.shape()[0], old.param.shape()[1..].iter().product());
            let row = |id: u32| &values[id as usize * width..][..width];
            for (id, to) in (n_old as u32..).zip(to[values.len()..].chunks_exact_mut(width)) {
                let mut from = parts(id);
                if from.is_empty() {
                    from = (0..n_old as u32).collect();
                }
                for &part in &from {
                    to.iter_mut().zip(row(part)).for_each(|(to, x)| *to += x / from.len() as f32);
                }
            }
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::gpt2::Gpt2Config;

    #[test]
    fn new_rows_are_means_and_old_ones_stay() {
        let config = ModelConfig::Gpt2(Gpt2Config::depth(1, 10, 8));
        let model = Model::new(config, 3).unwrap();
        let parts = |id: u32| if id == 10 { vec![2, 4] } else { Vec::new() };
        let grown = model.grow(12, parts).unwrap();
        let table = |model: &Model| {
            let entry = model.params.find("embed.tokens").unwrap();
            model.params.get(&entry.param).to_vec()
        };
        let (old, new) = (table(&model), table(&grown));
        let d = old.len() / 10;
        assert_eq!(new[..old.len()], old);
        for i in 0..d {
            assert!((new[10 * d + i] - f32::midpoint(old[2 * d + i], old[4 * d + i])).abs() < 1e-6);
            let mean = (0..10).map(|r| old[r * d + i]).sum::<f32>() / 10.0;
            assert!((new[11 * d + i] - mean).abs() < 1e-6);
        }
        let find = |model: &Model| {
            let entry = model.params.find("blocks.0.ffn.up.weight").unwrap();
            model.params.get(&entry.param).to_vec()
        };
        assert_eq!(find(&model), find(&grown));
        assert_eq!(grown.config.family().to_json()["vocab_size"], 12);
    }
}
