//! Metrics by name.

use crate::bleu::{Bleu, BleuStats};
use crate::chrf::{Chrf, ChrfStats};
use crate::classes::Classes;
use crate::edits::Edits;
use crate::error::pairs;
use crate::reading::{Answered, Reading, squad};
use crate::rouge::Rouge;
use crate::ter::{self, TerStats};
use crate::{Average, MetricError, Prf, Result, Score, values};

/// A metric of classes.
pub type OfClasses = fn(&Classes) -> Result<f64>;
/// A metric of numbers: the truth, then what was predicted.
pub type OfValues = fn(&[f64], &[f64]) -> Result<f64>;
/// A metric of texts: those that are right, each with at least one, then what was written.
pub type OfTexts = fn(&[Vec<&str>], &[&str]) -> Result<f64>;

/// A metric, and how it is computed.
#[derive(Clone, Copy, Debug)]
pub struct Named<F> {
    /// What it is called.
    pub name: &'static str,
    /// Whether a larger value is a better one.
    pub larger_is_better: bool,
    /// Gives the value.
    pub compute: F,
}

/// Metrics of [`Classes`]. Precision, recall and F1 without an average are of class 1.
pub const OF_CLASSES: &[Named<OfClasses>] = &[
    good("accuracy", |c| Ok(c.accuracy())),
    good("balanced_accuracy", |c| Ok(c.balanced_accuracy())),
    good("f1", |c| Ok(c.binary()?.f1)),
    good("f1_macro", |c| Ok(c.average(Average::Macro).f1)),
    good("f1_micro", |c| Ok(c.average(Average::Micro).f1)),
    good("f1_weighted", |c| Ok(c.average(Average::Weighted).f1)),
    good("kappa", Classes::kappa),
    good("matthews", |c| Ok(c.matthews())),
    good("precision", |c| Ok(c.binary()?.precision)),
    good("precision_macro", |c| Ok(c.average(Average::Macro).precision)),
    good("recall", |c| Ok(c.binary()?.recall)),
    good("recall_macro", |c| Ok(c.average(Average::Macro).recall)),
];

/// Metrics of numbers.
pub const OF_VALUES: &[Named<OfValues>] = &[
    good("kendall", values::kendall),
    bad("mae", values::mae),
    bad("mse", values::mse),
    good("pearson", values::pearson),
    good("r2", values::r2),
    good("spearman", values::spearman),
];

/// Metrics of texts. Those of one reference alone (`cer`, `wer`) take the nearest; ROUGE and the
/// metrics of answers are means over texts of the best reference.
pub const OF_TEXTS: &[Named<OfTexts>] = &[
    good("bleu", bleu),
    bad("cer", |right, written| rate(right, written, Edits::chars)),
    good("chrf", |right, written| chrf(right, written, Chrf::default())),
    good("chrf++", |right, written| chrf(right, written, Chrf::PLUS_PLUS)),
    good("exact_match", |right, written| {
        mean(right, written, |right, text| Ok(f64::from(u8::from(right == text))))
    }),
    good("rouge1", |right, written| rouge(right, written, |a, b| Ok(PLAIN.n(a, b, 1)))),
    good("rouge2", |right, written| rouge(right, written, |a, b| Ok(PLAIN.n(a, b, 2)))),
    good("rougeL", |right, written| rouge(right, written, |a, b| PLAIN.l(a, b))),
    good("rougeLsum", |right, written| rouge(right, written, |a, b| PLAIN.l_sum(a, b))),
    good("squad_exact", |right, written| Ok(answers(right, written)?.exact)),
    good("squad_f1", |right, written| Ok(answers(right, written)?.f1)),
    bad("ter", ter),
    bad("wer", |right, written| rate(right, written, Edits::words)),
];

const PLAIN: Rouge = Rouge { stem: false };

/// The metric of classes that is called so.
///
/// # Errors
/// When there is none; the nearest name is in the error.
pub fn of_classes(name: &str) -> Result<Named<OfClasses>> {
    find(OF_CLASSES, "classes", name)
}

