//! `.tiktoken` ranks, and a text through what they make.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenize::Tokenizer;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| {
        let dir = lyceum_fuzz::folder(&[("cl100k_base.tiktoken", bytes)]);
        let Ok(tokenizer) = Tokenizer::load(dir.path()) else { return };
        let text = "It's \u{6c34}\n\n<|endoftext|> 12345";
        let ids = tokenizer.encode(text).expect("all bytes are tokens");
        assert_eq!(tokenizer.decode(&ids).expect("ids are tokens"), text);
    }
);
