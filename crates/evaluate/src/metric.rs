//! What is measured of documents, and how it is put together.
//!
//! A document gives an [`Item`]; a [`Kind`] makes a number of many, as `lm-evaluation-harness`
//! does, and says how sure it is.

use metrics::bleu::{Bleu, BleuStats};
use metrics::bootstrap::standard_error;
use metrics::chrf::{Chrf, ChrfStats};
use metrics::classes::Classes;
use metrics::ter::{self, TerStats};
use metrics::{Bootstrap, Counts, MetricError, registry};
use serde::{Deserialize, Serialize};

use crate::error::did_you_mean;
use crate::file::OutputType;

/// What one document gives a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Item {
    /// A number, of which there is a mean.
    Number(f64),
    /// Two whole numbers: the right class, then that which was said.
    Classes(usize, usize),
    /// Two numbers: the right one, then that which was said.
    Values(f64, f64),
    /// A log-likelihood, and of how many words or bytes.
    Weighed {
        /// In nats.
        log_prob: f64,
        /// Words or bytes.
        n: u64,
    },
    /// The right text, then that which was written.
    Texts(String, String),
    /// The right class, then the probability of each.
    Probabilities(usize, Vec<f64>),
    /// Entities that were said rightly, that were said, and that are there.
    Found([u64; 3]),
    /// Of each word the right class, then that which was said.
    Words(Vec<[usize; 2]>),
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The likeliest choice is right; of one continuation, each of its tokens is the likeliest.
    Acc,
    /// The same, likelihoods divided by the characters of a choice.
    AccNorm,
    /// The same by bytes.
    AccBytes,
    /// The text, or the choice token by token, is the right one.
    ExactMatch,
    /// F1 of class 1.
    F1,
    /// Matthews' correlation.
    Mcc,
    /// Brier's score over choices.
    Brier,
    /// Of continuations.
    Perplexity,
    /// A word.
    WordPerplexity,
    /// A byte.
    BytePerplexity,
    /// Bits that a byte takes.
    BitsPerByte,
    /// As `sacrebleu`.
    Bleu,
    /// As `sacrebleu`.
    Chrf,
    /// The same with words.
    ChrfPlusPlus,
    /// As `sacrebleu`.
    Ter,
    /// Of a head: a metric of classes or of numbers, as `metrics` calls it.
    OfHead(&'static str),
}

/// Name, how it is put together, whether more is better.
const TABLE: [(Kind, &str, &str, bool); 15] = [
    (Kind::Acc, "acc", "mean", true),
    (Kind::AccNorm, "acc_norm", "mean", true),
    (Kind::AccBytes, "acc_bytes", "mean", true),
    (Kind::ExactMatch, "exact_match", "mean", true),
    (Kind::F1, "f1", "f1", true),
    (Kind::Mcc, "mcc", "matthews_corrcoef", true),
    (Kind::Brier, "brier_score", "brier_score", false),
    (Kind::Perplexity, "perplexity", "perplexity", false),
    (Kind::WordPerplexity, "word_perplexity", "weighted_perplexity", false),
    (Kind::BytePerplexity, "byte_perplexity", "weighted_perplexity", false),
    (Kind::BitsPerByte, "bits_per_byte", "bits_per_byte", false),
    (Kind::Bleu, "bleu", "bleu", true),
    (Kind::Chrf, "chrf", "chrf", true),
    (Kind::ChrfPlusPlus, "chrf++", "chrf++", true),
    (Kind::Ter, "ter", "ter", false),
];

