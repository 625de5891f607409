//! Web pages: their text, in every way it can be written, and what is said of it.
#![no_main]

use curate::html::{Options, main_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for flags in 0..8 {
        let [markdown, links, comments] = [1, 2, 4].map(|bit| flags & bit != 0);
        // To guess an encoding takes longer than all else: once is enough.
        let content_type = (flags > 0).then_some("text/html; charset=utf-8");
        let found = main_text(bytes, content_type, Options { markdown, links, comments });
        // Written text is never far longer than the page, whatever nests in it.
        assert!(found.text.len() <= 64 * bytes.len() + 64);
        if flags == 0 {
            let _ = curate::language::identify(&found.text);
        }
    }
});
