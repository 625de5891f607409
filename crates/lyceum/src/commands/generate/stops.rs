//! Ending a text where a given string would come.

/// Passes text on, all but what may be the beginning of a stop string.
#[derive(Debug, Default)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// May be printed.
    pub text: String,
    /// Whether a stop string was found: nothing comes after `text`.
    pub stopped: bool,
}

impl StopFilter {
    /// Ends a text before the first of `stops`; empty ones count for nothing.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> Passed {
        self.held += piece;
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let rest = self.held.split_off(self.held.len() - self.undecided());
        Passed { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that a stop string may begin with.
    fn undecided(&self) -> usize {
        let begins = |tail: &str| self.stops.iter().any(|stop| stop.starts_with(tail));
        let tails = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        tails.filter(|tail| begins(tail)).map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut filter = StopFilter::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let passed = filter.push(piece);
            text += &passed.text;
            if passed.stopped {
                return (text, true);
            }
        }
        (text + &filter.finish(), false)
    }

    #[test]
    fn a_stop_string_is_found_across_pieces_and_not_printed() {
        assert_eq!(run(&["\n\n"], &["a\n", "\nb"]), ("a".into(), true));
        assert_eq!(run(&["END"], &["xE", "N", "Dy"]), ("x".into(), true));
        assert_eq!(run(&["abcd", "bc"], &["xabc"]), ("xa".into(), true));
    }

    #[test]
    fn what_only_begins_like_one_is_printed_after_all() {
        assert_eq!(run(&["END"], &["xE", "N", "d"]), ("xENd".into(), false));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(
            run(&["\u{6c34}!"], &["\u{6c34}", "?\u{6c34}"]),
            ("\u{6c34}?\u{6c34}".into(), false)
        );
    }

    #[test]
    fn nothing_is_held_without_need() {
        let mut filter = StopFilter::new(&["END".into(), String::new()]);
        assert_eq!(filter.push("hello E").text, "hello ");
        assert_eq!(StopFilter::new(&[]).push("E"), Passed { text: "E".into(), stopped: false });
    }
}
