//! What pages become.

use super::*;

fn plain(page: &str) -> String {
    main_text(page.as_bytes(), None, Options::default()).text
}

#[test]
fn what_is_not_text_is_left_out() {
    let page = "<title>A &amp; B</title><nav><a href=/>Home</a></nav><script>var a = '<p>';</script>\
        <p>The first paragraph &eacute;tait l&agrave;, and it is long enough to be read as prose.\
        <p>The second<!-- not this --> one <b>fol</b>lows, &lt;it&gt; is also rather long, they say.\
        <footer>Copyright</footer>";
    let found = main_text(page.as_bytes(), None, Options::default());
    assert_eq!(found.title, "A & B");
    assert_eq!(
        found.text,
        "The first paragraph \u{e9}tait l\u{e0}, and it is long enough to be read as prose.\n\n\
         The second one follows, <it> is also rather long, they say."
    );
}

#[test]
fn nothing_is_nothing() {
    for page in ["", " ", "<", "<a", "<!--", "</", "<p", "<p a=\"", "&", "<script>", "\0"] {
        assert_eq!(plain(page), if page == "&" || page == "<" { page } else { "" }, "{page:?}");
    }
}
