//! `tokenizer.json`, and a text through what it makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenize::Tokenizer;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| {
        let dir = lyceum_fuzz::folder(&[("tokenizer.json", bytes)]);
        let Ok(tokenizer) = Tokenizer::load(dir.path()) else { return };
        let _ = tokenizer.hash();
        let Ok(ids) = tokenizer.encode("It was \u{6c34}\n\n<|endoftext|> 1234") else { return };
        let mut stream = tokenizer.decode_stream();
        ids.iter().for_each(|&id| drop(stream.push(id)));
        let _ = (stream.finish(), tokenizer.decode(&ids));
    }
);
