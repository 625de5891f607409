//! Files of tokenizers and chat templates, damaged at random: refused or usable, never a panic or
//! an endless loop. `FUZZ_CASES` sets how many a file; a long run is by hand.

use std::fs;
use std::path::Path;

use testing::Mutator;
use tokenize::{Chat, ChatTemplate, Message, Tokenizer};

use crate::golden;

const TEXT: &str = "It was \u{6c34}\n\n</s> \u{ff21}\u{1f600} 1234 <|endoftext|>";

fn n_cases(usual: usize) -> usize {
    std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Loads the tokenizer of a folder and puts a text through it.
fn use_it(dir: &Path) {
    let tokenizer = match Tokenizer::load(dir) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let _ = (tokenizer.hash(), tokenizer.special_ids(), tokenizer.chat_template());
    let Ok(ids) = tokenizer.encode(TEXT) else { return };
    let mut stream = tokenizer.decode_stream();
    for &id in &ids {
        let _ = stream.push(id);
    }
    let _ = (stream.finish(), tokenizer.decode(&ids), tokenizer.files());
    let _ = (tokenizer.encode_for_model("a", Some("<s>")), tokenizer.to_gguf(ids.len()));
}

#[test]
fn damaged_tokenizers_are_refused_or_usable() {
    let other = fs::read(golden("t5/spiece.model")).unwrap();
    for folder in fs::read_dir(golden("")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        let files = fs::read_dir(folder.path()).unwrap().flatten();
        let mut files: Vec<_> = files
            .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
            .filter(|(name, _)| name != "golden.json" && name != "chat.json")
            .collect();
        files.sort();
        // What is made of it in one file.
        if let Ok(tokenizer) = Tokenizer::load(&folder.path())
            && let Ok(whole) = tokenizer.files()
            && files.iter().all(|(name, _)| name != "tokenizer.json")
        {
            let json = whole.into_iter().find(|(name, _)| *name == "tokenizer.json");
            files.extend(json.map(|(name, bytes)| (name.into(), bytes)));
        }
        for (i, (name, bytes)) in files.iter().enumerate() {
            let is_json_alone = name == "tokenizer.json";
            let mut mutator = Mutator::new(i as u64);
            for _ in 0..n_cases(40) {
                let dir = tempfile::tempdir().unwrap();
                for (beside, bytes) in files.iter().filter(|_| !is_json_alone) {
                    if beside != "tokenizer.json" {
                        fs::write(dir.path().join(beside), bytes).unwrap();
                    }
                }
                fs::write(dir.path().join(name), mutator.damage(bytes, &other)).unwrap();
                use_it(dir.path());
            }
        }
    }
}

#[test]
fn damaged_templates_are_refused_or_usable() {
    let chats = fs::read_to_string(golden("chat/chat.json")).unwrap();
    let chats: serde_json::Value = serde_json::from_str(&chats).unwrap();
    let mut templates = vec![];
    sources(&chats, &mut templates);
    assert!(templates.len() > 3, "{}", templates.len());
    let messages = [Message::new("system", "be"), Message::new("user", "\u{6c34} <b>")];
    let mut mutator = Mutator::new(1);
    for (source, other) in templates.iter().zip(templates.iter().cycle().skip(1)) {
        for _ in 0..n_cases(100) {
            let damaged = mutator.damage(source.as_bytes(), other.as_bytes());
            let damaged = String::from_utf8_lossy(&damaged);
            let Ok(template) = ChatTemplate::new(&damaged) else { continue };
            let chat = Chat { messages: &messages, add_generation_prompt: true, ..Chat::default() };
            if let Err(error) = template.render(&chat) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// Every text that looks like a template.
fn sources(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) if text.contains("{%") => found.push(text.clone()),
        serde_json::Value::Array(all) => all.iter().for_each(|json| sources(json, found)),
        serde_json::Value::Object(all) => all.values().for_each(|json| sources(json, found)),
        _ => {}
    }
}
