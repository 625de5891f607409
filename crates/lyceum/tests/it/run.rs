//! What models do with texts and sounds: random ones, so that what is said is theirs alone.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use checkpoint::OsDisk;
use checkpoint::weights::{self, save_file};
use models::Model;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenize::Tokenizer;

use crate::fixture::{Ran, TEXT, arg, lyceum, run, run_with_stdin};

const LINES: &str = "It was a bright day.\nthe clocks\nIt was cold, and it was April in the town\n";

fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("written");
}

/// A random model of this config in a directory.
fn random(dir: &Path, config: &Value) {
    write_json(&dir.join("config.json"), config);
    let config = Model::load_config(dir).expect("a config");
    let model = Model::new(config, 3).expect("builds");
    save_file(&OsDisk, &dir.join(weights::FILE_NAME), &model.entries()).expect("saved");
}

/// A random model with a tokenizer of the crate `tokenize`.
fn with_tokenizer(name: &str, config: impl Fn(usize) -> Value) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tokenize/tests/golden").join(name);
    for entry in fs::read_dir(golden).expect("there").flatten() {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    let tokenizer = Tokenizer::load(dir.path()).expect("loads");
    random(dir.path(), &config(tokenizer.vocab_size()));
    dir
}

fn t5() -> TempDir {
    with_tokenizer("t5", |n| {
        json!({
            "model_type": "t5", "vocab_size": n, "d_model": 24, "d_kv": 7, "d_ff": 17,
            "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0, "eos_token_id": 1,
            "initializer_factor": 3.0, "task_specific_params": {
                "summarization": { "prefix": "summarize: ", "num_beams": 3, "max_length": 6 },
            },
        })
    })
}

fn marian() -> TempDir {
    with_tokenizer("marian", |n| {
        json!({
            "model_type": "marian", "vocab_size": n, "d_model": 24, "encoder_layers": 1,
            "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 3,
            "encoder_ffn_dim": 19, "decoder_ffn_dim": 17, "max_position_embeddings": 40,
            "decoder_start_token_id": n - 1, "eos_token_id": 0, "bad_words_ids": [[n - 1]],
            "num_beams": 4, "max_length": 12, "init_std": 0.3,
        })
    })
}

fn bert(class: &str) -> TempDir {
    with_tokenizer("bert", |n| {
        json!({
            "model_type": "bert", "architectures": [class], "vocab_size": n, "hidden_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 31,
            "max_position_embeddings": 48, "num_labels": 3, "initializer_range": 0.3,
        })
    })
}

/// A chat in which standard error tells more.
fn chat(model: &str, options: &[&str], turns: &str) -> Ran {
    let mut command = lyceum(&[&["chat", model, "--greedy", "-n", "7"], options].concat());
    let mut child = command
        .env("LYCEUM_LOG", "debug")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("piped").write_all(turns.as_bytes()).expect("taken");
    Ran::new(child.wait_with_output().expect("ends"))
}

#[test]
fn a_chat_reads_each_token_once_and_says_the_same() {
    let dir = with_tokenizer("byte-level", |n| {
        json!({
            "model_type": "llama", "vocab_size": n, "hidden_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 17,
            "max_position_embeddings": 256, "initializer_range": 0.3,
        })
    });
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>";
    fs::write(dir.path().join("chat_template.jinja"), template).expect("written");
    let [one, two, again] = ["one", "two", "again"].map(|name| arg(dir.path().join(name)));
    let model = arg(dir.path());
    let (first, second) = ("It was a bright day.\n", "the clocks\n");
    let whole = chat(&model, &[], &format!("{first}/save {one}\n{second}/save {two}\n"));
    let read = |said: &str| -> Vec<[u32; 2]> {
        let line = |line: &str| {
            let rest = line.strip_prefix("debug: ")?.strip_suffix(" tokens were read before")?;
            let (n, of) = rest.split_once(" of ")?;
            Some([n, of].map(|n| n.parse().expect("a number")))
        };
        said.lines().filter_map(line).collect()
    };
    let counts = read(&whole.stderr);
    assert!(counts.len() == 2 && counts[0][0] == 0, "{}", whole.stderr);
    assert!(counts[1][0] >= counts[0][1] && counts[1][0] < counts[1][1], "{counts:?}");
    let later = chat(&model, &["--load", &one], &format!("{second}/save {again}\n"));
    assert_eq!(read(&later.stderr), [[0, counts[1][1]]]);
    // More tokens than there are numbers for.
    let most = usize::MAX.to_string();
    let endless = run_with_stdin(&["chat", &model, "--greedy", "-n", &most], first.as_bytes());
    assert_eq!(endless.code, Some(0), "{}", endless.stderr);
    let [found, expected] = [again, two].map(|path| fs::read_to_string(path).expect("saved"));
    assert_eq!(found, expected);
    assert_eq!(found.lines().count(), 4);
}

