//! Log-likelihoods of continuations, with as little computed as possible.
//!
//! What is asked behind one context shares it: context and continuations lie in one row as a trunk
//! and its branches, which see the trunk and themselves ([`tensor::BRANCH_SHIFT`]); or, where that
//! is less to compute, what all contexts begin with, such as examples, is the trunk. Logits are
//! formed where a continuation stands, and tokens that come next behind a trunk are read off one
//! row.
//!
//! Results have the same bits whatever is shown at once. Attention sums over keys in blocks of 16
//! and of 512 from the start of a row, so a trunk begins at the former and crosses the latter only
//! where it begins at one; products have more rows than those that sum otherwise. Learned tokens in
//! front of each text would move the second of a row: there, each has a row of its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use models::Model;
use nn::{AttnPositions, Context, Mask};
use tensor::{BRANCH_SHIFT, CrossEntropyArgs, Device, NO_TARGET, Pattern, Precision, Tape};

/// Keys that attention takes at once.
const LANES: usize = 16;
/// Keys after which attention's maximum is taken anew.
const BLOCK: usize = 512;
/// Tokens of a trunk and its branches, at most, where a trunk has more than one.
const GROUP_TOKENS: usize = 4 * BLOCK;
/// How much less there has to be to compute where a common beginning is the trunk.
const WORTH: usize = 2;
/// Branches that a segment's number has room for.
const BRANCHES_MAX: usize = (1 << (32 - BRANCH_SHIFT)) - 1;

/// What is asked of a model: how likely `continuation` is behind `context`, of which there is at
/// least one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What comes before.
    pub context: Vec<u32>,
    /// What may follow; at least one token.
    pub continuation: Vec<u32>,
}

/// What it says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said {
    /// The natural logarithm of the continuation's probability.
    pub log_prob: f64,
    /// Whether no other token is likelier than each of the continuation's.
    pub is_greedy: bool,
}

impl Ask {
    /// Leaves of the context what a model of `max_len` positions can read, and says how many tokens
    /// went.
    ///
    /// # Panics
    /// When the continuation alone is longer.
    pub fn truncate(&mut self, max_len: usize) -> usize {
        // The last token of the continuation is not shown.
        let room = max_len + 1 - self.continuation.len();
        let n_cut = self.context.len().saturating_sub(room);
        self.context.drain(..n_cut);
        n_cut
    }

    /// Tokens that are shown.
    fn n_shown(&self) -> usize {
        self.context.len() + self.continuation.len() - 1
    }

    /// What is shown behind so many tokens of the context, with their positions.
    fn behind(&self, trunk: usize) -> impl Iterator<Item = (usize, u32)> {
        let shown = self.context.iter().chain(&self.continuation);
        shown.copied().enumerate().take(self.n_shown()).skip(trunk)
    }
}

/// A beginning, and what is asked behind it.
#[derive(Debug)]
struct Group {
    asks: Vec<usize>,
    /// Tokens that they have in common.
    trunk: usize,
    n_tokens: usize,
}

/// The log-likelihoods of `asks`, in their order; about `batch_tokens` tokens are shown at once.
/// `each` is told how many were answered.
///
/// What is not finite is for the caller to refuse.
///
/// # Panics
/// When the model has no head over tokens or looks ahead, an ask is longer than what it reads, or
/// has no context or no continuation.
pub fn log_likelihoods(
    (model, device, precision): (&Model, &Device, Precision),
    asks: &[Ask],
    batch_tokens: usize,
    mut each: impl FnMut(usize),
) -> Vec<Said> {
    let groups = groups(asks, shares(model));
    let is_alone = model.stack().n_lead(&model.params) > 0;
    let mut said = vec![Said::default(); asks.len()];
    let mut from = 0;
    while from < groups.len() {
        let mut layout = Layout::new(&groups[from], is_alone);
        let mut to = from;
        while to < groups.len() && layout.take(&groups[to], batch_tokens) {
            to += 1;
        }
        let batch = &groups[from..to];
        answer((model, device, precision), asks, (batch, &layout), &mut said);
        each(batch.iter().map(|group| group.asks.len()).sum());
        from = to;
    }
    said
}

/// Whether branches may share a trunk: where distances in a row count, each has to lie beside its
/// own.
fn shares(model: &Model) -> bool {
    let trunk = &model.head_stack().config().trunk;
    trunk.cycle.iter().all(|layer| {
        layer.pattern == Pattern::Causal
            && !matches!(layer.positions, AttnPositions::RelativeBias { .. })
    })
}

