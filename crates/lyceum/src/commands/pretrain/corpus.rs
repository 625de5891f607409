//! The data of a run: tokenizer and token stores, made once and found again by a resumed run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::{OsDisk, atomic};
use data::{
    BatchConfig, Batches, Cursors, DataError, Document, Encoder, EvalBatches, Format, Marker,
    Noted, Places, Shares, Source, Store, build_watched, spool, train_tokenizer,
};
use tasks::{INFILLING, Vocabulary};
use tokenize::{Tokenizer, safe_cut};

use super::preflight;
use crate::environment::Env;
use crate::failure::{Context, Failure};
use recipe::{DataSection, ObjectiveKind, Recipe, SourceSection, refused};
use train::RunSource;
use train::report::format::grouped;

/// Tokenizer and stores.
pub struct Corpora {
    /// How text became tokens.
    pub tokenizer: Tokenizer,
    /// What is learned from, and judged by.
    pub sources: Vec<RunSource>,
    /// How much is read of each.
    pub shares: Vec<Shares>,
}

const TRAIN: &str = "train.tokens";
const VALIDATION: &str = "validation.tokens";

/// The file of a source.
fn file(source: &SourceSection, name: &str) -> String {
    if source.name.is_empty() { name.to_owned() } else { format!("{}.{name}", source.name) }
}

const STDIN: &str = "stdin";
const TOO_LITTLE: &str =
    "raise `data.validation_fraction`, or set it to 0: the run is not judged then";

impl Corpora {
    /// Finds the data of the run in `run`, or makes it. Training reads only what is there, so
    /// standard input and compressed files resume too.
    ///
    /// # Errors
    /// Where text cannot be read, or what is stored is damaged.
    pub fn prepare(recipe: &Recipe, run: &Path, env: &Env) -> Result<Self, Failure> {
        let dir = run.join("data");
        if is_prepared(recipe, run) {
            return Self::open(recipe, &dir);
        }
        let tokenizer_dir = dir.join("tokenizer");
        std::fs::create_dir_all(&tokenizer_dir)
            .context(format!("failed to write `{}`", tokenizer_dir.display()))?;
        let source = source(recipe, &dir)?;
        warn_of_skipped(&source, env)?;
        let made = tokenizer_dir.join("tokenizer.json").exists().then_some(&tokenizer_dir);
        let tokenizer = if let Some(path) = made.map(PathBuf::as_path).or(recipe.tokenizer_dir()) {
            Tokenizer::load(path)?
        } else {
            let asked = recipe.tokenizer.vocab_size;
            env.say(&format!("training a vocabulary of {asked}"));
            let tokenizer = train_tokenizer(&source, recipe.scheme(), asked)?;
            warn_of_fewer(&tokenizer, asked, env);
            tokenizer
        };
        let tokenizer = grown(tokenizer, recipe)?;
        // `tokenizer.json`, the first, is written last: where it is, its companions are.
        for (name, bytes) in tokenizer.files()?.into_iter().rev() {
            atomic::write_file(&OsDisk, &tokenizer_dir.join(name), &bytes)?;
        }
        // The training store comes last: where it is, everything is.
        let fraction = recipe.data.validation_fraction;
        let marker = marker(recipe)?;
        let encoder = Encoder { tokenizer: &tokenizer, marker: marker.as_ref() };
        for section in recipe.data.all() {
            let [train, validation] =
                [TRAIN, VALIDATION].map(|name| dir.join(file(&section, name)));
            let validation = (fraction > 0.0).then_some((validation.as_path(), fraction));
            if !section.name.is_empty() {
                env.say(&format!("tokens of `{}`", section.name));
            }
            let source = source_of(&section, &dir)?;
            let built = build_watched(&source, encoder, &train, validation, |_| {})?;
            warn_of_noted(&section.name, &built.noted, env);
            let checked = preflight::check_empty(&section.name, &built, recipe.data.max_empty, env);
            checked.inspect_err(|_| drop(std::fs::remove_file(&train)))?;
        }
        // Everything is in the store now.
        let _ = std::fs::remove_file(dir.join(STDIN));
        Self::open(recipe, &dir)
    }

