//! `lyceum pretrain`: resumption, and what it refuses.

use std::fs;
use std::path::Path;

use crate::fixture::{arg, lyceum, run};
use crate::recipe::{Lab, STEPS, expected, refusal, text};

#[test]
fn an_extended_run_equals_one_that_was_never_stopped() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=9"]).done();
    let ran = lab.pretrain("a", &["--resume", "--set", &format!("train.steps={STEPS}")]);
    assert!(ran.stderr.contains("resuming at step 9"), "{}", ran.stderr);
    ran.done();
    // The run that ended at 9 was judged there; no other difference.
    let mut rows = lab.metrics("a");
    rows.retain(|row| row["step"] != 9 || row.get("eval").is_none());
    assert_eq!(rows, expected());
    assert!(lab.path("a/report.html").exists());
}

#[test]
fn resuming_where_nothing_is_yet_starts_and_says_so() {
    let lab = Lab::new();
    let ran = lab.pretrain("new", &["--resume"]);
    assert!(ran.stderr.contains("no checkpoint yet: starting at step 0"), "{}", ran.stderr);
    ran.done();
    assert_eq!(lab.metrics("new"), expected());
    let again = lab.pretrain("new", &["--resume"]);
    assert!(again.stderr.contains(&format!("resuming at step {STEPS}")), "{}", again.stderr);
    again.done();
    assert_eq!(lab.metrics("new"), expected());
}

#[test]
fn a_resumption_of_nothing_names_a_recipe_or_is_refused() {
    let lab = Lab::new();
    let typo = arg(lab.path("typo"));
    let stderr = refusal(run(&["pretrain", "--out", &typo, "--resume"]));
    assert!(stderr.contains("no run to resume") && stderr.contains("hint: check"), "{stderr}");
    assert!(!lab.path("typo").exists());
}

/// A file of a run, as it is.
fn read(lab: &Lab, name: &str) -> Vec<u8> {
    fs::read(lab.path("a").join(name)).expect("there")
}

#[test]
fn a_refused_resumption_leaves_the_run_as_it_was() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=6"]).done();
    let files = ["recipe.toml", "metrics.jsonl", "report.html"];
    let before = files.map(|name| read(&lab, name));
    let stderr = refusal(lab.pretrain("a", &["--resume", "--set", "train.steps=2"]));
    assert!(stderr.contains("is at step 6, beyond the 2") && stderr.contains("hint: "), "{stderr}");
    assert_eq!(files.map(|name| read(&lab, name)), before);
    // Its data is gone, and so is the text it was made from; the tokenizer is found again.
    let tokenizer = read(&lab, "data/tokenizer/tokenizer.json");
    fs::remove_file(lab.path("a/data/train.tokens")).expect("removed");
    fs::write(lab.path("text.txt"), text(600).replace("ship", "boat")).expect("written");
    let stderr = refusal(lab.pretrain("a", &["--resume"]));
    assert!(stderr.contains("the hash of the training tokens differs"), "{stderr}");
    assert!(stderr.contains("hint: bring back `data/`"), "{stderr}");
    assert_eq!(files.map(|name| read(&lab, name)), before);
    assert_eq!(read(&lab, "data/tokenizer/tokenizer.json"), tokenizer);
    // With the text as it was, what was lost is made again.
    fs::write(lab.path("text.txt"), text(600)).expect("written");
    for name in ["train.tokens", "validation.tokens"] {
        fs::remove_file(lab.path("a/data").join(name)).expect("removed");
        lab.pretrain("a", &["--resume", "--set", "train.steps=24"]).done();
    }
    assert_eq!(lab.metrics("a").last(), expected().last());
}

