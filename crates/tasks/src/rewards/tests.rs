use std::time::{Duration, Instant};

use super::*;

fn attempt<'a>(completion: &'a str, answer: &'a str) -> Attempt<'a> {
    Attempt { prompt: "What?", completion, answer }
}

#[test]
fn numbers_are_equal_as_numbers() {
    let cases = [
        ("so it is 1,000.0", Some("1000")),
        ("-3", Some("-3")),
        ("5-3", Some("3")),
        ("= -0.50.", Some("-0.5")),
        ("007 of them", Some("7")),
        ("-0", Some("0")),
        ("0.10", Some("0.1")),
        ("none", None),
        ("", None),
        ("1.5.2026", Some("2026")),
        ("\u{661}", None),
        (".5", Some("0.5")),
        ("it is -.50", Some("-0.5")),
        ("x=.5", Some("0.5")),
        ("Rs.500", Some("500")),
        ("No.5", Some("5")),
        ("is...5", Some("5")),
        ("1,2,3", Some("3")),
        ("1,2345", Some("2345")),
        ("1,234,567", Some("1234567")),
        ("0.5,100", Some("100")),
        ("1,000.25", Some("1000.25")),
        ("1.5,250,000", Some("250000")),
        ("12345678901234567890123", Some("12345678901234567890123")),
    ];
    for (text, expected) in cases {
        assert_eq!(last_number(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn rules_add_up_by_their_weights() {
    let pattern = Reward::pattern(r"####\s*(-?\d+)").unwrap();
    let tag = Reward::pattern("(?s)<think>.*</think>").unwrap();
    let rules = vec![(Reward::Exact, 1.0), (Reward::Number, 2.0), (pattern, 4.0), (tag, 8.0)];
    let rewards = Rewards { rules, max_failed: 0.0 };
    let attempts = [
        attempt(" 12 ", "12"),
        attempt("<think>\n</think> it is 12.", "12"),
        attempt("#### 3, no: #### 12", "12"),
        attempt("#### 12, no: #### 3", "12"),
        attempt("", "12"),
    ];
    let graded = rewards.grade(&attempts).unwrap();
    assert_eq!(graded.rewards, [3.0, 10.0, 6.0, 0.0, 0.0]);
    let names: Vec<_> = graded.by_rule.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["exact", "number", "pattern", "pattern_2"]);
    assert_eq!(graded.by_rule[1].1, 3.0 / 5.0);
    let bad = Reward::pattern("(").unwrap_err().to_string();
    assert!(bad.starts_with("`(` is no pattern: "), "{bad}");
    assert!(Reward::pattern("(a{1000}){1000}").is_err());
}

fn program(script: &str) -> Rewards {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let checker = Checker { command, time_max: Duration::from_millis(1500), memory_mib: 64 };
    Rewards { rules: vec![(Reward::Program(checker), 1.0)], max_failed: 0.5 }
}

#[test]
fn a_program_is_shown_all_and_says_a_number() {
    let echo =
        "read -r all; case \"$all\" in *'\"completion\":\"1 2\"'*) echo 0.25;; *) echo 1;; esac";
    let graded = program(echo).grade(&[attempt("1 2", "3"), attempt("3", "3")]).unwrap();
    assert_eq!((&graded.rewards[..], graded.failed), (&[0.25, 1.0][..], None));
}

#[test]
fn a_program_has_an_end_where_nobody_is_left_to_end_it() {
    let n = std::thread::available_parallelism().unwrap().get() as f64;
    let graded = program("ulimit -t").grade(&[attempt("", "")]).unwrap();
    assert_eq!(graded.rewards, [3.0 * n]);
}

#[test]
fn a_program_that_fails_hangs_or_floods_is_worth_nothing_and_counted() {
    let cases = [
        ("exit 3", "exit status: 3"),
        ("echo many", "it wrote `many`"),
        ("echo nan", "it wrote `nan`"),
        ("sleep 100", "it took more than"),
        ("sleep 100 & echo 1; exit 0", "it took more than"),
        ("trap '' TERM; exec 1>&-; while :; do :; done", "it took more than"),
        ("yes", "it wrote more than"),
        ("kill -9 $$", "signal: 9"),
        ("head -c 1000000000 /dev/zero | tail -n 1", "exit status: 1"),
        ("yes lost >&2 & sleep 0.1; kill $!; echo 'no such answer' >&2; exit 2", "exit status: 2"),
        ("printf 'Traceback\\nNameError: \\033[1mx\n\n' >&2; exit 1", "1: NameError: [1mx"),
        ("no-such-program", "exit status: 127: "),
    ];
    let large = "x".repeat(1 << 20);
    for (script, why) in cases {
        let began = Instant::now();
        let only = [attempt(&large, "1")];
        let Err(RewardError::Failing { n: 1, of: 1, first }) = program(script).grade(&only) else {
            panic!("{script}")
        };
        assert!(first.contains(why), "{script}: {first}");
        assert!(began.elapsed() < Duration::from_secs(5), "{script}");
    }
    let half = "read -r all; case \"$all\" in *bad*) exit 1;; *) echo 1;; esac";
    let graded = program(half).grade(&[attempt("bad", ""), attempt("good", "")]).unwrap();
    assert_eq!(graded.rewards, [0.0, 1.0]);
    assert_eq!(graded.failed, Some((1, "exit status: 1".to_owned())));
    let missing = Checker {
        command: vec!["/no/such/program".into()],
        time_max: Duration::from_secs(1),
        memory_mib: 512,
    };
    let rewards = Rewards { rules: vec![(Reward::Program(missing), 1.0)], max_failed: 0.0 };
    assert!(rewards.grade(&[attempt("", "")]).is_err());
}
