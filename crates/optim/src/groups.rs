//! Which parameters decay, and which learn slower.

use std::collections::BTreeMap;

/// Whether weight decay applies to a parameter.
///
/// Matrices decay, embeddings too: the token table is also the head where they are tied, and
/// nanoGPT and llm.c decay it. Gains of norms, biases and single vectors (a class token
/// `[1, 1, D]`) do not: pulling them to zero removes scale and offset, not capacity. A bias stays
/// one where several are stacked, so its name counts before its shape.
pub fn decays(name: &str, shape: &[usize]) -> bool {
    let is_matrix = shape.iter().filter(|&&dim| dim > 1).count() >= 2;
    is_matrix && !name.ends_with("bias")
}

/// What the learning rate of each of `names` is multiplied with, so that what lies deeper moves
/// less.
///
/// ```text
/// rate = decay^(blocks above), of n blocks: decay^(n + 1) for an embedding, decay^1 for the last
/// block, 1 for heads and what else is above all blocks
/// ```
///
/// Blocks are counted in each stack of its own. Clark et al., "ELECTRA", arXiv:2003.10555, appendix
/// B; the exponents are those of Bao et al., "`BEiT`", arXiv:2106.08254, whose last block, other
/// than that of ELECTRA's program, is one step below the head.
pub fn layer_rates<'n>(names: impl Iterator<Item = &'n str> + Clone, decay: f32) -> Vec<f32> {
    let mut n_blocks = BTreeMap::<&str, usize>::new();
    for (stack, block) in names.clone().filter_map(block) {
        let n = n_blocks.entry(stack).or_default();
        *n = (*n).max(block + 1);
    }
    let rate = |name: &str| {
        let is_embedding = |at: usize| at == 0 || name[..at].ends_with('.');
        let (stack, depth) = match (block(name), name.find("embed.")) {
            (Some((stack, block)), _) => (stack, block + 1),
            (None, Some(at)) if is_embedding(at) => (&name[..at], 0),
            _ => return 1.0,
        };
        let n = n_blocks.get(stack).copied().unwrap_or(0);
        f64::from(decay).powi((n + 1 - depth) as i32) as f32
    };
    names.map(rate).collect()
}

/// What stands before the number of a block in the name of a parameter, and that number.
fn block(name: &str) -> Option<(&str, usize)> {
    let at = name.find("blocks.").filter(|&at| at == 0 || name[..at].ends_with('.'))?;
    let (number, _) = name[at..].strip_prefix("blocks.")?.split_once('.')?;
    Some((&name[..at], number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_deeper_moves_less() {
        let names = [
            ("embed.tokens", 0.125),
            ("blocks.0.attn.output.weight", 0.25),
            ("blocks.1.attn.output.lora.default.a", 0.5),
            ("final_norm.weight", 1.0),
            ("heads.classes.weight", 1.0),
            ("decoder.embed.positions", 0.25),
            ("decoder.blocks.0.ffn.up.bias", 0.5),
            ("decoder.final_norm.weight", 1.0),
            ("relative_bias", 1.0),
        ];
        let rates = layer_rates(names.iter().map(|(name, _)| *name), 0.5);
        for ((name, expected), rate) in names.iter().zip(rates) {
            assert_eq!(rate, *expected, "{name}");
        }
        assert!(layer_rates(names.iter().map(|n| n.0), 1.0).iter().all(|rate| *rate == 1.0));
    }

    #[test]
    fn matrices_decay_and_vectors_do_not() {
        let decaying: [(&str, &[usize]); 4] = [
            ("embed.tokens", &[50257, 768]),
            ("embed.positions", &[1024, 768]),
            ("blocks.0.attn.query_key_value.weight", &[768, 2304]),
            ("embed.patches.weight", &[768, 3, 16, 16]),
        ];
        let staying: [(&str, &[usize]); 6] = [
            ("blocks.0.attn_norm.weight", &[768]),
            ("blocks.0.attn.query_key_value.bias", &[2304]),
            ("blocks.0.ffn.experts.bias", &[8, 768]),
            ("embed.class", &[1, 1, 768]),
            ("logit_scale", &[]),
            ("head.weight", &[1, 768]),
        ];
        assert!(decaying.iter().all(|(name, shape)| decays(name, shape)));
        assert!(!staying.iter().any(|(name, shape)| decays(name, shape)));
    }
}
