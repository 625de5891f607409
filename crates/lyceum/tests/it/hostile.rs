//! Models that are damaged, or made to do harm: whatever the command, refused with a word on what
//! to do, in little time and memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Ran, arg, golden, model, write_ids};

/// Addresses a command may take: a tiny model needs a tenth.
const MAX_KIB: u32 = 2_000_000;
/// A command that takes longer hangs.
const MAX_SECONDS: &str = "60";

/// The commands that run a model.
const RUN: [&str; 5] = ["convert", "forward", "run", "generate", "chat"];

const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// Runs a command on the model in `dir`, held to its bounds.
fn run_bounded(command: &str, dir: &Path, text: &str) -> Ran {
    let lab = TempDir::new().expect("a directory");
    let [inputs, out] = ["in", "out"].map(|name| lab.path().join(name));
    write_ids(&inputs, &[("input_ids", &[1, 2], &[1, 2])]);
    let (dir, inputs, out) = (arg(dir), arg(inputs), arg(out));
    let args: Vec<&str> = match command {
        "convert" => vec![&dir, &out, "--to", "hf"],
        "forward" => vec![&dir, "--inputs", &inputs, "--outputs", &out],
        "run" => vec![&dir, text],
        "generate" => vec![&dir, "-p", text, "-n", "1"],
        "chat" => vec![&dir, "-n", "1", "-q"],
        _ => vec![&dir],
    };
    let bounds = format!("ulimit -v {MAX_KIB}; exec timeout {MAX_SECONDS} \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &bounds, env!("CARGO_BIN_EXE_lyceum"), command]).args(args);
    let turn = lab.path().join("turn");
    fs::write(&turn, format!("{text}\n")).expect("written");
    shell.stdin(fs::File::open(turn).expect("there")).env("LYCEUM_THREADS", "1");
    Ran::new(shell.output().expect("runs"))
}

#[track_caller]
fn assert_refused(dir: &Path, commands: &[&str], (text, said): (&str, &str)) {
    for command in commands {
        let stderr = run_bounded(command, dir, text).refused();
        let (message, hint) = stderr.split_once("\n\nhint: ").unwrap_or((&stderr, ""));
        assert!(message.contains(said), "{command}: expected `{said}` in {stderr}");
        assert!(!hint.trim().is_empty(), "{command}: no hint in {stderr}");
        assert!(stderr.len() < 4000, "{command}: {stderr}");
    }
}

/// What cannot be run may still be looked at: what is wrong is one line of what there is.
#[track_caller]
fn assert_looked_at(dir: &Path) {
    let ran = run_bounded("inspect", dir, "");
    match ran.code {
        Some(0) => assert!(ran.stdout.contains("family") && ran.stdout.len() < 8000),
        _ => drop(ran.refused()),
    }
}

/// A copy of a directory.
fn copy(from: &Path) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    for entry in fs::read_dir(from).expect("there").flatten() {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    dir
}

fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.join(name);
    let text = fs::read(&path).expect("there");
    let mut json = serde_json::from_slice(&text).expect("JSON");
    change(&mut json);
    fs::write(path, json.to_string()).expect("written");
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(dir.join(name), bytes).expect("written");
}

/// What an attack does to a copy of the tiny model.
type Attack = fn(&Path);

#[track_caller]
fn assert_all_refused(cases: &[(Attack, &str)]) {
    for (attack, said) in cases {
        let dir = copy(model());
        attack(dir.path());
        assert_refused(dir.path(), &RUN, ("a", said));
    }
}

/// Puts an index in the weights' place.
fn index(dir: &Path, shard: &str) {
    fs::remove_file(dir.join(WEIGHTS)).expect("there");
    let map = json!({ "weight_map": { "transformer.wte.weight": shard } });
    write(dir, INDEX, map.to_string());
}

fn safetensors(dir: &Path, header: &str) {
    write(dir, WEIGHTS, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat());
}

fn pickle(dir: &Path, program: &[u8]) {
    fs::remove_file(dir.join(WEIGHTS)).expect("there");
    write(dir, "pytorch_model.bin", [b"\x80\x02", program].concat());
}

/// A GGUF file with so many tensors and values, and what follows.
fn gguf(dir: &Path, [n_tensors, n_values]: [u64; 2], rest: &[u8]) {
    fs::remove_file(dir.join(WEIGHTS)).expect("there");
    fs::remove_file(dir.join(CONFIG)).expect("there");
    let head = [b"GGUF\x03\0\0\0", &n_tensors.to_le_bytes()[..], &n_values.to_le_bytes()].concat();
    write(dir, "model.gguf", [&head, rest].concat());
}

/// A value of GGUF under a key.
fn value(key: &str, kind: u32, bytes: &[u8]) -> Vec<u8> {
    let len = key.len() as u64;
    [&len.to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), bytes].concat()
}

