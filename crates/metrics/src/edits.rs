//! Word and character error rate of transcripts.

use crate::error::{MetricError, Result, cells};
use crate::text::{is_space, split};

/// The most pairs of words or characters that are compared.
const MAX_STEPS: u64 = 1 << 34;

/// Edits of one text, or the sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Words or characters inserted, deleted or replaced.
    pub edits: u64,
    /// How many the reference has.
    pub reference_len: u64,
}

impl Edits {
    /// Words, at white space.
    ///
    /// # Errors
    /// When the texts have more than 131 072 words each.
    pub fn words(reference: &str, hypothesis: &str) -> Result<Self> {
        let [reference, hypothesis] =
            [reference, hypothesis].map(|text| split(text).collect::<Vec<_>>());
        Self::of("words", &reference, &hypothesis)
    }

    /// Characters, spaces included, but not those around the text.
    ///
    /// # Errors
    /// When the texts have more than 131 072 characters each.
    pub fn chars(reference: &str, hypothesis: &str) -> Result<Self> {
        let chars = |text: &str| text.trim_matches(is_space).chars().collect::<Vec<_>>();
        Self::of("characters", &chars(reference), &chars(hypothesis))
    }

    /// Edits for each word or character of the reference; it may be above 1.
    ///
    /// # Errors
    /// When the reference is empty.
    pub fn rate(self) -> Result<f64> {
        if self.reference_len == 0 {
            return Err(MetricError::Empty { what: "words of a reference" });
        }
        Ok(self.edits as f64 / self.reference_len as f64)
    }

    fn of<T: PartialEq>(what: &'static str, reference: &[T], hypothesis: &[T]) -> Result<Self> {
        let reference_len = reference.len() as u64;
        let n = reference.iter().zip(hypothesis).take_while(|(a, b)| a == b).count();
        let (reference, hypothesis) = (&reference[n..], &hypothesis[n..]);
        cells(what, reference.len(), hypothesis.len(), MAX_STEPS)?;
        let mut row: Vec<u64> = (0..=hypothesis.len() as u64).collect();
        for (above_all, known) in (1..).zip(reference) {
            let mut diagonal = std::mem::replace(&mut row[0], above_all);
            for (idx, found) in hypothesis.iter().enumerate() {
                let above = row[idx + 1];
                let replaced = diagonal + u64::from(known != found);
                row[idx + 1] = replaced.min(above + 1).min(row[idx] + 1);
                diagonal = above;
            }
        }
        Ok(Self { edits: row[hypothesis.len()], reference_len })
    }
}

impl std::ops::AddAssign for Edits {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.reference_len += other.reference_len;
    }
}
