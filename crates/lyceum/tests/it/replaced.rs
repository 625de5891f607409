//! `lyceum pretrain` with a generator and a discriminator, and what the commands make of both.

use std::fs;

use serde_json::Value;

use crate::fixture::{arg, run};
use crate::recipe::{Lab, refusal};

const ELECTRA: [&str; 4] =
    ["--set", "model.family=electra", "--set", "task.objective=replaced_tokens"];

fn sets<'s>(more: &[&'s str]) -> Vec<&'s str> {
    ELECTRA.into_iter().chain(more.iter().flat_map(|&set| ["--set", set])).collect()
}

#[test]
fn a_pair_learns_resumes_to_the_bit_and_is_its_discriminator() {
    let lab = Lab::new();
    lab.pretrain("whole", &sets(&["train.steps=6"])).done();
    lab.pretrain("parts", &sets(&["train.steps=3"])).done();
    let out = arg(lab.path("parts"));
    run(&["pretrain", "--out", &out, "--resume", "--set", "train.steps=6"]).done();
    let file = |run: &str, name: &str| {
        fs::read(lab.path(run).join("checkpoints/step-6").join(name)).expect("there")
    };
    for name in ["config.json", "model.safetensors", "trainer/optimizer.safetensors"] {
        assert!(file("whole", name) == file("parts", name), "{name}");
    }
    let last = lab.metrics("whole").pop().expect("a row");
    let part = |name: &str| last["eval"]["parts"][name]["loss"].as_f64().expect("a loss");
    let (generator, replaced) = (part("generator"), part("replaced"));
    let loss = last["eval"]["loss"].as_f64().expect("a loss");
    assert!((loss - generator - 50.0 * replaced).abs() < 1e-6, "{last}");
    assert!((0.1..0.8).contains(&replaced), "{last}");

    let model = arg(lab.path("whole/checkpoints/step-6"));
    let config: Value = serde_json::from_slice(&file("whole", "config.json")).expect("JSON");
    assert_eq!(config["architectures"][0], "ElectraForPreTraining");
    assert_eq!(config["generator"]["hidden_size"], 8);
    let facts = run(&["inspect", &model, "--json"]).json();
    assert_eq!((&facts["d_model"], &facts["generator.d_model"]), (&32.into(), &8.into()));
    let tagged = run(&["run", &model, "It was a day", "--json"]).json();
    let tagged = tagged["likely"].as_array().expect("a list");
    assert!(tagged.len() > 3 && tagged[0]["name"] == "[CLS]", "{tagged:?}");
    assert!(tagged.iter().all(|token| (0.0..0.9).contains(&token["p"].as_f64().expect("a share"))));
    let said = run(&["generate", &model, "--prompt", "a"]).refused();
    assert!(said.contains("is a `electra` without a head that scores tokens"), "{said}");
    let again = arg(lab.path("again"));
    run(&["convert", &model, &again, "--to", "hf"]).done();
    let names = |dir: &str| run(&["inspect", dir, "--json"]).json()["tensors"].clone();
    assert_eq!(names(&again), names(&model));
    let recipe = fs::read_to_string(lab.path("recipe.toml")).expect("there");
    let sizes = "n_layers = 2\nd_model = 32\nn_heads = 2\n";
    fs::write(lab.path("more.toml"), recipe.replace(sizes, "")).expect("written");
    let (more, out) = (arg(lab.path("more.toml")), arg(lab.path("more")));
    let from = format!("model.from={model:?}");
    let args = ["pretrain", &more, "--out", &out];
    run(&[&args[..], &sets(&["train.steps=1", &from])].concat()).done();
}

#[test]
fn laws_hold_and_what_does_not_fit_is_refused() {
    let lab = Lab::new();
    let recipe = arg(lab.path("recipe.toml"));
    let verify: Vec<&str> = ["verify", &recipe, "--json"].into_iter().chain(ELECTRA).collect();
    let json = run(&verify).json();
    assert_eq!((&json["holds"], json["laws"].as_array().map(Vec::len)), (&true.into(), Some(6)));
    for (set, why) in [
        ("model.family=bert", "`replaced_tokens` cannot be asked of `bert`"),
        ("task.objective=masked_tokens", "`masked_tokens` cannot be asked of `electra`"),
        ("task.pair=next_sentence", "`task.pair`: has no part in `replaced_tokens`"),
        ("model.generator_size=0.0", "`model.generator_size`: 0 is not in (0, 1]"),
        ("task.replaced_weight=0.0", "`task.replaced_weight`: it has to be above 0"),
    ] {
        let said = refusal(lab.pretrain("refused", &sets(&[set])));
        assert!(said.contains(why), "{said}");
    }
    let set = ["--set", "model.generator_size=0.5"];
    let said = refusal(lab.pretrain("refused", &set));
    assert!(said.contains("the family `gpt2` has no generator"), "{said}");
}
