//! Every objective, from a recipe to a model that is there again.

use std::fs;
use std::sync::Arc;

use data::{BatchConfig, Batches, Cursors, IGNORED, Mixture, Mode, Store};
use tasks::{Masked, Replacement, TextObjective, Unit, Vocabulary};
use tokenize::Tokenizer;

use crate::fixture::{arg, run};
use crate::recipe::{Lab, refusal};

/// Objective, family, and what else is set.
const TASKS: [(&str, &str, &[&str]); 10] = [
    ("masked_tokens", "bert", &[]),
    ("masked_tokens", "bert", &["task.unit=word", "task.pair=next_sentence"]),
    ("masked_tokens", "ernie", &["task.unit=span", "task.pair=sentence_order"]),
    ("masked_tokens", "distilbert", &["data.mode=documents"]),
    ("masked_tokens", "roberta", &["tokenizer.vocab_size=300"]),
    ("span_corruption", "t5", &["tokenizer.vocab_size=180"]),
    ("denoising", "bart", &["tokenizer.vocab_size=300"]),
    ("prefix_lm", "t5", &["tokenizer.vocab_size=180"]),
    ("prefix_lm", "llama", &[]),
    ("fill_in_the_middle", "llama", &["data.mode=documents"]),
];

/// `--set` of all that a task needs.
fn sets(objective: &str, family: &str, more: &[&str]) -> Vec<String> {
    let own = [
        format!("task.objective={objective}"),
        format!("model.family={family}"),
        "data.seq_len=24".to_owned(),
        "tokenizer.vocab_size=290".to_owned(),
    ];
    let all = own.into_iter().chain(more.iter().map(|&set| set.to_owned()));
    all.flat_map(|set| ["--set".to_owned(), set]).collect()
}

#[test]
fn every_task_trains_and_resumes_to_the_bit() {
    for (objective, family, more) in TASKS {
        let lab = Lab::new();
        let sets = sets(objective, family, more);
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let go = |out: &str, steps: &str, more: &[&str]| {
            let steps = format!("train.steps={steps}");
            lab.pretrain(out, &[&sets[..], &["--set", &steps], more].concat()).done()
        };
        go("whole", "6", &[]);
        go("a", "3", &[]);
        go("a", "6", &["--resume"]);
        // The run that ended at 3 was judged there; no other difference.
        let mut rows = lab.metrics("a");
        rows.retain(|row| row["step"] != 3 || row.get("eval").is_none());
        assert_eq!(rows, lab.metrics("whole"), "{objective}, {family}");
        let weights = |run: &str| {
            fs::read(lab.path(run).join("checkpoints/step-6/model.safetensors")).expect("saved")
        };
        assert!(weights("a") == weights("whole"), "{objective}, {family}");
        let last = lab.metrics("a").pop().expect("an evaluation");
        assert!(last["eval"]["targets"].as_u64() > Some(0), "{objective}, {family}: {last}");
        let said = run(&["inspect", &arg(lab.path("a"))]).done();
        assert!(said.contains(family), "{said}");
    }
}

