//! What elements, classes and attributes say about a piece of a page.

use super::words::{Table, pack};

/// What an element is to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not an element: text.
    Text,
    /// Begins and ends a line: `div`, `section`, and what else is a box.
    Block,
    Paragraph,
    /// From 1 to 6.
    Heading(u8),
    /// `ul`, `ol`; the latter counts.
    List {
        ordered: bool,
    },
    Item,
    Term,
    Definition,
    Table,
    Row,
    Cell,
    Caption,
    Pre,
    Quote,
    Code,
    Link,
    /// `b`, `span` and all that is not known.
    Inline,
    /// `br`.
    Break,
    /// `hr`.
    Rule,
    /// `html` and `body`: only their attributes count.
    Document,
    /// Without content or without text: `img`, `meta`.
    Void,
    /// Its content is no markup and no text of the page.
    Raw,
    /// `title`.
    Title,
    /// Markup that is no text: `select`, `svg`.
    Dropped,
}

impl Kind {
    /// Whether it stands in a line of text.
    pub(super) fn is_inline(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Code | Self::Link | Self::Inline | Self::Break | Self::Dropped
        )
    }
}

/// Bits that say what a subtree is about, by the names its author gave.
pub(super) type Marks = u16;

pub(super) mod mark {
    use super::Marks;
    /// Navigation, page header and footer, search, cookies, login.
    pub(crate) const CHROME: Marks = 1;
    /// Advertisements.
    pub(crate) const AD: Marks = 1 << 1;
    /// Buttons to share and follow.
    pub(crate) const SOCIAL: Marks = 1 << 2;
    /// Other pages: related, popular, next.
    pub(crate) const MORE: Marks = 1 << 3;
    /// Author, date, tags.
    pub(crate) const META: Marks = 1 << 4;
    /// Readers' comments.
    pub(crate) const COMMENTS: Marks = 1 << 5;
    /// Not shown.
    pub(crate) const HIDDEN: Marks = 1 << 6;
    /// The text of an article.
    pub(crate) const BODY: Marks = 1 << 7;
    /// An article, with all that belongs to it.
    pub(crate) const ARTICLE: Marks = 1 << 8;
    pub(crate) const FORM: Marks = 1 << 9;
    pub(crate) const ASIDE: Marks = 1 << 10;
    pub(crate) const HEADER: Marks = 1 << 11;
    /// Half of `BODY`: `entry` in `entry-content`.
    pub(crate) const WHAT: Marks = 1 << 12;
    /// The other half.
    pub(crate) const PART: Marks = 1 << 13;
    /// Makes nothing of the name it stands in: `has-sidebar`.
    pub(crate) const NOT: Marks = 1 << 14;
    /// Under an image.
    pub(crate) const FIGURE: Marks = 1 << 15;
}
use mark::{
    AD, ARTICLE, ASIDE, BODY, CHROME, COMMENTS, FIGURE, FORM, HEADER, HIDDEN, META, MORE, NOT,
    PART, SOCIAL, WHAT,
};

/// An element: what it is, and a number that is its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) kind: Kind,
    pub(super) id: u8,
    pub(super) marks: Marks,
}

/// How many different numbers elements have.
pub(super) const N_IDS: usize = TAGS.len() + 1;

/// The number of `p`.
pub(super) const P: usize = {
    let mut i = 0;
    while pack(TAGS[i].0.as_bytes()) != pack(b"p") {
        i += 1;
    }
    i + 1
};