impl Kind {
    /// What is measured where nobody says.
    pub fn usual(output: OutputType) -> &'static [Self] {
        match output {
            OutputType::MultipleChoice => &[Self::Acc, Self::AccNorm],
            OutputType::Loglikelihood => &[Self::Perplexity, Self::Acc],
            OutputType::LoglikelihoodRolling => {
                &[Self::WordPerplexity, Self::BytePerplexity, Self::BitsPerByte]
            }
            OutputType::GenerateUntil => &[Self::ExactMatch],
        }
    }

    fn all(output: OutputType) -> &'static [Self] {
        match output {
            OutputType::MultipleChoice => &[
                Self::Acc,
                Self::AccNorm,
                Self::AccBytes,
                Self::ExactMatch,
                Self::F1,
                Self::Mcc,
                Self::Brier,
            ],
            OutputType::Loglikelihood | OutputType::LoglikelihoodRolling => Self::usual(output),
            OutputType::GenerateUntil => {
                &[Self::ExactMatch, Self::Bleu, Self::Chrf, Self::ChrfPlusPlus, Self::Ter]
            }
        }
    }

    /// The metric of a name, where it is measured of such requests.
    ///
    /// # Errors
    /// With a hint, where there is none.
    pub fn named(name: &str, output: OutputType) -> Result<Self, String> {
        let names = || Self::all(output).iter().map(|kind| kind.name());
        let found = Self::all(output).iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| did_you_mean(name, names().collect::<Vec<_>>()))
    }

    /// The metric of a name, whatever it is of.
    pub fn find(name: &str) -> Option<Self> {
        let of_classes = registry::of_classes(name).map(|named| named.name);
        let of_head = of_classes.or_else(|_| registry::of_values(name).map(|named| named.name));
        let own = TABLE.iter().find(|row| row.1 == name).map(|row| row.0);
        own.or_else(|| of_head.ok().map(Self::OfHead))
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, bool) {
        TABLE.iter().find(|row| row.0 == self).expect("every one is in the table")
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        if let Self::OfHead(name) = self { name } else { self.row().1 }
    }

    /// What the way is called in which it is put together.
    pub fn aggregation(self) -> &'static str {
        self.row().2
    }

    /// Whether it compares a text that was written with one right text.
    pub fn is_of_texts(self) -> bool {
        matches!(self, Self::Bleu | Self::Chrf | Self::ChrfPlusPlus | Self::Ter)
    }

    /// Whether a larger value is a better one.
    pub fn larger_is_better(self) -> bool {
        if let Self::OfHead(name) = self { !tasks::is_better_small(name) } else { self.row().3 }
    }

    /// Makes what documents give ready to be put together, as often as one likes.
    ///
    /// # Errors
    /// Where an item is of another metric, or none at all.
    pub fn gathered(self, items: &[Item]) -> Result<Gathered, MetricError> {
        let other = self.other();
        if items.is_empty() {
            return Err(MetricError::Empty { what: "documents" });
        }
        let all = |of: &dyn Fn(&Item) -> Option<[f64; 2]>| -> Result<Vec<[f64; 2]>, MetricError> {
            items.iter().map(|item| of(item).ok_or_else(|| other.clone())).collect()
        };
        let texts = || texts(items).ok_or_else(|| other.clone());
        Ok(match self {
            Self::Bleu => {
                let of = |(right, written)| Bleu::default().stats(written, &[right]);
                Gathered::Bleu(texts()?.into_iter().map(of).collect::<Result<_, _>>()?)
            }
            Self::Chrf | Self::ChrfPlusPlus => {
                let how = self.chrf();
                let of = |(right, written)| how.stats(written, &[right]);
                let all = texts()?.into_iter().map(of).collect::<Result<_, _>>()?;
                Gathered::Chrf(how, all)
            }
            Self::Ter => {
                let of = |(right, written)| ter::stats(written, &[right]);
                Gathered::Ter(texts()?.into_iter().map(of).collect::<Result<_, _>>()?)
            }
            // F1 of tags is a mean over them.
            Self::F1 | Self::OfHead(_) if matches!(items[0], Item::Words(_)) => {
                let kind = Self::find(&tasks::by_word(self.name())).unwrap_or(self);
                Gathered::OfHead(kind, items.to_vec())
            }
            Self::F1 | Self::Mcc | Self::OfHead(_) if !matches!(items[0], Item::Number(_)) => {
                Gathered::OfHead(self, items.to_vec())
            }
            Self::WordPerplexity | Self::BytePerplexity | Self::BitsPerByte => {
                let of = |item: &Item| match item {
                    Item::Weighed { log_prob, n } => Some([*log_prob, *n as f64]),
                    _ => None,
                };
                Gathered::Weighed(self, all(&of)?)
            }
            Self::Brier => {
                let of = |item: &Item| match item {
                    Item::Probabilities(right, p) => {
                        let miss = |(i, p): (usize, &f64)| (p - f64::from(i == *right)).powi(2);
                        Some([p.iter().enumerate().map(miss).sum(), 0.0])
                    }
                    _ => None,
                };
                Gathered::Numbers(self, all(&of)?.into_iter().map(|[x, _]| x).collect())
            }
            _ => {
                let of = |item: &Item| match item {
                    Item::Number(x) => Some([*x, 0.0]),
                    _ => None,
                };
                Gathered::Numbers(self, all(&of)?.into_iter().map(|[x, _]| x).collect())
            }
        })
    }

    fn other(self) -> MetricError {
        MetricError::Undefined { metric: self.name(), reason: "is of another kind" }
    }

    fn chrf(self) -> Chrf {
        if self == Self::ChrfPlusPlus { Chrf::PLUS_PLUS } else { Chrf::default() }
    }
}

