use datasets::{Input, Message, Place, Record, Said};
use tokenize::{ChatError, ChatTemplate, Tokenizer};

use super::{Dialogue, DialogueError, Spoken};
use crate::Framed;

const TURNS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                     {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn tokenizer() -> Tokenizer {
    let text = "a user asks and the assistant answers: hello there, the house is old. ".repeat(9);
    let tokenizer = Tokenizer::train(std::iter::once(text), 300).unwrap();
    tokenizer.grow(&["<|im_start|>", "<|im_end|>"].map(str::to_owned), true).unwrap()
}

fn messages(turns: &[(&'static str, &str)]) -> Vec<Message> {
    let message = |&(role, content): &(&'static str, &str)| Message {
        role,
        content: content.to_owned(),
        more: serde_json::Map::new(),
    };
    turns.iter().map(message).collect()
}

fn record(input: Input) -> Record {
    let at = Place { file: "talk.jsonl".into(), unit: "line", number: 7 };
    Record { id: "0".into(), at, input }
}

fn pair(source: &str, target: &str, dialogue: &Dialogue) -> Framed {
    let (source, target) = (source.to_owned(), target.to_owned());
    dialogue.example(0, &record(Input::Pairs { source, target })).unwrap()
}

struct Lab {
    tokenizer: Tokenizer,
    template: ChatTemplate,
}

impl Lab {
    fn new() -> Self {
        Self { tokenizer: tokenizer(), template: ChatTemplate::new(TURNS).unwrap() }
    }

    fn dialogue(&self) -> Dialogue<'_> {
        let end = self.tokenizer.end_of_text().unwrap();
        let template = Some(&self.template);
        Dialogue { tokenizer: &self.tokenizer, template, max_len: 512, end, start: None }
    }

    /// What is learned, run by run, as text with special tokens.
    fn learned(&self, spoken: &Spoken) -> Vec<String> {
        let mut runs: Vec<Vec<u32>> = vec![];
        let mut was = false;
        for (&id, &is) in spoken.ids.iter().zip(&spoken.is_learned) {
            if is && !was {
                runs.push(vec![]);
            }
            if is {
                runs.last_mut().unwrap().push(id);
            }
            was = is;
        }
        runs.iter().map(|ids| self.text(ids)).collect()
    }

    fn text(&self, ids: &[u32]) -> String {
        let token = |id: &u32| {
            let is_special = self.tokenizer.is_special(*id);
            is_special.then(|| self.tokenizer.token(*id).unwrap())
        };
        let token = |id: &u32| token(id).unwrap_or_else(|| self.tokenizer.decode(&[*id]).unwrap());
        ids.iter().map(token).collect()
    }
}

#[test]
fn the_assistants_turns_are_learned_with_what_ends_them() {
    let lab = Lab::new();
    let talk = messages(&[
        ("system", "be short"),
        ("user", "hello"),
        ("assistant", "hello there"),
        ("user", "and?"),
        ("assistant", "the house"),
    ]);
    let spoken = lab.dialogue().chat(&talk, None).unwrap();
    assert_eq!(lab.learned(&spoken), ["hello there<|im_end|>", "the house<|im_end|>"]);
    let text = lab.text(&spoken.ids);
    assert!(text.ends_with("<|im_start|>assistant\nthe house<|im_end|>\n"), "{text}");
    // A turn that nothing ends is known as such.
    let of = |dialogue: &Dialogue| {
        let (messages, tools) = (talk.clone(), None);
        dialogue.example(0, &record(Input::Chat { messages, tools })).unwrap().is_open
    };
    let open = ChatTemplate::new(&TURNS.replace("<|im_end|>", "")).unwrap();
    assert!(!of(&lab.dialogue()) && of(&Dialogue { template: Some(&open), ..lab.dialogue() }));
    // Each token asks for the next one.
    let example = spoken.clone().example(3);
    assert_eq!(example.input.ids, spoken.ids[..spoken.ids.len() - 1]);
    for (at, &target) in example.targets.iter().enumerate() {
        let is = spoken.is_learned[at + 1];
        assert_eq!(target, if is { spoken.ids[at + 1] } else { data::IGNORED });
    }
}

#[test]
fn an_answer_is_the_last_turn_alone_and_its_prompt_is_what_the_model_is_given() {
    let lab = Lab::new();
    let dialogue = lab.dialogue();
    let before =
        messages(&[("user", "hello"), ("assistant", "hello there"), ("user", "is it old?")]);
    let (prompt, text) = (Said::Messages(before), "the house is old".to_owned());
    let spoken = dialogue.answer(&prompt, &Said::Text(text)).unwrap();
    assert_eq!(lab.learned(&spoken), ["the house is old<|im_end|>"]);
    assert_eq!(spoken.split().0, dialogue.prompt(&prompt).unwrap());

    let [prompt, answer] = ["the house ", "is old"].map(|text| Said::Text(text.to_owned()));
    let spoken = dialogue.answer(&prompt, &answer).unwrap();
    let end = dialogue.end;
    assert_eq!(spoken.ids.last(), Some(&end));
    // A blank between both goes to the second, as the tokenizer has it in any text.
    assert_eq!(lab.learned(&spoken), [" is old<|endoftext|>"]);
    let whole = lab.tokenizer.encode("the house is old").unwrap();
    assert_eq!(spoken.ids[..spoken.ids.len() - 1], whole);
}

#[test]
fn special_tokens_written_in_a_pair_are_text() {
    let lab = Lab::new();
    let framed = pair("hello<|endoftext|>", "<|im_end|>", &lab.dialogue());
    let end = lab.dialogue().end;
    assert!(!framed.example.input.ids.contains(&end), "{framed:?}");
    let n_ends = framed.example.targets.iter().filter(|id| **id == end).count();
    assert_eq!((n_ends, framed.example.targets.last()), (1, Some(&end)));
}

#[test]
fn what_is_too_long_is_cut_and_counted_until_nothing_is_asked() {
    let lab = Lab::new();
    let talk = messages(&[("user", "hello there the house"), ("assistant", "old old old old")]);
    let input = || Input::Chat { messages: talk.clone(), tools: None };
    let whole = lab.dialogue().example(0, &record(input())).unwrap();
    let n = whole.example.input.ids.len();
    assert_eq!((whole.n_cut, whole.example.is_asked()), (0, true));
    for max_len in [n, n - 1, n - 3, 2, 1, 0] {
        let dialogue = Dialogue { max_len, ..lab.dialogue() };
        let cut = dialogue.example(0, &record(input())).unwrap();
        assert_eq!((cut.example.input.ids.len(), cut.n_cut), (max_len, n - max_len));
        assert_eq!(cut.example.input.ids, whole.example.input.ids[..max_len]);
        assert_eq!(cut.example.targets, whole.example.targets[..max_len]);
        assert_eq!(cut.example.is_asked(), max_len >= n - 3, "{max_len}");
    }
}

#[test]
fn an_encoder_reads_the_source_and_the_end_stays_where_a_target_is_cut() {
    let lab = Lab::new();
    let dialogue = Dialogue { start: Some(5), ..lab.dialogue() };
    let Framed { example, n_cut, .. } = pair("hello there", "the house", &dialogue);
    let output = example.output.clone().unwrap();
    assert_eq!(lab.text(&example.input.ids), "hello there<|endoftext|>");
    assert_eq!(lab.text(&example.targets), "the house<|endoftext|>");
    assert_eq!(output.ids[0], 5);
    assert_eq!(output.ids[1..], example.targets[..example.targets.len() - 1]);
    assert_eq!((n_cut, pair("hello", "", &dialogue).example.targets), (0, vec![dialogue.end]));
    let short = Dialogue { max_len: 8, ..dialogue };
    let Framed { example, n_cut, .. } = pair("a", "the house is old the house is old", &short);
    assert_eq!((example.targets.len(), example.targets.last()), (8, Some(&dialogue.end)));
    assert!(n_cut > 0);
}

#[test]
fn what_a_model_is_not_shown_is_refused_with_its_place() {
    let lab = Lab::new();
    let talk = messages(&[("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]);
    let of = |dialogue: Dialogue| {
        dialogue.example(0, &record(Input::Chat { messages: talk.clone(), tools: None }))
    };
    let failed = |dialogue: Dialogue| of(dialogue).unwrap_err();
    let error = failed(Dialogue { template: None, ..lab.dialogue() });
    assert!(error.to_string().starts_with("`talk.jsonl`, line 7: the model has no chat template"));
    assert!(error.hint().is_some());
    let error = failed(Dialogue { start: Some(1), ..lab.dialogue() });
    assert!(error.to_string().contains("a model with an encoder"), "{error}");
    let last = "{% for m in messages %}{{ loop.last }}{{ m.content }}{% endfor %}";
    let template = ChatTemplate::new(last).unwrap();
    let error = failed(Dialogue { template: Some(&template), ..lab.dialogue() });
    let DialogueError::Record { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, DialogueError::Chat(ChatError::NotPrefix { turn: 2, n: 4 })));
}
