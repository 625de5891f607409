//! What a ranking of documents is worth: retrieval and reranking.
//!
//! Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002.

use crate::error::{Result, finite, pairs, within};

/// The answer to one query. Gains are 0 for what is not relevant, and more for what is more so.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Gains of what was found, best first.
    found: Vec<f64>,
    /// Gains of all that is relevant, found or not, largest first.
    relevant: Vec<f64>,
}

impl Ranked {
    /// Of gains in the order of the answer, and those of all relevant documents.
    ///
    /// # Errors
    /// When a gain is not from 0 to 1e100.
    pub fn new(found: &[f64], relevant: &[f64]) -> Result<Self> {
        let is_gain = |gain| (0.0..=1e100).contains(&gain);
        within("gain", found, "from 0 to 1e100", is_gain)?;
        within("gain", relevant, "from 0 to 1e100", is_gain)?;
        let mut relevant = relevant.to_vec();
        relevant.retain(|gain| *gain > 0.0);
        relevant.sort_by(|a, b| b.total_cmp(a));
        Ok(Self { found: found.to_vec(), relevant })
    }

    /// Of scores and gains of all candidates; of equal scores the one that is given first is first.
    ///
    /// # Errors
    /// When lengths differ, there is none, a score is not finite, or a gain is not from 0 to 1e100.
    pub fn by_score(scores: &[f64], gains: &[f64]) -> Result<Self> {
        pairs("gains", gains.len(), scores.len())?;
        finite("score", scores)?;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // Adding zero makes both zeros one.
        order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
        let found: Vec<f64> = order.into_iter().map(|idx| gains[idx]).collect();
        Self::new(&found, gains)
    }

    /// Share of the relevant documents that are among the first `k`; 0 where there are none.
    pub fn recall_at(&self, k: usize) -> f64 {
        let n = self.found.iter().take(k).filter(|gain| **gain > 0.0).count();
        n as f64 / self.relevant.len().max(1) as f64
    }

    /// One over the place of the first relevant document of the first `k`; 0 where there is none.
    pub fn reciprocal_rank_at(&self, k: usize) -> f64 {
        let place = self.found.iter().take(k).position(|gain| *gain > 0.0);
        place.map_or(0.0, |idx| 1.0 / (idx + 1) as f64)
    }

    /// Discounted gain of the first `k`, as a share of the largest there could be; 0 where there is
    /// none. Gains count as they are, as in `trec_eval`.
    pub fn ndcg_at(&self, k: usize) -> f64 {
        let dcg = |gains: &[f64]| -> f64 {
            let discounted = |(idx, gain): (usize, &f64)| gain / ((idx + 2) as f64).log2();
            gains.iter().take(k).enumerate().map(discounted).sum()
        };
        let most = dcg(&self.relevant);
        if most == 0.0 { 0.0 } else { dcg(&self.found) / most }
    }

    /// Mean precision at the places of the relevant documents, those not found counting 0.
    pub fn average_precision(&self) -> f64 {
        let places = self.found.iter().zip(1_u32..).filter(|(gain, _)| **gain > 0.0);
        let precisions = places.zip(1_u32..).map(|((_, place), n)| f64::from(n) / f64::from(place));
        precisions.sum::<f64>() / self.relevant.len().max(1) as f64
    }
}
