//! How fresh weights are spread.

use models::{Gpt2Config, Model, ModelConfig, SeedConfig};
use tensor::Params;

/// Smallest, largest and standard deviation of a parameter around its mean.
fn spread(params: &Params, name: &str) -> (f32, f32, f64) {
    let values = params.get(&params.find(name).unwrap().param);
    let (n, sum) = (values.len() as f64, values.iter().map(|&x| f64::from(x)).sum::<f64>());
    let squares = values.iter().map(|&x| (f64::from(x) - sum / n).powi(2)).sum::<f64>();
    let of = |f: fn(f32, f32) -> f32| values.iter().copied().reduce(f).unwrap();
    (of(f32::min), of(f32::max), (squares / n).sqrt())
}

#[track_caller]
fn is_uniform(params: &Params, name: &str, bound: f32) {
    let (min, max, _) = spread(params, name);
    assert!((-bound..-0.9 * bound).contains(&min), "`{name}`: from {min}, bound {bound}");
    assert!((0.9 * bound..bound).contains(&max), "`{name}`: to {max}, bound {bound}");
}

#[track_caller]
fn is_normal(params: &Params, name: &str, std: f64) {
    let (_, _, found) = spread(params, name);
    assert!((found / std - 1.0).abs() < 0.05, "`{name}`: {found} for {std}");
}

#[track_caller]
fn is_constant(params: &Params, name: &str, value: f32) {
    let (min, max, _) = spread(params, name);
    assert_eq!((min, max), (value, value), "`{name}`");
}

#[test]
fn gpt2_starts_as_published() {
    let config = Gpt2Config {
        vocab_size: 500,
        max_len: 64,
        d_model: 96,
        n_layers: 8,
        n_heads: 4,
        tie_word_embeddings: false,
        initializer_range: 0.05,
        ..Gpt2Config::fresh()
    };
    let params = Model::new(ModelConfig::Gpt2(config), 1).unwrap().params;
    for name in ["embed.tokens", "embed.positions", "heads.logits.weight", "blocks.3.ffn.up.weight"]
    {
        is_normal(&params, name, 0.05);
    }
    is_normal(&params, "blocks.0.attn.query_key_value.weight", 0.05);
    // What is added to the stream: 1 / sqrt(2 L) of it.
    is_normal(&params, "blocks.0.attn.output.weight", 0.05 / 4.0);
    is_normal(&params, "blocks.7.ffn.down.weight", 0.05 / 4.0);
    is_constant(&params, "blocks.7.ffn.down.bias", 0.0);
    is_constant(&params, "final_norm.weight", 1.0);
    is_constant(&params, "final_norm.bias", 0.0);
}

#[test]
fn the_seed_model_starts_as_its_code_does() {
    let config = SeedConfig { vocab_size: 300, d_model: 64, n_heads: 4, n_layers: 2, dropout: 0.0 };
    let params = Model::new(ModelConfig::Seed(config), 1).unwrap().params;
    is_uniform(&params, "embed.tokens", 0.1);
    // Xavier: sqrt(6 / (fan in + fan out)), the three projections as one.
    is_uniform(&params, "blocks.0.attn.query_key_value.weight", (6.0_f32 / 256.0).sqrt());
    is_constant(&params, "blocks.0.attn.query_key_value.bias", 0.0);
    is_uniform(&params, "blocks.1.attn.output.weight", 1.0 / 8.0);
    is_constant(&params, "blocks.1.attn.output.bias", 0.0);
    is_uniform(&params, "blocks.0.ffn.up.weight", 1.0 / 8.0);
    is_uniform(&params, "blocks.0.ffn.up.bias", 1.0 / 8.0);
    is_uniform(&params, "blocks.1.ffn.down.weight", 1.0 / 2048.0_f32.sqrt());
    is_uniform(&params, "blocks.1.ffn.down.bias", 1.0 / 2048.0_f32.sqrt());
}

#[test]
fn a_seed_decides_and_layers_differ() {
    let config = ModelConfig::Gpt2(Gpt2Config::depth(2, 50, 8));
    let [a, b, c] = [1, 1, 2].map(|seed| Model::new(config.clone(), seed).unwrap().params);
    assert_eq!(a.values(), b.values());
    assert_ne!(a.values(), c.values());
    let of = |name: &str| a.get(&a.find(name).unwrap().param);
    assert_ne!(of("blocks.0.ffn.up.weight"), of("blocks.1.ffn.up.weight"));
}
