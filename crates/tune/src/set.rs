//! The set that a recipe names, and what is to be known of it before anything is learned.

use std::path::Path;

use datasets::{BYTES_MAX, Dataset, Named, Notes, Overview, Schema, Split, Table, Task, hold_out};
use train::report::format::grouped;

use recipe::{FinetuneRecipe, refused};
use terminal::environment::Env;
use terminal::failure::Failure;

/// What is learned from.
pub const TRAIN: &str = "train";
/// What is judged by.
const VALIDATION: &str = "validation";

/// Draws what is held out: the same whatever `train.seed` is, so that seeds can be compared.
const HELD_OUT: u64 = 1;

/// The set that a recipe names, with what it is judged by; says what is in it.
///
/// # Errors
/// Where a table cannot be read, holds something else, or shares more with another than the recipe
/// puts up with.
pub fn read(recipe: &FinetuneRecipe, env: &Env) -> Result<Dataset, Failure> {
    let set = dataset(recipe, env)?;
    overview(&set, recipe.data.max_shared, env)?;
    Ok(set)
}

/// All that the tables to learn from have, as what a model is judged by; of a set that is known by
/// name its split for that.
///
/// # Errors
/// Where a table cannot be read, or holds something else.
pub fn to_judge(recipe: &FinetuneRecipe, env: &Env) -> Result<Dataset, Failure> {
    let mut set = dataset(recipe, env)?;
    let Split { records, notes, .. } =
        validation(&set).map_or_else(|| set.split(TRAIN), Ok)?.clone();
    let split = |name: &str, records, notes| Split { name: name.to_owned(), records, notes };
    let none = split(TRAIN, Vec::new(), Notes::default());
    set.splits = vec![none, split(VALIDATION, records, notes)];
    Ok(set)
}

/// What a model is judged by, if anything.
pub fn validation(set: &Dataset) -> Option<&Split> {
    set.splits.iter().find(|split| split.name.starts_with(VALIDATION))
}

fn dataset(recipe: &FinetuneRecipe, env: &Env) -> Result<Dataset, Failure> {
    let data = &recipe.data;
    let mut set = if let Some(name) = &data.set {
        let [folder] = &data.train[..] else {
            let problem = format!("the set `{name}` is in one folder");
            return Err(refused("data.train", problem));
        };
        let wanted = recipe.wanted()?;
        let more = [
            ("data.validation", !data.validation.is_empty()),
            ("data.columns", !data.columns.is_empty()),
            ("data.labels", !data.labels.is_empty()),
            ("task.kind", wanted.task.is_some()),
        ];
        if let Some((field, _)) = more.iter().find(|(_, is_said)| *is_said) {
            return Err(refused(field, format!("the set `{name}` says that itself"))
                .hint("leave it out, or leave out `data.set` and name files"));
        }
        Named::find(name)?.load(Path::new(folder), BYTES_MAX)?
    } else {
        check_names(&data.labels)?;
        let mut tables = vec![(TRAIN, Table::open(&data.train, None)?)];
        if !data.validation.is_empty() {
            tables.push((VALIDATION, Table::open(&data.validation, None)?));
        }
        let (set, schema) = Dataset::read("data", &tables, &recipe.wanted()?, BYTES_MAX)?;
        env.say(&schema.to_string());
        check_choice(&schema)?;
        set
    };
    for split in &set.splits {
        for (why, places) in &split.notes {
            let first = places.first.join("; ");
            env.warn(&format!("{}: {} rows: {why}; the first: {first}", split.name, places.n));
        }
        let (share, what) = split.spoiled();
        if share > data.max_spoiled {
            let hint = "mend them or take them out; or raise `data.max_spoiled`, if that is meant";
            let problem = format!("{}: {what}", split.name);
            return Err(refused("data.max_spoiled", problem).hint(hint));
        }
    }
    if validation(&set).is_none() && data.validation_fraction > 0.0 {
        let train = set.splits.iter_mut().find(|split| split.name == TRAIN);
        if let Some(train) = train {
            let records = std::mem::take(&mut train.records);
            let n = records.len();
            let sides = hold_out(records, data.validation_fraction, HELD_OUT)
                .map_err(|_| nothing_apart(recipe, n, &set.labels))?;
            train.records = sides.0;
            let (name, records, notes) = (VALIDATION.to_owned(), sides.1, Notes::default());
            set.splits.push(Split { name, records, notes });
        }
    }
    Ok(set)
}

