use super::*;

fn parse(text: &str, sets: &[&str]) -> Result<Recipe, Failure> {
    Recipe::parse(text, "a.toml", &sets.iter().map(|&s| s.to_owned()).collect::<Vec<_>>())
}

#[test]
fn every_recipe_of_the_program_parses() {
    for (name, text) in EMBEDDED {
        parse(text, &[]).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
}

#[test]
fn a_misspelt_key_names_its_neighbour() {
    let error = parse("[train]\nstpes = 3\n", &[]).expect_err("refused");
    let text = error.text(false);
    assert!(text.ends_with("hint: did you mean `steps`?\n"), "{text}");
    assert!(text.contains("line 2"), "{text}");
    let error = parse("", &["optim.peek_lr=1"]).expect_err("refused");
    assert!(error.text(false).ends_with("hint: did you mean `peak_lr`?\n"));
}

#[test]
fn overrides_are_typed_as_toml_is() {
    let recipe = parse("[train]\nsteps = 3\n", &["train.steps=7", "train.precision=f32"]).unwrap();
    assert_eq!((recipe.train.steps, recipe.train.precision.as_str()), (7, "f32"));
    for bad in ["steps=3", "train.steps", "train.=3", ".steps=3"] {
        let text = parse("", &[bad]).expect_err("refused").text(false);
        assert!(text.contains("is not of the form `section.key=value`"), "{bad}: {text}");
    }
}

#[test]
fn a_stored_recipe_is_the_same_recipe() {
    let recipe = parse("[model]\ndepth = 3\n[data]\npaths = [\"x.txt\"]\n", &[]).unwrap();
    assert_eq!(parse(&recipe.to_toml(), &[]).unwrap(), recipe);
}

#[test]
fn a_resumed_run_changes_its_length_alone() {
    let stored = Recipe::default();
    let mut longer = stored.clone();
    longer.train.steps += 1;
    longer.train.max_hours = Some(2.0);
    assert!(longer.same_run(&stored, Path::new("r")).is_ok());
    longer.optim.peak_lr = 2e-3;
    longer.model.depth = Some(5);
    let message = longer.same_run(&stored, Path::new("r")).expect_err("refused").text(false);
    assert!(message.contains("`model.depth` was unset and is 5"), "{message}");
    assert!(message.contains("`optim.peak_lr` was"), "{message}");
}
