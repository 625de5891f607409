//! What is known of each set.

use super::{Benchmark, Columns, Files, Named, Writes, unfold};
use crate::record::Task;

const fn files(name: &'static str, official: &'static str, submission: &'static str) -> Files {
    Files { name, official, names: None, submission }
}

const TSV: &[Files] = &[
    files("train", "train.tsv", ""),
    files("validation", "dev.tsv", ""),
    files("test", "test.tsv", ""),
];
const JSONL: &[Files] = &[
    files("train", "train.jsonl", ""),
    files("validation", "val.jsonl", ""),
    files("test", "test.jsonl", ""),
];
/// `CoLA` has no row of names, but for the test set.
const COLA: Option<&[&str]> = Some(&["source", "label", "mark", "sentence"]);

const ENTAILMENT: &[&str] = &["entailment", "not_entailment"];
const NLI: &[&str] = &["entailment", "neutral", "contradiction"];
const FALSE_TRUE: &[&str] = &["False", "True"];
const SENTENCES: Columns =
    &[("text", &["sentence1"]), ("pair", &["sentence2"]), ("label", &["label"])];
const QUESTIONS: Columns =
    &[("text", &["question1"]), ("pair", &["question2"]), ("label", &["label"])];
const PREMISE: Columns =
    &[("text", &["premise"]), ("pair", &["hypothesis"]), ("label", &["label"])];
/// `SuperGLUE` numbers its examples.
const PREMISE_ID: Columns =
    &[("text", &["premise"]), ("pair", &["hypothesis"]), ("label", &["label"]), ("id", &["idx"])];
const CHOICES: Columns =
    &[("prompt", &["prompt"]), ("choices", &["choices"]), ("label", &["label"]), ("id", &["id"])];
const UNFOLDED: Columns =
    &[("text", &["text"]), ("pair", &["pair"]), ("label", &["label"]), ("id", &["id"])];

/// A set of GLUE with numbers for classes, one sentence, and the usual files.
const GLUE: Named = Named {
    name: "sst2",
    folder: "SST-2",
    benchmark: Benchmark::Glue,
    task: Task::Classify,
    labels: &["negative", "positive"],
    metrics: &["accuracy"],
    columns: &[("text", &["sentence"]), ("label", &["label"])],
    parquet: &[("text", &["sentence"]), ("label", &["label"])],
    splits: TSV,
    unfold: None,
    writes: Writes::Number,
};

/// A set of `SuperGLUE` of pairs.
const SUPER: Named = Named {
    name: "superglue_rte",
    folder: "RTE",
    benchmark: Benchmark::SuperGlue,
    labels: ENTAILMENT,
    columns: PREMISE_ID,
    parquet: PREMISE_ID,
    splits: JSONL,
    writes: Writes::Name,
    ..GLUE
};

