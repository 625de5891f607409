//! What is learned of samples, and how a model is judged by it: the seam between tasks and the
//! command. Each task makes a [`Goal`] of a set; what goes on with it does not ask which.

use std::path::Path;
use std::sync::Arc;

use datasets::{Dataset, Input, Record, Split, Task};
use models::{ArchitectureConfig, HeadKind, LoraConfig, Method, Model, ModelConfig, Targets};
use rayon::prelude::*;
use tasks::{Example, Framed, Objective};
use tokenize::Tokenizer;
use train::report::format::grouped;
use train::{DataHashes, RolloutFeed, SamplePlan};

use super::set::{self, TRAIN};
use super::{labelled, near, preferred, problems, written};
use recipe::{FinetuneRecipe, MethodKind, refused};
use terminal::environment::Env;
use terminal::failure::Failure;

/// Tokens of a text that are worth reading.
const MIN_LEN: usize = 8;
/// Tokens that an evaluation shows the model at once.
pub const EVAL_TOKENS: usize = 4096;

/// What is learned, of what, and how good a model is at it.
pub struct Goal<'g> {
    /// What the model's head has to give.
    pub head: HeadKind,
    /// What a model that learned it is for, in the words of the Hugging Face hub.
    pub pipeline: &'static str,
    /// How wrong the model is.
    pub objective: Box<dyn Objective + 'g>,
    /// What is learned from.
    pub train: Arc<[Example]>,
    /// Of what a resumed run has to find again.
    pub hashes: DataHashes,
    /// What a checkpoint carries beside weights and tokenizer.
    pub files: Vec<(String, Vec<u8>)>,
    /// How often each sample comes in a row.
    pub copies: usize,
    /// How good the model is.
    pub judge: Box<train::Judge<'g>>,
    /// Samples that it is judged by.
    pub n_judged: usize,
    /// Where losses are held against where learning began: who finds that.
    pub anchor: Option<Anchor<'g>>,
    /// Where a model learns from what it writes itself: who gives it to it. `train` are prompts
    /// then.
    pub rollouts: Option<Rollouts<'g>>,
}

/// Where losses are held against where learning began.
pub struct Anchor<'g> {
    /// Tokens that the model to begin with is asked, once.
    pub n_tokens: usize,
    /// Notes it of what is learned from, and of what is judged; what is to be kept of it.
    pub find: Box<FindAnchor<'g>>,
}

/// Finds where learning began.
pub type FindAnchor<'g> = dyn FnOnce(&mut [Example]) -> Result<Vec<u8>, Failure> + 'g;

/// Where a model learns from what it writes itself.
pub struct Rollouts<'g> {
    /// Tokens of the longest prompt that is answered where it is judged.
    pub longest_judged: usize,
    /// Makes a feed.
    pub feed: Box<MakeFeed<'g>>,
}

/// Makes a feed of the order of prompts, hashes, and who judges.
pub type MakeFeed<'g> =
    dyn FnOnce(SamplePlan, DataHashes, Box<train::Judge<'g>>) -> RolloutFeed<'g> + 'g;

impl<'s> Goal<'s> {
    /// That of the set that a recipe names, what is learned from it, and how that is tried.
    ///
    /// # Errors
    /// Where a table cannot be read, holds something else, more is wrong with it than the recipe
    /// puts up with, or the model cannot do the task.
    pub fn of(source: &Source<'s>) -> Result<(Self, Task, Tried), Failure> {
        let set = set::read(source.recipe, source.env)?;
        source.recipe.train.can_wait(set::validation(&set).is_some())?;
        source.recipe.fits(set.task)?;
        source.refuse_two_trunks(set.task)?;
        let goal = Self::of_set(source, &set)?;
        let has_template = source.tokenizer.chat_template().is_ok_and(|one| one.is_some());
        let tried = Tried::of(&set, goal.pipeline, has_template);
        Ok((goal, set.task, tried))
    }

    /// How good a model is by all that a recipe's tables have, of which nothing is learned.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn to_judge(source: &Source<'s>) -> Result<Self, Failure> {
        let set = set::to_judge(source.recipe, source.env)?;
        source.recipe.fits(set.task)?;
        source.refuse_two_trunks(set.task)?;
        Self::of_set(source, &set)
    }

    fn of_set(source: &Source<'s>, set: &Dataset) -> Result<Self, Failure> {
        match set.task {
            Task::Triplet => near::goal(source, set),
            Task::Score if source.recipe.task.loss.is_some() => near::goal(source, set),
            _ if source.recipe.task.loss.is_some() => {
                let problem = format!("`{}` has one loss", set.task);
                Err(refused("task.loss", problem).hint("leave it out"))
            }
            Task::Classify | Task::Score | Task::Choice | Task::Tag | Task::Span | Task::Rank => {
                labelled::goal(source, set)
            }
            Task::Pairs | Task::Chat => written::goal(source, set),
            Task::Preference | Task::Judged => preferred::goal(source, set),
            Task::Problem => problems::goal(source, set),
        }
    }
}

