//! Answers that are better than others: how likely a model thinks them, or what it scores them.

use std::cell::RefCell;
use std::rc::Rc;

use datasets::{Dataset, Input, Record, Split};
use models::HeadKind;
use tasks::{
    Asked, Dialogue, Example, Framed, Labelled, Objective, Preference, Weighed, log_probs,
    losses_of, predict,
};
use train::{At, Evaluation, REFERENCE_FILE, keep, kept};

use super::goal::{Anchor, EVAL_TOKENS, Goal, Source};
use super::set::{TRAIN, validation};
use super::written;
use recipe::{Aligned, refused};
use terminal::failure::{Context, Failure};

/// The goal of pairs of answers, or of answers that are good or bad.
///
/// # Errors
/// Where the model does not write, is not shown such texts, or the recipe asks for another loss.
pub fn goal<'s>(source: &Source<'s>, set: &Dataset) -> Result<Goal<'s>, Failure> {
    let Source { recipe, tokenizer, .. } = *source;
    let aligned = recipe.align.of(set.task, recipe.task.label_smoothing)?;
    let template = tokenizer.chat_template()?;
    let dialogue = written::dialogue(source, template.as_ref())?;
    if dialogue.start.is_some() {
        return Err(refused("model.from", "an encoder-decoder is not aligned here"));
    }
    if matches!(aligned, Aligned::Preference(Preference::Kto { .. })) {
        source.whole_steps()?;
    }
    let weighed = if aligned == Aligned::Reward { Weighed::Scored } else { Weighed::Likely };
    let framed = |split: &Split| examples(source, &dialogue, split, weighed);
    let train = framed(set.split(TRAIN)?)?;
    written::show(source, &train);
    let judged = validation(set).map(framed).transpose()?.unwrap_or_default();
    let hashes = source.hashes(&train, &judged);
    let n_tokens = train.iter().chain(&judged).map(Example::n_tokens).sum();
    let n_judged = judged.len();
    let judged = Rc::new(RefCell::new(judged));
    let anchor = match aligned {
        Aligned::Preference(preference) if preference.has_reference() => {
            let hash = hashes.values().cloned().collect::<Vec<_>>().join(" ");
            let (source, judged) = (*source, Rc::clone(&judged));
            let find = move |train: &mut [Example]| {
                anchor(&source, [train, &mut judged.borrow_mut()[..]], &hash)
            };
            Some(Anchor { n_tokens, find: Box::new(find) })
        }
        _ => None,
    };
    let metrics = metrics(source, aligned)?;
    let (head, objective): (_, Box<dyn Objective>) = match aligned {
        Aligned::Preference(preference) => (HeadKind::Tokens, Box::new(preference)),
        _ => (HeadKind::Score, Box::new(Labelled::new(Asked::Better))),
    };
    Ok(Goal {
        pipeline: head.pipeline(),
        head,
        objective,
        train: train.into(),
        hashes,
        copies: 1,
        judge: Box::new(move |model| Ok(judge(model, aligned, (&judged.borrow(), &metrics)))),
        files: Vec::new(),
        anchor,
        rollouts: None,
        n_judged,
    })
}

/// The examples of a split.
fn examples(
    source: &Source,
    dialogue: &Dialogue,
    split: &Split,
    weighed: Weighed,
) -> Result<Vec<Example>, Failure> {
    let others = others(&split.records);
    let of = |i: usize, record: &Record| -> Result<Vec<Framed>, Failure> {
        let framed = dialogue.answers(i, [record, &split.records[others[i]]], weighed)?;
        Ok(if framed.example.is_asked() { vec![framed] } else { Vec::new() })
    };
    let framed = source.framed(split, dialogue.max_len, of)?;
    Ok(framed.into_iter().map(|framed| framed.example).collect())
}

/// Of each record that whose answer divergence is asked of: the one before, as in `trl`, but of
/// those to other prompts where there are some.
fn others(records: &[Record]) -> Vec<usize> {
    let prompt = |i: usize| match &records[i].input {
        Input::Judged { prompt, .. } => Some(prompt),
        _ => None,
    };
    let n = records.len();
    let mut others: Vec<usize> = (0..n).map(|i| (i + n - 1) % n).collect();
    // Twice around: the first may have the prompt of the last.
    for i in (0..2 * n).map(|i| i % n) {
        let before = (i + n - 1) % n;
        if prompt(before) == prompt(i) {
            others[i] = others[before];
        }
    }
    others
}

