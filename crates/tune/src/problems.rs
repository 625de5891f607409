//! Problems whose answers can be checked: a model learns from its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use datasets::{Dataset, Input, Record, Said, Split};
use generate::Sampling;
use models::HeadKind;
use nn::HeadConfig;
use tasks::rewards::{Attempt, Rewards};
use tasks::{Dialogue, Example, Grouped, Losses, Row};
use tensor::Loss;
use tokenize::Tokenizer;
use train::report::format::grouped;
use train::{
    At, Evaluation, Grades, RolloutFeed, RolloutParts, TrainError, Writing, Written, write,
};

use super::goal::{Goal, Rollouts, Source, refuse_unused};
use super::set::{TRAIN, validation};
use super::written::{self, MAX_WRITTEN};
use recipe::{Aligned, refused};
use terminal::failure::Failure;
use terminal::table::printable;

/// What problems are graded with.
struct Grader<'t> {
    tokenizer: &'t Tokenizer,
    rewards: Rewards,
}

/// Problems as they are asked, and as they are graded.
#[derive(Default)]
struct Problems {
    prompts: Vec<Vec<u32>>,
    /// Prompt and right answer.
    texts: Vec<[String; 2]>,
}

/// The goal of problems.
///
/// # Errors
/// Where the model does not write, is not shown such texts, or nobody says what answers are worth.
pub fn goal<'s>(source: &Source<'s>, set: &Dataset) -> Result<Goal<'s>, Failure> {
    let Source { recipe, tokenizer, env, .. } = *source;
    let align = &recipe.align;
    let aligned = align.of(set.task, recipe.task.label_smoothing)?;
    let Aligned::Grouped(beta) = aligned else {
        return Err(refused("align.loss", "problems are learned by `grpo`"));
    };
    refuse_others(source)?;
    let rewards = align.rewards()?;
    let template = tokenizer.chat_template()?;
    let dialogue = written::dialogue(source, template.as_ref())?;
    if dialogue.start.is_some() {
        return Err(refused("model.from", "an encoder-decoder is not aligned here"));
    }
    let records = &set.split(TRAIN)?.records;
    let learned = Problems::read(records, &dialogue, align.max_tokens)?;
    let judged = Problems::read(judged(source, set), &dialogue, align.max_tokens)?;
    let writing = Writing {
        n: align.answers,
        sampling: align.sampling(),
        max_tokens: align.max_tokens,
        ends: ends_of(set, &dialogue)?,
        seed: recipe.train.seed,
    };
    let grader = Grader { tokenizer, rewards };
    let reference = if beta > 0.0 && !source.only_judges { Some(source.base()?) } else { None };
    let (train, shown) = (learned.examples(), judged.examples());
    let longest_judged = judged.prompts.iter().map(Vec::len).max().unwrap_or(0);
    let n_judged = judged.prompts.len();
    if let (Some(first), [[_, answer], ..]) = (train.first(), &learned.texts[..]) {
        source.count(TRAIN, train.len(), train.iter());
        let instance = Example { targets: Vec::new(), ..first.clone() };
        let (prompt, answer) =
            (written::shown(&instance, tokenizer, env), printable(answer, false));
        env.say(&format!("for instance: {prompt} => {answer}"));
    }
    let hashes = source.hashes(&train, &shown);
    let grader = Arc::new(grader);
    let (own, greedy) = (Arc::clone(&grader), Writing { n: 1, ..writing.clone() });
    let greedy = Writing { sampling: Sampling::GREEDY, ..greedy };
    Ok(Goal {
        head: HeadKind::Tokens,
        pipeline: HeadKind::Tokens.pipeline(),
        objective: Box::new(Grouped { beta, temperature: align.temperature }),
        train: train.into(),
        hashes,
        // Answers of one problem stay together.
        copies: align.answers,
        judge: Box::new(move |model| own.judge(model, &judged, &greedy)),
        files: Vec::new(),
        n_judged,
        anchor: None,
        rollouts: Some(Rollouts {
            longest_judged,
            feed: Box::new(move |plan, hashes, judge| {
                let texts = learned.texts;
                let grade = move |written: &[Written]| grader.grade(written, &texts);
                RolloutFeed::new(RolloutParts {
                    prompts: learned.prompts.into(),
                    plan,
                    writing,
                    reference,
                    grade: Box::new(grade),
                    hashes,
                    judge,
                })
            }),
        }),
    })
}

/// Refuses what a recipe says that has no part in problems, or that this model cannot do.
fn refuse_others(source: &Source) -> Result<(), Failure> {
    let Source { recipe, model, .. } = *source;
    written::refuse_labels(&recipe.task)?;
    written::refuse_dropout(recipe)?;
    refuse_unused(
        "problems, which are judged by what answers are worth",
        &[("task.metrics", !recipe.task.metrics.is_empty())],
    )?;
    let has_bias = |(_, head): &(&str, HeadConfig)| match head {
        HeadConfig::Token(head) => head.bias,
        _ => false,
    };
    let t = recipe.align.temperature;
    if t != 1.0 && model.family().stack()?.heads.iter().any(has_bias) {
        let problem = format!("{t}, and the model's head has a bias: nothing is learned at {t}");
        return Err(refused("align.temperature", problem).hint("leave it at 1"));
    }
    Ok(())
}