/// How what was learned is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// As the pipeline is, on one text.
    Alone,
    /// On two texts.
    Pair,
    /// In a conversation.
    Chat,
}

impl Tried {
    /// What the end of a run calls it.
    pub fn way(self, pipeline: &str) -> &str {
        match self {
            Self::Alone => pipeline,
            Self::Pair => "text-pair",
            Self::Chat => "chat",
        }
    }

    fn of(set: &Dataset, pipeline: &str, has_template: bool) -> Self {
        let first = set.splits.first().and_then(|split| split.records.first());
        let is_pair = |input: &Input| matches!(input, Input::Classify { pair: Some(_), .. });
        match set.task {
            Task::Chat | Task::Preference | Task::Judged | Task::Problem
                if has_template && pipeline == HeadKind::Tokens.pipeline() =>
            {
                Self::Chat
            }
            Task::Rank => Self::Pair,
            // Of vectors each text has its own.
            Task::Classify | Task::Score
                if pipeline != "sentence-similarity"
                    && first.is_some_and(|record| is_pair(&record.input)) =>
            {
                Self::Pair
            }
            _ => Self::Alone,
        }
    }
}

/// What a goal is made with.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// What is wanted.
    pub recipe: &'s FinetuneRecipe,
    /// The model to begin with.
    pub model: &'s ModelConfig,
    /// Its tokenizer.
    pub tokenizer: &'s Tokenizer,
    /// Where the run stands that goes on.
    pub resumed: Option<&'s Path>,
    /// Whether nothing is learned.
    pub only_judges: bool,
    /// Who hears of it.
    pub env: &'s Env,
}

/// A metric that the task does not have.
pub fn unknown_metric(error: &metrics::MetricError) -> Failure {
    let text = error.to_string();
    let (problem, hint) = text.split_once("\n\nhint: ").unwrap_or((&text, ""));
    refused("task.metrics", problem).hint(hint)
}

/// Refuses the first of what a recipe says and `what` has no use for.
///
/// # Errors
/// With that field.
pub fn refuse_unused(what: &str, said: &[(&str, bool)]) -> Result<(), Failure> {
    match said.iter().find(|(_, is_said)| *is_said) {
        Some((field, _)) => {
            Err(refused(field, format!("has no part in {what}")).hint("leave it out"))
        }
        None => Ok(()),
    }
}

