//! Which parameters decay.

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

#[cfg(test)]
mod tests {
    use super::*;

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
