//! Two texts under every metric of texts, and their words as tags under every scheme.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metrics::registry::OF_TEXTS;
use metrics::rouge::Rouge;
use metrics::spans::{Scheme, compare};

fuzz_target!(|texts: (&str, &str)| {
    let (right, text) = texts;
    for metric in OF_TEXTS {
        if let Ok(value) = (metric.compute)(&[vec![right]], &[text]) {
            assert!(value.is_finite() && value >= 0.0, "{} is {value}", metric.name);
        }
    }
    let stemmed = Rouge { stem: true }.n(right, text, 2);
    assert!((0.0..=1.0).contains(&stemmed.f1));
    let [right, text] = [right, text].map(|text| vec![text.split(' ').collect()]);
    let schemes = [Scheme::Iob1, Scheme::Iob2, Scheme::Ioe2, Scheme::Iobes, Scheme::Bilou];
    for scheme in schemes.map(Some).into_iter().chain([None]) {
        let _ = compare(&right, &text, scheme);
    }
});
