//! Which part of a page is its text.
//!
//! 1. The **weight** of a subtree is how much in it reads like prose: the bytes of its texts that
//!    are in no link and no short heading, less where a text is short.
//! 2. Subtrees whose names, roles or tags say that they are something else go, unless they weigh
//!    so much that the name must be wrong.
//! 3. The **core** is found by going down from the page as long as one child has most of the
//!    weight; the **root**, a node above it, as long as one has nearly all.
//! 4. Of what is in the root and not in the core, prose stays: what an article begins with often
//!    stands apart from the rest.
//! 5. Blocks that are mostly links go, and then headings that nothing follows.
//!
//! The ideas are those of the field (Kohlschuetter et al., "Boilerplate Detection using Shallow
//! Text Features", WSDM 2010; Readability; jusText; trafilatura); weights and thresholds are our
//! own, chosen on one half of an evaluation set and held against the other (EXPERIMENTS).

use std::ops::Range;

use super::Options;
use super::names::{Kind, Marks, mark};
use super::tree::Tree;

/// What stays of a page.
pub(super) struct Content {
    /// Nodes whose subtrees are written, in this order.
    pub(super) parts: Vec<usize>,
    /// Of every node: whether it goes, with all below it.
    pub(super) gone: Vec<bool>,
}

/// A subtree as it is measured, in bytes of text.
#[derive(Clone, Copy, Default)]
struct Measure {
    weight: f32,
    links: u32,
}

/// A text shorter than this weighs less than its length.
const SENTENCE: f32 = 80.0;
/// A longer heading is prose.
const HEADING: f32 = 60.0;
/// The share of its parent's weight that makes a child the next step to the core, to the root, and
/// to either where its author calls it the article.
const CORE: f32 = 0.85;
const ROOT: f32 = 0.99;
const ARTICLE: f32 = 0.6;
/// The least weight of prose before the core, after it, and in a comment. The first is also that
/// of a text without links that is not a way to another page, whatever it is called.
const BEFORE: f32 = 60.0;
const AFTER: f32 = 500.0;
const COMMENT: f32 = 20.0;
/// The share of text in links above which a block goes, and the weight that saves it.
const LINKS: f32 = 0.4;
const SAVES: f32 = 100.0;

/// The share of a page's weight above which a name is not believed, by what the name says.
const BELIEF: [(Marks, f32); 10] = [
    (mark::HIDDEN, 0.5),
    (mark::CHROME, 0.5),
    (mark::AD, 0.3),
    (mark::SOCIAL, 0.2),
    (mark::MORE, 0.3),
    (mark::META, 0.2),
    (mark::FORM, 0.4),
    (mark::ASIDE, 0.3),
    (mark::FIGURE, 0.2),
    (mark::COMMENTS, 0.8),
];

/// Finds the content of a page.
pub(super) fn content(tree: &Tree, options: Options) -> Content {
    let mut gone = vec![false; tree.nodes.len() - 1];
    let all = measure(tree, &gone);
    let comments = prune_names(tree, &all, &mut gone);
    let mut left = measure(tree, &gone);
    if left[0].weight < 0.1 * all[0].weight {
        gone.fill(false);
        left = measure(tree, &gone);
    }
    let (core, root) = (heaviest(tree, &left, &gone, CORE), heaviest(tree, &left, &gone, ROOT));
    let title = title(tree, &left, &gone, core);
    if root != core {
        let (start, end) = (root + 1, tree.nodes[root].end as usize);
        prune_prose(tree, &left, start..core, BEFORE, &mut gone);
        prune_prose(tree, &left, tree.nodes[core].end as usize..end, AFTER, &mut gone);
    }
    prune_links(tree, &left, root, &mut gone);
    prune_headings(tree, &left, root, &mut gone);
    let mut parts: Vec<usize> = title.into_iter().chain([root]).collect();
    for subtree in comments.into_iter().filter(|_| options.comments) {
        let end = tree.nodes[subtree].end as usize;
        for (node, gone) in tree.nodes[subtree..end].iter().zip(&mut gone[subtree..end]) {
            // The form that comments are written in is none.
            *gone = node.marks & (mark::FORM | mark::HIDDEN) != 0;
        }
        gone[subtree] = false;
        prune_prose(tree, &all, subtree..end, COMMENT, &mut gone);
        if !(root..tree.nodes[root].end as usize).contains(&subtree) {
            parts.push(subtree);
        }
    }
    Content { parts, gone }
}

/// Measures all subtrees of what is left.
fn measure(tree: &Tree, gone: &[bool]) -> Vec<Measure> {
    let mut measures = vec![Measure::default(); gone.len()];
    let mut i = 0;
    while i < gone.len() {
        let node = &tree.nodes[i];
        if gone[i] {
            i = node.end as usize;
            continue;
        }
        if node.kind == Kind::Text {
            let len = tree.len(i) as f32;
            if node.link != 0 {
                measures[i].links = len as u32;
            } else if len > HEADING
                || !matches!(tree.nodes[node.parent as usize].kind, Kind::Heading(_))
            {
                measures[i].weight = len * (len / SENTENCE).min(1.0);
            }
        }
        i += 1;
    }
    for i in (1..gone.len()).rev() {
        let (parent, Measure { weight, links }) = (tree.nodes[i].parent as usize, measures[i]);
        measures[parent].weight += weight;
        measures[parent].links += links;
    }
    measures
}

