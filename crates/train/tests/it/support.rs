//! A small run: its parts, its observer, what it leaves behind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use checkpoint::{Origin, RunDir};
use data::{BatchConfig, Mode, Shares, Store, StoreMeta, StoreWriter};
use models::{Gpt2Config, Model, ModelConfig};
use optim::{AdamWConfig, Schedule};
use tasks::{Example, Losses, MicroBatch, NextToken, Objective, TextObjective};
use tensor::{Device, Grads, Isa, Precision, Tape};
use testing::{Numbers, assert_same_bits};
use train::metrics::{self, EvalRow, METRICS_FILE, MetricsRow, StepRow};
use train::{
    Ended, Observer, Regime, Run, RunConfig, RunParts, RunSource, Started, StepConfig, TextFeed,
    TrainError, Trainer,
};

pub const NEXT: NextToken = NextToken { smoothing: 0.0, infilling: None, prefix: None };

pub fn step_config() -> StepConfig {
    StepConfig {
        precision: Precision::F32,
        schedule: Schedule::WarmupCosine {
            peak_lr: 3e-3,
            last_lr: 3e-4,
            warmup_steps: 3,
            total_steps: 8,
        },
        adamw: AdamWConfig::default(),
        max_grad_norm: 1.0,
        micro_batch: 2,
        flat: false,
        recompute: false,
        seed: 17,
    }
}

/// What micro-batches come to in f32, and the gradients of all of them, zero where none came.
pub fn pass(model: &Model, objective: &dyn Objective, batches: &[MicroBatch]) -> (Losses, Grads) {
    let device = Device::cpu(Isa::detect());
    let grads = RefCell::new(Grads::new(&model.params));
    let mut losses = Losses::default();
    for batch in batches {
        let tape = Tape::recording(&device, &model.params, Precision::F32, &grads);
        losses += objective.loss(&tape, model, batch);
        tape.backward();
    }
    let mut grads = grads.into_inner();
    grads.zero_unwritten(&model.params);
    (losses, grads)
}

/// The same examples in two layouts: losses alike, gradients too, within 1e-4 of the largest.
pub fn assert_alike(what: &str, a: &(Losses, Grads), b: &(Losses, Grads)) {
    let [first, second] = [a, b].map(|x| x.0.first());
    assert!((first.sum - second.sum).abs() < 1e-4 * first.sum.abs().max(1.0), "{what}: {first:?}");
    assert_eq!((first.n_targets, first.n_right), (second.n_targets, second.n_right), "{what}");
    let largest = a.1.values().iter().fold(0.0f32, |most, g| most.max(g.abs()));
    assert!(largest > 0.0, "{what}");
    for (x, y) in a.1.values().iter().zip(b.1.values()) {
        assert!((x - y).abs() < 1e-4 * largest, "{what}: {x} and {y}, of {largest}");
    }
}

/// Three steps end at the same bits with recomputation or without, on one thread or three.
pub fn same_weights_however<'o>(
    name: &str,
    batch: &[Example],
    trainer: impl Fn(bool) -> Trainer<'o>,
) {
    let run = |recompute, n_threads| {
        let mut trainer = trainer(recompute);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            for _ in 0..3 {
                trainer.step(batch).unwrap();
            }
        });
        trainer.model.params.values().to_vec()
    };
    let expected = run(false, 1);
    assert_same_bits(name, &run(true, 1), &expected);
    assert_same_bits(name, &run(false, 3), &expected);
}

/// One layer with dropout everywhere; the vocabulary is that of [`store`].
pub fn model() -> Model {
    let config = Gpt2Config {
        vocab_size: 32,
        max_len: 8,
        d_model: 16,
        n_layers: 1,
        n_heads: 2,
        dropout: 0.1,
        embed_dropout: 0.1,
        attention_dropout: 0.1,
        ..Gpt2Config::fresh()
    };
    Model::new(ModelConfig::Gpt2(config), 3).unwrap()
}

pub fn trainer(objective: &dyn Objective, model: Model) -> Trainer<'_> {
    Trainer::new(model, objective, Device::cpu(Isa::detect()), step_config())
}

/// Documents that count up from somewhere, so that there is something to learn; two bytes a token.
pub fn store(n_documents: usize, seed: u64) -> Arc<Store> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let meta = StoreMeta {
        vocab_size: 32,
        end_of_text: Some(0),
        tokenizer_hash: [1; 32],
        has_marks: false,
    };
    let mut writer = StoreWriter::create(&path, &meta).unwrap();
    let mut numbers = Numbers::new(seed);
    for _ in 0..n_documents {
        let (first, len) = (numbers.below(31) as u32, 2 + numbers.below(8) as u32);
        let ids: Vec<u32> = (first..first + len).map(|id| 1 + id % 31).collect();
        writer.push(&ids, 2 * u64::from(len)).unwrap();
        writer.end_document().unwrap();
    }
    writer.finish().unwrap();
    // What is open outlives its name.
    Arc::new(Store::open(&path).unwrap())
}

/// What a run is told.
#[derive(Clone, Copy)]
pub struct Plan<'o> {
    pub objective: &'o dyn TextObjective,
    pub model: fn() -> Model,
    pub steps: u64,
    pub checkpoint_every: u64,
    pub eval_every: u64,
    pub keep_last: usize,
    pub mode: Mode,
    /// Two sources, the second read once at most, and others shares from step 4 on.
    pub mixed: bool,
    pub regime: fn() -> Regime,
    pub patience: u64,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            objective: &NEXT,
            model,
            steps: 8,
            checkpoint_every: 3,
            eval_every: 2,
            keep_last: 100,
            mode: Mode::Documents,
            mixed: false,
            regime: Regime::default,
            patience: 0,
        }
    }
}

