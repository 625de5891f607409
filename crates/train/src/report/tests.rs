use std::collections::BTreeMap;

use super::*;
use crate::metrics::{PartScores, Scores};

fn step(step: u64, loss: f64) -> StepRow {
    StepRow {
        step,
        loss,
        accuracy: 0.25,
        targets: 8,
        grad_norm: 1.0 / step as f64,
        lr: 3e-4,
        tokens: step * 2048,
        tokens_per_s: 20_000.0,
        share_of_peak: Some(0.8),
        memory_bytes: Some(600 << 20),
        told: BTreeMap::new(),
    }
}

fn eval(step: u64, loss: f64, bits_per_byte: f64) -> EvalRow {
    EvalRow {
        step,
        eval: Scores {
            loss,
            bits_per_byte: Some(bits_per_byte),
            accuracy: 0.25,
            targets: 8,
            parts: BTreeMap::new(),
            sources: BTreeMap::new(),
            metrics: vec![],
            is_better_small: false,
        },
    }
}

fn sample(step: u64, text: &str) -> SampleRow {
    SampleRow { step, text: text.to_owned() }
}

fn steps(n: u64) -> Vec<StepRow> {
    (1..=n).map(|s| step(s, 3.0 + 6.0 / s as f64)).collect()
}

fn empty() -> ReportFacts<'static> {
    ReportFacts {
        title: "austen",
        outcome: "finished after 4 steps",
        recipe_toml: "",
        steps: &[],
        evals: &[],
        best: None,
        samples: &[],
        sources: &[],
        machine: &[],
        hashes: &[],
        totals: Totals {
            n_params: 12_345_678,
            seconds: 100.0,
            peak_memory_bytes: None,
            energy: Energy::Unknown { why: "no RAPL counter on this machine".into() },
        },
        next_commands: &[],
    }
}

/// What a reader sees, a line a piece of text, drawings left out. Fails on tags that do not nest.
fn text(html: &str) -> String {
    let (_, body) = html.split_once("<body>").unwrap();
    let mut open = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match tag {
            "/body" | "/html" => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "closed by `{tag}`"),
            _ if tag.ends_with('/') => {}
            _ => open.push(name),
        }
        if !open.contains(&"svg") && !text.trim().is_empty() {
            lines.push(text.trim().replace('\u{a0}', " "));
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    lines.join("\n")
}

