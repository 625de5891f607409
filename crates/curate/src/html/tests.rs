//! What pages become.

use std::fs;
use std::path::Path;

use super::*;

fn plain(page: &str) -> String {
    main_text(page.as_bytes(), None, Options::default()).text
}

fn markdown(page: &str) -> String {
    let options = Options { markdown: true, ..Options::default() };
    main_text(page.as_bytes(), None, options).text
}

/// A page whose content is one paragraph, which is long enough to be read as prose.
fn page(body: &str) -> String {
    format!("<meta charset=utf-8><body><p>{body}</p><footer>And this is not.</footer></body>")
}

/// The pages were written for this, and what they become was read by a person.
#[test]
fn pages_become_what_a_reader_would_copy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pages");
    for name in ["article", "chinese", "old"] {
        let bytes = fs::read(folder.join(name).with_extension("html")).unwrap();
        let options = Options { markdown: true, links: true, comments: true };
        let found = main_text(&bytes, None, options);
        let all = format!("{} [{}]\n\n{}\n", found.title, found.language, found.text);
        let expected = folder.join(name).with_extension("md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &all).unwrap();
        }
        assert_eq!(all, fs::read_to_string(expected).unwrap(), "{name}");
    }
}

#[test]
fn what_is_not_text_is_left_out() {
    let page = "<title>A &amp; B</title><nav><a href=/>Home</a></nav>\
        <script>var a = '<p>';</script>\
        <p>The first paragraph &eacute;tait l&agrave;, and it is long enough to be read as prose.\
        <p>The second<!-- not this --> one <b>fol</b>lows, &lt;it&gt; is also rather long.\
        <footer>Copyright</footer>";
    let found = main_text(page.as_bytes(), None, Options::default());
    assert_eq!(found.title, "A & B");
    assert_eq!(
        found.text,
        "The first paragraph \u{e9}tait l\u{e0}, and it is long enough to be read as prose.\n\n\
         The second one follows, <it> is also rather long."
    );
}

#[test]
fn comments_are_kept_where_they_are_asked_for() {
    let page = "<article><p>The article says something of some length, so that it is read as one.\
        </article><ol class=comment-list>\
        <li>A reader says that it is wrong, and at length explains why so.<li>+1</ol>";
    assert!(!plain(page).contains("reader"));
    let options = Options { comments: true, ..Options::default() };
    let text = main_text(page.as_bytes(), None, options).text;
    assert!(
        text.ends_with("as one.\n\nA reader says that it is wrong, and at length explains why so.")
    );
}

/// Each encoding that is declared, or not, or wrongly.
#[test]
fn every_charset_is_read() {
    let western = "Les \u{e9}l\u{e8}ves ont fini leurs \u{153}uvres \u{e0} No\u{eb}l, \u{e7}a c'e\
        st s\u{fb}r.";
    let russian = "\u{412}\u{441}\u{435} \u{441}\u{447}\u{430}\u{441}\u{442}\u{43b}\u{438}\u{432}\
        \u{44b}\u{435} \u{441}\u{435}\u{43c}\u{44c}\u{438} \u{43f}\u{43e}\u{445}\
        \u{43e}\u{436}\u{438} \u{434}\u{440}\u{443}\u{433} \u{43d}\u{430} \u{434}\
        \u{440}\u{443}\u{433}\u{430}, \u{43a}\u{430}\u{436}\u{434}\u{430}\u{44f} \
        \u{43d}\u{435}\u{441}\u{447}\u{430}\u{441}\u{442}\u{43b}\u{438}\u{432}\u{430}\
        \u{44f} \u{441}\u{435}\u{43c}\u{44c}\u{44f} \u{43f}\u{43e}-\u{441}\u{432}\
        \u{43e}\u{435}\u{43c}\u{443}.";
    let chinese = "\u{5e8a}\u{524d}\u{660e}\u{6708}\u{5149}\u{ff0c}\u{7591}\u{662f}\u{5730}\
        \u{4e0a}\u{971c}\u{3002}\u{8209}\u{982d}\u{671b}\u{660e}\u{6708}\u{ff0c}\
        \u{4f4e}\u{982d}\u{601d}\u{6545}\u{9109}\u{3002}";
    let japanese = "\u{6728}\u{66fe}\u{8def}\u{306f}\u{3059}\u{3079}\u{3066}\u{5c71}\u{306e}\
        \u{4e2d}\u{3067}\u{3042}\u{308b}\u{3002}\u{3042}\u{308b}\u{3068}\u{3053}\
        \u{308d}\u{306f}\u{5ca8}\u{3065}\u{305f}\u{3044}\u{306b}\u{884c}\u{304f}\
        \u{5d16}\u{306e}\u{9053}";
    for (text, labels) in [
        (western, &["windows-1252", "utf-8", "iso-8859-15"][..]),
        (russian, &["windows-1251", "koi8-r", "utf-8"]),
        (chinese, &["big5", "gb18030", "utf-8"]),
        (japanese, &["shift_jis", "euc-jp", "iso-2022-jp", "utf-8"]),
    ] {
        for label in labels {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
            let encode = |page: &str| encoding.encode(page).0.into_owned();
            let header = format!("text/html; Charset = \"{label}\"");
            let read = |page: &str, header| main_text(&encode(page), header, Options::default());
            // By the header, by `meta`, and by what the bytes look like.
            assert_eq!(
                read(&page(text).replace("=utf-8", ""), Some(&header)).text,
                text,
                "{label}"
            );
            let declared = page(text).replace("utf-8", label);
            assert_eq!(read(&declared, None).text, text, "{label}");
            if *label != "iso-2022-jp" && *label != "iso-8859-15" {
                let bare = read(&page(text).replace("charset=utf-8", ""), None);
                assert_eq!(bare.text, text, "{label} is not guessed, but {}", bare.encoding);
            }
        }
        let mark = "\u{feff}".to_owned() + &page(text);
        let wide: Vec<u8> = mark.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for from in [0, 2] {
            let found =
                main_text(&wide[from..], Some("text/html; charset=latin1"), Options::default());
            assert_eq!((found.text.as_str(), found.encoding), (text, "UTF-16LE"));
        }
    }
}

