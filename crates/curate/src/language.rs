//! Which language a text is in.

/// The language of a text as ISO 639 code (639-1 where there is one, `en`), and how sure that is,
/// from 0 to 1.
///
/// `None` where there is nothing to tell it by: no letters, or too few.
pub fn identify(text: &str) -> Option<(&'static str, f32)> {
    let info = whatlang::detect(text)?;
    Some((info.lang().code(), info.confidence() as f32))
}