#[test]
fn what_ends_a_turn_is_said_by_the_generation_settings() {
    let dir = with_tokenizer("byte-level", |n| {
        json!({
            "model_type": "llama", "vocab_size": n, "hidden_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 4, "intermediate_size": 17, "initializer_range": 0.3,
            "max_position_embeddings": 64,
        })
    });
    let model = arg(dir.path());
    let args = ["generate", &model, "--prompt", "It was", "--greedy", "-n", "9", "--json"];
    assert_eq!(run(&args).json()["finish"], "length");
    let every: Vec<usize> = (0..Tokenizer::load(dir.path()).expect("loads").vocab_size()).collect();
    let settings = json!({ "eos_token_id": every });
    write_json(&dir.path().join("generation_config.json"), &settings);
    let ended = run(&args).json();
    assert_eq!((&ended["finish"], &ended["n_tokens"]), (&json!("end"), &json!(0)));
}

#[test]
fn every_line_becomes_a_line_whatever_is_beside_it() {
    for dir in [t5(), marian()] {
        let model = arg(dir.path());
        for options in [&["-n", "9"][..], &["--beams", "3", "-n", "9"], &["--temperature", "1.5"]] {
            let run = |batch: &str| {
                let args = [&["run", &model, "-", "--json", "--batch", batch], options].concat();
                run_with_stdin(&args, LINES.as_bytes()).done()
            };
            let together = run("3");
            assert_eq!(together, run("1"), "{options:?}");
            assert_eq!(together.lines().count(), 3);
            for (line, text) in together.lines().zip(LINES.lines()) {
                let line: Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(line["text"], text);
                let n = line["n_tokens"].as_u64().expect("a number");
                assert!(line["output"].is_string() && (n <= 9 || options.len() < 3), "{line}");
                let ended = line["finish"] == "end" || line["finish"] == "length";
                assert!(ended, "{line}");
            }
        }
        let plain = run_with_stdin(&["run", &model, "-"], LINES.as_bytes()).done();
        assert_eq!(plain.lines().count(), 3, "{plain}");
    }
}

#[test]
fn a_task_is_what_the_config_says_it_is() {
    let dir = t5();
    let model = arg(dir.path());
    let json = |args: &[&str]| run(&[&["run", &model, "--json"], args].concat()).json();
    let task = json(&["--task", "summarization", "It was cold."]);
    let by_hand = json(&["--beams", "3", "-n", "5", "summarize: It was cold."]);
    assert_eq!(task["output"], by_hand["output"]);
    assert!(task["n_tokens"].as_u64().expect("a number") <= 5);
    let said = run(&["run", &model, "--task", "translation", "a"]).refused();
    assert!(said.contains("no task `translation`") && said.contains("summarization"), "{said}");
}

#[test]
fn generation_settings_that_cannot_be_followed_are_refused() {
    let dir = marian();
    let model = arg(dir.path());
    for (settings, why) in [
        (json!({ "num_beams": 0 }), "`num_beams` is 0, expected a number from 1 to 1024"),
        (json!({ "decoder_start_token_id": 99999 }), "a text is to begin with token 99999 of"),
        (json!({ "guidance_scale": 2.5 }), "`guidance_scale` is 2.5, expected nothing"),
        (json!({ "do_sample": true, "num_beams": 2 }), "ask for drawing (`do_sample`) by 2 beams"),
    ] {
        write_json(&dir.path().join("generation_config.json"), &settings);
        let said = run(&["run", &model, "a"]).refused();
        assert!(said.contains(why) && said.contains("hint: "), "{said}");
    }
    fs::write(dir.path().join("generation_config.json"), "{").expect("written");
    assert!(run(&["run", &model, "a"]).refused().contains("generation_config.json"));
}

