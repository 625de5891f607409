//! Chat templates, held against `apply_chat_template` of `transformers`.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tokenize::{Chat, ChatError, ChatTemplate, Message, Tokenizer};

use crate::{golden, model};

fn render(source: &str) -> Result<String, ChatError> {
    let messages = [Message::new("user", "hello")];
    let now = Some(UNIX_EPOCH + Duration::from_hours(495_984));
    ChatTemplate::new(source)?.render(&Chat { messages: &messages, now, ..Chat::default() })
}

/// The llama model has the tokens `<s>` and `</s>`, as the reference had.
fn tokenizer() -> Tokenizer {
    Tokenizer::load(model(&["llama-model", "llama"]).path()).unwrap()
}

#[test]
fn texts_are_those_of_the_reference() {
    let file = fs::read(golden("chat").join("chat.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let tokenizer = tokenizer();
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let source = file["templates"][name].as_str().unwrap();
        let template = tokenizer.chat_template_from(source).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages = case["messages"].as_array().unwrap().iter();
        let messages: Vec<Message> =
            messages.map(|m| Message::new(&text(&m["role"]), &text(&m["content"]))).collect();
        let add_generation_prompt = case["add_generation_prompt"].as_bool().unwrap();
        let chat = Chat { messages: &messages, add_generation_prompt, ..Chat::default() };
        match (template.render(&chat), case.get("text")) {
            (Ok(got), Some(wanted)) => assert_eq!(got, text(wanted), "{name}"),
            (Err(ChatError::Raised { message }), None) => {
                assert_eq!(message, text(&case["error"]), "{name}");
            }
            (got, wanted) => panic!("{name}: {got:?}, expected {wanted:?}"),
        }
    }
}

#[test]
fn the_template_is_found_in_the_directory() {
    let dir = model(&["llama-model", "llama"]);
    let load = |config: &str| {
        fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        let template = Tokenizer::load(dir.path()).unwrap().chat_template().unwrap()?;
        Some(template.render(&Chat::default()).unwrap())
    };
    assert_eq!(load("{}"), None);
    assert_eq!(load(r#"{"chat_template": "one {{ bos_token }}"}"#).unwrap(), "one <s>");
    let named = r#"{"chat_template": [{"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "two"}]}"#;
    assert_eq!(load(named).unwrap(), "two");
    fs::write(dir.path().join("chat_template.jinja"), "three").unwrap();
    assert_eq!(load(named).unwrap(), "three");
}

#[test]
fn a_chat_becomes_ids() {
    let tokenizer = tokenizer();
    let source = "{% for m in messages %}{{ bos_token + m.content + eos_token }}{% endfor %}";
    let template = tokenizer.chat_template_from(source).unwrap();
    let messages = [Message::new("user", "a")];
    let text = template.render(&Chat { messages: &messages, ..Chat::default() }).unwrap();
    let ids = tokenizer.encode_with_specials(&text).unwrap();
    let special = tokenizer.special_ids();
    assert_eq!((ids.first().copied(), ids.last().copied()), (special.bos, special.eos));
}

#[test]
fn variables_and_the_time_are_given() {
    let template = ChatTemplate::new("{{ thinking }}{{ strftime_now('%d %b %Y') }}").unwrap();
    let now = Some(UNIX_EPOCH + Duration::from_hours(495_984));
    let variables = [("thinking".to_owned(), Value::Bool(true))].into();
    let text = template.render(&Chat { variables, now, ..Chat::default() }).unwrap();
    assert_eq!(text, "True01 Aug 2026");
}

#[test]
fn generation_tags_are_taken_out() {
    let cases = [
        ("a{% generation %}b{% endgeneration %}c", "abc"),
        ("a {%- generation -%} b {%- endgeneration -%} c", "abc"),
        ("{{ '{% generation' }}{%generation%}x{%endgeneration%}", "{% generationx"),
        ("{% set generation = 1 %}{{ generation }}", "1"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source).unwrap(), expected, "{source}");
    }
}

#[test]
fn hostile_templates_are_stopped() {
    let nested = "[".repeat(5000);
    let cases = [
        ("a\nb\n{% if %}", "line 3 of the chat template is no Jinja"),
        ("{{ x", "line 1 of the chat template is no Jinja"),
        ("a\n{% include 'passwords' %}", "line 2 of the chat template reaches for a file"),
        ("{% import 'x' as y %}", "reaches for a file"),
        ("{% extends 'x' %}", "reaches for a file"),
        ("{% from '../x' import y %}", "reaches for a file"),
        ("{{ raise_exception('no such role') }}", "refuses the conversation: no such role"),
        ("{% macro f() %}{{ raise_exception('deep') }}{% endmacro %}{{ f() }}", "deep"),
        ("{{ range(100000000) }}", "failed"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}", "end"),
        (
            "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}\
             {% endfor %}",
            "does not come to an end",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "failed"),
        ("{% include 'chat_template' %}", "failed"),
        ("{{ 'x' * 1000000000 }}", "does not come to an end"),
        ("{{ ['x' * 99999] * 1000 }}", "writes more than 16777216 bytes"),
        ("{{ messages.nothing.more }}", "line 1 of the chat template failed"),
        ("{{ nothing() }}", "failed"),
        ("{{ 'a' | nothing }}", "failed"),
        ("{{ open('x') }}", "failed"),
        ("{{ strftime_now('%Q') }}", "does not know"),
        (&format!("{{{{ {nested} }}}}"), "is no Jinja"),
    ];
    for (source, expected) in cases {
        let error = render(source).map(|text| text.len()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{source}: {expected} in {message} ({error:?})");
    }
}

#[test]
fn what_is_nested_by_a_loop_is_no_danger() {
    let source = "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% for j in range(20) %}\
        {% set ns.x = [ns.x] %}{% endfor %}{% endfor %}{{ ns.x | tojson }}";
    assert!(render(source).is_err());
    let unrolled = format!("{}{{{{ x }}}}", "{% set x=[x] %}".repeat(8000));
    assert!(render(&unrolled).is_ok());
    let chained = format!("{{{{ 1{} }}}}", "+1".repeat(60_000));
    assert!(render(&chained).is_ok());
}

#[test]
fn a_template_larger_than_any_is_refused() {
    let error = ChatTemplate::new(&"x".repeat(2 << 20)).unwrap_err();
    assert!(matches!(error, ChatError::TooLarge { .. }), "{error}");
    assert!(error.hint().is_some());
}

/// Turns between marks, the last of an assistant open where it is asked for.
const TURNS: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}\
                     {% if add_generation_prompt %}<assistant>{% endif %}";

fn talk() -> [Message; 5] {
    [("system", "be"), ("user", "a"), ("assistant", "bc"), ("user", "d"), ("assistant", "")]
        .map(|(role, content)| Message::new(role, content))
}

#[test]
fn what_the_assistant_says_is_found_whatever_marks_it() {
    let messages = talk();
    let chat = Chat { messages: &messages, ..Chat::default() };
    let said = |source: &str| -> Vec<(usize, String)> {
        let found = ChatTemplate::new(source).unwrap().transcript(&chat).unwrap();
        found.said.into_iter().map(|(turn, at)| (turn, found.text[at].to_owned())).collect()
    };
    let expected = [(2, "bc</s>\n".to_owned()), (4, "</s>\n".to_owned())];
    assert_eq!(said(TURNS), expected);
    // Without a beginning of the answer, that is a part of it.
    let plain = "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}\n{% endfor %}";
    assert_eq!(said(plain), [(2, "a: bc\n".to_owned()), (4, "a: \n".to_owned())]);
    let none = ChatTemplate::new(TURNS).unwrap();
    let user = Chat { messages: &messages[..2], ..Chat::default() };
    assert_eq!(none.transcript(&user).unwrap().said, []);
    assert_eq!(none.transcript(&Chat::default()).unwrap().text, "");
}

#[test]
fn a_template_that_rewrites_the_past_is_refused_with_the_turn() {
    let messages = talk();
    let chat = Chat { messages: &messages, ..Chat::default() };
    let cases = [
        // The last answer alone is with thoughts, as Qwen3 has it.
        ("{% for m in messages %}{% if loop.last %}?{% endif %}{{ m.content }}{% endfor %}", 3),
        // Something comes first that depends on how much there is.
        ("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}", 3),
        ("{% if add_generation_prompt %}?{% endif %}", 3),
    ];
    for (source, expected) in cases {
        match ChatTemplate::new(source).unwrap().transcript(&chat) {
            Err(ChatError::NotPrefix { turn, n }) => assert_eq!((turn, n), (expected, 5)),
            other => panic!("{source}: {other:?}"),
        }
    }
    let refuses = "{% if messages | length == 3 %}{{ raise_exception('no') }}{% endif %}";
    let refused = ChatTemplate::new(refuses).unwrap().transcript(&chat);
    assert!(matches!(refused, Err(ChatError::Raised { .. })), "{refused:?}");
}

#[test]
fn templates_are_given_tools_and_all_that_a_message_has() {
    let mut message = Message::new("assistant", "");
    let call = serde_json::json!([{"name": "now", "arguments": {"zone": "UTC"}}]);
    message.more.insert("tool_calls".to_owned(), call);
    let source = "{{ tools[0].name }} {{ messages[0].tool_calls[0].arguments.zone }}";
    let variables = [("tools".to_owned(), serde_json::json!([{"name": "now"}]))].into();
    let chat = Chat { messages: &[message], variables, ..Chat::default() };
    assert_eq!(ChatTemplate::new(source).unwrap().render(&chat).unwrap(), "now UTC");
}