pub(super) const ALL: &[Named] = &[
    Named {
        name: "cola",
        folder: "CoLA",
        labels: &["unacceptable", "acceptable"],
        metrics: &["matthews"],
        splits: &[
            Files { names: COLA, ..files("train", "train.tsv", "") },
            Files { names: COLA, ..files("validation", "dev.tsv", "") },
            files("test", "test.tsv", ""),
        ],
        ..GLUE
    },
    GLUE,
    Named {
        name: "mrpc",
        folder: "MRPC",
        labels: &["not_equivalent", "equivalent"],
        metrics: &["f1", "accuracy"],
        columns: &[("text", &["#1 String"]), ("pair", &["#2 String"]), ("label", &["Quality"])],
        parquet: SENTENCES,
        ..GLUE
    },
    Named {
        name: "qqp",
        folder: "QQP",
        labels: &["not_duplicate", "duplicate"],
        metrics: &["f1", "accuracy"],
        columns: &[
            ("text", &["question1"]),
            ("pair", &["question2"]),
            ("label", &["is_duplicate"]),
        ],
        parquet: QUESTIONS,
        ..GLUE
    },
    Named {
        name: "stsb",
        folder: "STS-B",
        task: Task::Score,
        labels: &[],
        metrics: &["pearson", "spearman"],
        columns: &[("text", &["sentence1"]), ("pair", &["sentence2"]), ("label", &["score"])],
        parquet: SENTENCES,
        writes: Writes::Score,
        ..GLUE
    },
    Named {
        name: "mnli",
        folder: "MNLI",
        labels: NLI,
        columns: &[("text", &["sentence1"]), ("pair", &["sentence2"]), ("label", &["gold_label"])],
        parquet: PREMISE,
        splits: &[
            files("train", "train.tsv", ""),
            files("validation_matched", "dev_matched.tsv", "MNLI-m"),
            files("validation_mismatched", "dev_mismatched.tsv", "MNLI-mm"),
            files("test_matched", "test_matched.tsv", "MNLI-m"),
            files("test_mismatched", "test_mismatched.tsv", "MNLI-mm"),
        ],
        writes: Writes::Name,
        ..GLUE
    },
    Named {
        name: "qnli",
        folder: "QNLI",
        labels: ENTAILMENT,
        columns: &[("text", &["question"]), ("pair", &["sentence"]), ("label", &["label"])],
        parquet: &[("text", &["question"]), ("pair", &["sentence"]), ("label", &["label"])],
        writes: Writes::Name,
        ..GLUE
    },
    Named {
        name: "rte",
        folder: "RTE",
        labels: ENTAILMENT,
        columns: SENTENCES,
        parquet: SENTENCES,
        writes: Writes::Name,
        ..GLUE
    },
    Named {
        name: "wnli",
        folder: "WNLI",
        labels: &["not_entailment", "entailment"],
        columns: SENTENCES,
        parquet: SENTENCES,
        ..GLUE
    },
    Named {
        name: "ax",
        folder: "AX",
        labels: NLI,
        metrics: &["matthews"],
        columns: SENTENCES,
        parquet: PREMISE,
        splits: &[files("test", "diagnostic.tsv", "")],
        writes: Writes::Name,
        ..GLUE
    },
    Named {
        name: "boolq",
        folder: "BoolQ",
        labels: FALSE_TRUE,
        columns: &[
            ("text", &["question"]),
            ("pair", &["passage"]),
            ("label", &["label"]),
            ("id", &["idx"]),
        ],
        parquet: &[
            ("text", &["question"]),
            ("pair", &["passage"]),
            ("label", &["label"]),
            ("id", &["idx"]),
        ],
        ..SUPER
    },
    Named {
        name: "cb",
        folder: "CB",
        labels: &["entailment", "contradiction", "neutral"],
        metrics: &["accuracy", "f1_macro"],
        ..SUPER
    },
    Named {
        name: "copa",
        folder: "COPA",
        task: Task::Choice,
        labels: &[],
        columns: CHOICES,
        parquet: CHOICES,
        unfold: Some(unfold::copa),
        writes: Writes::Number,
        ..SUPER
    },
    Named {
        name: "multirc",
        folder: "MultiRC",
        labels: FALSE_TRUE,
        metrics: &["f1_a", "exact_match"],
        columns: UNFOLDED,
        parquet: UNFOLDED,
        unfold: Some(unfold::multirc),
        writes: Writes::Nested,
        ..SUPER
    },
    Named {
        name: "record",
        folder: "ReCoRD",
        task: Task::Choice,
        labels: &[],
        metrics: &["f1", "exact_match"],
        columns: CHOICES,
        parquet: CHOICES,
        unfold: Some(unfold::record),
        writes: Writes::Text,
        ..SUPER
    },
    SUPER,
    Named {
        name: "wic",
        folder: "WiC",
        labels: FALSE_TRUE,
        columns: &[
            ("text", &["word", "sentence1"]),
            ("pair", &["sentence2"]),
            ("label", &["label"]),
            ("id", &["idx"]),
        ],
        parquet: &[
            ("text", &["word", "sentence1"]),
            ("pair", &["sentence2"]),
            ("label", &["label"]),
            ("id", &["idx"]),
        ],
        ..SUPER
    },
    Named {
        name: "wsc",
        folder: "WSC",
        labels: FALSE_TRUE,
        columns: UNFOLDED,
        parquet: UNFOLDED,
        unfold: Some(unfold::wsc),
        ..SUPER
    },
];
