//! `lyceum doctor`.

use crate::fixture::{lyceum, run};

#[test]
fn the_measured_figures_are_there() {
    let json = run(&["doctor", "--json", "--threads", "1"]).json();
    for key in ["f32_gflops", "read_gb_per_s"] {
        assert!(json[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {json}");
    }
    assert_eq!(json["threads"], 1);
    let has_bf16 = json["isa"] == "avx512bf16";
    assert_eq!(json["bf16_gflops"].as_f64().is_some(), has_bf16, "{json}");
    let supported = json["isa_supported"].as_array().expect("a list");
    assert_eq!(supported.last(), Some(&json["isa"]));
}

#[test]
fn a_lower_path_is_named_as_a_problem() {
    let output =
        lyceum(&["doctor", "--quiet"]).env("LYCEUM_ISA", "portable").output().expect("runs");
    assert_eq!(output.stderr, b"");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("isa                     portable"), "{text}");
    assert!(text.contains("hint: "), "{text}");
    let output = lyceum(&["doctor"]).env("LYCEUM_CACHE", "/dev/null/x").output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("is no directory\n  hint: set `LYCEUM_CACHE`"), "{text}");
}
