//! The content of a page as text: Markdown, or the same without its signs.
//!
//! Text is written as it is, and not escaped: a corpus wants the author's characters. A table
//! whose cells hold one line each is a table; others only place things, and are written as what
//! they hold.

use super::Options;
use super::content::Content;
use super::names::Kind;
use super::tree::Tree;

/// How many quotes and lists a line is indented by: a page must not grow with its depth.
const MAX_INDENT: usize = 4;

/// Writes what stays of a page.
pub(super) fn render(tree: &Tree, content: &Content, options: Options) -> String {
    let mut writer = Writer {
        tree,
        options,
        gone: &content.gone,
        out: String::with_capacity(content.parts.first().map_or(0, |&part| tree.len(part))),
        open: Vec::new(),
        lists: Vec::new(),
        quotes: 0,
        quoted: 0,
        pre: 0,
        owed: 0,
        sign: String::new(),
        table: None,
    };
    for &part in &content.parts {
        let mut i = part;
        while i < tree.nodes[part].end as usize {
            writer.close(i);
            if content.gone[i] && i != part {
                i = tree.nodes[i].end as usize;
            } else {
                writer.enter(i);
                i += 1;
            }
        }
        writer.close(usize::MAX);
    }
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
    /// For each open list: the number of its next item, or 0.
    lists: Vec<u32>,
    quotes: usize,
    /// In how many quotes the last line is.
    quoted: usize,
    pre: usize,
    /// How many line feeds are due before more text.
    owed: usize,
    /// What the next line begins with: of a heading, or an item.
    sign: String,
    /// In a table that is one: the node, how many rows and how many cells of this row there were.
    table: Option<(u32, usize, usize)>,
}

