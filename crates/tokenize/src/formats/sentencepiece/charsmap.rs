//! `precompiled_charsmap`: how a model replaces characters, as a double-array trie and its texts.
//!
//! `u32` bytes of trie, the trie as `u32` units, then replacements with a zero after each. The
//! `tokenizers` crate walks it without looking where it steps, so every step is looked at here.
//! Aoe, "An Efficient Digital Search Algorithm by Using a Double-Array Structure", IEEE TSE 1989;
//! the layout of units is Darts-clone's.

/// The longest replacement of a character: Unicode's own longest, of U+FDFA, has 33 bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Whether a unit is a value, and no node.
fn is_value(unit: u32) -> bool {
    unit >> 31 == 1
}

/// How far a node's children are, as an XOR of its place.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// Refuses a map that leads out of its own bounds.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let broken = |what: &str| format!("the map of characters is broken: {what}");
    let (size, rest) = bytes.split_first_chunk().ok_or_else(|| broken("no size"))?;
    let size = u32::from_le_bytes(*size) as usize;
    let (trie, texts) = rest.split_at_checked(size).ok_or_else(|| broken("the trie is cut off"))?;
    let texts = std::str::from_utf8(texts).map_err(|error| broken(&error.to_string()))?;
    if !size.is_multiple_of(4) || size == 0 {
        return Err(broken("the size of the trie"));
    }
    let units = trie.chunks_exact(4).map(|unit| [unit[0], unit[1], unit[2], unit[3]]);
    let units: Vec<u32> = units.map(u32::from_le_bytes).collect();
    for (at, &unit) in units.iter().enumerate().filter(|(_, unit)| !is_value(**unit)) {
        let child = at ^ offset(unit);
        // Any byte of a text may be the next step.
        if child | 0xff >= units.len() {
            return Err(broken(&format!("the unit {at} leads outside")));
        }
        if unit >> 8 & 1 == 0 {
            continue;
        }
        let text = texts.get((units[child] & 0x7fff_ffff) as usize..);
        let text = text.ok_or_else(|| broken(&format!("the text of unit {at} is not there")))?;
        if !text.bytes().take(TEXT_BYTES_MAX + 1).any(|byte| byte == 0)
            && text.len() > TEXT_BYTES_MAX
        {
            return Err(broken(&format!("the text of unit {at} is longer than {TEXT_BYTES_MAX}")));
        }
    }
    Ok(())
}