/// Right texts and written ones; none where an item is something else.
fn texts(items: &[Item]) -> Option<Vec<(&str, &str)>> {
    fn both(item: &Item) -> Option<(&str, &str)> {
        match item {
            Item::Texts(right, written) => Some((right, written)),
            _ => None,
        }
    }
    items.iter().map(both).collect()
}

/// Of classes, numbers or entities: what the items are says which.
fn of_head<'i>(kind: Kind, items: impl Iterator<Item = &'i Item>) -> Result<f64, MetricError> {
    let (mut classes, mut values, mut found) = (Vec::new(), Vec::new(), Counts::default());
    for item in items {
        match item {
            Item::Classes(right, said) => classes.push((*right, *said)),
            Item::Words(all) => classes.extend(all.iter().map(|[right, said]| (*right, *said))),
            Item::Values(right, said) => values.push((*right, *said)),
            &Item::Found([hits, predicted, actual]) => found += Counts { hits, predicted, actual },
            _ => return Err(kind.other()),
        }
    }
    let name = if kind == Kind::Mcc { "matthews" } else { kind.name() };
    if !classes.is_empty() {
        let (right, said): (Vec<usize>, Vec<usize>) = classes.into_iter().unzip();
        let most = right.iter().chain(&said).max().copied().unwrap_or(1);
        let classes = Classes::new(&right, &said, 1 + most.max(1))?;
        return (registry::of_classes(name)?.compute)(&classes);
    }
    if !values.is_empty() {
        let (right, said): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        return (registry::of_values(name)?.compute)(&right, &said);
    }
    let found = found.prf();
    Ok(match name {
        "precision" => found.precision,
        "recall" => found.recall,
        _ => found.f1,
    })
}

/// What documents gave, ready to be put together.
pub enum Gathered {
    /// Means, of which one may be a power.
    Numbers(Kind, Vec<f64>),
    /// Sums, one divided by the other.
    Weighed(Kind, Vec<[f64; 2]>),
    /// Classes, numbers or entities: right ones, and those that were said.
    OfHead(Kind, Vec<Item>),
    /// Counts of BLEU.
    Bleu(Vec<BleuStats>),
    /// Counts of chrF.
    Chrf(Chrf, Vec<ChrfStats>),
    /// Counts of TER.
    Ter(Vec<TerStats>),
}

/// A number, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Its standard error; none of a single document.
    pub stderr: Option<f64>,
    /// Where it lies with [`Bootstrap::confidence`].
    pub interval: Option<[f64; 2]>,
}