impl Source<'_> {
    /// Refuses parts of a step where what is shown together is a part of the question.
    ///
    /// # Errors
    /// Where the recipe wants them.
    pub fn whole_steps(&self) -> Result<(), Failure> {
        let train = &self.recipe.train;
        let is_whole = train.batch_tokens.is_none() && train.micro_batch == train.batch_size;
        if train.micro_batch == 0 || is_whole {
            return Ok(());
        }
        let problem = "what is shown together is a part of the question: a step is one micro-batch";
        Err(refused("train.micro_batch", problem).hint("leave it out"))
    }

    /// Refuses what an encoder with a decoder is not tuned for, or with.
    fn refuse_two_trunks(&self, task: Task) -> Result<(), Failure> {
        let family = self.model.family();
        if !matches!(family.architecture()?, ArchitectureConfig::EncoderDecoder(_)) {
            return Ok(());
        }
        let name = family.model_type();
        if !matches!(task, Task::Pairs | Task::Chat) {
            let problem = format!(
                "`{task}` is not learned by a `{name}`, which has an encoder and a decoder and is \
                 tuned for `pairs` alone"
            );
            return Err(refused("task.kind", problem).hint(
                "say `--task pairs`, and which columns are `data.columns.source` and \
                 `data.columns.target`; or begin with a model of one trunk",
            ));
        }
        let kind = match self.recipe.method.kind {
            MethodKind::Prompt => "prompt",
            MethodKind::Prefix => "prefix",
            MethodKind::Adapter => "adapter",
            _ => return Ok(()),
        };
        let problem = format!("`{kind}` is not there for a `{name}`, an encoder with a decoder");
        Err(refused("method.kind", problem).hint("`lora` is: `--set method.kind=lora`"))
    }

    /// Tokens of a sample, of a model that knows `most` positions.
    ///
    /// # Errors
    /// Where the recipe wants more.
    pub fn max_len(&self, most: usize) -> Result<usize, Failure> {
        let n_virtual = self.recipe.n_virtual();
        let (all, most) = (most, most.saturating_sub(n_virtual));
        if most < MIN_LEN {
            let problem =
                format!("{n_virtual} of the {all} positions that the model knows leave too few");
            return Err(refused("method.n_virtual", problem));
        }
        match self.recipe.data.max_len {
            0 => Ok(most),
            n if n <= most => Ok(n),
            n => {
                let problem = format!("{n} tokens, and the model knows {most} positions");
                Err(refused("data.max_len", problem))
            }
        }
    }

    /// The examples that `make` makes of records, none of one of which nothing is left to learn;
    /// says what was lost.
    ///
    /// # Errors
    /// Where a record is refused, or more is lost than the recipe puts up with.
    pub fn framed(
        &self,
        split: &Split,
        max_len: usize,
        make: impl Fn(usize, &Record) -> Result<Vec<Framed>, Failure> + Sync,
    ) -> Result<Vec<Framed>, Failure> {
        let Split { name, records, .. } = split;
        if self.only_judges && name == TRAIN {
            return Ok(Vec::new());
        }
        if records.is_empty() {
            let problem = format!("`{name}` has no samples");
            return Err(Failure::new(problem).hint("name another file"));
        }
        let made: Result<Vec<Vec<Framed>>, Failure> =
            records.par_iter().enumerate().map(|(i, record)| make(i, record)).collect();
        let made = made?;
        let having = |has: &dyn Fn(&[Framed]) -> bool| -> Vec<usize> {
            (0..made.len()).filter(|&i| has(&made[i])).collect()
        };
        let cut = having(&|all| all.iter().any(|framed| framed.n_cut > 0));
        let emptied = having(&<[Framed]>::is_empty);
        let open = having(&|all| all.iter().any(|framed| framed.is_open));
        let all: Vec<Framed> = made.into_iter().flatten().collect();
        self.count(name, records.len(), all.iter().map(|framed| &framed.example));
        self.refuse_lost(split, [&cut, &emptied, &open], max_len)?;
        if all.is_empty() {
            let problem = format!("`{name}` has no sample with something to learn");
            return Err(Failure::new(problem).hint("name another file"));
        }
        Ok(all)
    }

    /// Says how many samples a split has, and tokens of their examples.
    pub fn count<'e>(&self, name: &str, n: usize, examples: impl Iterator<Item = &'e Example>) {
        let lengths: Vec<usize> = examples.map(Example::n_tokens).collect();
        self.env.say(&format!(
            "{name}: {} samples, {} tokens, the longest {}",
            grouped(n as u64),
            grouped(lengths.iter().sum::<usize>() as u64),
            lengths.iter().max().unwrap_or(&0),
        ));
    }

    /// Says which samples of a split are cut, emptied and open; refuses more than the recipe puts
    /// up with.
    fn refuse_lost(
        &self,
        Split { name, records, .. }: &Split,
        [cut, emptied, open]: [&[usize]; 3],
        max_len: usize,
    ) -> Result<(), Failure> {
        let data = &self.recipe.data;
        let max_cut = ("data.max_cut", data.max_cut);
        let lost = [
            (
                (cut, max_cut),
                &*format!("are longer than {max_len} tokens and lose their ends"),
                "raise `data.max_len`, or `data.max_cut` if that is meant",
            ),
            (
                (emptied, max_cut),
                "have nothing that is learned, and are left out",
                "take them out, raise `data.max_len` where they are too long, or `data.max_cut` if \
                 that is meant",
            ),
            (
                (open, ("data.max_spoiled", data.max_spoiled)),
                "end with no token that ends a text: the model would not learn to stop",
                "let the chat template write a special token behind what the assistant says; or \
                 raise `data.max_spoiled`, if that is meant",
            ),
        ];
        for ((places, (key, most)), what, hint) in lost {
            let Some(&first) = places.first() else { continue };
            let share = places.len() as f64 / records.len() as f64;
            let problem = format!(
                "{name}: {} of {} samples {what} ({:.1} %); the first: {}",
                places.len(),
                records.len(),
                100.0 * share,
                records[first].at
            );
            if share > most {
                return Err(refused(key, problem).hint(hint));
            }
            self.env.warn(&problem);
        }
        Ok(())
    }

    /// The model to begin with, as it is below whatever learns.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn base(&self) -> Result<Model, Failure> {
        let head = HeadKind::Tokens;
        let config = self.model.with_head(&head).map_err(|e| Failure::of(&e, None))?;
        let mut tuning = self.recipe.tuning(Vec::new(), &head)?;
        if matches!(tuning.method, Method::Beside(_)) {
            // Of what learns beside a model, a fresh change of low rank alone changes nothing.
            let targets = Some(Targets::Pattern("all-linear".into()));
            tuning.method = Method::Lora(LoraConfig { rank: 1, targets, ..LoraConfig::default() });
        }
        let from = &self.recipe.model.from;
        Ok(Model::load_tuned(from, Some(config), &tuning, self.recipe.train.seed)?.0)
    }

    /// Hashes of what a resumed run has to find again.
    pub fn hashes(&self, train: &[Example], validation: &[Example]) -> DataHashes {
        DataHashes::from([
            ("tokenizer".to_owned(), self.tokenizer.hash().to_owned()),
            ("training samples".to_owned(), tasks::digest(train)),
            ("validation samples".to_owned(), tasks::digest(validation)),
        ])
    }
}