#[test]
fn every_law_holds_for_every_task() {
    for (objective, family, more) in TASKS {
        let lab = Lab::new();
        let recipe = arg(lab.path("recipe.toml"));
        let sets = sets(objective, family, more);
        let args: Vec<&str> = ["verify", &recipe, "--json"]
            .into_iter()
            .chain(sets.iter().map(String::as_str))
            .collect();
        let json = run(&args).json();
        assert_eq!(json["holds"], true, "{objective}, {family}: {json}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cases: [(&[&str], &str); 12] = [
        (&["task.objective=masked_tokens"], "cannot be asked of `gpt2`"),
        (&["model.family=bert", "tokenizer.vocab_size=300"], "cannot be asked of `bert`"),
        (&["task.objective=span_corruption"], "it takes an encoder-decoder"),
        (&["task.unit=word"], "`task.unit`: has no part in `next_token`"),
        (&["task.mask_rate=0.2"], "`task.mask_rate`: has no part in"),
        (&["task.objective=masked_tokens", "task.mask_rate=1.5"], "a share above 0 and below 1"),
        (&["task.objective=masked_tokens", "task.lexicon=x"], "`task.lexicon`: has no part"),
        (&["task.objective=guess"], "unknown variant `guess`"),
        (&["task.objective=denoising", "data.mode=documents"], "not kept apart by this task"),
        (&["model.family=gpt5"], "`gpt5` is not one of gpt2, llama"),
        (&["model.family=llama", "model.n_heads=5"], "does not divide `model.d_model`"),
        (&["data.sources=[{name=\"a b\"}]", "data.paths=[]"], "a source needs a name"),
    ];
    for (sets, message) in cases {
        let lab = Lab::new();
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let stderr = refusal(lab.pretrain("a", &sets));
        assert!(stderr.contains(message) && stderr.contains("hint: "), "{sets:?}: {stderr}");
        assert!(!lab.path("a").exists(), "{sets:?}");
    }
}

#[test]
fn a_phrase_of_a_lexicon_is_a_unit_and_a_missing_one_is_named() {
    let lab = Lab::new();
    fs::write(lab.path("lexicon.txt"), "Emma Woodhouse\n").expect("written");
    let lexicon = format!("task.lexicon={}", lab.path("lexicon.txt").display());
    let sets = sets("masked_tokens", "ernie", &["task.unit=phrase", &lexicon]);
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    lab.pretrain("a", &[&sets[..], &["--set", "train.steps=1"]].concat()).done();
    fs::remove_file(lab.path("lexicon.txt")).expect("there");
    let stderr = refusal(lab.pretrain("b", &sets));
    assert!(stderr.contains("lexicon.txt"), "{stderr}");
}

#[test]
fn annotated_phrases_are_hidden_whole_and_bad_ones_are_counted() {
    let lab = Lab::new();
    let text = "It was the year of Ada Lovelace and of Charles Babbage. She left.";
    let line = |spans: &str| format!("{{\"text\": \"{text}\", \"ents\": {spans}}}\n");
    let good = "[{\"start\": 19, \"end\": 31, \"label\": \"PER\"}, [39, 54]]";
    let lines = line(good).repeat(60) + &line("[[20, 30], [25, 40], [60, 99]]");
    fs::write(lab.path("lines.jsonl"), &lines).expect("written");
    let paths = format!("data.paths=[\"{}\"]", arg(lab.path("lines.jsonl")));
    let more =
        ["task.unit=phrase", "task.mask_rate=0.4", "data.read.spans=ents", "train.steps=1", &paths];
    let sets = sets("masked_tokens", "ernie", &more);
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let ran = lab.pretrain("a", &sets);
    let said = ran.stderr.clone();
    ran.done();
    assert!(said.contains("1 annotated spans that are empty, or not in their text"), "{said}");
    assert!(said.contains("1 annotated spans that begin inside of another; the first"), "{said}");
    assert!(said.contains("lines.jsonl`, line 61"), "{said}");
    // What the objective is given: each name is one unit, of all its tokens.
    let tokenizer = Tokenizer::load(&lab.path("a/data/tokenizer")).expect("a tokenizer");
    let path = lab.path("a/data/train.tokens");
    let store = Store::open_for(&path, &tokenizer).expect("a store");
    let mut batches = Batches::new(
        Mixture::from(Arc::new(store)),
        BatchConfig { batch: 4, seq_len: 96, around: 2, seed: 1, mode: Mode::Stream },
        Cursors::default(),
    )
    .expect("batches");
    let batch = batches.next_batch().expect("one");
    let masked = Masked {
        vocabulary: Vocabulary::of(&tokenizer),
        rate: 0.4,
        unit: Unit::Phrase,
        replacement: Replacement { mask: 1.0, random: 0.0 },
        mask: Vocabulary::of(&tokenizer).mask.expect("a mask"),
        begin: Vocabulary::of(&tokenizer).begin.expect("a beginning"),
        end: Vocabulary::of(&tokenizer).end.expect("an end"),
        pair: None,
    };
    let name = tokenizer.encode("Ada Lovelace").expect("known");
    let mut seen = [0, 0];
    for example in masked.examples(&batch, 7) {
        let (ids, targets) = (&example.input.ids, &example.targets);
        for at in 0..ids.len().saturating_sub(name.len()) {
            let whole: Vec<u32> = (at..at + name.len())
                .map(|i| if targets[i] == IGNORED { ids[i] } else { targets[i] })
                .collect();
            if whole == name {
                let n = (at..at + name.len()).filter(|&i| targets[i] != IGNORED).count();
                assert!(n == 0 || n == name.len(), "{n} of {}", name.len());
                seen[usize::from(n > 0)] += 1;
            }
        }
    }
    assert!(name.len() > 1 && seen[0] > 0 && seen[1] > 0, "{seen:?}");
    // A field that is no list is refused with its line; spans nobody asks for are refused too.
    fs::write(lab.path("lines.jsonl"), line(good) + &line("\"Ada\"")).expect("written");
    let stderr = refusal(lab.pretrain("b", &sets));
    assert!(stderr.contains("lines.jsonl`, line 2: field `ents`"), "{stderr}");
    let stderr = refusal(lab.pretrain("c", &["--set", "data.read.spans=ents"]));
    assert!(stderr.contains("`data.read.spans`: has no part in `next_token`"), "{stderr}");
}

#[test]
fn sources_are_mixed_by_weight_and_each_is_judged() {
    let lab = Lab::new();
    let text = arg(lab.path("text.txt"));
    let recipe = fs::read_to_string(lab.path("recipe.toml")).expect("there");
    let sources = format!(
        "[[data.sources]]\nname = \"one\"\npaths = ['{text}']\nweight = 3.0\n\n\
         [[data.sources]]\nname = \"two\"\npaths = ['{text}']\nmax_epochs = 0.5\n\n\
         [[data.schedule]]\nfrom_step = 4\nweights = {{ one = 1.0 }}\n\n[optim]\n"
    );
    let mixed = recipe.replace(&format!("paths = ['{text}']\n"), "").replace("[optim]\n", &sources);
    fs::write(lab.path("recipe.toml"), mixed).expect("written");
    let ran = lab.pretrain("a", &["--set", "train.steps=6"]);
    let said = ran.stderr.clone();
    ran.done();
    assert!(said.contains("from step 4: 100.0 % `one`"), "{said}");
    let last = lab.metrics("a").pop().expect("an evaluation");
    assert!(last["eval"]["sources"]["two"]["targets"].as_u64() > Some(0), "{last}");
    assert!(lab.path("a/data/two.train.tokens").exists());
    let stderr =
        refusal(lab.pretrain("b", &["--set", "data.schedule=[{from_step=2,weights={x=1}}]"]));
    assert!(stderr.contains("there is no source `x`"), "{stderr}");
}

#[test]
fn a_model_goes_on_with_more_tokens() {
    let lab = Lab::new();
    lab.pretrain("a", &["--set", "train.steps=2"]).done();
    let from = format!("model.from={}", lab.path("a/checkpoints/step-2").display());
    let grown = [
        "--set",
        "model.n_layers",
        "--set",
        &from,
        "--set",
        "tokenizer.add=[\"Woodhouse\"]",
        "--set",
        "train.steps=2",
    ];
    // Sizes are those of the model that is gone on from.
    let stderr = refusal(lab.pretrain("b", &["--set", &from]));
    assert!(stderr.contains("the sizes are those of `model.from`"), "{stderr}");
    let recipe = fs::read_to_string(lab.path("recipe.toml")).expect("there");
    let recipe = recipe.replace("n_layers = 2\nd_model = 32\nn_heads = 2\n", "");
    fs::write(lab.path("recipe.toml"), recipe).expect("written");
    lab.pretrain("b", &grown[2..]).done();
    let config = |dir: &str| {
        let text = fs::read(lab.path(dir).join("config.json")).expect("saved");
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["vocab_size"].as_u64()
    };
    let (before, after) = (config("a/checkpoints/step-2"), config("b/checkpoints/step-2"));
    assert_eq!(after, before.map(|n| n + 1));
}

#[test]
fn records_without_text_are_named_and_refused_above_a_share() {
    let lab = Lab::new();
    let line = |text: &str| format!("{{\"text\": \"{text}\"}}\n");
    let mut lines: String =
        (0..60).map(|i| line(&format!("It was {i} o'clock. She left."))).collect();
    lines.insert_str(0, &(line("") + &line(" ")));
    fs::write(lab.path("lines.jsonl"), lines).expect("written");
    let paths = format!("data.paths=[\"{}\"]", arg(lab.path("lines.jsonl")));
    let sets = ["--set", &paths, "--set", "train.steps=1"];
    let stderr = refusal(lab.pretrain("a", &sets));
    assert!(stderr.contains("2 of 62 records have no text (3.2 %)"), "{stderr}");
    assert!(stderr.contains("lines.jsonl`, line 1; "), "{stderr}");
    let ran = lab.pretrain("b", &[&sets[..], &["--set", "data.max_empty=0.1"]].concat());
    assert!(ran.stderr.contains("and are left out"), "{}", ran.stderr);
    ran.done();
}