impl Measure {
    /// Which share of a text of so many bytes stands in links.
    fn linked(self, len: usize) -> f32 {
        self.links as f32 / len.max(1) as f32
    }
}

/// Takes away what its names say is not the text; the comments among it are given back.
fn prune_names(tree: &Tree, measures: &[Measure], gone: &mut [bool]) -> Vec<usize> {
    let (whole, mut comments) = (measures[0].weight.max(1.0), Vec::new());
    let mut i = 1;
    while i < gone.len() {
        let (node, measure) = (&tree.nodes[i], measures[i]);
        let mut marks = node.marks;
        if node.kind == Kind::Quote {
            // A quoted post of a network.
            marks &= !mark::SOCIAL;
        }
        if measure.weight > BEFORE && measure.linked(tree.len(i)) < 0.1 {
            // What leads to another page has links: a `teaser` without is how this one begins.
            marks &= !mark::MORE;
        }
        let share = measure.weight / whole;
        let found = BELIEF.iter().find(|(bit, most)| marks & bit != 0 && share < *most);
        if let Some((bit, _)) = found {
            gone[i] = true;
            if *bit == mark::COMMENTS {
                comments.push(i);
            }
        }
        i = if gone[i] { node.end as usize } else { i + 1 };
    }
    comments
}

/// The deepest node to which at each step one child has `most` of the weight.
fn heaviest(tree: &Tree, measures: &[Measure], gone: &[bool], most: f32) -> usize {
    let mut at = 0;
    'down: loop {
        let (mut child, end) = (at + 1, tree.nodes[at].end as usize);
        while child < end {
            let node = &tree.nodes[child];
            let named = most < ROOT && node.marks & (mark::BODY | mark::ARTICLE) != 0;
            let least = if named { ARTICLE } else { most };
            let holds = matches!(node.kind, Kind::Block | Kind::Table | Kind::Row | Kind::Cell);
            if holds && !gone[child] && measures[child].weight > least * measures[at].weight {
                at = child;
                continue 'down;
            }
            child = node.end as usize;
        }
        return at;
    }
}

/// The page's own heading, where it stands before the core.
fn title(tree: &Tree, measures: &[Measure], gone: &[bool], core: usize) -> Option<usize> {
    let is_title = |&i: &usize| {
        tree.nodes[i].kind == Kind::Heading(1) && measures[i].links == 0 && tree.len(i) > 0
    };
    let shown = |&i: &usize| {
        let parent = |&at: &usize| (at > 0).then(|| tree.nodes[at].parent as usize);
        !std::iter::successors(Some(i), parent).any(|at| gone[at])
    };
    let mut inside = core + 1..tree.nodes[core].end as usize;
    if inside.any(|i| is_title(&i) && !gone[i]) {
        return None;
    }
    (1..core).rev().filter(is_title).find(shown)
}

/// Takes away what is not prose of some weight.
fn prune_prose(
    tree: &Tree,
    measures: &[Measure],
    range: Range<usize>,
    least: f32,
    gone: &mut [bool],
) {
    let mut i = range.start;
    while i < range.end {
        let node = &tree.nodes[i];
        let end = node.end as usize;
        if gone[i] || end > range.end {
            // An ancestor of what comes after the range is as that is.
            i = if gone[i] { end } else { i + 1 };
            continue;
        }
        let measure = measures[i];
        let holds = matches!(node.kind, Kind::Block | Kind::List { .. } | Kind::Item)
            && !tree.nodes[i + 1].kind.is_inline();
        gone[i] = measure.weight < least || (!holds && measure.linked(tree.len(i)) > 0.2);
        i = if gone[i] || !holds { end } else { i + 1 };
    }
}

/// Takes away blocks that are mostly links.
fn prune_links(tree: &Tree, measures: &[Measure], root: usize, gone: &mut [bool]) {
    let mut i = root + 1;
    while i < tree.nodes[root].end as usize {
        let node = &tree.nodes[i];
        if !node.kind.is_inline() && !matches!(node.kind, Kind::Row | Kind::Cell) {
            let measure = measures[i];
            gone[i] |= measure.linked(tree.len(i)) > LINKS && measure.weight < SAVES;
        }
        i = if gone[i] { node.end as usize } else { i + 1 };
    }
}

/// Takes away headings that nothing follows but another one, of their level or above.
fn prune_headings(tree: &Tree, measures: &[Measure], root: usize, gone: &mut [bool]) {
    let mut open: Vec<(u8, usize)> = Vec::new();
    let mut i = root + 1;
    while i < tree.nodes[root].end as usize {
        let node = &tree.nodes[i];
        let end = node.end as usize;
        match node.kind {
            _ if gone[i] => i = end,
            Kind::Heading(level) if measures[i].weight == 0.0 => {
                while let Some((_, empty)) = open.pop_if(|(last, _)| *last >= level) {
                    gone[empty] = true;
                }
                open.push((level, i));
                i = end;
            }
            kind => {
                if kind == Kind::Text {
                    open.clear();
                }
                i += 1;
            }
        }
    }
    for (_, empty) in open {
        gone[empty] = true;
    }
}