#[test]
fn time_that_is_over_saves_and_exits_3() {
    let lab = Lab::new();
    let ran = lab.pretrain("a", &["--set", "train.max_hours=1e-9"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("--resume"), "{}", ran.stderr);
    lab.pretrain("a", &["--resume"]).done();
    assert_eq!(lab.metrics("a"), expected());
}

/// What is refused, with the parts of its message; the hint begins with the last one.
fn refusals(lab: &Lab) -> Vec<(Vec<String>, Vec<&'static str>)> {
    let files: [(&str, &[u8]); 5] = [
        ("empty.txt", b""),
        ("one.txt", b"a"),
        ("latin.txt", b"hello \xe9 there"),
        ("binary.txt", b"ELF\0\x01\x02"),
        ("short.gz", b"plain"),
    ];
    for (name, bytes) in files {
        fs::write(lab.path(name), bytes).expect("written");
    }
    let data = |name: &str| vec![format!("data.paths=[{:?}]", lab.path(name))];
    let sets = |sets: &[&str]| sets.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
    vec![
        (data("missing.txt"), vec!["failed to open", "missing.txt", "hint: check the path"]),
        (data("empty.txt"), vec!["empty.txt", "holds no text", "hint: name a file"]),
        (data("one.txt"), vec!["the text has 0 tokens, one", "hint: add text: this is too"]),
        (data("latin.txt"), vec!["latin.txt` is not UTF-8 at byte 6", "hint: convert"]),
        (data("binary.txt"), vec!["is a binary file: byte 3 is NUL", "hint: only text"]),
        (data("short.gz"), vec!["cannot be decompressed", "hint: the download"]),
        (sets(&["train.stpes=3"]), vec!["unknown field `stpes`", "hint: did you mean `steps`?"]),
        (sets(&["trian.steps=3"]), vec!["`trian`", "hint: did you mean `train`?"]),
        (sets(&["train.steps=many"]), vec!["`train.steps`", "hint: it takes a whole number"]),
        (sets(&["train.steps=9300000000000000000"]), vec!["no such number", "hint: whole numbers"]),
        (sets(&["model.dropout=1"]), vec!["`model.dropout`", "hint: "]),
        (sets(&["model.preset=foo", "model.depth=2"]), vec!["`foo` is not one of", "hint: "]),
        (
            sets(&["model.preset=gpt2", "model.depth=2"]),
            vec!["`model.depth` sets every size too", "hint: "],
        ),
        (sets(&["train.micro_batch=5"]), vec!["`train.micro_batch`: 5 is not at most", "hint: "]),
        (sets(&["steps"]), vec!["`--set steps`", "hint: for instance"]),
        (sets(&["train.batch_size=0"]), vec!["`train.batch_size`", "hint: change it"]),
        (sets(&["optim.peak_lr=-1"]), vec!["`peak_lr` is -1", "hint: peaks"]),
        (
            sets(&["model.d_model=33"]),
            vec!["`model.n_heads`: 2 does not divide d_model = 33", "hint: make `model.d_model`"],
        ),
        (sets(&["model.depth=0"]), vec!["`model.depth`: 0 is not at least 1", "hint: change it"]),
        (sets(&["train.steps=2000000000000"]), vec!["is not in [1, 2^40]", "hint: change it"]),
        (sets(&["model.family=lstm"]), vec!["`lstm` is not one of", "hint: change it"]),
        (
            sets(&["model.family=seed_transformer", "model.d_model=31", "model.n_heads=1"]),
            vec!["31 is odd", "hint: change it"],
        ),
        (
            sets(&["data.seq_len=100000"]),
            vec!["one window of seq_len = 100000", "hint: `data.seq_len"],
        ),
        (
            sets(&["data.validation_fraction=0.9"]),
            vec!["0.9 is not in [0, 0.5]", "hint: change it"],
        ),
        (sets(&["tokenizer.vocab_size=3"]), vec!["`tokenizer.vocab_size`: 3 is not", "hint: "]),
        (sets(&["tokenizer.vocab_size=2000000"]), vec!["2000000 is not in [257", "hint: "]),
        (sets(&["tokenizer.path=nowhere"]), vec!["nowhere", "hint: "]),
        (sets(&["train.precision=int8"]), vec!["`int8` is not one of auto", "hint: change it"]),
        (
            sets(&["model.n_layers=4000", "model.d_model=8192"]),
            vec!["`model` needs 46.9 TiB of memory, available: ", "hint: take a smaller model"],
        ),
        (sets(&["train.batch_size=10000000000"]), vec!["of memory", "hint: "]),
        (
            sets(&["train.batch_size=100000000", "train.micro_batch=0"]),
            vec!["of memory", "hint: lower `train.micro_batch`"],
        ),
    ]
}

#[test]
fn what_is_refused_says_why_and_leaves_nothing() {
    let lab = Lab::new();
    for (sets, expected) in refusals(&lab) {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let stderr = refusal(lab.pretrain("runs/a", &sets));
        for part in &expected {
            assert!(stderr.contains(part), "{sets:?}: no `{part}` in\n{stderr}");
        }
        assert!(!lab.path("runs").exists(), "{sets:?} left a directory");
    }
    for name in ["text.txt", "text.txt/a/b"] {
        let stderr = refusal(lab.pretrain(name, &[]));
        assert!(stderr.contains("hint: a file is where a directory is needed"), "{stderr}");
    }
    // Nothing stands in the way of the next try.
    lab.pretrain("runs/a", &["--set", "train.steps=1"]).done();
}

#[test]
fn what_is_no_recipe_is_refused_with_what_is_there() {
    let lab = Lab::new();
    fs::write(lab.path("latin.toml"), b"# \xe9\n").expect("written");
    fs::write(lab.path("empty.toml"), "# nothing\n").expect("written");
    for (name, parts) in [
        ("", ["failed to read recipe", "hint: name a file"]),
        ("latin.toml", ["failed to read recipe", "hint: it is not UTF-8"]),
        ("empty.toml", ["is empty", "hint: a recipe is TOML with the sections"]),
    ] {
        let stderr = refusal(run(&["plan", &arg(lab.path(name))]));
        assert!(parts.iter().all(|part| stderr.contains(part)), "{name}: {stderr}");
    }
}

#[test]
fn a_run_says_what_it_reads_and_what_it_did_not_get() {
    let lab = Lab::new();
    fs::create_dir(lab.path("my texts")).expect("made");
    fs::copy(lab.path("text.txt"), lab.path("my texts/a.txt")).expect("copied");
    fs::write(lab.path("my texts/b.png"), "x").expect("written");
    let paths = format!("data.paths=[{:?}]", lab.path("my texts"));
    let vocab = "tokenizer.vocab_size=100000";
    let sets = ["--set", &paths, "--set", vocab, "--set", "optim.peak_lr=1e-4"];
    let sizes = ["--set", "train.steps=1", "--set", "model.depth=2"];
    let ran = lab.pretrain("my run", &[&sets[..], &sizes].concat());
    let out = lab.path("my run");
    for part in [
        format!("text: {}\n", lab.path("my texts").display()),
        "1 files in the folders are not read".to_owned(),
        "a vocabulary of 100000 was asked for, the text gives".to_owned(),
        "`model.depth` has no effect".to_owned(),
        format!("{} generate '{}' --prompt", env!("CARGO_BIN_EXE_lyceum"), out.display()),
    ] {
        assert!(ran.stderr.contains(&part), "no `{part}` in\n{}", ran.stderr);
    }
    ran.done();
    let stored = fs::read_to_string(out.join("recipe.toml")).expect("there");
    assert!(stored.contains("peak_lr = 0.0001\n") && !stored.contains("corpus"), "{stored}");
}

#[test]
fn a_run_that_is_there_is_not_overwritten() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=1"]).done();
    let rows = lab.metrics("a");
    let stderr = refusal(lab.pretrain("a", &[]));
    assert!(stderr.contains("exists and is not empty"), "{stderr}");
    assert!(stderr.contains("hint: ") && stderr.contains("--resume"), "{stderr}");
    assert_eq!(lab.metrics("a"), rows);
    let other = lab.path("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("notes.txt"), "mine").expect("written");
    for more in [&[][..], &["--resume"]] {
        let stderr = refusal(lab.pretrain("other", more));
        assert!(stderr.contains("hint: "), "{stderr}");
        assert_eq!(fs::read_dir(&other).expect("there").count(), 1);
    }
}

#[test]
fn a_changed_recipe_is_named_key_by_key() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=1"]).done();
    let sets = ["--resume", "--set", "optim.peak_lr=0.5", "--set", "model.n_layers=3"];
    let stderr = refusal(lab.pretrain("a", &sets));
    for part in ["`model.n_layers` was 2 and is 3", "`optim.peak_lr` was", "hint: a resumed run"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=9"]).done();
    assert_eq!(lab.checkpoints("a"), ["step-6", "step-9"]);
    flip(&lab.path("a/checkpoints/step-9/model.safetensors"));
    let steps = format!("train.steps={STEPS}");
    let ran = lab.pretrain("a", &["--quiet", "--resume", "--set", &steps]);
    assert!(ran.stderr.contains("warning: passed over: damaged checkpoint"), "{}", ran.stderr);
    assert!(ran.stderr.contains("step-9"), "{}", ran.stderr);
    assert!(ran.stderr.contains("; step 6 is used"), "{}", ran.stderr);
    ran.done();
    assert_eq!(lab.metrics("a"), expected());
    // The moments too.
    flip(&lab.path(&format!("a/checkpoints/step-{STEPS}/trainer/optimizer.safetensors")));
    let ran = lab.pretrain("a", &["--resume"]);
    assert_eq!(ran.stderr.matches("passed over").count(), 1, "{}", ran.stderr);
    ran.done();
    assert_eq!(lab.metrics("a"), expected());
}

#[test]
fn where_every_checkpoint_is_damaged_nothing_begins_anew() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=6"]).done();
    assert_eq!(lab.checkpoints("a"), ["step-3", "step-6"]);
    for name in ["step-3", "step-6"] {
        let config = lab.path("a/checkpoints").join(name).join("config.json");
        fs::write(&config, &fs::read(&config).expect("read")[..7]).expect("written");
    }
    let rows = lab.metrics("a");
    let stderr = refusal(lab.pretrain("a", &["--resume"]));
    assert!(stderr.contains("no checkpoint to load in run"), "{stderr}");
    assert!(stderr.contains("step-3`: `config.json` has 7 bytes"), "{stderr}");
    assert!(stderr.contains("hint: restore a file"), "{stderr}");
    assert_eq!((lab.metrics("a"), lab.checkpoints("a").len()), (rows, 2));
}