impl Writer<'_> {
    /// Leaves the nodes that end at or before `i`.
    fn close(&mut self, i: usize) {
        while let Some(node) =
            self.open.pop_if(|node| self.tree.nodes[*node as usize].end as usize <= i)
        {
            self.leave(node as usize);
        }
    }

    fn owe(&mut self, lines: usize) {
        self.owed = self.owed.max(lines);
    }

    /// Writes the line feeds and signs that are due before text.
    fn begin(&mut self) {
        if self.owed == 0 && !self.out.is_empty() {
            return;
        }
        self.out.truncate(self.out.trim_end_matches([' ', '\n']).len());
        for n in 0..if self.out.is_empty() { 0 } else { self.owed } {
            self.out.push('\n');
            if self.options.markdown && n + 1 < self.owed {
                // A quote goes on over an empty line in it.
                self.out.push_str(&">".repeat(self.quotes.min(self.quoted).min(MAX_INDENT)));
            }
        }
        (self.owed, self.quoted) = (0, self.quotes);
        if self.options.markdown {
            let item = !self.sign.is_empty() && !self.sign.starts_with('#');
            let prefix = self.prefix(usize::from(item));
            self.out.push_str(&prefix);
            self.out.push_str(&self.sign);
        }
        self.sign.clear();
    }

    /// What a line begins with in the quotes and lists that are open, but for the innermost ones.
    fn prefix(&self, but: usize) -> String {
        let outer = &self.lists[..self.lists.len().saturating_sub(but).min(MAX_INDENT)];
        let indent = outer.iter().map(|&next| if next > 0 { "   " } else { "  " });
        "> ".repeat(self.quotes.min(MAX_INDENT)) + &indent.collect::<String>()
    }

    fn enter(&mut self, i: usize) {
        let kind = self.tree.nodes[i].kind;
        if kind == Kind::Text {
            return self.text(i);
        }
        self.open.push(i as u32);
        if self.table.is_some() && !matches!(kind, Kind::Row | Kind::Cell) {
            return;
        }
        self.owe(self.apart(kind));
        match kind {
            Kind::Heading(level) => self.sign = "#".repeat(level as usize) + " ",
            Kind::List { ordered } => self.lists.push(u32::from(ordered)),
            Kind::Item => self.item(),
            Kind::Quote => self.quotes += 1,
            Kind::Pre => {
                self.pre += 1;
                self.fence();
            }
            Kind::Table if self.is_table(i) => self.table = Some((i as u32, 0, 0)),
            Kind::Row => self.row(),
            Kind::Cell => self.cell(),
            Kind::Code if self.options.markdown && self.pre == 0 => {
                self.begin();
                self.out.push('`');
            }
            _ => {}
        }
    }

    fn leave(&mut self, i: usize) {
        let kind = self.tree.nodes[i].kind;
        if let Some((table, rows, cells)) = self.table {
            if kind == Kind::Row && self.options.markdown && cells > 0 {
                self.out.push_str(" |");
                if rows == 1 {
                    self.out.push_str("\n|");
                    self.out.push_str(&" --- |".repeat(cells));
                }
            }
            if table as usize == i {
                self.table = None;
            } else if !matches!(kind, Kind::Row | Kind::Caption) {
                return;
            }
        }
        match kind {
            Kind::Heading(_) | Kind::Item => self.sign.clear(),
            Kind::List { .. } => drop(self.lists.pop()),
            Kind::Quote => self.quotes -= 1,
            Kind::Pre => {
                self.fence();
                self.pre -= 1;
            }
            Kind::Code if self.options.markdown && self.pre == 0 => self.out.push('`'),
            _ => {}
        }
        self.owe(self.apart(kind));
    }

    /// How many line feeds are before and after an element.
    fn apart(&self, kind: Kind) -> usize {
        match kind {
            _ if kind.is_inline() || kind == Kind::Cell => 0,
            Kind::Item | Kind::Term | Kind::Definition | Kind::Row => 1,
            // The paragraphs of an item, and the lists in it.
            _ if !self.lists.is_empty() => 1,
            _ => 2,
        }
    }

    fn item(&mut self) {
        self.sign = match self.lists.last_mut() {
            Some(next) if *next > 0 => {
                *next += 1;
                format!("{}. ", *next - 1)
            }
            _ => "- ".to_owned(),
        };
    }

    fn fence(&mut self) {
        if self.options.markdown && self.pre == 1 {
            self.owe(1);
            self.begin();
            self.out.push_str("```");
            self.owe(1);
        }
    }

    /// Whether a table has several columns, and a line in each cell.
    fn is_table(&self, table: usize) -> bool {
        let (mut rows, mut cells, mut i) = (0, 0, table + 1);
        while i < self.tree.nodes[table].end as usize {
            let node = &self.tree.nodes[i];
            match node.kind {
                _ if self.gone[i] => {
                    i = node.end as usize;
                    continue;
                }
                Kind::Row => rows += 1,
                Kind::Cell if self.tree.text(i).contains('\n') => return false,
                Kind::Cell => cells += 1,
                Kind::Block | Kind::Paragraph | Kind::Caption | Kind::Term | Kind::Definition => {}
                kind if kind.is_inline() => {}
                _ => return false,
            }
            i += 1;
        }
        rows > 1 && cells > rows
    }

    fn row(&mut self) {
        if let Some((_, rows, cells)) = &mut self.table {
            (*rows, *cells) = (*rows + 1, 0);
        }
    }

    fn cell(&mut self) {
        let Some((_, _, cells)) = &mut self.table else { return self.owe(1) };
        *cells += 1;
        let first = *cells == 1;
        if first {
            self.begin();
        }
        self.owed = 0;
        self.out.push_str(match (self.options.markdown, first) {
            (true, true) => "| ",
            (true, false) => " | ",
            (false, true) => "",
            (false, false) => "\t",
        });
    }

    fn text(&mut self, i: usize) {
        let (text, link) = (self.tree.text(i), self.tree.nodes[i].link as usize);
        if self.table.is_some_and(|(_, _, cells)| cells > 0) {
            if !self.out.ends_with([' ', '\t', '\n']) && self.starts_block(i) {
                self.out.push(' ');
            }
            if self.options.markdown && text.contains('|') {
                return self.out.push_str(&text.replace('|', "\\|"));
            }
            return self.out.push_str(text);
        }
        self.begin();
        let href = self.tree.links.get(link.wrapping_sub(1)).filter(|href| !href.is_empty());
        match href {
            Some(href) if self.options.links && self.options.markdown => {
                let href = htmlize::unescape_attribute(*href);
                self.out.extend(["[", text, "](", href.trim(), ")"]);
            }
            _ if self.options.markdown && text.contains('\n') => {
                let prefix = self.prefix(0);
                for (n, line) in text.split('\n').enumerate() {
                    if n > 0 {
                        let empty = prefix.trim_end_matches(' ');
                        self.out.extend(["\n", if line.is_empty() { empty } else { &prefix }]);
                    }
                    self.out.push_str(line);
                }
            }
            _ => self.out.push_str(text),
        }
    }

    /// Whether a text is the first of a block in a cell.
    fn starts_block(&self, i: usize) -> bool {
        let before = &self.tree.nodes[i - 1];
        !before.kind.is_inline() || before.parent != self.tree.nodes[i].parent
    }
}
