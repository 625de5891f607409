//! The tree of a page from its tags, as browsers nest them, more or less.
//!
//! Depth and number of nodes are bounded: beyond, elements are as if they were not there, and their
//! text belongs to the one they stand in.

use super::names::{
    Attribute, Element, Kind, Marks, N_IDS, P, attribute, element, hides, mark, names, role,
};
use super::tokens::{Token, Tokens};
use super::tree::{Node, Tree};

/// How deep elements may stand in one another.
const MAX_DEPTH: usize = 256;
/// How many nodes a page may have: 24 bytes each.
const MAX_NODES: usize = 1 << 20;

/// An element whose end is still to come.
struct Open {
    element: Element,
    /// Its node, or that of the element it stands in.
    node: u32,
    /// Whether `node` is its own.
    own: bool,
    /// Its end came, but something in it is still open.
    over: bool,
}

struct Builder<'a> {
    tree: Tree<'a>,
    open: Vec<Open>,
    /// How many of each element are open and not over.
    counts: [u16; N_IDS],
    /// Starts that were too deep.
    too_deep: usize,
    /// Open elements whose text is none, and open `pre`.
    dropped: usize,
    pre: usize,
    /// The link that text stands in, from 1.
    link: u32,
    /// White space is due before the next word.
    space: bool,
    /// Nothing has been written since a line began.
    fresh: bool,
}

/// What the attributes of a tag say.
#[derive(Default)]
struct Said<'a> {
    marks: Marks,
    href: &'a str,
}

/// Reads a page.
pub(super) fn parse(page: &str) -> Tree<'_> {
    let root = Node { kind: Kind::Block, marks: 0, parent: 0, end: 0, text: 0, link: 0 };
    let mut builder = Builder {
        tree: Tree { nodes: vec![root], ..Tree::default() },
        open: Vec::new(),
        counts: [0; N_IDS],
        too_deep: 0,
        dropped: 0,
        pre: 0,
        link: 0,
        space: false,
        fresh: true,
    };
    builder.tree.nodes.reserve(page.len() / 100);
    builder.tree.text.reserve(page.len() / 8);
    let mut tokens = Tokens::new(page);
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(text) => builder.text(text),
            Token::Start { name } => builder.start(name, &mut tokens),
            Token::End { name } => builder.end(element(name)),
        }
    }
    builder.close_to(0);
    let (end, text) = (builder.tree.nodes.len() as u32, builder.tree.text.len() as u32);
    builder.tree.nodes[0].end = end;
    builder.tree.nodes.push(Node { end, text, ..root });
    builder.tree
}

impl<'a> Builder<'a> {
    fn parent(&self) -> u32 {
        self.open.last().map_or(0, |open| open.node)
    }

    fn start(&mut self, name: &'a str, tokens: &mut Tokens<'a>) {
        let element = element(name);
        match element.kind {
            Kind::Raw => {
                tokens.raw(name);
            }
            Kind::Title => {
                let title = tokens.raw("title");
                if self.tree.title.is_empty() && self.dropped == 0 {
                    self.tree.title = words(title);
                }
            }
            Kind::Document => {
                while let Some((name, value)) = tokens.attribute() {
                    let tag = value.trim();
                    // The longest in the registry has 28 bytes.
                    let first = self.tree.language.is_empty() && tag.len() < 36;
                    if first && attribute(name) == Some(Attribute::Lang) {
                        self.tree.language = tag;
                    }
                }
            }
            Kind::Void => {}
            Kind::Break => self.line_break(),
            Kind::Rule => self.boundary(),
            _ => {
                let said = Self::said(element, tokens);
                self.open(element, &said);
            }
        }
    }