#[test]
fn embeddings_are_the_same_in_a_file_for_numpy() {
    let dir = bert("BertModel");
    let (model, out) = (arg(dir.path()), dir.path().join("out.npy"));
    let printed = run_with_stdin(&["run", &model, "-"], LINES.as_bytes()).done();
    let args = ["run", &model, "-", "--batch", "2", "--out", &arg(&out)];
    assert_eq!(run_with_stdin(&args, LINES.as_bytes()).done(), "");
    let bytes = fs::read(&out).expect("written");
    let head = String::from_utf8_lossy(&bytes[10..128]);
    assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
    let dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 24), }";
    assert!(head.starts_with(dict) && head.ends_with('\n'), "{head}");
    let found: Vec<f64> = bytes[128..]
        .chunks_exact(4)
        .map(|x| f64::from(f32::from_le_bytes(x.try_into().expect("four"))))
        .collect();
    let expected = printed.lines().flat_map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["embedding"].as_array().expect("a list").clone()
    });
    let expected: Vec<f64> = expected.map(|x| x.as_f64().expect("a number")).collect();
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    for (path, why) in [
        ("out.json", "does not end in `.npy`"),
        (&*arg(&out), "exists"),
        ("nowhere/out.npy", "there is no folder `nowhere`"),
    ] {
        let said = run(&["run", &model, "a", "--out", path]).refused();
        assert!(said.contains(why) && said.contains("hint: "), "{said}");
    }
}

#[test]
fn a_text_that_is_refused_is_named_after_what_came_before_it() {
    let dir = bert("BertModel");
    let model = arg(dir.path());
    let long = "cold ".repeat(60);
    for (lines, why) in [
        (format!("one\ntwo\n{long}\nfour\n").into_bytes(), "text 3, `cold cold"),
        (b"one\ntwo\n\xff\nfour\n".to_vec(), "line 3 of standard input cannot be read"),
    ] {
        let ran = run_with_stdin(&["run", &model, "-"], &lines);
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(1), 2), "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    let dir = bert("BertModel");
    let path = dir.path().join(weights::FILE_NAME);
    let mut model = Model::load(dir.path()).expect("loads").0;
    model.params.values_mut().fill(f32::NAN);
    save_file(&OsDisk, &path, &model.entries()).expect("saved");
    let every: Vec<String> = (0..200).map(|i| format!("{i} It was cold")).collect();
    let ran = run_with_stdin(&["run", &arg(dir.path()), "-"], every.join("\n").as_bytes());
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("is not finite") && ran.stderr.contains("hint: "),
        "{}",
        ran.stderr
    );
    assert!(!ran.stdout.contains("null"));
}

#[test]
fn what_says_how_to_pool_is_followed_and_kept() {
    let dir = bert("BertModel");
    let model = arg(dir.path());
    let vector = |model: &str, options: &[&str]| {
        run(&[&["run", model, "It was a bright day."], options].concat()).json()["embedding"]
            .clone()
    };
    let (mean, cls) = (vector(&model, &[]), vector(&model, &["--pooling", "cls"]));
    assert_ne!(mean, cls);
    fs::create_dir(dir.path().join("1_Pooling")).expect("made");
    let pooling = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false });
    write_json(&dir.path().join("1_Pooling/config.json"), &pooling);
    let modules = ["Transformer", "Pooling", "Normalize"].map(|name| {
        let path = if name == "Pooling" { "1_Pooling" } else { "" };
        json!({ "type": format!("sentence_transformers.models.{name}"), "path": path })
    });
    write_json(&dir.path().join("modules.json"), &json!(modules));
    assert_eq!(vector(&model, &[]), cls);
    assert_eq!(vector(&model, &["--pooling", "mean"]), mean);
    let copy = arg(dir.path().join("copy"));
    run(&["convert", &model, &copy, "--to", "hf"]).done();
    assert_eq!(vector(&copy, &[]), cls);
    let parts = arg(dir.path().join("parts"));
    run(&["convert", &model, &parts, "--to", "hf", "--max-shard-size", "9KB"]).done();
    assert!(Path::new(&parts).join("model.safetensors.index.json").exists());
    assert_eq!(vector(&parts, &[]), cls);
    let said = run(&["convert", &model, "a.gguf", "--to", "gguf", "--max-shard-size", "9KB"]);
    assert!(said.refused().contains("a GGUF file is one file"));
    fs::write(dir.path().join("vocab.txt"), [0xff, 0xfe]).expect("written");
    let said = run(&["convert", &model, &arg(dir.path().join("again")), "--to", "hf"]).refused();
    assert!(said.contains("vocab.txt"), "{said}");
}

