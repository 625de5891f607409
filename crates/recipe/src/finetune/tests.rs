use super::*;

fn recipe(sets: &[&str]) -> Result<FinetuneRecipe, Failure> {
    let own = ["model.from=minilm", "data.train=[\"a.csv\"]"];
    let sets: Vec<String> = own.iter().chain(sets).map(|set| (*set).to_owned()).collect();
    let recipe = FinetuneRecipe::load(None, &sets)?;
    recipe.check().map(|()| recipe)
}

#[test]
fn what_a_method_does_not_use_is_refused() {
    let refusal = |sets: &[&str]| recipe(sets).expect_err("refused").text(false);
    for (kind, set) in [
        ("full", "quantise=\"nf4\""),
        ("full", "rank=4"),
        ("head", "mixout=0.1"),
        ("prompt", "dora=true"),
        ("prefix", "targets=[\"query\"]"),
        ("adapter", "n_virtual=3"),
        ("lora", "bottleneck=8"),
    ] {
        let text = refusal(&[&format!("method.kind={kind}"), &format!("method.{set}")]);
        let what = format!("it does nothing where `method.kind` is {kind}");
        assert!(text.contains(&what) && text.contains("hint: leave it out"), "{text}");
    }
    let lora = ["method.kind=lora", "method.rank=4", "method.quantise=\"nf4\""];
    assert_eq!(recipe(&lora).expect("fits").method.rank, 4);
    let frozen = ["method.freeze=[\"blocks.*\"]", "method.quantise=\"int8\""];
    assert!(recipe(&frozen).is_ok());
}

#[test]
fn a_change_of_low_rank_is_what_was_said() {
    for is_stabilised in [false, true] {
        let said = format!("method.rank_stabilised={is_stabilised}");
        let recipe = recipe(&["method.kind=lora", "method.rank=4", &said]).expect("fits");
        let tuning = recipe.tuning(Vec::new(), &HeadKind::Tokens).expect("fits");
        let Method::Lora(lora) = tuning.method else { panic!("{:?}", tuning.method) };
        assert_eq!((lora.rank, lora.rank_stabilised), (4, is_stabilised));
    }
}

#[test]
fn a_base_is_found_from_anywhere() {
    let from = recipe(&[]).expect("fits").model.from;
    assert!(from.is_absolute() && from.ends_with("minilm"), "{}", from.display());
}

/// Names of the fields of a section, as a misspelt one is answered.
fn fields(section: &str) -> Vec<String> {
    let text = format!("[{section}]\nno_such_field = 1\n");
    let error = toml::from_str::<FinetuneRecipe>(&text).expect_err("unknown").to_string();
    let (_, known) = error.split_once("expected ").expect("a list");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_is_told_with_what_it_is_by_itself() {
    let read = |text| KIND.read::<FinetuneRecipe>(text, "keys", &[]).expect("a recipe");
    assert_eq!(read(FINETUNE_KEYS), read(""));
    // Keys that are not set by themselves are behind a `#`.
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let lines = FINETUNE_KEYS.lines().map(|line| match line.strip_prefix("# ") {
        Some(key) if is_key(key) => key,
        _ => line,
    });
    let table: Table = lines.collect::<Vec<_>>().join("\n").parse().expect("TOML");
    assert!(table.clone().try_into::<FinetuneRecipe>().is_ok());
    for (section, told) in &table {
        let told: Vec<_> = told.as_table().expect("a section").keys().cloned().collect();
        let mut known = fields(section);
        known.sort();
        assert_eq!(told, known, "{section}");
    }
    assert_eq!(table.len(), 7);
}
