//! The data of a run: tokenizer and token stores, made once and found again by a resumed run.

use std::path::Path;
use std::sync::Arc;

use data::{BuildConfig, Source, Store, build, spool, train_tokenizer};
use tokenize::Tokenizer;

use crate::environment::Env;
use crate::failure::Failure;
use crate::recipe::Recipe;

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

impl Corpora {
    /// Finds the data of the run in `run`, or makes it. Training reads only what is there, so standard
    /// input and compressed files resume too.
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
        let tokenizer = match &recipe.tokenizer.path {
            Some(path) => Tokenizer::load(path)?,
            None => {
                env.say(&format!("training a vocabulary of {}", recipe.tokenizer.vocab_size));
                train_tokenizer(&source, recipe.tokenizer.vocab_size)?
            }
        };
        let tokenizer_dir = dir.join("tokenizer");
        std::fs::create_dir_all(&tokenizer_dir).map_err(|e| unwritten(&tokenizer_dir, &e))?;
        tokenizer.save(&tokenizer_dir)?;
        // The training store comes last: where it is, everything is.
        let (train, validation) = (dir.join(TRAIN), dir.join(VALIDATION));
        let fraction = recipe.data.validation_fraction;
        let validation = (fraction > 0.0).then_some((validation.as_path(), fraction));
        let config = BuildConfig { tokenizer: &tokenizer, train: &train, validation };
        build(&source, &config, &mut |_| ())?;
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
        Ok(Self { train, validation, tokenizer })
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to write `{}`", path.display())).because(error.to_string())
}

/// The text that a recipe names; standard input is kept beside the run, for it can be read but once.
fn source(recipe: &Recipe, dir: &Path) -> Result<Source, Failure> {
    let (paths, options) = (&recipe.data.paths, recipe.data.read.clone());
    if paths.is_empty() {
        return Ok(Source::Embedded(recipe.data.corpus));
    }
    if paths.iter().all(|path| path != Path::new("-")) {
        return Ok(Source::Paths { paths: paths.clone(), options });
    }
    if paths.len() > 1 {
        return Err(Failure::new("`data.paths`: `-` is standard input, and stands alone"));
    }
    let kept = dir.join("stdin");
    spool(std::io::stdin().lock(), &kept)?;
    Ok(Source::Paths { paths: vec![kept], options })
}
