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
    AD, ARTICLE, ASIDE, BODY, CHROME, COMMENTS, FIGURE, FORM, HIDDEN, META, MORE, NOT, PART,
    SOCIAL, WHAT,
};

/// An element: what it is, and a number that is its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) kind: Kind,
    pub(super) marks: Marks,
    pub(super) id: usize,
}

/// How many different numbers elements have; all that are not in the table share the last.
pub(super) const N_IDS: usize = N_SLOTS + 1;
const N_SLOTS: usize = 256;

const TAGS: Table<(Kind, Marks), N_SLOTS> = Table::new(
    &[
        (
            "div dl section header address center details summary hgroup legend figure",
            (Kind::Block, 0),
        ),
        ("a", (Kind::Link, 0)),
        ("p", (Kind::Paragraph, 0)),
        ("li", (Kind::Item, 0)),
        ("br", (Kind::Break, 0)),
        ("ul menu dir", (Kind::List { ordered: false }, 0)),
        ("ol", (Kind::List { ordered: true }, 0)),
        ("h1", (Kind::Heading(1), 0)),
        ("h2", (Kind::Heading(2), 0)),
        ("h3", (Kind::Heading(3), 0)),
        ("h4", (Kind::Heading(4), 0)),
        ("h5", (Kind::Heading(5), 0)),
        ("h6", (Kind::Heading(6), 0)),
        ("dt", (Kind::Term, 0)),
        ("dd", (Kind::Definition, 0)),
        ("table", (Kind::Table, 0)),
        ("tr", (Kind::Row, 0)),
        ("td th", (Kind::Cell, 0)),
        ("caption", (Kind::Caption, 0)),
        ("pre listing xmp", (Kind::Pre, 0)),
        ("blockquote", (Kind::Quote, 0)),
        ("code", (Kind::Code, 0)),
        ("hr", (Kind::Rule, 0)),
        ("html body", (Kind::Document, 0)),
        ("article main", (Kind::Block, ARTICLE)),
        ("footer nav search dialog", (Kind::Block, CHROME)),
        ("aside", (Kind::Block, ASIDE)),
        ("form fieldset", (Kind::Block, FORM)),
        ("figcaption", (Kind::Block, FIGURE)),
        ("b i em strong span font u s small sub sup time label", (Kind::Inline, 0)),
        (
            "img input link meta base source wbr area col embed param track head tbody thead \
             tfoot colgroup",
            (Kind::Void, 0),
        ),
        ("script style noscript iframe noembed noframes textarea", (Kind::Raw, 0)),
        ("title", (Kind::Title, 0)),
        (
            "select button svg math object applet video audio canvas map template datalist \
             progress meter rt rp",
            (Kind::Dropped, 0),
        ),
    ],
    (Kind::Inline, 0),
);
static ELEMENTS: Table<(Kind, Marks), N_SLOTS> = TAGS;

/// The number of `p`.
pub(super) const P: usize = match TAGS.get(pack(b"p")) {
    Some((id, _)) => id,
    None => N_SLOTS,
};

/// The element of a name in any case.
pub(super) fn element(name: &str) -> Element {
    let found = ELEMENTS.get(pack(name.as_bytes()));
    let (id, (kind, marks)) = found.unwrap_or((N_SLOTS, (Kind::Inline, 0)));
    Element { kind, marks, id }
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
    ATTRIBUTES.get(pack(name.as_bytes())).map(|(_, attribute)| attribute)
}

/// Words of class names and ids.
static WORDS: Table<Marks, 1024> = Table::new(
    &[
        (
            "nav navi navbar navigation topnav mainnav subnav menu menus submenu mainmenu \
             breadcrumb breadcrumbs crumb crumbs footer sidebar sidebars sidenav toolbar \
             masthead topbar cookie cookies cookiebar consent gdpr dsgvo popup modal overlay \
             lightbox login signin signup register search searchform searchbox skip skiplink \
             pagination pager paging pagenavi paginator offcanvas dropdown megamenu widget \
             widgets copyright imprint impressum disclaimer newsletter newsletters subscribe \
             subscription abo paywall printonly tooltip tabs",
            CHROME,
        ),
        (
            "ad ads advert adverts advertisement advertisements advertising adsense adsbygoogle \
             adslot adbox banner banners sponsor sponsored sponsors promo promos promotion \
             promoted werbung anzeige anzeigen outbrain taboola plista affiliate publicite",
            AD,
        ),
        (
            "share shares sharing shareaholic sharedaddy sharebar shariff social socials \
             socialmedia addthis addtoany facebook twitter whatsapp likes follow bookmark \
             bookmarks jp teilen",
            SOCIAL,
        ),
        (
            "related relatedposts relatednews relatedarticles yarpp recommended recommendation \
             recommendations recommend readmore similar popular mostread trending latest recent \
             upnext teaser teasers carousel slider prevnext",
            MORE,
        ),
        (
            "byline author authors authorbox bio dateline meta metadata postmeta postmetadata \
             tags taglist tagcloud keywords categories timestamp rating ratings vote votes \
             print",
            META,
        ),
        (
            "comment comments commentlist reply replies disqus kommentar kommentare \
             commentaires trackback trackbacks pingback livefyre",
            COMMENTS,
        ),
        ("respond commentform", FORM),
        ("hidden hide invisible visuallyhidden sr offscreen", HIDDEN),
        ("articlebody postbody entrycontent articletext storybody", BODY),
        ("article entry post story blog news", WHAT),
        ("hentry", ARTICLE),
        ("body content text", PART),
        ("caption credit credits", FIGURE),
        ("no has with without is not layout", NOT),
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
                found |= WORDS.get(pack(&bytes[start..end])).map_or(0, |(_, marks)| marks);
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
