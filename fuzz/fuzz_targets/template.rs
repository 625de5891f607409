//! A chat template, a conversation through it, and what of that the assistant says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenize::{Chat, ChatTemplate, Message};

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = ChatTemplate::new(source) else { return };
    let turns = [("system", "be"), ("user", "\u{6c34} <b>"), ("assistant", "\u{706b}")];
    let messages = turns.map(|(role, content)| Message::new(role, content));
    let chat = Chat { messages: &messages, ..Chat::default() };
    let asked = Chat { messages: &messages[..2], add_generation_prompt: true, ..chat.clone() };
    if let Err(error) = template.render(&asked) {
        let _ = (error.to_string(), error.hint());
    }
    match template.transcript(&chat) {
        Ok(transcript) => {
            for (turn, said) in transcript.said {
                assert!(turn == 2 && transcript.text.get(said.clone()).is_some(), "{said:?}");
            }
        }
        Err(error) => _ = (error.to_string(), error.hint()),
    }
});
