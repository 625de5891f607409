//! `lyceum generate`.

use std::fs;

use crate::fixture::{Ran, arg, model, model_copy, run, run_with_stdin, write_run};
use checkpoint::{Weights, weights};
use tokenize::Tokenizer;

fn generate(args: &[&str]) -> Ran {
    let model = arg(model());
    run(&[&["generate", &model], args].concat())
}

#[test]
fn equal_seeds_give_equal_text() {
    let text = |seed: &str| generate(&["-p", "It was", "-n", "20", "--seed", seed]).done();
    assert_eq!(text("1"), text("1"));
    assert_ne!(text("1"), text("2"));
    let threads = generate(&["-p", "It was", "-n", "20", "--seed", "1", "--threads", "1"]).done();
    assert_eq!(threads, text("1"));
}

#[test]
fn greedy_text_is_what_the_full_pass_finds_most_likely() {
    let dir = tempfile::tempdir().expect("a directory");
    let tokenizer = Tokenizer::load(model()).expect("loads");
    let mut ids = tokenizer.encode("It was").expect("encodes");
    let n_prompt = ids.len();
    for _ in 0..8 {
        let (inputs, outputs) = (dir.path().join("in"), dir.path().join("out"));
        let values: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
        crate::fixture::write_ids(&inputs, &[("input_ids", &[1, ids.len()], &values)]);
        let (inputs, outputs) = (arg(&inputs), arg(&outputs));
        let args = ["forward", &arg(model()), "--inputs", &inputs, "--outputs", &outputs];
        run(&args).done();
        let logits = Weights::open(outputs.as_ref()).expect("opens");
        let logits = logits.to_f32("logits").expect("there");
        let last = &logits[logits.len() - tokenizer.vocab_size()..];
        let best = (0..last.len()).rev().max_by(|&a, &b| last[a].total_cmp(&last[b]));
        ids.push(best.expect("some") as u32);
    }
    let expected = tokenizer.decode(&ids[n_prompt..]).expect("decodes");
    assert_eq!(generate(&["-p", "It was", "-n", "8", "--greedy"]).done(), expected + "\n");
}

#[test]
fn a_stop_string_is_not_printed_and_nothing_after_it() {
    let whole = generate(&["-p", "It was", "-n", "24", "--seed", "3"]).done();
    let chars: Vec<char> = whole.trim_end_matches('\n').chars().collect();
    let stop: String = chars[6..9].iter().collect();
    let at = whole.find(&stop).expect("inside");
    let ran = generate(&["-p", "It was", "-n", "24", "--seed", "3", "--stop", &stop]);
    assert!(ran.stderr.ends_with("a stop string came\n"), "{}", ran.stderr);
    assert_eq!(ran.done(), format!("{}\n", &whole[..at]));
}

#[test]
fn samples_come_one_after_another_or_as_json() {
    let args = ["-p", "It was", "-n", "6", "--samples", "3"];
    let text = generate(&args).done();
    let json = generate(&[&args[..], &["--json"]].concat()).done();
    let samples: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(samples.len(), 3);
    let texts: Vec<&str> = samples.iter().map(|s| s["text"].as_str().expect("text")).collect();
    assert_eq!(text, texts.join("\n---\n") + "\n");
    assert_eq!(samples[2]["prompt"], "It was");
    assert_eq!(samples[0]["finish"], "length");
    assert_eq!(samples[0]["n_tokens"], 6);
    let one = generate(&["-p", "It was", "-n", "6"]).done();
    assert_eq!(one, format!("{}\n", texts[0]));
}

