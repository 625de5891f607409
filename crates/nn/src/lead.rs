//! Learned tokens in front of each text: where they are, and what of a call they change.

use std::sync::Arc;

use tensor::{BRANCH_SHIFT, Init, Param, Params, ParamsBuilder, Rng};

use crate::beside::{BY, Beside};
use crate::context::{Call, NO_POSITION};

/// Learned tokens of a stack.
pub struct Lead {
    n: usize,
    prompt: Option<Param>,
    reads_first: bool,
    /// One number, zero where they are not in use.
    by: Param,
}

/// Where learned tokens are in the rows of a call.
#[derive(Clone, Debug)]
pub struct Led {
    /// Their rows, text by text.
    pub(crate) rows: Arc<[u32]>,
    /// What stands there in the embedding.
    pub(crate) prompt: Option<Param>,
}

/// Rows of tokens with learned ones in front of each text.
pub struct LedRows {
    /// `[B, T]`; any where a learned one is.
    pub ids: Arc<[u32]>,
    /// `[B, T]`'s sizes.
    pub shape: [usize; 2],
    /// What they are told.
    pub call: Call,
    /// Where each of the tokens is that were there before.
    pub tokens: Arc<[u32]>,
}

/// A place in a row.
#[derive(Clone, Copy)]
enum Slot {
    /// A token that was there.
    Token(usize),
    /// A learned one of the text that begins with that.
    Learned(usize, u32),
    Padding,
}

impl Lead {
    /// Registers what `beside` asks of an embedding of that width. Where a text is read out at its
    /// first token, that is the first learned one where these are part of the input: as in `peft`.
    pub fn new(
        b: &mut ParamsBuilder,
        (beside, reads_first): (Beside, bool),
        (width, init): (usize, Init),
    ) -> Option<Self> {
        let n = beside.n_tokens();
        (n > 0).then(|| {
            b.scope("lead", |b| {
                let is_prompt = matches!(beside, Beside::Prompt(_));
                let prompt = is_prompt.then(|| b.param("prompt", &[n, width], init));
                let reads_first = reads_first && is_prompt;
                Self { n, prompt, reads_first, by: b.constant(BY, &[1], Init::Ones) }
            })
        })
    }

    /// How many there are.
    pub fn n_tokens(&self) -> usize {
        self.n
    }

    /// Whether they are in use.
    pub fn is_used(&self, params: &Params) -> bool {
        params.get(&self.by)[0] != 0.0
    }

    /// Puts learned tokens in front of each text of `[B, T]` tokens: of each document, which its
    /// branches go on, else of each row. Those that were there come so many positions later.
    pub fn before(&self, ids: &[u32], [batch, len]: [usize; 2], call: &Call) -> LedRows {
        let rows: Vec<Vec<Slot>> =
            (0..batch).map(|row| self.row(row * len..(row + 1) * len, call)).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let is_padded = rows.iter().any(|row| row.len() < longest);
        let padding = |n| std::iter::repeat_n(Slot::Padding, n);
        let slots: Vec<Slot> = rows
            .into_iter()
            .flat_map(|row| {
                let n = longest - row.len();
                row.into_iter().chain(padding(n))
            })
            .collect();
        let (mut tokens, mut learned) = (vec![0; ids.len()], Vec::new());
        let mut is_read = false;
        for (at, slot) in (0..).zip(&slots) {
            match *slot {
                // The first of a text, which stands for it there already.
                Slot::Token(_) if is_read => is_read = false,
                Slot::Token(i) => tokens[i] = at,
                Slot::Learned(i, j) => {
                    if j == 0 && self.reads_first {
                        (tokens[i], is_read) = (at, true);
                    }
                    learned.push(at);
                }
                Slot::Padding => {}
            }
        }
        let n = self.n as u32;
        let all = |of: &dyn Fn(Slot) -> u32| slots.iter().map(|slot| of(*slot)).collect();
        let of_text = |given: &Arc<[u32]>| {
            all(&|slot| match slot {
                Slot::Token(i) | Slot::Learned(i, _) => given[i],
                Slot::Padding => 0,
            })
        };
        let counted = |at: u32, more: u32| if at == NO_POSITION { at } else { at + more };
        let positions = all(&|slot| match slot {
            Slot::Token(i) => counted(call.positions[i], n),
            Slot::Learned(i, j) => counted(call.positions[i], j),
            Slot::Padding => 0,
        });
        let types =
            |given: &Arc<[u32]>| all(&|slot| if let Slot::Token(i) = slot { given[i] } else { 0 });
        let ones: Arc<[u32]> = vec![1; ids.len()].into();
        let segments = call.mask.segments.as_ref().or(is_padded.then_some(&ones)).map(of_text);
        let mut led = call.clone();
        led.mask.segments = segments;
        led.mask.prefix += if call.mask.prefix > 0 { self.n } else { 0 };
        led.types = call.types.iter().map(|given| given.as_ref().map(types)).collect();
        led.rng = call.rng.map(|rng| {
            let before = call.n_texts_before * u64::from(n);
            Rng { first_token: rng.first_token + before, ..rng }
        });
        led.positions = positions;
        led.led = Some(Led { rows: learned.into(), prompt: self.prompt.clone() });
        let ids = all(&|slot| if let Slot::Token(i) = slot { ids[i] } else { 0 });
        LedRows { ids, shape: [batch, longest], call: led, tokens: tokens.into() }
    }