    fn open(recipe: &Recipe, dir: &Path) -> Result<Self, Failure> {
        let tokenizer = Tokenizer::load(&dir.join("tokenizer"))?;
        let open = |name: &str| -> Result<Arc<Store>, Failure> {
            let store = Store::open_for(&dir.join(name), &tokenizer)?;
            store.verify()?;
            Ok(Arc::new(store))
        };
        let judged = recipe.data.validation_fraction > 0.0;
        let mut sources = Vec::new();
        for section in recipe.data.all() {
            let store = open(&file(&section, TRAIN))?;
            let validation = judged.then(|| open(&file(&section, VALIDATION))).transpose()?;
            let SourceSection { name, max_epochs, .. } = section;
            check_validation(recipe, &store, validation.as_ref())?;
            sources.push(RunSource { name, store, validation, max_epochs });
        }
        let n_tokens: Vec<u64> = sources.iter().map(|source| source.store.n_tokens()).collect();
        let shares = recipe.data.shares(&n_tokens);
        Ok(Self { tokenizer, sources, shares })
    }

    /// Tokens of all sources.
    pub fn n_tokens(&self) -> u64 {
        self.sources.iter().map(|source| source.store.n_tokens()).sum()
    }
}

/// Finds out now, not at the first evaluation, that there is too little to judge by.
fn check_validation(
    recipe: &Recipe,
    train: &Arc<Store>,
    validation: Option<&Arc<Store>>,
) -> Result<(), Failure> {
    let Some(store) = validation else { return Ok(()) };
    let batches = recipe.batches()?;
    let rows = BatchConfig { batch: recipe.eval.batch_size, ..batches };
    let judged = EvalBatches::new(Arc::clone(store), rows);
    if judged.is_err() {
        // What is too short as a whole is not helped by another share.
        Batches::new(Arc::clone(train), batches, Cursors::default())?;
    }
    judged
        .context(format!("the validation text has {} tokens", store.n_tokens()))
        .map_err(|failure| failure.hint(TOO_LITTLE))?;
    Ok(())
}

/// What finds words and phrases, where the task of a recipe asks for them.
///
/// # Errors
/// Where its lexicon cannot be read.
pub fn marker(recipe: &Recipe) -> Result<Option<Marker>, DataError> {
    let marks = || Marker::new(recipe.task.lexicon.as_deref());
    recipe.task.needs_marks().then(marks).transpose()
}

/// A tokenizer with the tokens that a recipe adds, and those that its task needs.
///
/// # Errors
/// Where the vocabulary takes no more.
fn grown(tokenizer: Tokenizer, recipe: &Recipe) -> Result<Tokenizer, Failure> {
    let mut tokenizer = tokenizer;
    let infills = recipe.task.objective == ObjectiveKind::FillInTheMiddle;
    if infills && Vocabulary::of(&tokenizer).infilling.is_none() {
        tokenizer = tokenizer.grow(&INFILLING[0].map(str::to_owned), true)?;
    }
    if !recipe.tokenizer.add.is_empty() {
        tokenizer = tokenizer.grow(&recipe.tokenizer.add, false)?;
    }
    Ok(tokenizer)
}

/// Whether the text of the run in `run` is tokens already.
pub fn is_prepared(recipe: &Recipe, run: &Path) -> bool {
    let judged = recipe.data.validation_fraction > 0.0;
    let has = |name: String| run.join("data").join(name).exists();
    let is_there =
        |s: SourceSection| has(file(&s, TRAIN)) && (!judged || has(file(&s, VALIDATION)));
    recipe.data.all().into_iter().all(is_there)
}

/// Where the text of a recipe comes from, for people.
pub fn origin(data: &DataSection) -> String {
    let origin = |source: SourceSection| {
        let paths: Vec<_> = source.paths.iter().map(|path| path.display().to_string()).collect();
        let corpus = source.corpus.unwrap_or_default();
        let of =
            if paths.is_empty() { format!("`{corpus}`, in the program") } else { paths.join(", ") };
        if source.name.is_empty() { of } else { format!("{}: {of}", source.name) }
    };
    data.all().into_iter().map(origin).collect::<Vec<_>>().join("; ")
}

/// Says how many files and folders in the folders of `source` are not read, and why.
///
/// # Errors
/// Where a path cannot be read.
pub fn warn_of_skipped(source: &Source, env: &Env) -> Result<(), DataError> {
    let skipped = source.skipped()?;
    if !skipped.is_empty() {
        let of: Vec<String> = skipped.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let (n, of) = (skipped.values().sum::<u64>(), of.join(", "));
        env.warn(&format!("{n} files in the folders are not read: {of}"));
    }
    Ok(())
}