const TAGS: &[(&str, Kind, Marks)] = &[
    ("div", Kind::Block, 0),
    ("a", Kind::Link, 0),
    ("p", Kind::Paragraph, 0),
    ("li", Kind::Item, 0),
    ("br", Kind::Break, 0),
    ("ul", Kind::List { ordered: false }, 0),
    ("ol", Kind::List { ordered: true }, 0),
    ("menu", Kind::List { ordered: false }, 0),
    ("dir", Kind::List { ordered: false }, 0),
    ("h1", Kind::Heading(1), 0),
    ("h2", Kind::Heading(2), 0),
    ("h3", Kind::Heading(3), 0),
    ("h4", Kind::Heading(4), 0),
    ("h5", Kind::Heading(5), 0),
    ("h6", Kind::Heading(6), 0),
    ("dl", Kind::Block, 0),
    ("dt", Kind::Term, 0),
    ("dd", Kind::Definition, 0),
    ("table", Kind::Table, 0),
    ("tr", Kind::Row, 0),
    ("td", Kind::Cell, 0),
    ("th", Kind::Cell, 0),
    ("caption", Kind::Caption, 0),
    ("pre", Kind::Pre, 0),
    ("listing", Kind::Pre, 0),
    ("xmp", Kind::Pre, 0),
    ("blockquote", Kind::Quote, 0),
    ("code", Kind::Code, 0),
    ("hr", Kind::Rule, 0),
    ("html", Kind::Document, 0),
    ("body", Kind::Document, 0),
    ("section", Kind::Block, 0),
    ("article", Kind::Block, ARTICLE),
    ("main", Kind::Block, ARTICLE),
    ("header", Kind::Block, HEADER),
    ("footer", Kind::Block, CHROME),
    ("nav", Kind::Block, CHROME),
    ("aside", Kind::Block, ASIDE),
    ("search", Kind::Block, CHROME),
    ("dialog", Kind::Block, CHROME),
    ("form", Kind::Block, FORM),
    ("fieldset", Kind::Block, FORM),
    ("address", Kind::Block, 0),
    ("center", Kind::Block, 0),
    ("details", Kind::Block, 0),
    ("summary", Kind::Block, 0),
    ("hgroup", Kind::Block, 0),
    ("legend", Kind::Block, 0),
    ("figure", Kind::Block, FIGURE),
    ("figcaption", Kind::Block, FIGURE),
    ("b", Kind::Inline, 0),
    ("i", Kind::Inline, 0),
    ("em", Kind::Inline, 0),
    ("strong", Kind::Inline, 0),
    ("span", Kind::Inline, 0),
    ("font", Kind::Inline, 0),
    ("u", Kind::Inline, 0),
    ("s", Kind::Inline, 0),
    ("small", Kind::Inline, 0),
    ("sub", Kind::Inline, 0),
    ("sup", Kind::Inline, 0),
    ("time", Kind::Inline, 0),
    ("label", Kind::Inline, 0),
    ("img", Kind::Void, 0),
    ("input", Kind::Void, 0),
    ("link", Kind::Void, 0),
    ("meta", Kind::Void, 0),
    ("base", Kind::Void, 0),
    ("source", Kind::Void, 0),
    ("wbr", Kind::Void, 0),
    ("area", Kind::Void, 0),
    ("col", Kind::Void, 0),
    ("embed", Kind::Void, 0),
    ("param", Kind::Void, 0),
    ("track", Kind::Void, 0),
    ("head", Kind::Void, 0),
    ("tbody", Kind::Void, 0),
    ("thead", Kind::Void, 0),
    ("tfoot", Kind::Void, 0),
    ("colgroup", Kind::Void, 0),
    ("script", Kind::Raw, 0),
    ("style", Kind::Raw, 0),
    ("noscript", Kind::Raw, 0),
    ("iframe", Kind::Raw, 0),
    ("noembed", Kind::Raw, 0),
    ("noframes", Kind::Raw, 0),
    ("textarea", Kind::Raw, 0),
    ("title", Kind::Title, 0),
    ("select", Kind::Dropped, 0),
    ("button", Kind::Dropped, 0),
    ("svg", Kind::Dropped, 0),
    ("math", Kind::Dropped, 0),
    ("object", Kind::Dropped, 0),
    ("applet", Kind::Dropped, 0),
    ("video", Kind::Dropped, 0),
    ("audio", Kind::Dropped, 0),
    ("canvas", Kind::Dropped, 0),
    ("map", Kind::Dropped, 0),
    ("template", Kind::Dropped, 0),
    ("datalist", Kind::Dropped, 0),
    ("progress", Kind::Dropped, 0),
    ("meter", Kind::Dropped, 0),
    ("rt", Kind::Dropped, 0),
    ("rp", Kind::Dropped, 0),
];

/// What is not in the table.
const UNKNOWN: Element = Element { kind: Kind::Inline, id: 0, marks: 0 };

static ELEMENTS: Table<Element, 256> = {
    let mut entries = [("", UNKNOWN); TAGS.len()];
    let mut i = 0;
    while i < TAGS.len() {
        let (name, kind, marks) = TAGS[i];
        entries[i] = (name, Element { kind, id: i as u8 + 1, marks });
        i += 1;
    }
    Table::new(&entries, UNKNOWN)
};

/// The element of a name in any case.
pub(super) fn element(name: &str) -> Element {
    ELEMENTS.get(pack(name.as_bytes())).unwrap_or(UNKNOWN)
}

/// The name of an element's number.
pub(super) fn name(id: u8) -> &'static str {
    TAGS[id as usize - 1].0
}

