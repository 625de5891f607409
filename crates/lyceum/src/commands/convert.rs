//! `lyceum convert`: a model in another format or type.

use std::path::Path;

use ::checkpoint::gguf::{self, Value as Meta};
use ::checkpoint::weights::{MAX_SHARD_BYTES, save};
use ::checkpoint::{Dtype, OsDisk, StagedDir, Stored, Weights};
use models::{Model, ModelConfig};
use nn::ConfigError;
use tokenize::{GgufVocab, TokenizeError};

use super::load::Loaded;
use super::print;
use crate::cli::{Convert, DtypeArg, Format};
use crate::environment::Env;
use crate::failure::{Context, Exit, Failure};

/// What says how a model is used, and is passed on as it is.
const KEPT: [&str; 5] = [
    "generation_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];
/// Such files are small.
const MAX_KEPT_BYTES: u64 = 1 << 20;

/// Writes the model anew.
///
/// # Errors
/// Where the model is refused, its family has no form there, or something is at the target.
pub fn run(args: &Convert, env: &Env) -> Result<Exit, Failure> {
    if args.output.exists() {
        let problem = format!("`{}` exists", args.output.display());
        return Err(Failure::new(problem).hint("give a path where there is nothing yet"));
    }
    if args.to == Format::Gguf && args.max_shard_size.is_some() {
        return Err(Failure::new("`--max-shard-size` is for `--to hf`: a GGUF file is one file")
            .hint("leave it out"));
    }
    let precision = super::load::PrecisionArg::F32;
    let mut adapters = args.adapters.clone();
    if args.unmerge {
        adapters.all.iter_mut().for_each(|(_, by)| *by = -*by);
    }
    let mut loaded = Loaded::with(&args.input, &adapters, precision, env)?;
    if let Some(adapter) = loaded.model.adapters.iter().find(|a| args.unmerge && !a.is_a_sum()) {
        let problem = format!("adapter `{}` cannot be taken out of weights again", adapter.name);
        return Err(Failure::new(problem).hint(
            "one whose lengths learn apart, that has a head, or for which weights were \
                 rounded, is no sum: keep the base",
        ));
    }
    if args.unmerge {
        for (adapter, _) in &args.adapters.all {
            models::check_merged(&super::load::model_dir(adapter)?, &loaded.base)?;
        }
    }
    let beside = loaded.merge(env)?;
    if !args.average.is_empty() {
        let mut models = vec![loaded.model];
        for other in &args.average {
            let mut other = Loaded::open(other, precision, env)?;
            other.merge(env)?;
            models.push(other.model);
        }
        loaded.model = Model::average(&models)?;
    }
    let dtypes = Dtypes { wanted: args.dtype, weights: Weights::open(&loaded.base)? };
    match args.to {
        Format::Hf => hf(&loaded, &dtypes, args, env)?,
        Format::Gguf => to_gguf(&loaded, &dtypes, &args.output)?,
    }
    if let (Some(beside), []) = (&beside, &args.average[..]) {
        loaded.check_stored((beside, &args.output), dtypes.of_model()?, env)?;
    }
    print(&format!("{}\n", args.output.display()))
}

/// How tensors are stored.
struct Dtypes {
    wanted: Option<DtypeArg>,
    weights: Weights,
}

impl Dtypes {
    /// What was asked for, else what most of the source is stored as.
    fn of_model(&self) -> Result<Stored, Failure> {
        let wanted = self.wanted.map(|wanted| match wanted {
            DtypeArg::F32 => Stored::Plain(Dtype::F32),
            DtypeArg::F16 => Stored::Plain(Dtype::F16),
            DtypeArg::Bf16 => Stored::Plain(Dtype::BF16),
            DtypeArg::Q8_0 => Stored::Blocks(gguf::Block::Q8_0),
        });
        if let Some(wanted) = wanted {
            return Ok(wanted);
        }
        let (mut best, mut most) = (Stored::Plain(Dtype::F32), 0);
        for name in self.weights.names() {
            let view = self.weights.get(name)?;
            let (n, plain) = (view.shape.iter().product(), view.dtype);
            let kept = [Dtype::F32, Dtype::F16, Dtype::BF16].iter().any(|d| plain.is(*d));
            if n > most {
                (best, most) = (if kept { plain } else { Stored::Plain(Dtype::F32) }, n);
            }
        }
        Ok(best)
    }
}

fn hf(loaded: &Loaded, dtypes: &Dtypes, args: &Convert, env: &Env) -> Result<(), Failure> {
    let dtype = dtypes.of_model()?;
    if matches!(dtype, Stored::Blocks(_)) {
        let problem = "a Hugging Face directory has no blocks of 8 bits";
        return Err(Failure::new(problem).hint("give `--dtype bf16`, or write `--to gguf`"));
    }
    let mut staged = StagedDir::begin(&OsDisk, &args.output)?;
    let mut config: serde_json::Value =
        serde_json::from_str(&loaded.model.config_json()).expect("just written");
    let name = match dtype {
        Stored::Plain(Dtype::F16) => "float16",
        Stored::Plain(Dtype::BF16) => "bfloat16",
        _ => "float32",
    };
    if !matches!(loaded.model.config, ModelConfig::Seed(_)) {
        config["dtype"] = name.into();
    }
    staged.write("config.json", format!("{config:#}\n").as_bytes())?;
    // A model without a tokenizer stays one.
    let without = |error: TokenizeError| {
        if !matches!(error, TokenizeError::Missing { .. }) {
            env.warn(&format!("the tokenizer is left out: {error}"));
        }
    };
    if let Ok(tokenizer) = loaded.tokenizer_or(without)? {
        for (name, bytes) in tokenizer.files()? {
            staged.write(name, &bytes)?;
        }
        if let Some(template) = gguf_template(&dtypes.weights) {
            staged.write("chat_template.jinja", template.as_bytes())?;
        }
    }
    for name in KEPT {
        let path = loaded.file(name);
        if path.exists() {
            staged.write(name, &mapped::read_small(&path, MAX_KEPT_BYTES).reading(&path)?)?;
        }
    }
    let entries = loaded.model.entries_as(|_, _| dtype);
    save(&mut staged, "model", &entries, args.max_shard_size.unwrap_or(MAX_SHARD_BYTES))?;
    staged.commit(super::pretrain::origin(env))?;
    Ok(())
}

fn gguf_template(weights: &Weights) -> Option<String> {
    let value = weights.metadata()?.get("tokenizer.chat_template")?;
    value.as_str().map(str::to_owned)
}

fn to_gguf(loaded: &Loaded, dtypes: &Dtypes, target: &Path) -> Result<(), Failure> {
    let dtype = dtypes.of_model()?;
    // Vectors are added and multiplied in f32, and rows that fill no block are halves.
    let of = |_: &str, shape: &[usize]| match (dtype, shape) {
        (_, [] | [_]) => Stored::Plain(Dtype::F32),
        (Stored::Blocks(_), [.., cols]) if !cols.is_multiple_of(32) => Stored::Plain(Dtype::F16),
        (dtype, _) => dtype,
    };
    let refused = |error: ConfigError| {
        let problem = format!("`{}` cannot be written as GGUF: {error}", loaded.dir.display());
        Failure::new(problem).hint("`--to hf` writes every family as it is")
    };
    let (mut metadata, entries) = loaded.model.gguf(of).map_err(refused)?;
    let name = loaded.dir.file_stem().unwrap_or_default().to_string_lossy();
    metadata.push(("general.name".into(), Meta::Str(&name)));
    let told;
    if let Some(source) = dtypes.weights.metadata() {
        // As it was.
        let keys = source.keys().filter(|key| key.starts_with("tokenizer."));
        metadata.extend(keys.filter_map(|key| Some((key.to_owned(), source.get(key)?))));
    } else {
        let tokenizer = loaded.tokenizer()?;
        told = (tokenizer.to_gguf(loaded.vocab_size())?, tokenizer.chat_source()?);
        metadata.extend(tokenizer_metadata(&told.0, told.1.as_deref()));
    }
    let metadata: Vec<(&str, Meta)> =
        metadata.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    Ok(gguf::save_file(&OsDisk, target, &metadata, &entries)?)
}

/// The tokenizer's part.
fn tokenizer_metadata<'v>(
    vocab: &'v GgufVocab,
    template: Option<&'v str>,
) -> Vec<(String, Meta<'v>)> {
    let texts = |all: &'v [String]| Meta::Array(gguf::Array::new(all.iter().map(|t| Meta::Str(t))));
    let types = gguf::Array::new(vocab.token_types.iter().map(|&t| Meta::I32(t)));
    let known = [
        ("model", Some(Meta::Str(&vocab.model))),
        ("pre", vocab.pre.as_deref().map(Meta::Str)),
        ("tokens", Some(texts(&vocab.tokens))),
        ("token_type", Some(Meta::Array(types))),
        ("merges", Some(texts(&vocab.merges))),
        ("bos_token_id", vocab.special.bos.map(Meta::U32)),
        ("eos_token_id", vocab.special.eos.map(Meta::U32)),
        ("unknown_token_id", vocab.special.unk.map(Meta::U32)),
        ("padding_token_id", vocab.special.pad.map(Meta::U32)),
        ("add_bos_token", vocab.add_bos.map(Meta::Bool)),
        ("add_eos_token", vocab.add_eos.map(Meta::Bool)),
    ];
    let ggml = known
        .into_iter()
        .filter_map(|(key, value)| Some((format!("tokenizer.ggml.{key}"), value?)));
    let template = template.map(|text| ("tokenizer.chat_template".to_owned(), Meta::Str(text)));
    ggml.chain(template).collect()
}
