//! Texts as tokens, as `lm-evaluation-harness` cuts them.

use tokenize::Tokenizer;

use crate::error::Result;
use crate::score::Ask;

/// A model's way to read.
pub struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    /// Stands before a text that nothing comes before.
    prefix: u32,
    prefix_text: String,
}

impl<'t> Encoder<'t> {
    /// With the token that begins a text, else the one that ends it; none where there is neither.
    pub fn new(tokenizer: &'t Tokenizer, end: Option<u32>) -> Option<Self> {
        let prefix = tokenizer.special_ids().bos.or(end)?;
        let prefix_text = tokenizer.token(prefix).unwrap_or_default();
        Some(Self { tokenizer, prefix, prefix_text })
    }

    /// The tokens of a text, with those that the model was trained to see around it; special tokens
    /// in it are meant.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        if !self.prefix_text.is_empty() && text.starts_with(&self.prefix_text) {
            return Ok(self.tokenizer.encode_with_specials(text)?);
        }
        Ok(self.tokenizer.encode_for_model_with_specials(text, None)?.ids)
    }

    /// A context and what follows it: blanks at the end of the context go over, and both are
    /// encoded as one text, so that no token is cut that lies across. There is always a context:
    /// the token that stands before a text, where there is no other.
    ///
    /// # Errors
    /// Where they cannot be encoded.
    pub fn pair(&self, context: &str, continuation: &str) -> Result<Ask> {
        let before = context.trim_end();
        let text = format!("{context}{continuation}");
        let context = if before.is_empty() { Vec::new() } else { self.tokens(before)? };
        // Of blanks nothing is left.
        if context.is_empty() {
            let mut continuation = self.tokenizer.encode_with_specials(&text)?;
            if continuation.first() == Some(&self.prefix) {
                continuation.remove(0);
            }
            return Ok(Ask { context: vec![self.prefix], continuation });
        }
        let mut whole = self.tokens(&text)?;
        let continuation = whole.split_off(context.len().min(whole.len()));
        Ok(Ask { context, continuation })
    }

    /// A whole text as windows of at most `max_len` tokens, in which every token is asked for once;
    /// each window but the first is shown as much before as fits.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn windows(&self, text: &str, max_len: usize) -> Result<Vec<Ask>> {
        let ids = self.tokens(text)?;
        let mut windows = Vec::new();
        let mut asked = 0;
        while asked < ids.len() {
            let end = (asked + max_len).min(ids.len());
            // The last token before the window, and before that what else fits.
            let context = match asked {
                0 => vec![self.prefix],
                _ => ids[end.saturating_sub(max_len + 1).min(asked - 1)..asked].to_vec(),
            };
            windows.push(Ask { context, continuation: ids[asked..end].to_vec() });
            asked = end;
        }
        Ok(windows)
    }
}