/// The metric of numbers that is called so.
///
/// # Errors
/// As [`of_classes`].
pub fn of_values(name: &str) -> Result<Named<OfValues>> {
    find(OF_VALUES, "numbers", name)
}

/// The metric of texts that is called so.
///
/// # Errors
/// As [`of_classes`].
pub fn of_texts(name: &str) -> Result<Named<OfTexts>> {
    find(OF_TEXTS, "texts", name)
}

impl<F> Named<F> {
    /// A value of it.
    pub fn score(&self, value: f64, n: usize) -> Score {
        Score { name: self.name.into(), value, n }
    }
}

const fn good<F: Copy>(name: &'static str, compute: F) -> Named<F> {
    Named { name, larger_is_better: true, compute }
}

const fn bad<F: Copy>(name: &'static str, compute: F) -> Named<F> {
    Named { name, larger_is_better: false, compute }
}

fn find<F: Copy>(table: &'static [Named<F>], kind: &'static str, name: &str) -> Result<Named<F>> {
    let like = |known: &&Named<F>| (1e6 * strsim::jaro_winkler(name, known.name)) as u32;
    let nearest = table.iter().max_by_key(like).map_or("", |metric| metric.name);
    let found = table.iter().find(|metric| metric.name == name);
    found.copied().ok_or_else(|| MetricError::Unknown { name: name.to_owned(), kind, nearest })
}

/// Every text with what would be right.
fn each<'a>(
    right: &'a [Vec<&'a str>],
    written: &'a [&'a str],
) -> Result<impl Iterator<Item = (&'a [&'a str], &'a str)>> {
    pairs("texts", written.len(), right.len())?;
    if right.iter().any(Vec::is_empty) {
        return Err(MetricError::Empty { what: "references of a text" });
    }
    Ok(right.iter().map(Vec::as_slice).zip(written.iter().copied()))
}

/// The mean over texts of the largest over references.
fn mean(
    right: &[Vec<&str>],
    written: &[&str],
    of: impl Fn(&str, &str) -> Result<f64>,
) -> Result<f64> {
    let mut sum = 0.0;
    for (right, text) in each(right, written)? {
        let mut best = 0.0_f64;
        for right in right {
            best = best.max(of(right, text)?);
        }
        sum += best;
    }
    Ok(sum / written.len() as f64)
}

fn rouge(
    right: &[Vec<&str>],
    written: &[&str],
    of: impl Fn(&str, &str) -> Result<Prf>,
) -> Result<f64> {
    mean(right, written, |right, text| Ok(of(right, text)?.f1))
}

fn rate(
    right: &[Vec<&str>],
    written: &[&str],
    of: impl Fn(&str, &str) -> Result<Edits>,
) -> Result<f64> {
    let mut sum = Edits::default();
    for (right, text) in each(right, written)? {
        let edits = right.iter().map(|right| of(right, text)).collect::<Result<Vec<_>>>()?;
        sum += edits.into_iter().min_by_key(|edits| edits.edits).unwrap_or_default();
    }
    sum.rate()
}

fn bleu(right: &[Vec<&str>], written: &[&str]) -> Result<f64> {
    let mut sum = BleuStats::default();
    for (right, text) in each(right, written)? {
        sum += Bleu::default().stats(text, right)?;
    }
    Ok(Bleu::default().score(&sum).score)
}

fn chrf(right: &[Vec<&str>], written: &[&str], how: Chrf) -> Result<f64> {
    let mut sum = ChrfStats::default();
    for (right, text) in each(right, written)? {
        sum += &how.stats(text, right)?;
    }
    Ok(how.score(&sum))
}

fn ter(right: &[Vec<&str>], written: &[&str]) -> Result<f64> {
    let mut sum = TerStats::default();
    for (right, text) in each(right, written)? {
        sum += ter::stats(text, right)?;
    }
    Ok(ter::score(&sum))
}

fn answers(right: &[Vec<&str>], written: &[&str]) -> Result<Reading> {
    let answered = each(right, written)?.map(|(right, text)| Answered {
        answers: right.to_vec(),
        prediction: text,
        no_answer: 0.0,
    });
    squad(&answered.collect::<Vec<_>>())
}
