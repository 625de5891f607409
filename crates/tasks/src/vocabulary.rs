//! The tokens that objectives put between those of a text.

use tokenize::Tokenizer;

/// How tokens for spans that were taken out are spelled, as T5 has them.
const SENTINEL: fn(usize) -> String = |i| format!("<extra_id_{i}>");
/// How prefix, suffix and middle are marked: as most models do it, as `StarCoder` does, as in the
/// paper.
pub const INFILLING: [[&str; 3]; 3] = [
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    ["<PRE>", "<SUF>", "<MID>"],
];

/// What a tokenizer has beside text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// Ids that stand for text, ascending: what a random token is drawn from.
    pub ordinary: Vec<u32>,
    /// Begins a text: `[CLS]`, `<s>`.
    pub begin: Option<u32>,
    /// Ends it: `[SEP]`, `</s>`, `<|endoftext|>`.
    pub end: Option<u32>,
    /// Stands for a token that is to be found.
    pub mask: Option<u32>,
    /// Stand for spans that were taken out, in the order they are used.
    pub sentinels: Vec<u32>,
    /// Come before prefix, suffix and middle.
    pub infilling: Option<[u32; 3]>,
}

impl Vocabulary {
    /// That of `tokenizer`.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let ids = tokenizer.special_ids();
        let id = |name: &str| tokenizer.id(name);
        let marks = INFILLING.iter().find_map(|names| {
            let [a, b, c] = names.map(id);
            Some([a?, b?, c?])
        });
        let mut special = tokenizer.specials();
        special.sort_unstable();
        let is_ordinary = |id: &u32| special.binary_search(id).is_err();
        Self {
            ordinary: (0..tokenizer.vocab_size() as u32).filter(is_ordinary).collect(),
            begin: ids.cls.or(ids.bos),
            end: ids.sep.or(ids.eos),
            mask: ids.mask,
            sentinels: (0..).map_while(|i| id(&SENTINEL(i))).collect(),
            infilling: marks,
        }
    }

    /// Whether `id` stands for text.
    pub fn is_text(&self, id: u32) -> bool {
        self.ordinary.binary_search(&id).is_ok()
    }
}
