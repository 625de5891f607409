//! Log-probabilities of targets where learning began: computed once, and kept with the run, so that
//! a resumed one is anchored to the same numbers.

/// Where they lie in a run directory.
pub const REFERENCE_FILE: &str = "data/reference.f32";

/// What is kept of `known`, one list a sample, for samples of which `hash` is.
///
/// ```text
/// blake3 of the rest (32 bytes) | blake3 of `hash` (32 bytes) | f32, little-endian
/// ```
pub fn keep(known: &[Vec<f32>], hash: &str) -> Vec<u8> {
    let mut bytes = blake3::hash(hash.as_bytes()).as_bytes().to_vec();
    bytes.extend(known.iter().flatten().flat_map(|log_p| log_p.to_le_bytes()));
    [&blake3::hash(&bytes).as_bytes()[..], &bytes].concat()
}

/// What was kept, for samples with so many targets; none where it is damaged or of other samples.
pub fn kept(bytes: &[u8], hash: &str, lengths: &[usize]) -> Option<Vec<Vec<f32>>> {
    let (own, rest) = bytes.split_first_chunk::<32>()?;
    let (of, values) = rest.split_first_chunk::<32>()?;
    let is_whole = blake3::hash(rest).as_bytes() == own;
    let is_same = blake3::hash(hash.as_bytes()).as_bytes() == of;
    if !is_whole || !is_same || values.len() != 4 * lengths.iter().sum::<usize>() {
        return None;
    }
    let (values, _) = values.as_chunks::<4>();
    let mut values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
    Some(lengths.iter().map(|&n| values.by_ref().take(n).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_unless_it_is_damaged_or_of_others() {
        let known = [vec![-1.5, 0.0], vec![], vec![-0.25]];
        let (bytes, lengths) = (keep(&known, "these"), [2, 0, 1]);
        assert_eq!(kept(&bytes, "these", &lengths).as_deref(), Some(&known[..]));
        assert_eq!(kept(&bytes, "others", &lengths), None);
        assert_eq!(kept(&bytes, "these", &[2, 1, 1]), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(kept(&damaged, "these", &lengths), None, "{at}");
            assert_eq!(kept(&bytes[..at], "these", &lengths), None, "{at}");
        }
    }
}