impl<'o> Plan<'o> {
    pub fn sources(&self) -> Vec<RunSource> {
        if !self.mixed {
            return vec![RunSource::only(store(24, 1), Some(store(5, 2)))];
        }
        let named = |name: &str, seed, max_epochs| RunSource {
            name: name.into(),
            store: store(24, seed),
            validation: Some(store(5, seed + 1)),
            max_epochs,
        };
        vec![named("many", 1, None), named("few", 3, Some(1.0))]
    }

    fn shares(&self) -> Vec<Shares> {
        let shares = |from_step, weights: &[f64]| Shares { from_step, weights: weights.to_vec() };
        if self.mixed {
            vec![shares(0, &[1.0, 3.0]), shares(4, &[1.0, 1.0])]
        } else {
            vec![shares(0, &[1.0])]
        }
    }

    /// What it learns from.
    pub fn feed(&self, sources: Vec<RunSource>) -> TextFeed<'o> {
        let batches = BatchConfig { batch: 4, seq_len: 8, seed: 9, mode: self.mode, around: 0 };
        let (data, seed) = ((sources, self.shares()), step_config().seed);
        TextFeed::new(self.objective, data, (batches, 3), seed)
    }

    /// Everything but where it is written.
    pub fn parts(&self, dir: RunDir) -> RunParts<'o> {
        RunParts {
            trainer: trainer(self.objective, (self.model)()).with_regime(&(self.regime)()).unwrap(),
            dir,
            feed: Box::new(self.feed(self.sources())),
            config: RunConfig {
                steps: self.steps,
                checkpoint_every: self.checkpoint_every,
                eval_every: self.eval_every,
                sample_every: 4,
                keep_last: self.keep_last,
                until: None,
                max_time: None,
                patience: self.patience,
                min_delta: 0.0,
                gflop: None,
            },
            files: vec![("tokenizer.json".into(), b"{}".to_vec())],
            origin: Origin::default(),
            load: &train::load_whole,
        }
    }

    /// Resumes `path` where there is something, and goes on until after `until` steps.
    pub fn go(&self, path: &Path, until: u64) -> Result<(Ended, Started), TrainError> {
        let dir = RunDir::resume(path)?;
        self.go_in(dir, until)
    }

    pub fn go_in(&self, dir: RunDir, until: u64) -> Result<(Ended, Started), TrainError> {
        let (mut run, started) = Run::start(self.parts(dir), true)?;
        let mut watch = Watch::until(until);
        let stop = Arc::clone(&watch.stop);
        let ended = run.go(&stop, &mut watch)?;
        Ok((ended, started))
    }
}

/// Stops a run after a step, and writes down what it hears.
pub struct Watch {
    until: u64,
    pub stop: Arc<AtomicBool>,
    pub said: Vec<String>,
    pub samples: Vec<u64>,
}

impl Watch {
    pub fn until(until: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(until == 0));
        Self { until, stop, said: vec![], samples: vec![] }
    }
}

impl Observer for Watch {
    fn step(&mut self, row: &StepRow) {
        if row.step >= self.until {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn eval(&mut self, _: &EvalRow) {}

    fn sample(&mut self, _: &Trainer, step: u64) -> Option<String> {
        self.samples.push(step);
        Some(format!("sample of step {step}"))
    }

    fn checkpoint(&mut self, _: u64, _: &Path) {}

    fn say(&mut self, message: &str) {
        self.said.push(message.to_owned());
    }

    fn memory_bytes(&self) -> Option<u64> {
        None
    }
}

/// What must not depend on how often a run was interrupted.
#[derive(Debug, PartialEq)]
pub struct Left {
    /// Weights and moments of the last step, as files; its state without the seconds.
    pub files: BTreeMap<&'static str, Vec<u8>>,
    /// Steps (loss, gradient norm, learning rate, in bits; tokens) and evaluations.
    pub steps: Vec<(u64, [u64; 3], u64)>,
    pub evals: Vec<(u64, [u64; 2])>,
    pub samples: String,
}

impl Left {
    pub fn by(run: &Path, step: u64) -> Self {
        let dir = run.join(format!("checkpoints/step-{step}"));
        let names = ["config.json", "model.safetensors", "trainer/optimizer.safetensors"];
        let mut files: BTreeMap<_, _> =
            names.map(|name| (name, fs::read(dir.join(name)).unwrap())).into();
        let state = fs::read(dir.join("trainer/state.json")).unwrap();
        let mut state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["seconds"] = 0.into();
        files.insert("state", state.to_string().into_bytes());
        let rows: Vec<MetricsRow> = metrics::read(&run.join(METRICS_FILE)).unwrap();
        let (steps, evals) = metrics::split(rows);
        let bits = |row: &StepRow| [row.loss, row.grad_norm, row.lr].map(f64::to_bits);
        Self {
            files,
            steps: steps.iter().map(|row| (row.step, bits(row), row.tokens)).collect(),
            evals: evals
                .iter()
                .map(|row| (row.step, [row.eval.loss, row.eval.best_by()].map(f64::to_bits)))
                .collect(),
            samples: fs::read_to_string(run.join("samples.jsonl")).unwrap(),
        }
    }

    /// Says what differs before it prints thousands of bytes.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        assert_eq!(self.steps, other.steps, "{what}: steps");
        assert_eq!(self.evals, other.evals, "{what}: evaluations");
        assert_eq!(self.samples, other.samples, "{what}: samples");
        for (name, bytes) in &self.files {
            assert!(*bytes == other.files[name], "{what}: `{name}` differs");
        }
    }
}

/// The steps whose checkpoints are there.
pub fn checkpoints(run: &Path) -> Vec<u64> {
    let found = RunDir::open(run).unwrap().checkpoints().unwrap();
    found.into_iter().map(|checkpoint| checkpoint.step).collect()
}