#[test]
fn a_prompt_comes_from_a_file_or_standard_input_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prompt.txt");
    fs::write(&file, "It was").expect("written");
    let expected = generate(&["-p", "It was", "-n", "9"]).done();
    assert_eq!(generate(&["--prompt-file", &arg(&file), "-n", "9"]).done(), expected);
    let args = ["generate", &arg(model()), "--prompt-file", "-", "-n", "9"];
    assert_eq!(run_with_stdin(&args, b"It was").done(), expected);
    let refused = run_with_stdin(&args, b"It w\xff").refused();
    assert!(refused.contains("standard input is not UTF-8 at byte 4"), "{refused}");
    let refused = generate(&["--prompt-file", "/no/such"]).refused();
    assert!(refused.contains("failed to read `/no/such`"), "{refused}");
    assert!(refused.contains("hint: "), "{refused}");
    let refused = generate(&["--prompt-file", "/dev/zero"]).refused();
    assert!(refused.contains("the prompt in `/dev/zero` has more than 64 MiB"), "{refused}");
}

#[test]
fn special_text_in_a_prompt_is_text() {
    let json = generate(&["-p", "<|endoftext|>", "-n", "1", "--json"]);
    assert!(!json.stderr.contains("prompt 1 tokens"), "{}", json.stderr);
    json.done();
}

#[test]
fn without_a_prompt_the_model_begins() {
    let ran = generate(&["-n", "5"]);
    assert!(ran.stderr.contains("prompt 1 tokens"), "{}", ran.stderr);
    ran.done();
}

#[test]
fn any_number_of_tokens_may_be_asked_for() {
    let ran = generate(&["-n", "18446744073709551615"]);
    assert!(ran.stderr.contains("context is full") || ran.stderr.contains("ended"));
    ran.done();
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_figures() {
    let stderr = generate(&["-p", &"q".repeat(33)]).refused();
    let expected = "error: the prompt has 33 tokens, the model's context is 32\n\nhint: ";
    assert!(stderr.starts_with(expected), "{stderr}");
    let full = generate(&["-p", &"q".repeat(32), "-n", "9"]);
    assert!(full.stderr.ends_with("context is full\n") || full.stderr.contains("ended"));
    full.done();
}

#[test]
fn impossible_sampling_is_refused() {
    for (args, field) in [
        (["--top-p", "1.5"], "--top-p"),
        (["--top-k", "0"], "--top-k"),
        (["--min-p", "NaN"], "--min-p"),
        (["--temperature", "inf"], "--temperature"),
        (["--repetition-penalty", "0"], "--repetition-penalty"),
    ] {
        let stderr = generate(&args).refused();
        assert!(stderr.contains(&format!("`{field}` is ")), "{stderr}");
        assert!(stderr.contains("hint: "), "{stderr}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let copy = model_copy();
    let path = copy.path().join(weights::FILE_NAME);
    let mut bytes = fs::read(&path).expect("read");
    // Names and shapes are at the beginning, and as they were.
    let first = bytes.len() - bytes.len() / 8 * 4;
    bytes[first..].chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&f32::NAN.to_le_bytes()));
    fs::write(&path, bytes).expect("written");
    let stderr = run(&["generate", &arg(copy.path()), "-p", "It was"]).refused();
    assert!(stderr.starts_with("error: the model's scores after position"), "{stderr}");
    assert!(stderr.contains("hint: the weights are damaged"), "{stderr}");
}

#[test]
fn more_samples_than_memory_are_refused_with_the_figure() {
    let stderr = generate(&["-p", "a", "--samples", "9000000000"]).refused();
    assert!(stderr.starts_with("error: the cache of 9000000000 samples needs"), "{stderr}");
}

#[test]
fn a_run_means_its_best_checkpoint() {
    let dir = tempfile::tempdir().expect("a directory");
    let run_dir = dir.path().join("run");
    write_run(&run_dir, 0.1);
    let expected = generate(&["-p", "It was", "-n", "9"]).done();
    let of_run = || run(&["generate", &arg(&run_dir), "-p", "It was", "-n", "9"]);
    let ran = of_run();
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(ran.done(), expected);
    let best = run_dir.join("checkpoints/step-2").join(weights::FILE_NAME);
    let mut bytes = fs::read(&best).expect("read");
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&best, bytes).expect("written");
    let ran = of_run();
    assert!(ran.stderr.contains("warning: damaged checkpoint"), "{}", ran.stderr);
    assert_eq!(ran.done(), expected);
}

