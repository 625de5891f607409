//! Edit distance near the diagonal, with the way it came about.

/// How far from the diagonal.
const BEAM: usize = 25;
/// More than any distance.
const FAR: u32 = u32::MAX / 2;

#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// The words are the same.
    Same,
    /// Another word.
    Replaced,
    /// A word that is not in the reference.
    Extra,
    /// A word that is only in the reference.
    Missing,
    /// Not reached.
    None,
}

/// What is known of the cells of a row that lie near the diagonal.
struct Row {
    start: usize,
    cells: Vec<(u32, Step)>,
}

/// Distances from one reference, of hypotheses that are equally long. What two of them begin with
/// is not compared again.
pub(super) struct Distance<'a> {
    reference: &'a [u32],
    words: Vec<u32>,
    rows: Vec<Row>,
}

/// Which word of the hypothesis stands at, or last before, each of the reference.
pub(super) struct Alignment {
    /// -1 where there is none before.
    pub(super) at: Vec<i64>,
    pub(super) wrong_words: Vec<bool>,
    pub(super) wrong_reference: Vec<bool>,
}

impl Row {
    fn cost(&self, column: usize) -> u32 {
        self.cell(column).0
    }

    fn cell(&self, column: usize) -> (u32, Step) {
        let cell = column.checked_sub(self.start).and_then(|idx| self.cells.get(idx));
        cell.copied().unwrap_or((FAR, Step::None))
    }
}

impl<'a> Distance<'a> {
    pub(super) fn new(reference: &'a [u32]) -> Self {
        let cells = (0..=reference.len() as u32).map(|idx| (idx, Step::Missing)).collect();
        Self { reference, words: Vec::new(), rows: vec![Row { start: 0, cells }] }
    }

    /// How many words are to be inserted, deleted or replaced.
    pub(super) fn measure(&mut self, words: &[u32]) -> u32 {
        let same = self.words.iter().zip(words).take_while(|(a, b)| a == b).count();
        self.rows.truncate(same + 1);
        words.clone_into(&mut self.words);
        let n = self.reference.len();
        let slope = if words.is_empty() { 1.0 } else { n as f64 / words.len() as f64 };
        // Rows of a far longer reference would not touch otherwise.
        let wide = (slope / 2.0 + BEAM as f64).ceil() as usize;
        let beam = if slope > 2.0 * BEAM as f64 { wide } else { BEAM };
        for idx in self.rows.len()..=words.len() {
            let diagonal = (idx as f64 * slope).floor() as usize;
            let columns = diagonal.saturating_sub(beam)..(n + 1).min(diagonal + beam);
            let row = self.row(words[idx - 1], columns);
            self.rows.push(row);
        }
        self.rows[words.len()].cost(n)
    }

    fn row(&self, word: u32, columns: std::ops::Range<usize>) -> Row {
        let above = &self.rows[self.rows.len() - 1];
        let mut row = Row { start: columns.start, cells: Vec::with_capacity(columns.len()) };
        for column in columns {
            let cell = match column.checked_sub(1) {
                None => (above.cost(0) + 1, Step::Extra),
                Some(left) => {
                    let is_same = word == self.reference[left];
                    let step = if is_same { Step::Same } else { Step::Replaced };
                    let ways = [
                        (above.cost(left) + u32::from(!is_same), step),
                        (above.cost(column) + 1, Step::Extra),
                        (row.cost(left) + 1, Step::Missing),
                    ];
                    // The first of those that are equal.
                    let nearer = |best: (u32, Step), way: (u32, Step)| {
                        if way.0 < best.0 { way } else { best }
                    };
                    ways.into_iter().fold((FAR, Step::None), nearer)
                }
            };
            row.cells.push(cell);
        }
        row
    }

    /// The way of the last distance that was measured.
    pub(super) fn alignment(&self) -> Alignment {
        let (mut row, mut column) = (self.words.len(), self.reference.len());
        let mut steps = Vec::with_capacity(row + column);
        while row > 0 || column > 0 {
            let step = self.rows[row].cell(column).1;
            row -= usize::from(step != Step::Missing);
            column = column.saturating_sub(usize::from(step != Step::Extra));
            steps.push(step);
        }
        let mut alignment =
            Alignment { at: Vec::new(), wrong_words: Vec::new(), wrong_reference: Vec::new() };
        for step in steps.into_iter().rev() {
            let is_wrong = step != Step::Same;
            if step != Step::Missing {
                alignment.wrong_words.push(is_wrong);
            }
            if step != Step::Extra {
                alignment.at.push(alignment.wrong_words.len() as i64 - 1);
                alignment.wrong_reference.push(is_wrong);
            }
        }
        alignment
    }
}