/// Asks by what they share, the longest first.
fn groups(asks: &[Ask], shares: bool) -> Vec<Group> {
    let mut groups = gathered(asks, shares, |ask| ask.context.len());
    let n_tokens = |groups: &[Group]| groups.iter().map(|group| group.n_tokens).sum::<usize>();
    let first = asks.first().map_or(&[][..], |ask| &ask.context);
    let alike = |ask: &Ask| first.iter().zip(&ask.context).take_while(|(a, b)| a == b).count();
    let trunk = asks.iter().map(alike).min().unwrap_or(0);
    if shares && trunk > 0 {
        let others = gathered(asks, shares, |_| trunk);
        // Long rows cost more attention.
        if WORTH * n_tokens(&others) < n_tokens(&groups) {
            groups = others;
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.n_tokens));
    groups
}

/// Asks by so many tokens of their contexts.
fn gathered(asks: &[Ask], shares: bool, trunk: impl Fn(&Ask) -> usize) -> Vec<Group> {
    let mut open: HashMap<&[u32], usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (idx, ask) in asks.iter().enumerate() {
        assert!(!ask.context.is_empty(), "log_likelihoods: ask {idx} has no context");
        let trunk = trunk(ask);
        let n = ask.n_shown() - trunk;
        let found = open.get(&ask.context[..trunk]).copied().filter(|&at: &usize| {
            let group = &groups[at];
            let fits = group.n_tokens + n <= GROUP_TOKENS && group.asks.len() < BRANCHES_MAX;
            shares && fits
        });
        if let Some(at) = found {
            groups[at].asks.push(idx);
            groups[at].n_tokens += n;
        } else {
            open.insert(&ask.context[..trunk], groups.len());
            groups.push(Group { asks: vec![idx], trunk, n_tokens: ask.n_shown() });
        }
    }
    groups
}

/// Where groups lie in rows of one length.
struct Layout {
    /// `T`.
    len: usize,
    /// Whether a row has one group.
    is_alone: bool,
    /// Positions taken of each row.
    taken: Vec<usize>,
    /// Row and first position of each group.
    places: Vec<[usize; 2]>,
}

impl Layout {
    /// Rows as long as the longest group; of fewer tokens, products would sum otherwise.
    fn new(longest: &Group, is_alone: bool) -> Self {
        let len = longest.n_tokens.max(LANES);
        Self { len, is_alone, taken: Vec::new(), places: Vec::new() }
    }

    /// Finds room for a group; the first is never refused.
    fn take(&mut self, group: &Group, tokens_max: usize) -> bool {
        let n = group.n_tokens;
        let place = |taken: usize| {
            let start = taken.next_multiple_of(LANES);
            let crosses = !start.is_multiple_of(BLOCK) && start / BLOCK != (start + n - 1) / BLOCK;
            let start = if crosses { start.next_multiple_of(BLOCK) } else { start };
            (start + n <= self.len && !self.is_alone).then_some(start)
        };
        let found = self
            .taken
            .iter()
            .enumerate()
            .find_map(|(row, &taken)| place(taken).map(|start| [row, start]));
        let place = match found {
            Some(place) => place,
            None if self.taken.is_empty() || (self.taken.len() + 1) * self.len <= tokens_max => {
                self.taken.push(0);
                [self.taken.len() - 1, 0]
            }
            None => return false,
        };
        self.taken[place[0]] = place[1] + n;
        self.places.push(place);
        true
    }
}

/// A token that is asked for: in which of the rows that have logits, and of which ask.
struct Want {
    row: usize,
    token: u32,
    ask: usize,
}

/// What one batch of groups is shown, and asked.
struct Shown {
    ids: Vec<u32>,
    segments: Vec<u32>,
    positions: Vec<u32>,
    /// Places whose logits are formed.
    rows: Vec<u32>,
    /// In the order of `rows`; of an ask in the order of its continuation.
    wants: Vec<Want>,
}

impl Shown {
    fn new(asks: &[Ask], groups: &[Group], layout: &Layout) -> Self {
        let n = layout.taken.len() * layout.len;
        let mut shown = Self {
            ids: vec![0; n],
            segments: vec![0; n],
            positions: vec![0; n],
            rows: Vec::new(),
            wants: Vec::new(),
        };
        for (i, (group, [row, start])) in groups.iter().zip(&layout.places).enumerate() {
            let (mut at, document) = (row * layout.len + start, i as u32 + 1);
            for (position, token) in asks[group.asks[0]].behind(0).take(group.trunk) {
                shown.put(&mut at, token, (document, position));
            }
            // Those that go on right behind the trunk.
            let here = |ask: &&usize| asks[**ask].context.len() == group.trunk;
            for &ask in group.asks.iter().filter(here) {
                shown.want(at - 1, asks[ask].continuation[0], ask);
            }
            for (branch, &idx) in (1..).zip(&group.asks) {
                let (ask, segment) = (&asks[idx], document | branch << BRANCH_SHIFT);
                for (position, token) in ask.behind(group.trunk) {
                    shown.put(&mut at, token, (segment, position));
                    if let Some(next) = (position + 1).checked_sub(ask.context.len()) {
                        shown.want(at - 1, ask.continuation[next], idx);
                    }
                }
            }
        }
        shown
    }

