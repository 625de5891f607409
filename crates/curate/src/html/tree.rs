//! A page as a flat tree: nodes in the order of the page, text in one string.
//!
//! A subtree is a range of nodes, and its text a range of the string; so every pass over a page is
//! a loop, however deep it is nested.

use super::names::{Kind, Marks};

/// An element or a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) marks: Marks,
    pub(super) parent: u32,
    /// The first node that is not below this one.
    pub(super) end: u32,
    /// Where its text begins; it ends where that of the node at `end` begins.
    pub(super) text: u32,
    /// Of a text: the link it stands in, from 1; or 0.
    pub(super) link: u32,
}

/// A page.
#[derive(Default)]
pub(super) struct Tree<'a> {
    /// The first is the page; the last is not a node, but where the text ends.
    pub(super) nodes: Vec<Node>,
    /// Entities decoded, white space single, except in `pre`; `br` is a line feed.
    pub(super) text: String,
    /// Where links go, entities still in it.
    pub(super) links: Vec<&'a str>,
    pub(super) title: String,
    pub(super) language: &'a str,
}

impl Tree<'_> {
    /// The text of a node and all below it.
    pub(super) fn text(&self, node: usize) -> &str {
        let node = &self.nodes[node];
        &self.text[node.text as usize..self.nodes[node.end as usize].text as usize]
    }

    /// Its length in bytes.
    pub(super) fn len(&self, node: usize) -> usize {
        let node = &self.nodes[node];
        (self.nodes[node.end as usize].text - node.text) as usize
    }
}