/// Attributes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// `class` and `id`: names.
    Names,
    Role,
    Style,
    Hidden,
    AriaHidden,
    ItemProp,
    Href,
    Lang,
}

static ATTRIBUTES: Table<Attribute, 32> = Table::new(
    &[
        ("class", Attribute::Names),
        ("id", Attribute::Names),
        ("role", Attribute::Role),
        ("style", Attribute::Style),
        ("hidden", Attribute::Hidden),
        ("aria-hidden", Attribute::AriaHidden),
        ("itemprop", Attribute::ItemProp),
        ("href", Attribute::Href),
        ("lang", Attribute::Lang),
        ("xml:lang", Attribute::Lang),
    ],
    Attribute::Names,
);

/// The attribute of a name in any case, if it is read.
pub(super) fn attribute(name: &str) -> Option<Attribute> {
    ATTRIBUTES.get(pack(name.as_bytes()))
}

/// Words of class names and ids.
static WORDS: Table<Marks, 1024> = Table::new(
    &[
        ("nav", CHROME),
        ("navi", CHROME),
        ("navbar", CHROME),
        ("navigation", CHROME),
        ("topnav", CHROME),
        ("mainnav", CHROME),
        ("subnav", CHROME),
        ("menu", CHROME),
        ("menus", CHROME),
        ("submenu", CHROME),
        ("mainmenu", CHROME),
        ("breadcrumb", CHROME),
        ("breadcrumbs", CHROME),
        ("crumb", CHROME),
        ("crumbs", CHROME),
        ("footer", CHROME),
        ("sidebar", CHROME),
        ("sidebars", CHROME),
        ("sidenav", CHROME),
        ("toolbar", CHROME),
        ("masthead", CHROME),
        ("topbar", CHROME),
        ("cookie", CHROME),
        ("cookies", CHROME),
        ("cookiebar", CHROME),
        ("consent", CHROME),
        ("gdpr", CHROME),
        ("dsgvo", CHROME),
        ("popup", CHROME),
        ("modal", CHROME),
        ("overlay", CHROME),
        ("lightbox", CHROME),
        ("login", CHROME),
        ("signin", CHROME),
        ("signup", CHROME),
        ("register", CHROME),
        ("search", CHROME),
        ("searchform", CHROME),
        ("searchbox", CHROME),
        ("skip", CHROME),
        ("skiplink", CHROME),
        ("pagination", CHROME),
        ("pager", CHROME),
        ("paging", CHROME),
        ("pagenavi", CHROME),
        ("paginator", CHROME),
        ("offcanvas", CHROME),
        ("dropdown", CHROME),
        ("megamenu", CHROME),
        ("widget", CHROME),
        ("widgets", CHROME),
        ("copyright", CHROME),
        ("imprint", CHROME),
        ("impressum", CHROME),
        ("disclaimer", CHROME),
        ("newsletter", CHROME),
        ("newsletters", CHROME),
        ("subscribe", CHROME),
        ("subscription", CHROME),
        ("abo", CHROME),
        ("paywall", CHROME),
        ("printonly", CHROME),
        ("tooltip", CHROME),
        ("tabs", CHROME),
        ("ad", AD),
        ("ads", AD),
        ("advert", AD),
        ("adverts", AD),
        ("advertisement", AD),
        ("advertisements", AD),
        ("advertising", AD),
        ("adsense", AD),
        ("adsbygoogle", AD),
        ("adslot", AD),
        ("adbox", AD),
        ("banner", AD),
        ("banners", AD),
        ("sponsor", AD),
        ("sponsored", AD),
        ("sponsors", AD),
        ("promo", AD),
        ("promos", AD),
        ("promotion", AD),
        ("promoted", AD),
        ("werbung", AD),
        ("anzeige", AD),
        ("anzeigen", AD),
        ("outbrain", AD),
        ("taboola", AD),
        ("plista", AD),
        ("affiliate", AD),
        ("publicite", AD),
        ("share", SOCIAL),
        ("shares", SOCIAL),
        ("sharing", SOCIAL),
        ("shareaholic", SOCIAL),
        ("sharedaddy", SOCIAL),
        ("sharebar", SOCIAL),
        ("shariff", SOCIAL),
        ("social", SOCIAL),
        ("socials", SOCIAL),
        ("socialmedia", SOCIAL),
        ("addthis", SOCIAL),
        ("addtoany", SOCIAL),
        ("facebook", SOCIAL),
        ("twitter", SOCIAL),
        ("whatsapp", SOCIAL),
        ("likes", SOCIAL),
        ("follow", SOCIAL),
        ("bookmark", SOCIAL),
        ("bookmarks", SOCIAL),
        ("jp", SOCIAL),
        ("teilen", SOCIAL),
        ("related", MORE),
        ("relatedposts", MORE),
        ("relatednews", MORE),
        ("relatedarticles", MORE),
        ("yarpp", MORE),
        ("recommended", MORE),
        ("recommendation", MORE),
        ("recommendations", MORE),
        ("recommend", MORE),
        ("readmore", MORE),
        ("similar", MORE),
        ("popular", MORE),
        ("mostread", MORE),
        ("trending", MORE),
        ("latest", MORE),
        ("recent", MORE),
        ("upnext", MORE),
        ("teaser", MORE),
        ("teasers", MORE),
        ("carousel", MORE),
        ("slider", MORE),
        ("prevnext", MORE),
        ("byline", META),
        ("author", META),
        ("authors", META),
        ("authorbox", META),
        ("bio", META),
        ("dateline", META),
        ("meta", META),
        ("metadata", META),
        ("postmeta", META),
        ("postmetadata", META),
        ("tags", META),
        ("taglist", META),
        ("tagcloud", META),
        ("keywords", META),
        ("categories", META),
        ("timestamp", META),
        ("rating", META),
        ("ratings", META),
        ("vote", META),
        ("votes", META),
        ("print", META),
        ("comment", COMMENTS),
        ("comments", COMMENTS),
        ("commentlist", COMMENTS),
        ("respond", COMMENTS),
        ("reply", COMMENTS),
        ("replies", COMMENTS),
        ("disqus", COMMENTS),
        ("kommentar", COMMENTS),
        ("kommentare", COMMENTS),
        ("commentaires", COMMENTS),
        ("trackback", COMMENTS),
        ("trackbacks", COMMENTS),
        ("pingback", COMMENTS),
        ("livefyre", COMMENTS),
        ("hidden", HIDDEN),
        ("hide", HIDDEN),
        ("invisible", HIDDEN),
        ("visuallyhidden", HIDDEN),
        ("sr", HIDDEN),
        ("offscreen", HIDDEN),
        ("articlebody", BODY),
        ("postbody", BODY),
        ("entrycontent", BODY),
        ("articletext", BODY),
        ("storybody", BODY),
        ("article", WHAT),
        ("entry", WHAT),
        ("post", WHAT),
        ("story", WHAT),
        ("blog", WHAT),
        ("news", WHAT),
        ("hentry", ARTICLE),
        ("body", PART),
        ("content", PART),
        ("text", PART),
        ("no", NOT),
        ("has", NOT),
        ("with", NOT),
        ("without", NOT),
        ("is", NOT),
        ("not", NOT),
        ("layout", NOT),
    ],
    0,
);