#[test]
fn a_directory_that_cannot_be_loaded_is_refused() {
    let empty = tempfile::tempdir().expect("a directory");
    let refuse = |dir: &std::path::Path| run(&["generate", &arg(dir), "-p", "a"]).refused();
    assert!(refuse(empty.path()).contains("neither a model directory nor a run"));
    assert!(refuse("/no/such".as_ref()).contains("failed to read `/no/such`"));
    let seed = refuse(&crate::fixture::golden("seed-tiny"));
    assert!(seed.contains("no tokenizer in") && seed.contains("hint: the model reads tokens"));
    let copy = model_copy();
    let truncate = |name: &str| {
        let path = copy.path().join(name);
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    };
    truncate(weights::FILE_NAME);
    let stderr = refuse(copy.path());
    assert!(stderr.contains("no valid safetensors file"), "{stderr}");
    truncate("config.json");
    assert!(refuse(copy.path()).contains("is not the JSON of a model's config"));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let copy = model_copy();
    let config = copy.path().join("config.json");
    let other = crate::fixture::golden("gpt2-tiny");
    fs::copy(other.join("config.json"), &config).expect("copied");
    fs::copy(other.join(weights::FILE_NAME), copy.path().join(weights::FILE_NAME)).expect("copied");
    let stderr = run(&["generate", &arg(copy.path()), "-p", "a"]).refused();
    assert!(stderr.contains("tokens, the model 101"), "{stderr}");
}

#[test]
fn a_vocabulary_that_begins_texts_begins_the_prompt() {
    let copy = model_copy();
    let end = Tokenizer::load(copy.path()).expect("loads").end_of_text().expect("one");
    let edit = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let path = copy.path().join(name);
        let text = fs::read(&path).expect("there");
        let mut json = serde_json::from_slice(&text).expect("JSON");
        change(&mut json);
        fs::write(path, json.to_string()).expect("written");
    };
    let token = tokenize::END_OF_TEXT;
    edit("tokenizer_config.json", &|json| json["bos_token"] = token.into());
    edit("tokenizer.json", &|json| {
        let first = serde_json::json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = |id: &str| serde_json::json!({"Sequence": {"id": id, "type_id": 0}});
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [first, text("A")],
            "pair": [first, text("A"), text("B")],
            "special_tokens": {token: {"id": token, "ids": [end], "tokens": [token]}},
        });
    });
    let args = ["-p", "It was", "-n", "2", "--greedy"];
    let n_prompt = |dir: &std::path::Path| -> u32 {
        let ran = run(&[&["generate", &arg(dir)][..], &args].concat());
        let line = ran.stderr.rsplit("prompt ").next().expect("a line").to_owned();
        ran.done();
        line.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
    };
    assert_eq!(n_prompt(copy.path()), n_prompt(model()) + 1);
}

#[test]
fn beams_write_one_text_and_a_single_one_writes_the_greedy_one() {
    let model = arg(model());
    let write = |options: &[&str]| {
        let args = ["generate", &model, "--prompt", "It was", "-n", "6", "--json"];
        run(&[&args[..], options].concat()).json()
    };
    let (one, four) = (write(&["--beams", "1"]), write(&["--beams", "4"]));
    assert_eq!(one["text"], write(&["--greedy"])["text"]);
    assert_eq!(four["text"], write(&["--beams", "4"])["text"]);
    assert!(four["n_tokens"].as_u64().is_some_and(|n| n <= 6), "{four}");
    let said = generate(&["-p", "It was", "-n", "6", "--beams", "4"]).stderr;
    assert!(said.contains(" new tokens, in ") && !said.contains("tokens/s"), "{said}");
    let said = run(&["generate", &model, "--beams", "2", "--samples", "2"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}