    fn row(&self, row: std::ops::Range<usize>, call: &Call) -> Vec<Slot> {
        let below = (1 << BRANCH_SHIFT) - 1;
        let document = |at: usize| call.mask.segments.as_ref().map_or(1, |all| all[at] & below);
        let (mut slots, mut last) = (Vec::with_capacity(row.len() + self.n), 0);
        for at in row {
            if document(at) != last && document(at) != 0 {
                slots.extend((0..self.n as u32).map(|j| Slot::Learned(at, j)));
            }
            last = document(at);
            slots.push(Slot::Token(at));
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Context, Mask};

    #[test]
    fn each_text_is_led_and_comes_later() {
        let mut builder = ParamsBuilder::default();
        let lead =
            Lead::new(&mut builder, (Beside::Prompt(2), false), (4, Init::Zeros)).expect("some");
        let mut call = Context::plain(2, 5).call;
        call.mask.segments = Some([0, 1, 1, 2, 2, 1, 1, 1, 0, 0].into());
        call.positions = [NO_POSITION, 0, 1, 0, 1, 0, 1, 2, 0, 0].into();
        call.types = vec![Some([0, 0, 1, 1, 0, 1, 1, 1, 0, 0].into()), None];
        let ids = [9, 1, 2, 3, 4, 5, 6, 7, 9, 9];
        let led = lead.before(&ids, [2, 5], &call);
        assert_eq!(led.shape, [2, 9]);
        assert_eq!(led.ids[..], [9, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 7, 9, 9, 0, 0]);
        let segments = led.call.mask.segments.expect("some");
        assert_eq!(segments[..], [0, 1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        let none = NO_POSITION;
        assert_eq!(led.call.positions[..9], [none, 0, 1, 2, 3, 0, 1, 2, 3]);
        let types = led.call.types[0].as_ref().expect("some");
        assert_eq!(types[..9], [0, 0, 0, 0, 1, 0, 0, 1, 0]);
        assert_eq!(led.call.led.expect("some").rows[..], [1, 2, 5, 6, 9, 10]);
        assert_eq!(led.tokens[..], [0, 3, 4, 7, 8, 11, 12, 13, 14, 15]);
        // A branch goes on with what was led already.
        let branch = |at: u32| 1 | at << BRANCH_SHIFT;
        let segments = [1, 1, branch(1), branch(2), 2, 1, 1, 1, 0, 0].into();
        let mask = Mask { segments: Some(segments), ..Mask::default() };
        let branched = lead.before(&ids, [2, 5], &Call { mask, ..call.clone() });
        assert_eq!(branched.call.led.expect("some").rows[..], [0, 1, 6, 7, 9, 10]);
        let read = Lead { reads_first: true, ..lead }.before(&ids, [2, 5], &call).tokens;
        assert_eq!(read[..], [0, 1, 4, 5, 8, 9, 12, 13, 14, 15]);
    }
}
