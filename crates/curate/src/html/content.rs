//! Which part of a page is its text.
//!
//! 1. A text's **weight** is what of it reads like prose: its length without links, less where it
//!    is short. What is above a text has the weight of all below.
//! 2. Subtrees whose names, roles or tags say that they are something else **go**, unless they
//!    weigh so much that the name must be wrong.
//! 3. The **root** of the content is found by going down from the page as long as one child has
//!    nearly all of the weight, or an author's name for it says that it is the article.
//! 4. Inside, what is all links goes.

use super::Options;
use super::names::{Kind, Marks, mark};
use super::tree::Tree;

/// What goes of a page, and where its content lies.
pub(super) struct Content {
    pub(super) root: usize,
    /// Of every node: whether it goes, with all below it.
    pub(super) gone: Vec<bool>,
}

/// A subtree as it is measured, in bytes of text.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// How much reads like prose.
    weight: f32,
    /// Text that stands in links.
    links: u32,
}

/// Finds the content of a page.
pub(super) fn content(tree: &Tree, options: Options) -> Content {
    let n = tree.nodes.len() - 1;
    let mut gone = vec![false; n];
    let all = measure(tree, &gone);
    prune(tree, &all, &mut gone, options);
    let left = measure(tree, &gone);
    if left[0].weight < all[0].weight * 0.1 {
        gone.fill(false);
    }
    let left = measure(tree, &gone);
    let root = root(tree, &left, &gone);
    prune_links(tree, &left, root, &mut gone);
    Content { root, gone }
}

/// Weighs all subtrees of what is left.
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
            let parent = node.parent as usize;
            if node.link != 0 {
                measures[parent].links += len as u32;
            } else if !matches!(tree.nodes[parent].kind, Kind::Heading(_)) {
                measures[parent].weight += len * (len / 80.0).min(1.0);
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

/// The share of a page's weight above which a name is not believed, by what the name says.
const BELIEF: &[(Marks, f32)] = &[
    (mark::HIDDEN, 0.5),
    (mark::CHROME, 0.3),
    (mark::AD, 0.3),
    (mark::SOCIAL, 0.2),
    (mark::MORE, 0.3),
    (mark::META, 0.2),
    (mark::COMMENTS, 0.8),
    (mark::FORM, 0.2),
    (mark::ASIDE, 0.3),
];

fn prune(tree: &Tree, measures: &[Measure], gone: &mut [bool], options: Options) {
    let whole = measures[0].weight.max(1.0);
    let mut i = 1;
    while i < gone.len() {
        let marks = tree.nodes[i].marks;
        let share = measures[i].weight / whole;
        gone[i] = BELIEF.iter().any(|&(bit, most)| {
            marks & bit != 0 && share < most && !(bit == mark::COMMENTS && options.comments)
        });
        i = if gone[i] { tree.nodes[i].end as usize } else { i + 1 };
    }
}

/// The deepest node that has nearly all of the weight.
fn root(tree: &Tree, measures: &[Measure], gone: &[bool]) -> usize {
    let mut at = 0;
    'down: loop {
        let (mut child, end) = (at + 1, tree.nodes[at].end as usize);
        while child < end {
            let most =
                if tree.nodes[child].marks & (mark::BODY | mark::ARTICLE) != 0 { 0.6 } else { 0.9 };
            let block = matches!(
                tree.nodes[child].kind,
                Kind::Block | Kind::Table | Kind::Row | Kind::Cell
            );
            if block && !gone[child] && measures[child].weight > most * measures[at].weight {
                at = child;
                continue 'down;
            }
            child = tree.nodes[child].end as usize;
        }
        return at;
    }
}

/// Blocks of the content that are all links go.
fn prune_links(tree: &Tree, measures: &[Measure], root: usize, gone: &mut [bool]) {
    let mut i = root + 1;
    while i < tree.nodes[root].end as usize {
        let node = &tree.nodes[i];
        let len = tree.len(i) as f32;
        let block = !node.kind.is_inline() && node.kind != Kind::Row && node.kind != Kind::Cell;
        if block && !gone[i] && len > 0.0 {
            let dense = measures[i].links as f32 / len;
            gone[i] = dense > 0.8 && measures[i].weight < 100.0;
        }
        i = if gone[i] { node.end as usize } else { i + 1 };
    }
}
