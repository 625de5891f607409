//! The content of a page as text: Markdown, or the same without its signs.

use super::Options;
use super::content::Content;
use super::names::Kind;
use super::tree::Tree;

/// Writes what is left of the content.
pub(super) fn render(tree: &Tree, content: &Content, options: Options) -> String {
    let end = tree.nodes[content.root].end as usize;
    let mut writer = Writer {
        tree,
        options,
        gone: &content.gone,
        out: String::with_capacity(tree.len(content.root)),
        open: Vec::new(),
        lists: Vec::new(),
        quotes: 0,
        owed: 0,
        prefix: String::new(),
    };
    let mut i = content.root;
    while i < end {
        writer.close(i);
        if content.gone[i] {
            i = tree.nodes[i].end as usize;
            continue;
        }
        writer.enter(i);
        i += 1;
    }
    writer.close(usize::MAX);
    writer.out.truncate(writer.out.trim_end().len());
    writer.out
}

struct Writer<'a> {
    tree: &'a Tree<'a>,
    options: Options,
    gone: &'a [bool],
    out: String,
    /// Nodes that are open.
    open: Vec<u32>,
    /// For each open list: the number of the next item, or 0.
    lists: Vec<u32>,
    quotes: usize,
    /// How many line feeds are due before more text.
    owed: usize,
    /// What the next line begins with.
    prefix: String,
}

impl Writer<'_> {
    /// Leaves the nodes that end at or before `i`.
    fn close(&mut self, i: usize) {
        while let Some(&node) = self.open.last() {
            if self.tree.nodes[node as usize].end as usize > i {
                return;
            }
            self.open.pop();
            self.leave(node as usize);
        }
    }

    fn owe(&mut self, lines: usize) {
        self.owed = self.owed.max(lines);
    }

    /// Line feeds and signs before text that is to come.
    fn begin(&mut self) {
        if self.owed == 0 && !self.out.is_empty() {
            return;
        }
        self.out.truncate(self.out.trim_end().len());
        if !self.out.is_empty() {
            for _ in 0..self.owed {
                self.out.push('\n');
            }
        }
        self.owed = 0;
        if self.options.markdown {
            for _ in 0..self.quotes {
                self.out.push_str("> ");
            }
            let prefix = std::mem::take(&mut self.prefix);
            self.out.push_str(&prefix);
        }
    }

    fn enter(&mut self, i: usize) {
        let node = self.tree.nodes[i];
        if node.kind == Kind::Text {
            return self.text(i);
        }
        self.open.push(i as u32);
        match node.kind {
            Kind::Block | Kind::Paragraph | Kind::Table | Kind::Caption | Kind::Pre => self.owe(2),
            Kind::Heading(level) => {
                self.owe(2);
                self.prefix = format!("{} ", "#".repeat(level as usize));
            }
            Kind::List { ordered } => {
                self.owe(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(u32::from(ordered));
            }
            Kind::Item => {
                self.owe(1);
                let depth = self.lists.len().saturating_sub(1);
                let sign = match self.lists.last_mut() {
                    Some(n) if *n > 0 => {
                        *n += 1;
                        format!("{}. ", *n - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.prefix = "  ".repeat(depth) + &sign;
            }
            Kind::Term | Kind::Definition | Kind::Row => self.owe(1),
            Kind::Quote => {
                self.owe(2);
                self.quotes += 1;
            }
            Kind::Cell if self.owed == 0 && !self.out.is_empty() => self.out.push('\t'),
            Kind::Code if self.options.markdown => self.out.push('`'),
            _ => {}
        }
    }

    fn leave(&mut self, i: usize) {
        match self.tree.nodes[i].kind {
            Kind::Block | Kind::Paragraph | Kind::Table | Kind::Caption | Kind::Pre => self.owe(2),
            Kind::Heading(_) => {
                self.owe(2);
                self.prefix.clear();
            }
            Kind::List { .. } => {
                self.lists.pop();
                self.owe(if self.lists.is_empty() { 2 } else { 1 });
            }
            Kind::Item => {
                self.owe(1);
                self.prefix.clear();
            }
            Kind::Term | Kind::Definition | Kind::Row => self.owe(1),
            Kind::Quote => {
                self.owe(2);
                self.quotes -= 1;
            }
            Kind::Code if self.options.markdown => self.out.push('`'),
            _ => {}
        }
    }

    fn text(&mut self, i: usize) {
        let _ = self.gone;
        let text = self.tree.text(i);
        self.begin();
        self.out.push_str(text);
    }
}
