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
            ("transformer.wte.weight", &[50257, 768]),
            ("transformer.wpe.weight", &[1024, 768]),
            ("transformer.h.0.attn.c_attn.weight", &[768, 2304]),
            ("patch_embedding.weight", &[768, 3, 16, 16]),
        ];
        let staying: [(&str, &[usize]); 6] = [
            ("transformer.h.0.ln_1.weight", &[768]),
            ("transformer.h.0.attn.c_attn.bias", &[2304]),
            ("experts.bias", &[8, 768]),
            ("cls_token", &[1, 1, 768]),
            ("logit_scale", &[]),
            ("head.weight", &[1, 768]),
        ];
        assert!(decaying.iter().all(|(name, shape)| decays(name, shape)));
        assert!(!staying.iter().any(|(name, shape)| decays(name, shape)));
    }
}