    fn said(element: Element, tokens: &mut Tokens<'a>) -> Said<'a> {
        let mut said = Said { marks: element.marks, ..Said::default() };
        while let Some((name, value)) = tokens.attribute() {
            let Some(attribute) = attribute(name) else { continue };
            match attribute {
                Attribute::Names => said.marks |= names(value),
                Attribute::Role => said.marks |= role(value),
                Attribute::Style if hides(value) => said.marks |= mark::HIDDEN,
                Attribute::Hidden => said.marks |= mark::HIDDEN,
                Attribute::AriaHidden if value == "true" => said.marks |= mark::HIDDEN,
                Attribute::ItemProp if value == "articleBody" => said.marks |= mark::BODY,
                Attribute::Href => said.href = value,
                _ => {}
            }
        }
        said
    }

    fn open(&mut self, element: Element, said: &Said<'a>) {
        self.imply_ends(element);
        if self.open.len() >= MAX_DEPTH {
            self.too_deep += 1;
            return;
        }
        let kind = element.kind;
        let room = self.tree.nodes.len() < MAX_NODES;
        let own = room
            && match kind {
                Kind::Inline | Kind::Link => said.marks != 0,
                kind => kind != Kind::Dropped,
            };
        if !kind.is_inline() {
            self.boundary();
        } else if own || kind == Kind::Link {
            self.due_space();
        }
        let mut node = self.parent();
        if own {
            let text = self.tree.text.len() as u32;
            let new = Node { kind, marks: said.marks, parent: node, end: 0, text, link: 0 };
            node = self.tree.nodes.len() as u32;
            self.tree.nodes.push(new);
        }
        match kind {
            Kind::Link => {
                self.tree.links.push(said.href);
                self.link = self.tree.links.len() as u32;
            }
            Kind::Dropped => self.dropped += 1,
            Kind::Pre => self.pre += 1,
            _ => {}
        }
        self.counts[element.id] += 1;
        self.open.push(Open { element, node, own, over: false });
    }

    /// Ends what the start of an element ends.
    fn imply_ends(&mut self, element: Element) {
        use Kind::{Cell, Definition, Dropped, Heading, Item, List, Paragraph, Row, Table, Term};
        let kind = element.kind;
        match kind {
            Kind::Link => {
                if self.link != 0 {
                    self.end(element);
                }
                return;
            }
            _ if kind.is_inline() => return,
            _ if self.counts[P] == 0 => {}
            _ => self.close_within(|k| k == Paragraph, |k| matches!(k, Cell | Table | Dropped)),
        }
        match kind {
            Heading(_)
                if self.open.last().is_some_and(|o| matches!(o.element.kind, Heading(_))) =>
            {
                self.close_to(self.open.len() - 1);
            }
            Item => self.close_within(|k| k == Item, |k| matches!(k, List { .. } | Cell | Table)),
            Term | Definition => self.close_within(
                |k| matches!(k, Term | Definition),
                |k| matches!(k, Kind::Block | List { .. } | Cell | Table),
            ),
            Row => self.close_within(|k| k == Row, |k| k == Table),
            Cell => self.close_within(|k| k == Cell, |k| matches!(k, Table | Row)),
            _ => {}
        }
    }

    /// Closes the innermost element that is `wanted`, with all in it, unless a `barrier` is nearer.
    fn close_within(&mut self, wanted: impl Fn(Kind) -> bool, barrier: impl Fn(Kind) -> bool) {
        for at in (0..self.open.len()).rev() {
            let kind = self.open[at].element.kind;
            if wanted(kind) && !self.open[at].over {
                return self.close_to(at);
            }
            if barrier(kind) {
                return;
            }
        }
    }

    fn end(&mut self, element: Element) {
        if element.kind == Kind::Break {
            return self.line_break();
        }
        if self.too_deep > 0 && !matches!(element.kind, Kind::Void | Kind::Raw | Kind::Document) {
            self.too_deep -= 1;
            return;
        }
        if self.counts[element.id] == 0 {
            return;
        }
        let stays = matches!(element.kind, Kind::Inline | Kind::Link | Kind::Code);
        let mut crossed = false;
        for at in (0..self.open.len()).rev() {
            let open = &mut self.open[at];
            if open.element.id == element.id && !open.over {
                if !(stays && crossed) {
                    return self.close_to(at);
                }
                open.over = true;
                self.counts[element.id] -= 1;
                if element.kind == Kind::Link {
                    self.link = 0;
                }
                return;
            }
            let kind = open.element.kind;
            crossed |= !kind.is_inline();
            let barrier = match element.kind {
                Kind::Table => false,
                Kind::Row | Kind::Cell => kind == Kind::Table,
                Kind::Item => matches!(kind, Kind::List { .. } | Kind::Table | Kind::Cell),
                _ => matches!(kind, Kind::Table | Kind::Cell),
            };
            if barrier {
                return;
            }
        }
    }

    /// Closes open elements until `n` are left.
    fn close_to(&mut self, n: usize) {
        while self.open.len() > n {
            let Some(Open { element, node, own, over }) = self.open.pop() else { return };
            if own {
                self.tree.nodes[node as usize].end = self.tree.nodes.len() as u32;
            }
            if !element.kind.is_inline() {
                self.boundary();
            }
            match element.kind {
                Kind::Link if !over => self.link = 0,
                Kind::Dropped => self.dropped -= 1,
                Kind::Pre => self.pre -= 1,
                _ => {}
            }
            if !over {
                self.counts[element.id] -= 1;
            }
        }
    }

    fn boundary(&mut self) {
        (self.fresh, self.space) = (true, false);
    }

    fn line_break(&mut self) {
        if self.open.last().is_some_and(|open| matches!(open.element.kind, Kind::Heading(_))) {
            self.space = true;
            return;
        }
        let text = &mut self.tree.text;
        // At most one empty line.
        if !self.fresh && self.dropped == 0 && !text.ends_with("\n\n") {
            text.push('\n');
        }
        self.space = false;
    }

    fn text(&mut self, raw: &str) {
        if self.dropped > 0 || raw.is_empty() {
            return;
        }
        let plain = raw.is_ascii() && memchr::memchr(b'&', raw.as_bytes()).is_none();
        if self.pre > 0 {
            let raw = if plain { raw.into() } else { htmlize::unescape(raw) };
            self.verbatim(&raw);
        } else if plain {
            self.space |= raw.as_bytes()[0].is_ascii_whitespace();
            let mut after = self.space;
            for word in raw.split_ascii_whitespace() {
                self.word(word);
                after = false;
            }
            self.space = after || raw.as_bytes()[raw.len() - 1].is_ascii_whitespace();
        } else {
            let raw = htmlize::unescape(raw);
            self.space |= raw.starts_with(char::is_whitespace);
            let mut after = self.space;
            for word in raw.split(char::is_whitespace).filter(|word| !word.is_empty()) {
                self.word(word);
                after = false;
            }
            self.space = after || raw.ends_with(char::is_whitespace);
        }
    }

    /// Adds a word, and the space before it that is due; another is due after it.
    fn word(&mut self, word: &str) {
        self.due_space();
        self.text_node();
        push_shown(&mut self.tree.text, word);
        (self.fresh, self.space) = (false, true);
    }

    fn due_space(&mut self) {
        if self.space && !self.fresh && !self.tree.text.ends_with('\n') {
            // It belongs to what comes now, not to an element that is over.
            self.text_node();
            self.tree.text.push(' ');
        }
        self.space = false;
    }

    fn verbatim(&mut self, raw: &str) {
        let raw = if self.fresh { raw.strip_prefix('\n').unwrap_or(raw) } else { raw };
        if raw.is_empty() {
            return;
        }
        self.text_node();
        push_shown(&mut self.tree.text, raw);
        (self.fresh, self.space) = (false, false);
    }

    /// Makes sure that the last node is a text for what comes now.
    fn text_node(&mut self) {
        let (parent, link) = (self.parent(), self.link);
        let Some(last) = self.tree.nodes.last() else { return };
        let full = self.tree.nodes.len() >= MAX_NODES;
        let same = last.kind == Kind::Text && last.parent == parent && last.link == link;
        if (full && last.kind == Kind::Text) || (same && !self.fresh) {
            if full && self.fresh {
                self.tree.text.push('\n');
            }
            return;
        }
        let (end, text) = (self.tree.nodes.len() as u32 + 1, self.tree.text.len() as u32);
        self.tree.nodes.push(Node { kind: Kind::Text, marks: 0, parent, end, text, link });
    }
}

/// Adds what can be seen of a text: no control characters and none without width.
fn push_shown(text: &mut String, new: &str) {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
    };
    let all = new.bytes().all(|b| (b' '..0x7f).contains(&b));
    if all || !new.contains(hidden) {
        text.push_str(new);
    } else {
        text.extend(new.chars().filter(|&c| !hidden(c)));
    }
}

/// The words of a text with entities, one space between them.
fn words(raw: &str) -> String {
    let (raw, mut text) = (htmlize::unescape(raw), String::new());
    for word in raw.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        push_shown(&mut text, word);
    }
    text
}