impl Gathered {
    /// How many documents.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(_, all) => all.len(),
            Self::Weighed(_, all) => all.len(),
            Self::OfHead(_, all) => all.len(),
            Self::Bleu(all) => all.len(),
            Self::Chrf(_, all) => all.len(),
            Self::Ter(all) => all.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of some of them, each as often as it is named.
    ///
    /// # Errors
    /// Where it is not defined.
    pub fn value(&self, of: &[usize]) -> Result<f64, MetricError> {
        let n = of.len() as f64;
        Ok(match self {
            Self::Numbers(kind, all) => {
                let mean = of.iter().map(|&i| all[i]).sum::<f64>() / n;
                if *kind == Kind::Perplexity { (-mean).exp() } else { mean }
            }
            Self::Weighed(kind, all) => {
                let sum = |at: usize| of.iter().map(|&i| all[i][at]).sum::<f64>();
                let nats = -sum(0) / sum(1);
                if *kind == Kind::BitsPerByte { nats / std::f64::consts::LN_2 } else { nats.exp() }
            }
            Self::OfHead(kind, all) => of_head(*kind, of.iter().map(|&i| &all[i]))?,
            Self::Bleu(all) => {
                let mut sum = BleuStats::default();
                for &i in of {
                    sum += all[i];
                }
                Bleu::default().score(&sum).score
            }
            Self::Chrf(how, all) => {
                let mut sum = ChrfStats::default();
                for &i in of {
                    sum += &all[i];
                }
                how.score(&sum)
            }
            Self::Ter(all) => {
                let mut sum = TerStats::default();
                for &i in of {
                    sum += all[i];
                }
                ter::score(&sum)
            }
        })
    }

    /// The number, its standard error (that of a mean where it is one, else of what resampling
    /// gives) and its interval.
    ///
    /// # Errors
    /// Where it is not defined.
    pub fn measure(&self, how: &Bootstrap) -> Result<Measured, MetricError> {
        let value = self.value(&(0..self.len()).collect::<Vec<_>>())?;
        if self.len() < 2 {
            return Ok(Measured { value, stderr: None, interval: None });
        }
        let mut found = Vec::new();
        let interval = how.interval(self.len(), |of| {
            let value = self.value(of)?;
            found.push(value);
            Ok(value)
        });
        let stderr = match self {
            Self::Numbers(kind, all) if *kind != Kind::Perplexity => standard_error(all).ok(),
            _ => {
                found.retain(|value| value.is_finite());
                // Of a sample of values, not of their mean.
                standard_error(&found).ok().map(|error| error * (found.len() as f64).sqrt())
            }
        };
        let interval = interval.ok().map(|interval| [interval.low, interval.high]);
        Ok(Measured { value, stderr, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_survive_their_log() {
        let items = [
            Item::Number(-1.5),
            Item::Number(1.0),
            Item::Classes(1, 0),
            Item::Values(1.0, -2.0),
            Item::Weighed { log_prob: -30.25, n: 7 },
            Item::Texts("a".into(), "b".into()),
            Item::Probabilities(1, vec![0.25, 0.75]),
            Item::Found([1, 2, 3]),
            Item::Words(vec![[1, 0], [0, 0]]),
            Item::Words(vec![]),
        ];
        for item in items {
            let text = serde_json::to_string(&item).expect("JSON");
            assert_eq!(serde_json::from_str::<Item>(&text).expect(&text), item);
        }
    }

    #[test]
    fn numbers_are_put_together_as_they_should() {
        let of = |kind: Kind, items: &[Item]| {
            kind.gathered(items).and_then(|all| all.measure(&Bootstrap::default())).expect("some")
        };
        let acc = of(Kind::Acc, &[1.0, 0.0, 1.0, 1.0].map(Item::Number));
        assert_eq!((acc.value, acc.stderr), (0.75, Some(0.25)));
        let two = [(-2.0, 4), (-6.0, 4)].map(|(log_prob, n)| Item::Weighed { log_prob, n });
        assert_eq!(of(Kind::WordPerplexity, &two).value, 1.0_f64.exp());
        assert_eq!(of(Kind::BitsPerByte, &two).value, std::f64::consts::LN_2.recip());
        assert_eq!(of(Kind::Perplexity, &[-1.0, -3.0].map(Item::Number)).value, 2.0_f64.exp());
        let classes = [(1, 1), (0, 1), (0, 0)].map(|(right, said)| Item::Classes(right, said));
        assert!((of(Kind::F1, &classes).value - 2.0 / 3.0).abs() < 1e-12);
        let text = Item::Texts("the cat is on the mat".into(), "the cat is on the mat".into());
        assert!((of(Kind::Bleu, &[text.clone(), text]).value - 100.0).abs() < 1e-9);
        assert!(Kind::Acc.gathered(&two).is_err());
    }
}