/// Notes of all examples how likely their targets are where learning begins, as was kept, or else
/// as the model says that the run begins with; what is to be kept.
fn anchor(source: &Source, splits: [&mut [Example]; 2], hash: &str) -> Result<Vec<u8>, Failure> {
    let Source { recipe, env, resumed, .. } = *source;
    let lengths: Vec<usize> =
        splits.iter().flat_map(|all| all.iter()).map(|example| example.targets.len()).collect();
    let path = resumed.map(|out| out.join(REFERENCE_FILE)).filter(|path| path.exists());
    let bytes = path.map(|path| std::fs::read(&path).reading(&path)).transpose()?;
    let before = bytes.and_then(|bytes| kept(&bytes, hash, &lengths));
    let known = if let Some(before) = before {
        before
    } else {
        env.say("how likely answers are where learning begins, once");
        let precision = recipe.train.precision(env.isa)?;
        let (base, device) = (source.base()?, env.device());
        let model = (&base, &device, precision);
        splits.iter().flat_map(|all| log_probs(model, all, (EVAL_TOKENS, 1.0))).collect()
    };
    let bytes = keep(&known, hash);
    for (example, known) in splits.into_iter().flatten().zip(known) {
        example.reference = known;
    }
    Ok(bytes)
}

/// What is to be measured.
fn metrics(source: &Source, aligned: Aligned) -> Result<Vec<String>, Failure> {
    let task = &source.recipe.task;
    let known: &[&str] = match aligned {
        Aligned::Preference(Preference::Kto { .. }) => &["accuracy", "chosen", "rejected", "kl"],
        Aligned::Preference(_) => &["accuracy", "margin", "chosen", "rejected"],
        _ => &["accuracy"],
    };
    written::refuse_labels(task)?;
    if aligned != Aligned::Reward {
        written::refuse_dropout(source.recipe)?;
    }
    if let Some(name) = task.metrics.iter().find(|name| !known.contains(&name.as_str())) {
        let problem = format!("`{name}` is not measured of answers");
        return Err(
            refused("task.metrics", problem).hint(format!("there are {}", known.join(", ")))
        );
    }
    let usual = || known.iter().map(|name| (*name).to_owned()).collect();
    Ok(if task.metrics.is_empty() { usual() } else { task.metrics.clone() })
}

fn judge(
    model: At,
    aligned: Aligned,
    (judged, metrics): (&[Example], &[String]),
) -> Option<Evaluation> {
    if judged.is_empty() {
        return None;
    }
    let losses = match aligned {
        Aligned::Preference(preference) => losses_of(model, &preference, judged, EVAL_TOKENS),
        _ => predict(model, &Labelled::new(Asked::Better), judged, EVAL_TOKENS).0,
    };
    let value = |name: &String| match losses.0.iter().find(|part| part.name == name) {
        Some(part) => part.loss.mean(),
        None => losses.first().accuracy(),
    };
    let metrics = metrics.iter().map(|name| (name.clone(), value(name))).collect();
    Some(Evaluation { metrics, is_better_small: false, ..Evaluation::of(losses) })
}

#[cfg(test)]
mod tests {
    use datasets::{Place, Said};

    use super::*;

    #[test]
    fn the_other_answer_is_to_another_prompt() {
        let record = |(i, prompt): (usize, &str)| {
            let [prompt, completion] = [prompt, "so"].map(|text| Said::Text(text.to_owned()));
            let at = Place { file: "a".into(), unit: "line", number: i as u64 };
            let input = Input::Judged { prompt, completion, is_good: true };
            Record { id: i.to_string(), at, input }
        };
        let of = |prompts: &[&str]| {
            let records: Vec<Record> = prompts.iter().copied().enumerate().map(record).collect();
            others(&records)
        };
        assert_eq!(of(&["a", "b", "c"]), [2, 0, 1]);
        assert_eq!(of(&["a", "a", "b", "b", "a"]), [3, 3, 1, 1, 3]);
        assert_eq!(of(&["a", "b", "a"]), [1, 0, 1]);
        assert!(of(&["a", "a"]).iter().all(|i| *i < 2));
    }
}