#[test]
fn weights_that_are_not_what_they_should_be_are_refused() {
    let cases: [(Attack, &str); 10] = [
        (|dir| fs::remove_file(dir.join(WEIGHTS)).expect("there"), "no weights to be read"),
        (|dir| index(dir, "a.safetensors"), "missing shard `a.safetensors`"),
        (|dir| index(dir, "../a.safetensors"), "in `../a.safetensors`, outside the directory"),
        (|dir| index(dir, "/dev/zero"), "in `/dev/zero`, outside the directory"),
        (
            |dir| {
                symlink("/dev/zero", dir.join("a.safetensors")).expect("made");
                index(dir, "a.safetensors");
            },
            "failed to read",
        ),
        (|dir| write(dir, WEIGHTS, []), "no valid safetensors file"),
        (|dir| write(dir, WEIGHTS, [0xff; 64]), "no valid safetensors file"),
        (
            |dir| safetensors(dir, r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#),
            "missing tensor `wte.weight`",
        ),
        (
            |dir| {
                let shape = "[18446744073709551615,18446744073709551615]";
                let entry = r#""dtype":"F32","data_offsets":[0,4]"#;
                safetensors(dir, &format!(r#"{{"a":{{"shape":{shape},{entry}}}}}"#));
            },
            "no valid safetensors file",
        ),
        (
            |dir| safetensors(dir, &format!("{{\"a\":{}", "[".repeat(1 << 20))),
            "no valid safetensors",
        ),
    ];
    assert_all_refused(&cases);
}

#[test]
fn weights_of_other_formats_that_do_harm_are_refused() {
    let cases: [(Attack, &str); 10] = [
        (|dir| pickle(dir, b"cos\nsystem\n(U\x0atouch pwnedtR."), "asks for `os.system`"),
        (|dir| pickle(dir, b"c__builtin__\nexec\n."), "asks for `__builtin__.exec`"),
        (|dir| pickle(dir, b"(Nios\nsystem\n."), "asks for opcode 0x69 (INST)"),
        (|dir| pickle(dir, &[b"(".repeat(1 << 20), b"l".repeat(1 << 20)].concat()), "PyTorch file"),
        (|dir| gguf(dir, [u64::MAX, 0], b""), "no valid GGUF file"),
        (|dir| gguf(dir, [0, u64::MAX], b""), "no valid GGUF file"),
        (
            |dir| {
                let nested = [9_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()].concat();
                gguf(dir, [0, 1], &value("a", 9, &nested.repeat(1 << 16)));
            },
            "an array in more than 4 others",
        ),
        (
            |dir| {
                let name = [&5_u64.to_le_bytes()[..], b"mamba"].concat();
                gguf(dir, [0, 1], &value("general.architecture", 8, &name));
            },
            "`mamba` is not one of llama, qwen2",
        ),
        (
            |dir| {
                let mut tensor = [&1_u64.to_le_bytes()[..], b"a", &2_u32.to_le_bytes()].concat();
                tensor.extend([u64::MAX.to_le_bytes(), u64::MAX.to_le_bytes()].concat());
                tensor.extend([0; 12]);
                gguf(dir, [1, 0], &tensor);
            },
            "which F32 cannot be",
        ),
        (
            |dir| {
                fs::remove_file(dir.join(WEIGHTS)).expect("there");
                write(
                    dir,
                    "flax_model.msgpack",
                    [b"\x81\xa1a".repeat(1 << 20), vec![0xc0]].concat(),
                );
            },
            "no valid Flax msgpack file",
        ),
    ];
    assert_all_refused(&cases);
    assert!(!Path::new("pwned").exists());
}

#[test]
fn a_file_of_weights_that_lies_is_refused_where_it_is_inspected_alone() {
    let dir = copy(model());
    safetensors(dir.path(), &format!("{{\"a\":{}", "[".repeat(1 << 20)));
    assert_refused(&dir.path().join(WEIGHTS), &["inspect"], ("", "no valid safetensors file"));
    pickle(dir.path(), b"cos\nsystem\n(U\x0atouch pwnedtR.");
    let path = dir.path().join("pytorch_model.bin");
    assert_refused(&path, &["inspect"], ("", "asks for `os.system`"));
    let dir = copy(model());
    gguf(dir.path(), [0, u64::MAX], b"");
    assert_refused(&dir.path().join("model.gguf"), &["inspect"], ("", "no valid GGUF file"));
    assert_refused(dir.path(), &["inspect"], ("", "no valid GGUF file"));
}

#[test]
fn a_config_that_cannot_be_is_refused() {
    let texts: [(&str, &str); 6] = [
        ("", "not the JSON"),
        ("[]", "no `model_type`"),
        ("{}", "no `model_type`"),
        (r#"{"model_type": 7}"#, "no `model_type`"),
        (r#"{"model_type": "mamba"}"#, "is a `mamba`, which is not known"),
        ("{\"model_type\": \"gpt2\", \"n_layer\": 1e999}", "not the JSON"),
    ];
    for (text, said) in texts {
        let dir = copy(model());
        write(dir.path(), CONFIG, text);
        assert_refused(dir.path(), &RUN, ("a", said));
        assert_looked_at(dir.path());
    }
    let dir = copy(model());
    write(dir.path(), CONFIG, "[".repeat(1 << 20));
    assert_refused(dir.path(), &RUN, ("a", "not the JSON"));
    assert_looked_at(dir.path());
    write(dir.path(), CONFIG, " ".repeat(9 << 20));
    assert_refused(dir.path(), &RUN, ("a", "failed to read"));
    assert_looked_at(dir.path());
    fs::remove_file(dir.path().join(CONFIG)).expect("there");
    symlink("/dev/zero", dir.path().join(CONFIG)).expect("made");
    assert_refused(dir.path(), &RUN, ("a", ""));
    assert_looked_at(dir.path());
    let fields: [(&str, Value, &str); 13] = [
        ("n_layer", 0.into(), "`n_layers`: must be at least 1"),
        ("n_layer", (-1).into(), "-1"),
        ("n_layer", 4097.into(), "4097 is more than 4096"),
        ("n_layer", u64::MAX.into(), "more than"),
        ("n_layer", 3.into(), "missing tensor `transformer.h.2."),
        ("n_embd", 48.into(), "has shape"),
        ("n_embd", 0.into(), "must be at least 1"),
        ("n_head", 5.into(), "5 does not divide d_model = 24"),
        ("n_head", 0.into(), "0 does not divide d_model = 24"),
        ("n_inner", u64::MAX.into(), "more than"),
        ("vocab_size", (1_u64 << 62).into(), "more than"),
        ("layer_norm_epsilon", 0.into(), "`norm_eps`: 0 is not between 0 and 1"),
        ("layer_norm_epsilon", "NaN".into(), "not the JSON of a model's config"),
    ];
    for (field, value, said) in fields {
        let dir = copy(model());
        edit(dir.path(), CONFIG, |config| config[field] = value);
        assert_refused(dir.path(), &RUN, ("a", said));
        assert_looked_at(dir.path());
    }
    let dir = copy(&golden("mixtral"));
    for (field, value, said) in [
        ("num_local_experts", json!(1 << 24), "`n_experts`"),
        ("num_hidden_layers", json!(4096), "missing tensor"),
        ("rms_norm_eps", json!(-1), "`norm_eps`"),
        ("head_dim", json!(1 << 30), "`d_head`"),
        ("num_key_value_heads", json!(3), "`n_kv_heads`"),
        ("rope_parameters", json!({ "rope_theta": -1 }), "`theta`"),
        ("rope_parameters", json!({ "rope_type": "x" }), "`rope_type`"),
        ("max_position_embeddings", json!(1_u64 << 40), "more than"),
    ] {
        let before = fs::read(dir.path().join(CONFIG)).expect("there");
        edit(dir.path(), CONFIG, |config| config[field] = value);
        assert_refused(dir.path(), &["forward", "convert"], ("", said));
        write(dir.path(), CONFIG, before);
    }
}

#[test]
fn a_tokenizer_that_cannot_be_is_refused() {
    let deep = format!("{{\"model\":{}", "[".repeat(1 << 20));
    for (text, said) in
        [("[", "tokenizer.json"), (&deep, "tokenizer.json"), ("{}", "tokenizer.json")]
    {
        let dir = copy(model());
        write(dir.path(), "tokenizer.json", text);
        assert_refused(dir.path(), &["generate"], ("a", said));
        assert_refused(&dir.path().join("tokenizer.json"), &["inspect"], ("", said));
    }
    let dir = copy(model());
    fs::remove_file(dir.path().join("tokenizer.json")).expect("there");
    assert_refused(dir.path(), &["generate"], ("a", "no tokenizer in"));
    // A head that fills in masks, and a vocabulary without one.
    let dir = copy(&golden("bert-mlm"));
    write(dir.path(), "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n");
    write(dir.path(), "tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer"}"#);
    assert_refused(dir.path(), &["run"], ("a b", "its tokenizer has no mask token"));
    write(dir.path(), "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
    assert_refused(dir.path(), &["run"], ("a b", "has no `[MASK]`"));
    let long = "a ".repeat(1000) + "[MASK]";
    assert_refused(dir.path(), &["run"], (&long, "tokens, the model's context"));
}

#[test]
fn a_template_that_loops_or_reaches_out_is_stopped() {
    let dir = copy(model());
    assert_refused(dir.path(), &["chat"], ("a", "has no chat template"));
    for (template, said) in [
        ("{% include '/etc/passwd' %}", "reaches for a file"),
        ("{% import '../x' as y %}", "reaches for a file"),
        ("{{ open('/etc/passwd') }}", "failed"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}", "end"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "failed"),
        ("{{ 'x' * 1000000000 }}", "does not come to an end"),
        ("{% if %}", "is no Jinja"),
        ("{{ messages[0].content * 40 }}", "tokens, the model's context 32"),
    ] {
        write(dir.path(), "chat_template.jinja", template);
        assert_refused(dir.path(), &["chat"], ("a", said));
    }
}

#[test]
fn a_text_longer_than_the_context_is_refused_with_figures() {
    assert_refused(model(), &["generate"], (&"q".repeat(33), "has 33 tokens, the model's context"));
}