#[test]
fn a_tokenizer_that_is_not_the_stores_is_refused() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=1"]).done();
    fs::write(lab.path("text.txt"), text(600).replace("ship", "boat")).expect("written");
    lab.pretrain("b", &["--set", "train.steps=1"]).done();
    let (from, to) = ("b/data/tokenizer/tokenizer.json", "a/data/tokenizer/tokenizer.json");
    fs::copy(lab.path(from), lab.path(to)).expect("copied");
    let stderr = refusal(lab.pretrain("a", &["--resume", "--set", "train.steps=2"]));
    assert!(stderr.contains("was made with tokenizer"), "{stderr}");
    assert!(stderr.contains("hint: use the tokenizer"), "{stderr}");
    flip(&lab.path("b/data/train.tokens"));
    let stderr = refusal(lab.pretrain("b", &["--resume", "--set", "train.steps=2"]));
    assert!(stderr.contains("train.tokens` is damaged") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn two_runs_do_not_write_to_one_directory() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=1"]).done();
    let _open = checkpoint::RunDir::resume(&lab.path("a")).expect("opened");
    let stderr = refusal(lab.pretrain("a", &["--resume", "--set", "train.steps=2"]));
    assert!(stderr.contains("is used by another process"), "{stderr}");
}

#[test]
fn quiet_is_quiet_and_no_terminal_gets_no_control_characters() {
    let lab = Lab::new();
    let ran = lab.pretrain("a", &["--set", "train.steps=2", "--quiet"]);
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.done(), "");
    let ran = lab.pretrain("b", &["--set", "train.steps=2"]);
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!ran.stderr.chars().any(steers), "{:?}", ran.stderr);
    assert!(ran.stderr.contains("step 1/2  loss") && ran.stderr.contains("step 2/2"));
    ran.done();
}

#[test]
fn without_out_a_run_has_a_directory_of_its_own() {
    let lab = Lab::new();
    let recipe = arg(lab.path("recipe.toml"));
    for _ in 0..2 {
        let mut command = lyceum(&["pretrain", &recipe, "--set", "train.steps=1"]);
        let output = command.current_dir(lab.path("")).output().expect("runs");
        assert_eq!(output.status.code(), Some(0));
    }
    assert!(lab.path("runs/recipe-1/report.html").exists());
    let listed = run(&["runs", &arg(lab.path("runs"))]).done();
    assert!(listed.contains("recipe-2"), "{listed}");
    let usage = run(&["pretrain", "--resume"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
}