    /// Puts a token at `at`, and moves it on.
    fn put(&mut self, at: &mut usize, token: u32, (segment, position): (u32, usize)) {
        self.ids[*at] = token;
        self.segments[*at] = segment;
        self.positions[*at] = position as u32;
        *at += 1;
    }

    /// Asks for what comes next at a place.
    fn want(&mut self, place: usize, token: u32, ask: usize) {
        if self.rows.last() != Some(&(place as u32)) {
            self.rows.push(place as u32);
        }
        self.wants.push(Want { row: self.rows.len() - 1, token, ask });
    }
}

/// Shows the model one batch of groups.
fn answer(
    (model, device, precision): (&Model, &Device, Precision),
    asks: &[Ask],
    (groups, layout): (&[Group], &Layout),
    said: &mut [Said],
) {
    let shown = Shown::new(asks, groups, layout);
    let shape = [layout.taken.len(), layout.len];
    let tape = Tape::new(device, &model.params, precision);
    let mut ctx = Context::plain(shape[0], shape[1]);
    ctx.call.mask = Mask { segments: Some(shown.segments.into()), ..Mask::default() };
    ctx.call.positions = shown.positions.into();
    let stack = model.stack();
    let hidden = stack.forward(&tape, &shown.ids.into(), shape, &mut ctx);
    let rows: Arc<[u32]> = shown.rows.into();
    let head = stack.token_head().expect("a head over the vocabulary");
    let hidden = head.hidden(&tape, &tape.select_rows(&hidden, &rows));

    // The first token that is wanted of a row is its target; others are read off its logits.
    let wants = shown.wants;
    let mut targets = vec![NO_TARGET; rows.len()];
    wants.iter().rev().for_each(|want| targets[want.row] = want.token);
    let seen = RefCell::new(vec![(0.0_f32, false); wants.len()]);
    let vocab_size = stack.config().tokens().vocab_size;
    let watch = |rows: std::ops::Range<usize>, z: &[f32]| {
        let mut seen = seen.borrow_mut();
        let first = wants.partition_point(|want| want.row < rows.start);
        let of_rows = wants[first..].iter().take_while(|want| want.row < rows.end);
        for (i, want) in of_rows.enumerate() {
            let z = &z[(want.row - rows.start) * vocab_size..][..vocab_size];
            let own = z[want.token as usize];
            let is_shared = want.token != targets[want.row];
            seen[first + i] = (own, is_shared && !z.iter().any(|z| *z > own));
        }
    };
    let args = CrossEntropyArgs { watch: Some(&watch), ..head.cross_entropy(&targets) };
    let losses = tape.linear_losses(&hidden, args);
    let seen = seen.into_inner();
    let mut first = 0;
    for &ask in groups.iter().flat_map(|group| &group.asks) {
        said[ask] = Said { log_prob: 0.0, is_greedy: true };
    }
    for (i, want) in wants.iter().enumerate() {
        if want.row != wants[first].row {
            first = i;
        }
        let loss = losses[want.row];
        let is_target = want.token == targets[want.row];
        // loss = log sum exp z - z[target]
        let apart = if is_target { 0.0 } else { f64::from(seen[i].0) - f64::from(seen[first].0) };
        let to = &mut said[want.ask];
        to.log_prob += apart - f64::from(loss.loss);
        to.is_greedy &= if is_target { loss.is_right } else { seen[i].1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_what_leaves_least_to_compute() {
        let ask = |own: u32, n_more: usize| Ask {
            context: (0..90).chain(own * 1000..own * 1000 + 10).collect(),
            continuation: vec![1; n_more],
        };
        // One continuation each: the beginning is read once.
        let lasts: Vec<Ask> = (1..=50).map(|own| ask(own, 1)).collect();
        let [group] = &groups(&lasts, true)[..] else { panic!("one group") };
        assert_eq!((group.trunk, group.n_tokens, group.asks.len()), (90, 90 + 50 * 10, 50));
        assert_eq!(groups(&lasts, false).len(), 50);
        // Twenty choices each: every context is.
        let choices: Vec<Ask> = (1..=4).flat_map(|own| vec![ask(own, 2); 20]).collect();
        let by_context = groups(&choices, true);
        assert_eq!(by_context.len(), 4);
        assert!(by_context.iter().all(|g| (g.trunk, g.n_tokens) == (100, 120)));
    }
}