#[test]
fn a_page_in_two_charsets_keeps_both() {
    let mut bytes =
        page("na\u{ef}ve and \u{201c}quoted\u{201d} in UTF-8, and in Latin: ").into_bytes();
    let at = bytes.windows(4).position(|w| w == b"</p>").unwrap();
    bytes.splice(at..at, *b"caf\xe9");
    let found = main_text(&bytes, Some("text/html; charset=utf-8"), Options::default());
    let text = "na\u{ef}ve and \u{201c}quoted\u{201d} in UTF-8, and in Latin: caf\u{e9}";
    assert_eq!((found.text.as_str(), found.encoding), (text, "UTF-8"));
}

#[test]
fn nothing_is_nothing() {
    for page in ["", " ", "<", "<a", "<!--", "</", "<p", "<p a=\"", "&", "<script>", "\0"] {
        assert_eq!(plain(page), if page == "&" || page == "<" { page } else { "" }, "{page:?}");
    }
}

#[test]
fn an_end_that_is_not_there_takes_no_text_with_it() {
    let text = "This is said in a sentence that has commas, and that is long enough to stay.";
    for before in
        ["<!-- ", "<script> ", "<b><i><u>", "<div><div>", "<button>x</div>", "<select><p>"]
    {
        let page = format!("<div>{before}</div><p>{text}</p>");
        assert!(plain(&page).ends_with(text), "{before}: {:?}", plain(&page));
    }
    assert_eq!(plain(&format!("<div><b><p>{text}</b></div><a>x</a>")), text);
}

/// Time and memory are those of any page of the length, give or take: the million of them that a
/// quadratic pass would see takes hours.
#[test]
fn attacks_take_no_longer_than_pages() {
    let n = 1 << 20;
    for (before, unit) in [
        ("", "<b>"),
        ("", "<div>"),
        ("", "<ul><li>x"),
        ("", "<table><tr><td>x"),
        ("", "<blockquote>x"),
        ("", "<a href=x>y"),
        ("", "<p>x<p>"),
        ("", "<!--"),
        ("", "<script>"),
        ("", "<title>"),
        ("", "&#x"),
        ("", "\0"),
        ("", "<"),
        ("", "</p>"),
        ("", "<h1>x</h1>"),
        ("", "word, "),
        ("<a", " a='"),
        ("<a", " class=nav"),
        ("<i><table><tr><td>", "<b></i>"),
        ("<p><table><td><p>", "<b><div></div>"),
    ] {
        let page = before.to_owned() + &unit.repeat(n / unit.len());
        assert!(markdown(&page).len() <= 8 * n, "{unit}");
    }
}