const HINT_LABELS: &str = "name each class once, those that the table lacks, too: \
    `--set 'data.labels=[\"no\", \"yes\"]'`";

/// Refuses a name that two classes have.
fn check_names(labels: &[String]) -> Result<(), Failure> {
    let twice = labels.iter().enumerate().find(|(i, label)| labels[..*i].contains(label));
    match twice {
        Some((_, label)) => {
            Err(refused("data.labels", format!("`{label}` is there twice")).hint(HINT_LABELS))
        }
        None => Ok(()),
    }
}

/// Refuses one class, where there is nothing to choose.
fn check_choice(schema: &Schema) -> Result<(), Failure> {
    let (Task::Classify, [one]) = (schema.task, &schema.labels[..]) else { return Ok(()) };
    let column = schema.columns.get("label").map_or(String::new(), |names| names.concat());
    let problem = format!("`{column}` has one class, `{one}`, and two are the least");
    Err(refused("data.labels", problem).hint(HINT_LABELS))
}

/// So small a share of so few samples is none.
fn nothing_apart(recipe: &FinetuneRecipe, n: usize, labels: &[String]) -> Failure {
    let data = &recipe.data;
    let each = match labels.len() {
        0 => String::new(),
        n => format!(", of each of {n} classes apart"),
    };
    let (files, fraction) = (data.train.join("`, `"), data.validation_fraction);
    let problem =
        format!("{fraction} of the {n} samples of `{files}`{each}, leaves one side empty");
    refused("data.validation_fraction", problem).hint(
        "give a table to judge by, `--validation FILE`, or judge by none: \
         `--set data.validation_fraction=0`",
    )
}

/// Says what is in a set, and refuses more texts on both sides than `max_shared`.
fn overview(set: &Dataset, max_shared: f64, env: &Env) -> Result<(), Failure> {
    let overview = Overview::of(set);
    for split in overview.splits.iter().filter(|split| !split.name.starts_with("test")) {
        let n: u64 = split.by_label.iter().map(|(_, n)| n).sum();
        let share = |n_of: u64| 100.0 * n_of as f64 / n.max(1) as f64;
        let label =
            |(name, n): &(String, u64)| format!("{name} {} ({:.1} %)", grouped(*n), share(*n));
        let has_classes = matches!(set.task, Task::Classify | Task::Tag);
        let by_size = |(_, n): &&(String, u64)| *n;
        let most = split.by_label.iter().max_by_key(by_size).filter(|_| has_classes);
        if let (Some(most), Some(least)) = (most, split.by_label.iter().min_by_key(by_size)) {
            let n_classes = split.by_label.len();
            let labels = match n_classes {
                0..=16 => split.by_label.iter().map(label).collect::<Vec<_>>().join(", "),
                _ => format!("{n_classes} classes, from {} to {}", label(least), label(most)),
            };
            env.say(&format!("{}: {labels}", split.name));
        }
        let missing = split.by_label.iter().find(|(_, n)| *n == 0);
        if let (TRAIN, Some((name, _)), true) = (&*split.name, missing, has_classes) {
            env.warn(&format!("no sample of `{}` is `{name}`: it cannot be learned", split.name));
        }
        let noted = [
            (&split.repeated, "are there before, but for case and blanks"),
            (&split.conflicting, "are there before with another label"),
        ];
        for (places, what) in noted {
            if places.n > 0 {
                let first = places.first.join("; ");
                env.warn(&format!(
                    "{}: {} samples {what}; the first: {first}",
                    split.name, places.n
                ));
            }
        }
    }
    for (first, second, places) in &overview.overlaps {
        let n = set.split(second)?.records.len();
        let share = places.n as f64 / n.max(1) as f64;
        let what = format!(
            "{} of {n} texts of `{second}` are in `{first}`, too ({:.1} %); the first: {}",
            places.n,
            100.0 * share,
            places.first.join("; ")
        );
        if share > max_shared && first == TRAIN && second.starts_with(VALIDATION) {
            return Err(refused("data.max_shared", what)
                .hint("take them out of one of the two, or raise `data.max_shared`"));
        }
        env.warn(&what);
    }
    Ok(())
}