#[test]
fn a_small_report_says() {
    let pair = |name: &'static str, value: &str| (name, value.to_owned());
    let evals = [eval(2, 3.5, 1.5), eval(4, 3.6, 1.6)];
    let html = render(&ReportFacts {
        recipe_toml: "[train]\nsteps = 4\n",
        steps: &steps(4),
        evals: &evals,
        best: Some(Best { step: 2, metric: 1.5 }),
        samples: &[sample(2, "It w"), sample(4, "It was a truth")],
        sources: &[pair("web", "12 windows")],
        machine: &[pair("cpu", "a processor"), pair("threads", "2")],
        hashes: &[pair("data", "blake3:00ff")],
        next_commands: &[pair("write with it", "lyceum generate runs/austen --prompt 'It was'")],
        ..empty()
    });
    insta::assert_snapshot!(text(&html), @r#"
    austen
    finished after 4 steps
    validation, bits per byte
    1.5000
    best checkpoint, at step 2
    training loss
    4.5000
    step 4
    tokens a second
    20.0k
    median of the steps
    of the machine&#39;s peak
    80.0 %
    model FLOPs
    peak memory
    600 MiB
    resident
    time
    1m 40s
    8.19k tokens
    parameters
    12.3M
    12 345 678
    energy
    unknown
    no RAPL counter on this machine
    Next
    write with it
    lyceum generate runs/austen --prompt &#39;It was&#39;
    Curves
    Loss
    nats a token
    train
    validation
    Validation
    bits per byte
    Learning rate
    Gradient norm
    before clipping
    Throughput
    tokens a second
    Evaluation
    all
    3.6000 nats, 25.0 % right of 8
    Samples
    step 4
    It was a truth
    step 2
    It w
    Sources
    web
    12 windows
    Machine
    cpu
    a processor
    threads
    2
    Hashes
    data
    blake3:00ff
    Recipe
    recipe.toml
    [train]
    steps = 4
    "#);
}

#[test]
fn a_run_that_is_not_asked_for_every_token_is_in_nats_and_says_what_was_right() {
    let mut row = eval(4, 3.5, 0.0);
    row.eval.bits_per_byte = None;
    let part = PartScores { loss: 0.5, accuracy: 0.75, targets: 4 };
    row.eval.parts = BTreeMap::from([("pair".to_owned(), part)]);
    let best = Some(Best { step: 4, metric: 3.5 });
    let text = text(&render(&ReportFacts { evals: &[row], best, ..empty() }));
    assert!(!text.contains("bits per byte"), "{text}");
    for said in [
        "validation loss, nats\n3.5000",
        "share of targets that are right",
        "pair\n0.5000 nats, 75.0 % right of 4",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_run_without_a_step_has_a_report() {
    let html = render(&empty());
    let text = text(&html);
    assert_eq!(text.matches("Nothing recorded.").count(), 5);
    assert!(text.contains("unknown") && !html.contains("<svg"));
}

#[test]
fn hostile_strings_stay_text() {
    let hostile = "</pre></style><script>alert(1)</script><img src=x onerror=\"a\">'&\u{0}";
    let pair = [(hostile, hostile.to_owned())];
    let mut facts = ReportFacts {
        title: hostile,
        outcome: hostile,
        recipe_toml: hostile,
        samples: &[sample(1, hostile)],
        sources: &pair,
        machine: &pair,
        hashes: &pair,
        next_commands: &pair,
        ..empty()
    };
    facts.totals.energy = Energy::Unknown { why: hostile.into() };
    let html = render(&facts);
    text(&html);
    assert_eq!(html.matches("&lt;script&gt;").count(), 14);
    for attack in ["<script", "<img", "\u{0}"] {
        assert!(!html.contains(attack), "{attack:?}");
    }
}

#[test]
fn the_page_asks_for_nothing() {
    let html = render(&ReportFacts { steps: &steps(100), ..empty() });
    assert!(html.contains("default-src 'none'"));
    for request in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(request), "{request}");
    }
}

#[test]
fn what_is_not_finite_is_counted_and_not_drawn() {
    let mut rows = steps(9);
    rows[3].loss = f64::NAN;
    rows[4].loss = f64::INFINITY;
    rows[5].grad_norm = f64::NEG_INFINITY;
    let evals = [eval(9, f64::NAN, f64::NAN)];
    let html = render(&ReportFacts { steps: &rows, evals: &evals, ..empty() });
    assert!(html.contains("3 values are not finite and are not drawn."), "loss");
    assert_eq!(html.matches("1 value is not finite and is not drawn.").count(), 2);
    let drawn = html.matches("points=\"").count();
    assert_eq!(drawn, 4, "all but the validation curve");
    assert!(!html.contains("NaN,") && !html.contains(",NaN") && !html.contains("inf"));
}

#[test]
fn a_long_run_stays_a_small_page() {
    let html = render(&ReportFacts { steps: &steps(200_000), ..empty() });
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("step 200k") || html.contains(">200k</text>"));
}

#[test]
fn hover_titles_give_the_values_of_a_step() {
    let evals = [eval(3, 5.5, 1.5)];
    let html = render(&ReportFacts { steps: &steps(3), evals: &evals, ..empty() });
    assert!(html.contains("<title>step 2\ntrain 6.0000\nvalidation 5.5000 (step 3)</title>"));
}

#[test]
fn coordinates_stay_on_the_drawing() {
    for rows in [steps(1), steps(2), steps(500)] {
        let html = render(&ReportFacts { steps: &rows, ..empty() });
        for points in html.split("points=\"").skip(1) {
            for pair in points.split('"').next().unwrap().split(' ') {
                let (x, y) = pair.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=900.0).contains(&x) && (0.0..=240.0).contains(&y), "{pair}");
            }
        }
    }
}

#[test]
fn totals_fall_back_on_the_rows_and_measured_energy_names_its_scope() {
    let mut facts = ReportFacts { ..empty() };
    let rows = steps(3);
    facts.steps = &rows;
    facts.totals.energy = Energy::Measured { joules: 7200.0, since_step: 0 };
    let seen = text(&render(&facts));
    assert!(seen.contains("80.0 %") && seen.contains("600 MiB"), "{seen}");
    assert!(seen.contains("2 Wh\nwhole CPU packages, 1.17e0 J a token"), "{seen}");
    facts.totals.energy = Energy::Measured { joules: 7200.0, since_step: 2 };
    assert!(text(&render(&facts)).contains("whole CPU packages, since step 2"));
}