#[test]
fn pairs_of_texts_come_as_json_lines() {
    let dir = bert("BertForSequenceClassification");
    let model = arg(dir.path());
    let classify =
        |lines: &str| run_with_stdin(&["run", &model, "-", "--jsonl", "--json"], lines.as_bytes());
    let pair = r#"{"text": "It was", "text_pair": "cold in April"}"#;
    let out = classify(&format!("{{\"text\": \"It was\"}}\n{pair}\n")).done();
    let lines: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[1]["text_pair"]), (2, &json!("cold in April")));
    assert_ne!(lines[0]["likely"], lines[1]["likely"]);
    for (line, why) in [
        ("It was", "line 1 of standard input is no JSON"),
        ("{\"body\": \"a\"}", "line 1 of standard input has no text `text`"),
        ("{\"text\": \"a\", \"text_pair\": 3}", "has a `text_pair` that is no text"),
    ] {
        let said = classify(line).refused();
        assert!(said.contains(why) && said.contains("hint: a line is an object"), "{said}");
    }
    let marian = marian();
    for model in [&model, &arg(marian.path())] {
        let said = run(&["run", model, "a", "--out", "a.npy"]).refused();
        assert!(said.contains("`--out` is for embeddings"), "{said}");
        let said = run(&["run", model, "a", "--timestamps"]).stderr;
        assert!(said.contains("warning: --timestamps has no effect with this model"), "{said}");
    }
}

#[test]
fn every_word_is_tagged_with_its_likeliest_class() {
    let dir = bert("BertForTokenClassification");
    let lines = "It was\nIt was a bright day\n";
    let out = run_with_stdin(&["run", &arg(dir.path()), "-"], lines.as_bytes()).done();
    let tags: Vec<Vec<&str>> = out.lines().map(|line| line.split(", ").collect()).collect();
    let words: Vec<&str> = lines.split_whitespace().collect();
    assert_eq!((tags[0].len(), tags[1].len()), (2, 5), "{out}");
    for (tag, word) in tags.iter().flatten().zip(words) {
        let (token, said) = tag.rsplit_once(": LABEL_").expect("a class");
        let (class, share) = said.split_once(' ').expect("a share");
        let share: f32 = share.strip_suffix(" %").expect("of it").parse().expect("a number");
        assert!(token == word && ["0", "1", "2"].contains(&class), "{tag}");
        assert!((33.3..=100.0).contains(&share), "{tag}");
    }
}

#[test]
fn an_answer_is_a_part_of_the_text_that_has_it() {
    let dir = bert("BertForQuestionAnswering");
    let model = arg(dir.path());
    let answer =
        |lines: &str| run_with_stdin(&["run", &model, "-", "--jsonl", "--json"], lines.as_bytes());
    let context = "The clocks were striking thirteen in April.";
    let line = json!({ "question": "How cold was it?", "context": context });
    let longer = json!({ "text": "Who?", "text_pair": "It was a bright day." });
    let out = answer(&format!("{line}\n{longer}\n")).done();
    let first: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
    let said = &first["answer"];
    let at = |key: &str| said[key].as_u64().expect("a place") as usize;
    assert_eq!(said["text"], context[at("start")..at("end")], "{out}");
    let p = said["p"].as_f64().expect("a share");
    assert!(0.0 < p && p <= 1.0 && at("start") < at("end"), "{out}");
    assert_eq!(answer(&format!("{longer}\n")).done().lines().next(), out.lines().nth(1));
    let said = answer("{\"text\": \"Who was it?\"}").refused();
    assert!(said.contains("has no `text_pair`: the model answers questions\n\nhint: "), "{said}");
}

