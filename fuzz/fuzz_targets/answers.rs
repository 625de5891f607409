//! What a model said, graded by every rule; and what was kept of where learning began.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tasks::rewards::{Attempt, Reward, Rewards};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let at = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (completion, answer) = text.split_at(at);
    let pattern = Reward::pattern(answer).unwrap_or(Reward::Exact);
    let rules = vec![(Reward::Exact, 1.0), (Reward::Number, 1.0), (pattern, 1.0)];
    let attempt = Attempt { prompt: "", completion, answer };
    let graded = Rewards { rules, max_failed: 0.0 }.grade(&[attempt]).expect("no program fails");
    assert!((0.0..=3.0).contains(&graded.rewards[0]));
    let known = train::kept(bytes, "samples", &[bytes.len().saturating_sub(64) / 4]);
    assert!(known.is_none_or(|known| train::keep(&known, "samples") == bytes));
});
