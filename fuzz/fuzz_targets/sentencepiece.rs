//! `tokenizer.model`, and a text through what it makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenize::Tokenizer;

fuzz_target!(
    init: lyceum_fuzz::allow_caught_panics(),
    |bytes: &[u8]| {
        // The first byte picks the class, and so the pipeline.
        let Some((&pick, model)) = bytes.split_first() else { return };
        let class = ["T5", "Albert", "XLMRoberta", "Llama", "Gemma", "None"][usize::from(pick) % 6];
        let config = format!(r#"{{"tokenizer_class": "{class}Tokenizer"}}"#);
        let files = [("tokenizer.model", model), ("tokenizer_config.json", config.as_bytes())];
        let Ok(tokenizer) = Tokenizer::load(lyceum_fuzz::folder(&files).path()) else { return };
        let text = "It was \u{6c34}\n\n</s> \u{ff21}\u{1f600} 1234";
        let Ok(ids) = tokenizer.encode(text) else { return };
        let _ = (tokenizer.decode(&ids), tokenizer.encode_for_model("a", Some("<s>")));
    }
);
