//! Special tokens that have a name.

use crate::settings::Settings;

/// The ids of the special tokens of a model; what it does not have is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what the vocabulary cannot express.
    pub unk: Option<u32>,
    /// Ends each of two texts.
    pub sep: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// Begins a text that is to be classified.
    pub cls: Option<u32>,
    /// Stands for a token that is to be found.
    pub mask: Option<u32>,
}

/// Spellings of special tokens by role, where no file and no class says which it is.
const KNOWN: [(&str, &[&str]); 7] = [
    ("bos_token", &["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"]),
    ("eos_token", &KNOWN_ENDS),
    ("unk_token", &["<unk>", "[UNK]"]),
    ("sep_token", &["[SEP]"]),
    ("pad_token", &["<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"]),
    ("cls_token", &["[CLS]"]),
    ("mask_token", &["[MASK]", "<mask>"]),
];

const KNOWN_ENDS: [&str; 6] =
    [crate::END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>"];

impl SpecialIds {
    /// What the files call them, else what the class does, else special tokens of a known name.
    pub(crate) fn find(inner: &tokenizers::Tokenizer, settings: &Settings) -> Result<Self, String> {
        if let Some(name) = settings.named("eos_token").filter(|n| inner.token_to_id(n).is_none()) {
            return Err(format!("`eos_token` is `{}`, which is no token", name.escape_debug()));
        }
        let added = inner.get_added_vocabulary();
        let [bos, eos, unk, sep, pad, cls, mask] = KNOWN.map(|(role, names)| {
            let stated = settings.token(role).and_then(|name| inner.token_to_id(name));
            stated.or_else(|| {
                let known = names.iter().filter(|name| added.is_special_token(name));
                known.into_iter().find_map(|name| inner.token_to_id(name))
            })
        });
        Ok(Self { bos, eos, unk, sep, pad, cls, mask })
    }
}
