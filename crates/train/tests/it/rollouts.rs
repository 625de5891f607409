//! A model that learns from what it writes.

use std::path::Path;

use generate::Sampling;
use models::Model;
use optim::{AdamWConfig, Schedule};
use tasks::{Grouped, Label};
use tensor::{Device, Isa, Precision};
use train::{
    DataHashes, Feed, Grades, Portion, RolloutFeed, RolloutParts, SamplePlan, StepConfig, Trainer,
    Writing, Written, write,
};

fn model() -> Model {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/gpt2-tiny");
    Model::load(&golden).unwrap().0
}

fn trainer(objective: &Grouped) -> Trainer<'_> {
    let config = StepConfig {
        precision: Precision::F32,
        schedule: Schedule::Constant { peak_lr: 3e-3 },
        adamw: AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 },
        max_grad_norm: 1.0,
        micro_batch: 16,
        flat: true,
        recompute: false,
        seed: 0,
    };
    Trainer::new(model(), objective, Device::cpu(Isa::detect()), config)
}

fn prompts() -> Vec<Vec<u32>> {
    [vec![3, 4, 5], vec![6], vec![7, 8, 9], vec![10, 11], vec![12, 13, 14]].into()
}

fn writing(n: usize) -> Writing {
    Writing { n, sampling: Sampling::default(), max_tokens: 5, ends: vec![0], seed: 9 }
}

/// Tokens in the lower half are worth something.
fn grade(written: &[Written]) -> Grades {
    let of = |written: &Written| {
        let low = written.tokens.iter().filter(|token| **token < 50).count();
        low as f64 / written.tokens.len().max(1) as f64
    };
    Grades { rewards: written.iter().map(of).collect(), ..Grades::default() }
}

fn feed<'o>(reference: Option<Model>) -> RolloutFeed<'o> {
    let prompts = prompts();
    let lengths = prompts.iter().map(|prompt| prompt.len() as u32).collect();
    RolloutFeed::new(RolloutParts {
        prompts: prompts.into(),
        plan: SamplePlan { lengths, portion: Portion::Samples(3), shuffled: true, seed: 1 },
        writing: writing(6),
        reference,
        grade: Box::new(|written| Ok(grade(written))),
        hashes: DataHashes::new(),
        judge: Box::new(|_| Ok(None)),
    })
}

#[test]
fn prompts_are_answered_in_their_order_as_they_are_alone() {
    let objective = Grouped { beta: 0.0, temperature: 1.0 };
    let (trainer, prompts) = (trainer(&objective), prompts());
    let all = write(trainer.at(), (&prompts, &[0, 1, 2, 3, 4]), &writing(2)).unwrap();
    let places: Vec<usize> = all.iter().map(|written| written.prompt).collect();
    assert_eq!(places, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    assert!(all.iter().all(|w| w.tokens.len() == 5 || w.end == Some(0)));
    // What is drawn is known by the place, whatever comes behind it.
    for n in 1..5 {
        let fewer = write(trainer.at(), (&prompts, &[0, 1, 2, 3, 4][..n]), &writing(2)).unwrap();
        assert_eq!(all[..2 * n], fewer);
    }
    assert_ne!(write(trainer.at(), (&prompts, &[2, 0]), &writing(2)).unwrap()[2..], all[..2]);
    let greedy = Writing { sampling: Sampling::GREEDY, ..writing(1) };
    let together = write(trainer.at(), (&prompts, &[0, 1, 2, 3, 4]), &greedy).unwrap();
    for (i, together) in together.iter().enumerate() {
        assert_eq!(
            write(trainer.at(), (&prompts, &[i]), &greedy).unwrap(),
            std::slice::from_ref(together)
        );
    }
}

#[test]
fn an_answer_ends_with_whatever_ends_it() {
    let objective = Grouped { beta: 0.0, temperature: 1.0 };
    let (trainer, prompts) = (trainer(&objective), prompts());
    let free = Writing { ends: vec![], ..writing(4) };
    let free = write(trainer.at(), (&prompts, &[0]), &free).unwrap();
    assert!(free.iter().all(|w| w.tokens.len() == 5 && w.end.is_none()));
    let ends = vec![free[0].tokens[2], free[1].tokens[3]];
    let ended =
        write(trainer.at(), (&prompts, &[0]), &Writing { ends: ends.clone(), ..writing(4) });
    for (ended, free) in ended.unwrap().iter().zip(&free) {
        let at = free.tokens.iter().position(|token| ends.contains(token));
        assert_eq!(ended.tokens, free.tokens[..at.unwrap_or(5)]);
        assert_eq!(ended.end, at.map(|at| free.tokens[at]));
    }
}

#[test]
fn examples_ask_for_the_answer_alone_and_carry_its_advantage() {
    let objective = Grouped { beta: 0.1, temperature: 1.0 };
    let (trainer, mut feed) = (trainer(&objective), feed(Some(model())));
    feed.seek(&data::Cursors::default()).unwrap();
    let examples = feed.next(&trainer).unwrap();
    assert_eq!(examples.len(), 18);
    for group in examples.chunks(6) {
        let sum: f32 =
            group.iter().map(|e| if let Label::Value(a) = e.label { a } else { 9.0 }).sum();
        assert!(sum.abs() < 1e-4, "{sum}");
        for example in group {
            let n_given = example.targets.iter().take_while(|t| **t == data::IGNORED).count();
            assert!(prompts().contains(&example.input.ids[..=n_given].to_vec()));
            assert_eq!(
                example.input.ids[n_given + 1..],
                example.targets[n_given..example.targets.len() - 1]
            );
            assert_eq!(example.reference.len(), example.targets.len());
            assert!(example.reference[n_given..].iter().all(|log_p| *log_p < 0.0));
        }
    }
    let names: Vec<&str> = feed.told().0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["reward", "reward_std", "length", "ended"]);
}

#[test]
fn what_is_worth_more_is_written_more() {
    for beta in [0.0, 0.01] {
        let objective = Grouped { beta, temperature: 1.0 };
        let mut trainer = trainer(&objective);
        let mut feed = feed((beta > 0.0).then(model));
        feed.seek(&data::Cursors::default()).unwrap();
        let mut rewards = Vec::new();
        for _ in 0..40 {
            let examples = feed.next(&trainer).unwrap();
            trainer.step(&examples).unwrap();
            rewards.push(feed.told().0[0].1);
        }
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
        let (first, last) = (mean(&rewards[..5]), mean(&rewards[35..]));
        assert!(first < 0.7 && last > 0.9, "{beta}: {first} {last}");
    }
}