/// What a class or an id says: the words of each name in it, which a case or a sign divides.
pub(super) fn names(value: &str) -> Marks {
    let mut marks = 0;
    for name in value.split_ascii_whitespace() {
        let mut found = 0;
        let bytes = name.as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            let mut end = start;
            while end < bytes.len()
                && bytes[end].is_ascii_alphabetic()
                && !(end > start
                    && bytes[end].is_ascii_uppercase()
                    && bytes[end - 1].is_ascii_lowercase())
            {
                end += 1;
            }
            if end - start > 1 {
                found |= WORDS.get(pack(&bytes[start..end])).unwrap_or(0);
            }
            start =
                if end < bytes.len() && bytes[end].is_ascii_alphabetic() { end } else { end + 1 };
        }
        if found & NOT == 0 {
            marks |= found;
            if found & (WHAT | PART) == WHAT | PART {
                marks |= BODY;
            }
        }
    }
    marks & !(WHAT | PART)
}

/// What a role says.
pub(super) fn role(value: &str) -> Marks {
    match value {
        "main" | "article" => ARTICLE,
        "navigation" | "banner" | "contentinfo" | "search" | "dialog" | "alert" | "alertdialog"
        | "menu" | "menubar" | "toolbar" | "tablist" => CHROME,
        "complementary" => ASIDE,
        _ => 0,
    }
}

/// Whether a style makes an element invisible.
pub(super) fn hides(style: &str) -> bool {
    style.split(';').filter_map(|rule| rule.split_once(':')).any(|(key, value)| {
        let value = value.trim();
        (key.trim().eq_ignore_ascii_case("display") && value.starts_with("none"))
            || (key.trim().eq_ignore_ascii_case("visibility") && value.starts_with("hidden"))
    })
}
