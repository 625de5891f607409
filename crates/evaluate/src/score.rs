//! Log-likelihoods of continuations, with as little computed as possible.
//!
//! What is asked behind one context shares it: context and continuations lie in one row as a trunk
//! and its branches, which see the trunk and themselves ([`tensor::BRANCH_SHIFT`]). Logits are
//! formed where a continuation stands, and the first token of every branch is read off one row.
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
        self.context.len() + self.n_branch()
    }

    fn n_branch(&self) -> usize {
        self.continuation.len() - 1
    }
}

/// A context, and what is asked behind it.
#[derive(Debug, Default)]
struct Group {
    asks: Vec<usize>,
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

/// Asks by context, the longest first.
fn groups(asks: &[Ask], shares: bool) -> Vec<Group> {
    let mut open: HashMap<&[u32], usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (idx, ask) in asks.iter().enumerate() {
        assert!(!ask.context.is_empty(), "log_likelihoods: ask {idx} has no context");
        let n = ask.n_branch();
        let found = open.get(&ask.context[..]).copied().filter(|&at: &usize| {
            let group = &groups[at];
            let fits = group.n_tokens + n <= GROUP_TOKENS && group.asks.len() < BRANCHES_MAX;
            shares && fits
        });
        if let Some(at) = found {
            groups[at].asks.push(idx);
            groups[at].n_tokens += n;
        } else {
            open.insert(&ask.context, groups.len());
            groups.push(Group { asks: vec![idx], n_tokens: ask.n_shown() });
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.n_tokens));
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
            let context = &asks[group.asks[0]].context;
            shown.put(&mut at, context, (document, 0));
            shown.rows.push(at as u32 - 1);
            let first = shown.rows.len() - 1;
            for &ask in &group.asks {
                shown.wants.push(Want { row: first, token: asks[ask].continuation[0], ask });
            }
            for (branch, &ask) in (1..).zip(&group.asks) {
                let continuation = &asks[ask].continuation;
                let from = at;
                let segment = document | branch << BRANCH_SHIFT;
                let branch = &continuation[..asks[ask].n_branch()];
                shown.put(&mut at, branch, (segment, context.len()));
                for (place, &token) in (from..at).zip(&continuation[1..]) {
                    shown.rows.push(place as u32);
                    shown.wants.push(Want { row: shown.rows.len() - 1, token, ask });
                }
            }
        }
        shown
    }

    /// Puts tokens at `at`, and moves it on.
    fn put(&mut self, at: &mut usize, tokens: &[u32], (segment, position): (u32, usize)) {
        let to = *at..*at + tokens.len();
        self.ids[to.clone()].copy_from_slice(tokens);
        self.segments[to.clone()].fill(segment);
        for (i, place) in self.positions[to].iter_mut().enumerate() {
            *place = (position + i) as u32;
        }
        *at += tokens.len();
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
