//! A chat template, and a conversation through it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenize::{Chat, ChatTemplate, Message};

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = ChatTemplate::new(source) else { return };
    let messages = [Message::new("system", "be"), Message::new("user", "\u{6c34} <b>")];
    let chat = Chat { messages: &messages, add_generation_prompt: true, ..Chat::default() };
    if let Err(error) = template.render(&chat) {
        let _ = (error.to_string(), error.hint());
    }
});