/// Problems that are answered where a model is judged; says where these are not all.
fn judged<'d>(source: &Source, set: &'d Dataset) -> &'d [Record] {
    let Some(Split { name, records, .. }) = validation(set) else { return &[] };
    let most = source.recipe.task.max_written.unwrap_or(MAX_WRITTEN).min(records.len());
    if most < records.len() {
        source.env.say(&format!(
            "{name}: the first {} of {} problems are answered: `task.max_written` says how many",
            grouped(most as u64),
            grouped(records.len() as u64),
        ));
    }
    &records[..most]
}

/// What ends an answer: the token that does where one is written down, if it says nothing else, and
/// what ends any text.
fn ends_of(set: &Dataset, dialogue: &Dialogue) -> Result<Vec<u32>, Failure> {
    let first = set.splits.iter().flat_map(|split| &split.records).next();
    let first = first.map(|record| &record.input);
    let Some(Input::Problem { prompt, answer }) = first else {
        return Err(Failure::new("there are no problems to learn from").hint("name another file"));
    };
    let spoken = dialogue.answer(prompt, &Said::Text(answer.clone()))?;
    let last = spoken.ids.iter().zip(&spoken.is_learned).rfind(|(_, is_learned)| **is_learned);
    let last = last.map(|(id, _)| *id).filter(|id| dialogue.tokenizer.is_special(*id));
    let ends: BTreeSet<u32> = last.into_iter().chain([dialogue.end]).collect();
    Ok(ends.into_iter().collect())
}

impl Problems {
    fn read(records: &[Record], dialogue: &Dialogue, max_tokens: usize) -> Result<Self, Failure> {
        let mut all = Self::default();
        let room = dialogue.max_len.saturating_sub(max_tokens);
        for Record { input, at, .. } in records {
            let Input::Problem { prompt, answer } = input else { continue };
            let ids = dialogue.prompt(prompt)?;
            if ids.is_empty() || ids.len() > room {
                let n = ids.len();
                let problem = format!("{at}: a prompt of {n} tokens, and there is room for {room}");
                return Err(refused("align.max_tokens", problem)
                    .hint("a prompt has a token, and fits with its answer into `data.max_len`"));
            }
            all.prompts.push(ids);
            all.texts.push([prompt.texts().join("\n"), answer.clone()]);
        }
        Ok(all)
    }

    /// Prompts alone, for lengths and hashes: answers are in the name of what hashes are of.
    fn examples(&self) -> Vec<Example> {
        let of = |(i, ids): (usize, &Vec<u32>)| {
            let input = Row::plain(ids.clone());
            let targets = self.texts[i][1].bytes().map(u32::from).collect();
            Example { input, targets, ..Example::of(i as u64) }
        };
        self.prompts.iter().enumerate().map(of).collect()
    }
}

impl Grader<'_> {
    fn grade(&self, written: &[Written], texts: &[[String; 2]]) -> Result<Grades, TrainError> {
        let said = |written: &Written| self.tokenizer.decode(&written.tokens).unwrap_or_default();
        let said: Vec<String> = written.iter().map(said).collect();
        let attempt = |(written, completion): (&Written, &'_ String)| {
            let [prompt, answer] = &texts[written.prompt];
            (prompt, completion.clone(), answer)
        };
        let all: Vec<_> = written.iter().zip(&said).map(attempt).collect();
        let attempts: Vec<Attempt> = all
            .iter()
            .map(|(prompt, completion, answer)| Attempt { prompt, completion, answer })
            .collect();
        let graded = self.rewards.grade(&attempts)?;
        let mut told = graded.by_rule;
        if let Some((n, _)) = graded.failed {
            told.push(("failed".to_owned(), n as f64 / attempts.len() as f64));
        }
        let sample = Self::sample(&attempts, &graded.rewards, written);
        Ok(Grades { rewards: graded.rewards, told, sample })
    }

    /// The first problem, with the answer that was worth most and the one that was worth least.
    fn sample(attempts: &[Attempt], rewards: &[f64], written: &[Written]) -> String {
        let Some(first) = written.first() else { return String::new() };
        let n = written.iter().take_while(|written| written.prompt == first.prompt).count();
        let by_reward = |a: &usize, b: &usize| rewards[*a].total_cmp(&rewards[*b]);
        let (Some(best), Some(worst)) = ((0..n).max_by(by_reward), (0..n).min_by(by_reward)) else {
            return String::new();
        };
        let of = |at: usize| format!("[{}] {}", rewards[at], attempts[at].completion.trim());
        let prompt = attempts[0].prompt.trim();
        format!("{prompt}\n{}\n{}", of(best), of(worst))
    }

    /// What the likeliest answers are worth.
    fn judge(
        &self,
        model: At,
        judged: &Problems,
        writing: &Writing,
    ) -> Result<Option<Evaluation>, TrainError> {
        if judged.prompts.is_empty() {
            return Ok(None);
        }
        let which: Vec<usize> = (0..judged.prompts.len()).collect();
        let written = write(model, (&judged.prompts, &which), writing)?;
        let grades = self.grade(&written, &judged.texts)?;
        let n = written.len() as f64;
        let reward = grades.rewards.iter().sum::<f64>() / n;
        let ended = written.iter().filter(|written| written.end.is_some()).count() as f64;
        let loss = Loss { sum: -reward * n, n_targets: written.len() as u64, n_right: 0 };
        let [reward_of, ended_of] = ["reward", "ended"].map(str::to_owned);
        let told = grades.told.into_iter().chain([(ended_of, ended / n)]);
        let metrics = [(reward_of, reward)].into_iter().chain(told);
        Ok(Some(Evaluation {
            metrics: metrics.map(|(name, value)| (name, Some(value))).collect(),
            is_better_small: false,
            ..Evaluation::of(Losses::one("reward", loss))
        }))
    }
}