/// Says which documents of a source are left out, and what was done to others.
pub fn warn_of_noted(name: &str, noted: &Noted, env: &Env) {
    let of = if name.is_empty() { String::new() } else { format!("`{name}`: ") };
    for (what, Places { n, first }) in &noted.left_out {
        let (n, first) = (grouped(*n), first.join("; "));
        env.warn(&format!("{of}{n} documents are left out, {what}; the first: {first}"));
    }
    for (what, Places { n, first }) in &noted.done {
        env.say(&format!("{of}{} {what}; the first: {}", grouped(*n), first.join("; ")));
    }
}

/// Says where a text has not as many tokens as a vocabulary was to have.
pub fn warn_of_fewer(tokenizer: &Tokenizer, asked: usize, env: &Env) {
    let found = tokenizer.vocab_size();
    if found < asked {
        env.warn(&format!("a vocabulary of {asked} was asked for, the text gives {found}"));
    }
}

/// The text that a recipe names. Standard input is kept in `dir`, for it can be read but once: a
/// run that was killed before its tokens were written finds it there.
pub fn source(recipe: &Recipe, dir: &Path) -> Result<Source, Failure> {
    let sources = recipe.data.all();
    if let [only] = &sources[..] {
        return source_of(only, dir);
    }
    let all: Result<_, _> = sources.iter().map(|source| source_of(source, dir)).collect();
    Ok(Source::Chain(all?))
}

/// The text of one source.
fn source_of(section: &SourceSection, dir: &Path) -> Result<Source, Failure> {
    let SourceSection { corpus, paths, read, .. } = section.clone();
    if paths.is_empty() {
        return Ok(Source::Embedded(corpus.unwrap_or_default()));
    }
    if paths != [Path::new("-")] {
        let is_read_once =
            |path: &&PathBuf| path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
        if let Some(path) = paths.iter().find(is_read_once) {
            let problem = format!("`{}` can be read but once, and not again", path.display());
            return Err(refused("data.paths", problem)
                .hint("give it as standard input: `--set 'data.paths=[\"-\"]' < PIPE`"));
        }
        return Ok(Source::Paths { paths, options: read });
    }
    let kept = dir.join(STDIN);
    if !kept.exists() {
        spool(std::io::stdin().lock(), &kept)?;
    }
    Ok(Source::Paths { paths: vec![kept], options: read })
}

/// Bytes of text a recipe names, by the sizes of its files; `None` where that cannot be told
/// without reading them (compressed, columns, markup, standard input).
///
/// # Errors
/// Where a file is not there, or a folder has none to read.
pub fn text_bytes(recipe: &Recipe) -> Result<Option<u64>, Failure> {
    let data = &recipe.data;
    if data.is_stdin() {
        return Ok(None);
    }
    let embedded = data.all().into_iter().filter(|source| source.paths.is_empty());
    let embedded = embedded.map(|source| source.corpus.unwrap_or_default().text().len() as u64);
    let mut total = embedded.sum();
    let source = source(recipe, Path::new(""))?;
    let unlike = [Some(Format::Parquet), Some(Format::Wiki)];
    let is_unlike = data.all().iter().any(|source| unlike.contains(&source.read.format));
    for path in source.files()? {
        let metadata = std::fs::metadata(&path).reading(&path)?;
        let name = path.to_string_lossy().to_lowercase();
        let ends = [".gz", ".zst", ".bz2", ".parquet", ".xml"];
        if is_unlike || !metadata.is_file() || ends.iter().any(|end| name.ends_with(end)) {
            return Ok(None);
        }
        total += metadata.len();
    }
    Ok(Some(total))
}

/// The first documents of `source`, so many bytes in all.
///
/// # Errors
/// Where they cannot be read.
pub fn first_texts(source: &Source, n_bytes: usize) -> Result<Vec<String>, DataError> {
    let (mut texts, mut left) = (vec![String::new()], n_bytes);
    for document in source.open()? {
        let Document { mut text, ends, .. } = document?;
        text.truncate(safe_cut(&text, left));
        left = left.saturating_sub(text.len());
        *texts.last_mut().expect("one at least") += &text;
        if left == 0 {
            break;
        }
        if ends {
            texts.push(String::new());
        }
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

/// The tokenizer of a recipe; where it is to be trained, on `texts`.
///
/// # Errors
/// Where it cannot be read, or trained.
pub fn tokenizer_of(recipe: &Recipe, texts: &[String]) -> Result<Tokenizer, Failure> {
    let tokenizer = if let Some(path) = recipe.tokenizer_dir() {
        Tokenizer::load(path)?
    } else {
        let size = recipe.tokenizer.vocab_size;
        Tokenizer::train_as(recipe.scheme(), texts.iter().cloned(), size)?
    };
    grown(tokenizer, recipe)
}
