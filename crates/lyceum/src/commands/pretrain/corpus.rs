//! The data of a run: tokenizer and token stores, made once and found again by a resumed run.

use std::path::Path;
use std::sync::Arc;

use checkpoint::{OsDisk, atomic};
use data::{DataError, EvalBatches, Format, Source, Store, build, spool, train_tokenizer};
use tokenize::Tokenizer;

use crate::environment::Env;
use crate::failure::Failure;
use crate::recipe::{Recipe, RecipeError};

/// Tokenizer and stores.
pub struct Corpora {
    /// How text became tokens.
    pub tokenizer: Tokenizer,
    /// What is learned from.
    pub train: Arc<Store>,
    /// What is judged by.
    pub validation: Option<Arc<Store>>,
}

const TRAIN: &str = "train.tokens";
const VALIDATION: &str = "validation.tokens";
const STDIN: &str = "stdin";

impl Corpora {
    /// Finds the data of the run in `run`, or makes it. Training reads only what is there, so
    /// standard input and compressed files resume too.
    ///
    /// # Errors
    /// Where text cannot be read, or what is stored is damaged.
    pub fn prepare(recipe: &Recipe, run: &Path, env: &Env) -> Result<Self, Failure> {
        let dir = run.join("data");
        if dir.join(TRAIN).exists() {
            return Self::open(recipe, &dir);
        }
        std::fs::create_dir_all(&dir).map_err(|e| unwritten(&dir, &e))?;
        let source = source(recipe, &dir)?;
        let tokenizer = if let Some(path) = &recipe.tokenizer.path {
            Tokenizer::load(path)?
        } else {
            env.say(&format!("training a vocabulary of {}", recipe.tokenizer.vocab_size));
            train_tokenizer(&source, recipe.tokenizer.vocab_size)?
        };
        let tokenizer_dir = dir.join("tokenizer");
        std::fs::create_dir_all(&tokenizer_dir).map_err(|e| unwritten(&tokenizer_dir, &e))?;
        for (name, bytes) in tokenizer.files()? {
            atomic::write_file(&OsDisk, &tokenizer_dir.join(name), &bytes)?;
        }
        // The training store comes last: where it is, everything is.
        let (train, validation) = (dir.join(TRAIN), dir.join(VALIDATION));
        let fraction = recipe.data.validation_fraction;
        let validation = (fraction > 0.0).then_some((validation.as_path(), fraction));
        build(&source, &tokenizer, &train, validation)?;
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
        let train = open(TRAIN)?;
        let judged = recipe.data.validation_fraction > 0.0;
        let validation = judged.then(|| open(VALIDATION)).transpose()?;
        if let Some(store) = &validation {
            // Found out now, not at the first evaluation.
            let (rows, data) = (recipe.eval.batch_size, &recipe.data);
            let judge = EvalBatches::new(Arc::clone(store), rows, data.seq_len, data.mode);
            judge.map_err(|error| too_little_to_judge(store, &error))?;
        }
        Ok(Self { tokenizer, train, validation })
    }
}

/// Whether the text of the run in `run` is tokens already.
pub fn is_prepared(run: &Path) -> bool {
    run.join("data").join(TRAIN).exists()
}

/// The text that a recipe names. Standard input is kept in `dir`, for it can be read but once: a
/// run that was killed before its tokens were written finds it there.
pub fn source(recipe: &Recipe, dir: &Path) -> Result<Source, Failure> {
    let (paths, options) = (&recipe.data.paths, recipe.data.read.clone());
    if paths.is_empty() {
        return Ok(Source::Embedded(recipe.data.corpus));
    }
    if !is_stdin(recipe)? {
        return Ok(Source::Paths { paths: paths.clone(), options });
    }
    let kept = dir.join(STDIN);
    if !kept.exists() {
        spool(std::io::stdin().lock(), &kept)?;
    }
    Ok(Source::Paths { paths: vec![kept], options })
}

/// Whether the text comes from standard input.
///
/// # Errors
/// Where that is one of several paths.
pub fn is_stdin(recipe: &Recipe) -> Result<bool, RecipeError> {
    let paths = &recipe.data.paths;
    let found = paths.iter().any(|path| path == Path::new("-"));
    if found && paths.len() > 1 {
        let problem = "`-` is standard input, and stands alone";
        return Err(RecipeError::value("data.paths", problem));
    }
    Ok(found)
}

/// Bytes of text a recipe names, by the sizes of its files; `None` where that cannot be told
/// without reading them (compressed, columns, standard input).
///
/// # Errors
/// Where a file is not there, or a folder has none to read.
pub fn text_bytes(recipe: &Recipe) -> Result<Option<u64>, Failure> {
    let data = &recipe.data;
    if data.paths.is_empty() {
        return Ok(Some(data.corpus.text().len() as u64));
    }
    if is_stdin(recipe)? {
        return Ok(None);
    }
    let source = Source::Paths { paths: data.paths.clone(), options: data.read.clone() };
    let mut total = 0;
    for path in source.files()? {
        let metadata = std::fs::metadata(&path).map_err(|e| Failure::read(&path, &e))?;
        let name = path.to_string_lossy().to_lowercase();
        let plain = |end: &&str| !name.ends_with(*end);
        if !metadata.is_file() || data.read.format == Some(Format::Parquet) {
            return Ok(None);
        }
        if ![".gz", ".zst", ".parquet"].iter().all(plain) {
            return Ok(None);
        }
        total += metadata.len();
    }
    Ok(Some(total))
}

fn too_little_to_judge(store: &Store, error: &DataError) -> Failure {
    Failure::new(format!("the validation text has {} tokens", store.n_tokens()))
        .because(error.to_string())
        .hint("raise `data.validation_fraction`, or set it to 0: the run is not judged then")
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to write `{}`", path.display())).because(error.to_string())
}
