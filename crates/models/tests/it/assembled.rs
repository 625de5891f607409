//! Models with heads for tasks, put together of a committed model and a committed head.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::Weights;
use models::{Fitted, HeadKind, Model};
use serde_json::Value;

/// A family and a task: `golden/heads.py` wrote it.
pub struct Case {
    pub name: String,
    /// The head and the calls.
    pub dir: PathBuf,
    /// The model with the trunk.
    pub trunk: PathBuf,
    /// What `cases.json` says.
    pub said: Value,
}

/// Every case.
pub fn all() -> Vec<Case> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests");
    let text = fs::read(tests.join("heads/cases.json")).expect("there");
    let cases: Value = serde_json::from_slice(&text).expect("JSON");
    let case = |(name, said): (&String, &Value)| Case {
        name: name.clone(),
        dir: tests.join("heads").join(name),
        trunk: tests.join("golden").join(said["model"].as_str().expect("a model")),
        said: said.clone(),
    };
    cases.as_object().expect("by name").iter().map(case).collect()
}

impl Case {
    /// What the head is for.
    pub fn kind(&self) -> HeadKind {
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.into()).collect();
        match self.name.rsplit_once('-').expect("a family and a task").1 {
            "SequenceClassification" => {
                HeadKind::Classes { labels: labels(&["no", "maybe", "yes"]) }
            }
            "TokenClassification" => {
                HeadKind::Tags { labels: labels(&["O", "B-A", "I-A", "B-B", "I-B"]) }
            }
            "QuestionAnswering" => HeadKind::Spans,
            _ => HeadKind::Choice,
        }
    }

    /// The trunk, as a model with that head.
    pub fn fresh(&self, seed: u64) -> (Model, Fitted) {
        let mut config = Model::load_config(&self.trunk).expect("a config");
        // Padding is said where the trunk's config lacks it.
        if let (models::ModelConfig::Gpt2(c), padding) =
            (&mut config, &self.said["config"]["pad_token_id"])
        {
            c.head.0.insert("pad_token_id".into(), padding.clone());
        }
        let config = config.with_head(&self.kind()).expect("a class of the family");
        Model::load_as(&self.trunk, config, seed).expect("loads")
    }

    /// The same with the committed head.
    pub fn model(&self) -> Model {
        let (mut model, _) = self.fresh(1);
        let head = Weights::open(&self.dir.join("head.safetensors")).expect("a head");
        for import in model.config.family().imports() {
            if head.contains(&import.name) {
                let own = import.source.own().expect("a parameter");
                let param = model.params.find(own).expect("registered").param.clone();
                let values = head.to_f32(&import.name).expect("numbers");
                model.params.get_mut(&param).copy_from_slice(&values);
            }
        }
        model
    }
}
