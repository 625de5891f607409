//! A text before the filters, the search for personal data, and what compares it with others.
#![no_main]

use curate::dedup::{DedupConfig, Sketcher};
use curate::filter::{C4, Filter, Gopher, normal_url};
use curate::personal::Personal;
use curate::{Document, Notes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let gopher = Gopher { min_words: 3, min_stop_words: 0, ..Gopher::default() };
    let c4 = C4 { min_sentences: 1, ..C4::default() };
    for filter in [Filter::default(), Filter { gopher, c4, ..Filter::default() }] {
        let mut document = Document { text: text.to_string(), ..Document::default() };
        let mut notes = Notes::default();
        match filter.judge(&mut document, &mut notes) {
            Ok(()) => assert!(document.text.len() <= text.len()),
            Err(_) => assert!(document.text == text && notes == Notes::default()),
        }
    }
    let personal = Personal { public_ip_only: false, ..Personal::default() };
    let spans = personal.find(&text);
    assert!(spans.iter().all(|span| text.get(span.start..span.end).is_some()));
    assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    let mut notes = Notes::default();
    personal.scrub(&text, &mut notes);
    assert_eq!(notes.iter().map(|(_, n)| n).sum::<u64>(), spans.len() as u64);
    assert!(normal_url(&text).len() <= text.len() * 2);
    let mut n_keys = 0;
    let config = DedupConfig { url: true, ..DedupConfig::default() };
    Sketcher::new(&config).keys(&text, &text, |_| n_keys += 1);
    assert!(n_keys == 1 || (2..=16).contains(&n_keys));
});