#[test]
fn one_of_some_choices_is_the_likeliest() {
    let dir = bert("BertForMultipleChoice");
    let model = arg(dir.path());
    let choose = |lines: &str| {
        run_with_stdin(&["run", &model, "-", "--jsonl", "--json", "--batch", "2"], lines.as_bytes())
    };
    let choices = ["in the town", "a bright cold day", "the clocks"];
    let line = json!({ "text": "It was", "choices": choices });
    let out = choose(&format!("{line}\n{{\"text\": \"a\", \"choices\": [\"b\"]}}\n")).done();
    let said: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
    let likely = said["likely"].as_array().expect("a list");
    let mut names: Vec<_> = likely.iter().map(|one| one["name"].as_str().expect("one")).collect();
    let sum: f64 = likely.iter().map(|one| one["p"].as_f64().expect("a share")).sum();
    assert!((sum - 1.0).abs() < 1e-5 && likely[0]["p"].as_f64() >= likely[1]["p"].as_f64());
    names.sort_unstable();
    assert_eq!(names, ["a bright cold day", "in the town", "the clocks"]);
    assert_eq!(out.lines().count(), 2);
    // What came before one that is refused is told.
    let ran = choose(&format!("{line}\n{{\"text\": \"a\"}}\n"));
    assert_eq!(ran.stdout.lines().next(), out.lines().next());
    assert!(ran.stderr.contains("has no `choices`: the model chooses"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(1));
    let said = choose("{\"text\": \"a\", \"choices\": [3]}").refused();
    assert!(said.contains("has `choices` that are no list of texts"), "{said}");
}

fn llama(class: &str, n_labels: usize) -> TempDir {
    with_tokenizer("byte-level", |n| {
        json!({
            "model_type": "llama", "architectures": [class], "vocab_size": n, "hidden_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 17,
            "max_position_embeddings": 256, "initializer_range": 0.3, "num_labels": n_labels,
        })
    })
}

#[test]
fn texts_are_classified_whatever_is_beside_them() {
    let t5 = t5();
    let config = fs::read(t5.path().join("config.json")).expect("there");
    let mut config: Value = serde_json::from_slice(&config).expect("JSON");
    config["architectures"] = json!(["T5ForSequenceClassification"]);
    config["num_labels"] = 3.into();
    random(t5.path(), &config);
    for dir in
        [t5, llama("LlamaForSequenceClassification", 3), bert("BertForSequenceClassification")]
    {
        let model = arg(dir.path());
        let run_with = |options: &[&str]| {
            run_with_stdin(&[&["run", &model, "-"], options].concat(), LINES.as_bytes()).done()
        };
        let together = run_with(&["--json"]);
        let alone = run_with(&["--json", "--batch", "1"]);
        for (line, other) in together.lines().zip(alone.lines()) {
            let shares = |line: &str| -> Vec<(String, f64)> {
                let line: Value = serde_json::from_str(line).expect("JSON");
                let share =
                    |one: &Value| (one["name"].to_string(), one["p"].as_f64().expect("a share"));
                line["likely"].as_array().expect("a list").iter().map(share).collect()
            };
            for (a, b) in shares(line).iter().zip(shares(other)) {
                assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-5, "{line} {other}");
            }
        }
        assert_eq!(together.lines().count(), 3);
        let said = run(&["inspect", &model, "--json"]).json();
        assert_eq!(
            (&said["task"], &said["labels"][2]),
            (&json!("classification"), &json!("LABEL_2"))
        );
    }
    let dir = llama("LlamaForSequenceClassification", 1);
    let model = arg(dir.path());
    let number = run(&["run", &model, "It was a bright day."]).done();
    assert!(number.trim().parse::<f32>().is_ok(), "{number}");
    let said = run(&["generate", &model, "--prompt", "It was"]).refused();
    assert!(said.contains("is a `llama` with a head for another task"), "{said}");
    assert!(said.contains("hint: `lyceum run` says what it makes of a text"), "{said}");
    let said = run(&["convert", &model, "a.gguf", "--to", "gguf"]).refused();
    assert!(said.contains("GGUF has no words for a head that scores no tokens"), "{said}");
}

/// A model of speech that knows two languages, with a window of a second.
fn whisper() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let tokenizer = Tokenizer::train(std::iter::repeat_n(TEXT.to_owned(), 8), 290).expect("trains");
    let n = tokenizer.vocab_size();
    let names = ["startoftranscript", "en", "de", "translate", "transcribe", "notimestamps"];
    for (name, bytes) in tokenizer.files().expect("as JSON") {
        let mut file: Value = serde_json::from_slice(&bytes).expect("JSON");
        if name == "tokenizer.json" {
            for (i, name) in names.iter().enumerate() {
                let token = json!({
                    "id": n + i, "content": format!("<|{name}|>"), "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false, "special": true,
                });
                file["added_tokens"].as_array_mut().expect("a list").push(token);
            }
        }
        write_json(&dir.path().join(name), &file);
    }
    let end = tokenizer.end_of_text().expect("an end");
    write_json(
        &dir.path().join("generation_config.json"),
        &json!({
            "decoder_start_token_id": n, "eos_token_id": end, "no_timestamps_token_id": n + 5,
            "lang_to_id": { "<|en|>": n + 1, "<|de|>": n + 2 }, "max_length": 20,
            "task_to_id": { "translate": n + 3, "transcribe": n + 4 },
            "begin_suppress_tokens": [end],
        }),
    );
    random(
        dir.path(),
        &json!({
            "model_type": "whisper", "vocab_size": n + 6 + 51, "d_model": 24, "encoder_layers": 1,
            "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 3,
            "encoder_ffn_dim": 19, "decoder_ffn_dim": 17, "num_mel_bins": 10,
            "max_source_positions": 50, "max_target_positions": 24, "init_std": 0.2,
        }),
    );
    dir
}

