use clap::CommandFactory;

use super::*;
use recipe::{FinetuneRecipe, Recipe};

#[test]
fn the_declaration_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn adapters_are_in_a_models_name() {
    let all = vec![("a".into(), 1.0), ("b/c".into(), -0.5)];
    let named = |all| AdapterArgs { all }.name("base".as_ref());
    assert_eq!((&*named(vec![]), &*named(all)), ("base", "base + a + b/c=-0.5"));
}

#[test]
fn every_command_has_examples() {
    let cli = Cli::command();
    let without = cli.get_subcommands().filter(|command| {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        command.get_name() != "man" && !help.contains("lyceum ")
    });
    assert_eq!(without.map(clap::Command::get_name).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// The words of a line of a shell, up to a pipe, a redirection or a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in line.chars().chain([' ']) {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => match word.take() {
                Some(word) if ["|", ">", "#"].contains(&word.as_str()) => return words,
                word => words.extend(word),
            },
            _ => word.get_or_insert_default().push(c),
        }
    }
    words
}

/// Where a line of a shell calls this program.
fn call(line: &str) -> Option<&str> {
    let at = line.find("lyceum ")?;
    let before = line[..at].trim_start();
    let calls = before.is_empty() || before.ends_with("| ") || before.starts_with("LYCEUM_");
    calls.then_some(&line[at..])
}

/// The recipes of the repository, with their names.
fn recipes() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes");
    let files = std::fs::read_dir(folder).expect("a folder");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        (path.to_string_lossy().into_owned(), text)
    };
    files.map(read).collect()
}

/// What stands at the head of a recipe.
fn header(recipe: &str) -> String {
    let lines = recipe.lines().take_while(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches(['#', ' ']).to_owned() + "\n").collect()
}

#[test]
fn every_recipe_of_the_repository_is_one() {
    let (mut n_tuned, all) = (0, recipes());
    for (name, text) in &all {
        let table: toml::Table = text.parse().expect("TOML");
        let has = |section: &str, field: &str| {
            table.get(section).and_then(|found| found.get(field)).is_some()
        };
        if has("data", "train") {
            n_tuned += 1;
            FinetuneRecipe::load(Some(name), &[]).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        } else if has("model", "family") || has("model", "preset") {
            let recipe = Recipe::load(name, &[]);
            recipe.and_then(|r| r.check()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
    assert!(n_tuned > 4 && all.len() > 2 * n_tuned, "{n_tuned} of {}", all.len());
}

#[test]
fn every_example_is_a_command_and_its_keys_are_a_recipes() {
    let helps = [PRETRAIN_EXAMPLES, GENERATE_EXAMPLES, eval::EXAMPLES, FORWARD_EXAMPLES];
    let more = [INSPECT_EXAMPLES, RUNS_EXAMPLES, PLAN_EXAMPLES, VERIFY_EXAMPLES];
    let rest = [DOCTOR_EXAMPLES, BENCH_EXAMPLES, COMPLETIONS_EXAMPLES];
    let tuned = [finetune::EXAMPLES, search::EXAMPLES];
    let readmes =
        [include_str!("../../../../README.md"), include_str!("../../../../README.zh-CN.md")];
    let headers: Vec<String> = recipes().iter().map(|(_, text)| header(text)).collect();
    let (mut n_sets, mut n_tuned) = (0, 0);
    for text in helps
        .iter()
        .chain(&more)
        .chain(&rest)
        .chain(&tuned)
        .chain(&headers.iter().map(String::as_str).collect::<Vec<_>>())
        .chain(&foreign::EXAMPLES)
        .chain(&data::EXAMPLES)
        .chain(&readmes)
    {
        let text = text.replace("\\\n", " ").replace("cargo run --release --", "lyceum");
        for line in text.lines().filter_map(call) {
            let cli = Cli::try_parse_from(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
            let sets = match cli.command {
                Command::Pretrain(args) => args.recipe.set,
                Command::Plan(args) | Command::Verify(args) => args.recipe.set,
                Command::Finetune(mut args) => {
                    n_tuned += 1;
                    args.model = None; // it is not there
                    FinetuneRecipe::load(None, &args.sets())
                        .unwrap_or_else(|e| panic!("{line}: {e:?}"));
                    vec![]
                }
                _ => vec![],
            };
            n_sets += sets.len();
            Recipe::load("seed", &sets).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        }
    }
    assert!(n_sets >= 7 && n_tuned > 10, "{n_sets}, {n_tuned}");
    for readme in readmes {
        let recipe = readme.split("```toml\n").nth(1).and_then(|text| text.split("```").next());
        let recipe = Recipe::parse(recipe.expect("one"), "README", &[]).expect("parses");
        assert!(recipe.check().is_ok());
    }
}
