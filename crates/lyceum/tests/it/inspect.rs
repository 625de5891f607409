//! `lyceum inspect`.

use std::fs;

use data::{Store, StoreMeta, StoreWriter};

use crate::fixture::{arg, golden, model, run, write_run};

#[test]
fn a_model_is_shown_with_parts_files_and_tensors() {
    let dir = arg(golden("gpt2-tiny"));
    let json = run(&["inspect", &dir, "--json"]).json();
    assert_eq!(json["family"], "gpt2");
    let parts: u64 = json["parameters"]
        .as_object()
        .expect("an object")
        .values()
        .map(|n| n.as_u64().expect("a count"))
        .sum();
    assert_eq!(json["n_parameters"], parts);
    assert_eq!(json["tensors"].as_object().expect("an object").len(), 28);
    let weights = fs::read(golden("gpt2-tiny/model.safetensors")).expect("read");
    let of_weights = json["files"].as_array().expect("files").iter();
    let of_weights = of_weights.filter(|file| file["name"] == "model.safetensors");
    let hashes: Vec<_> = of_weights.map(|file| file["blake3"].clone()).collect();
    assert_eq!(hashes, [blake3::hash(&weights).to_hex().as_str()]);
    let text = run(&["inspect", &dir]).done().replace(&dir, "MODEL").replace('\u{a0}', " ");
    let text: String = text
        .lines()
        .filter(|line| !line.contains("config.json"))
        .fold(String::new(), |text, line| text + line + "\n");
    insta::assert_snapshot!("gpt2", text);
}

#[test]
fn a_run_is_shown_with_its_checkpoints_and_what_is_wrong_with_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run");
    write_run(&path, 0.1);
    let newest = path.join("checkpoints/step-4/config.json");
    fs::write(&newest, "{}").expect("written");
    let json = run(&["inspect", &arg(&path), "--json"]).json();
    assert_eq!(json["state"], "finished");
    assert_eq!((&json["step"], &json["best_step"]), (&4.into(), &2.into()));
    assert_eq!(json["checkpoints"][0]["valid"], true);
    assert_eq!(json["checkpoints"][1]["valid"], false);
    assert_eq!(json["model"]["verified"], true);
    let text = run(&["inspect", &arg(&path)]).done();
    assert!(text.contains("step-4      damaged checkpoint"), "{text}");
    assert!(text.contains("as the manifest says"), "{text}");
}

#[test]
fn files_are_known_by_what_is_in_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("train.tokens");
    let meta = StoreMeta {
        vocab_size: 9,
        end_of_text: Some(8),
        tokenizer_hash: [7; 32],
        has_marks: false,
    };
    let mut writer = StoreWriter::create(&store, &meta).expect("begun");
    writer.push(&[1, 2, 3], 3).expect("written");
    writer.end_document().expect("written");
    writer.finish().expect("finished");
    assert_eq!(Store::open(&store).expect("opens").n_tokens(), 4);
    let kind = |path: &str| run(&["inspect", path, "--json"]).json()["kind"].clone();
    assert_eq!(kind(&arg(&store)), "token_store");
    assert_eq!(kind(&arg(golden("seed-tiny/io.safetensors"))), "safetensors");
    assert_eq!(kind(&arg(model().join("tokenizer.json"))), "tokenizer");
    let odd = dir.path().join("odd");
    fs::copy(golden("seed-tiny/io.safetensors"), &odd).expect("copied");
    assert_eq!(kind(&arg(&odd)), "safetensors");
}

#[test]
fn what_is_unknown_or_damaged_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let refuse = |path: &str| run(&["inspect", path]).refused();
    assert!(refuse("/no/such").contains("failed to read `/no/such`"));
    assert!(refuse(&arg(dir.path())).contains("is nothing that is known"));
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("written");
        arg(path)
    };
    assert!(refuse(&file("a.txt", b"text")).contains("is nothing that is known"));
    assert!(refuse(&file("empty", b"")).contains("is nothing that is known"));
    let hostile = [&u64::MAX.to_le_bytes()[..], b"{"].concat();
    assert!(refuse(&file("b.safetensors", &hostile)).contains("no valid safetensors file"));
    assert!(refuse(&file("c.tokens", b"LYCTOKEN")).contains("less than a header"));
    assert!(refuse(&file("tokenizer.json", b"[")).contains("not a usable tokenizer"));
}