/// So many seconds of a tone, at 8 000 samples a second.
fn wav(seconds: f32) -> Vec<u8> {
    let n = (8_000.0 * seconds) as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + 2 * n).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend([8_000_u32, 16_000].map(u32::to_le_bytes).concat());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((2 * n).to_le_bytes());
    let sample = |i: u32| ((i as f32 * 0.3).sin() * 9_000.0) as i16;
    bytes.extend((0..n).flat_map(|i| sample(i).to_le_bytes()));
    bytes
}

#[test]
fn a_sound_of_any_length_is_written_down() {
    let dir = whisper();
    let model = arg(dir.path());
    for seconds in [0.4_f32, 3.3] {
        let file = dir.path().join("tone.wav");
        fs::write(&file, wav(seconds)).expect("written");
        for beams in ["1", "3"] {
            let args = ["run", &model, &arg(&file), "--json", "--timestamps", "--beams", beams];
            let said = run(&args).json();
            assert_eq!(said["seconds"], json!((f64::from(seconds) * 100.0).round() / 100.0));
            assert!(said["language"] == "en" || said["language"] == "de", "{said}");
            let mut last = 0.0;
            for segment in said["segments"].as_array().expect("a list") {
                let time = |name: &str| segment[name].as_f64().expect("seconds");
                assert!(last <= time("start") && time("start") <= time("end"), "{said}");
                assert!(time("end") <= f64::from(seconds) + 1e-6 && segment["text"].is_string());
                last = time("start");
            }
        }
        let args = ["run", &model, &arg(&file), "--language", "de", "--task", "translate"];
        let text = run(&args).done();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let bytes = fs::read(&file).expect("there");
        let piped = ["run", &model, "-", "--language", "de", "--task", "translate"];
        assert_eq!(run_with_stdin(&piped, &bytes).done(), text);
    }
    let json =
        run(&["run", &model, &arg(dir.path().join("tone.wav")), "--language", "de", "--json"]);
    assert_eq!(json.json()["language"], "de");
}

#[test]
fn packets_that_cannot_be_decoded_are_said() {
    let dir = whisper();
    let tones = "../data/tests/golden/audio/tones.mp3";
    let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(tones)).expect("there");
    bytes[1_677..1_685].fill(0x55);
    let said = run_with_stdin(&["run", &arg(dir.path()), "-"], &bytes).stderr;
    assert!(said.contains("1 of 12 packets of `-` cannot be decoded"), "{said}");
}

#[test]
fn what_is_no_sound_or_not_known_is_refused() {
    let dir = whisper();
    let model = arg(dir.path());
    let [text, cut, whole] = ["a.txt", "cut.wav", "a.wav"].map(|name| dir.path().join(name));
    fs::write(&text, TEXT).expect("written");
    fs::write(&whole, wav(0.5)).expect("written");
    fs::write(&cut, &wav(0.5)[..3_000]).expect("written");
    let refused = |args: &[&str]| run(&[&["run", &model], args].concat()).refused();
    for (args, why) in [
        (&[&*arg(&text)][..], "`is no audio of a known format"),
        (&[&arg(&cut)], "ends after 0.2 of 0.5 seconds"),
        (&["no/such.wav"], "failed to open `no/such.wav`"),
        (&[&arg(&whole), "--language", "fr"], "does not know the language `fr`"),
        (&[&arg(&whole), "--language", "fr"], "hint: it knows de, en"),
        (&[&arg(&whole), "--task", "sing"], "hint: it knows transcribe, translate"),
    ] {
        let said = refused(args);
        assert!(said.contains(why.trim_start_matches('`')) && said.contains("hint: "), "{said}");
    }
    let said = run_with_stdin(&["run", &model, "-"], b"").refused();
    assert!(
        said.starts_with("error: standard input is empty") && said.contains("hint: "),
        "{said}"
    );
}
