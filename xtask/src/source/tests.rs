use super::*;

fn named(name: &str, line: usize, n_lines: usize, n_params: usize) -> Function {
    Function { name: name.to_owned(), line, n_lines, n_params }
}

#[test]
fn comments_and_literals_are_blanked() {
    let cases = [
        ("let a = 1; // unsafe", "let a = 1;          "),
        ("/* a /* b */ c */ x", "                  x"),
        (r#"f("un\"safe{")"#, r#"f("         ")"#),
        ("f('{', 'a)", "f(' ', 'a)"),
        (r"f('\'')", "f('  ')"),
        ("r#\"a\"b\"# x", "r#\"   \"# x"),
        ("br\"a\" b'c'", "br\" \" b' '"),
        ("for r in br {}", "for r in br {}"),
    ];
    for (text, expected) in cases {
        assert_eq!(Source::read(text).code, expected, "{text}");
    }
}

#[test]
fn comments_stay_in_prose() {
    let source = Source::read("f(\"abc\"); // why\n");
    assert_eq!(source.prose, "f(\"   \"); // why\n");
    assert_eq!(source.code, "f(\"   \");       \n");
}

#[test]
fn lines_are_kept() {
    let text = "a\n\"b\nc\"\n/* d\n\n*/ e\n";
    let source = Source::read(text);
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(source.prose.lines().count(), text.lines().count());
}

#[test]
fn functions_are_measured() {
    let text = "\
pub fn one<F: Fn(usize) -> f32>(&self, f: F, xs: [(u8, u8); 2]) -> [u8; 2] {
    // a comment

    f(1)
}
trait T { fn declared(&self); }
type P = fn (u8) -> u8;
impl X { fn two() {} }
";
    let found = Source::read(text).functions();
    assert_eq!(found, [named("one", 0, 3, 2), named("two", 7, 1, 0)]);
}

#[test]
fn inline_test_modules_are_not_product() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    x\n}\nfn b() {}\n";
    let source = Source::read(text);
    assert_eq!(source.is_test, [false, true, true, true, true, false]);
    assert_eq!(source.n_product_lines(), 2);
    let outside = Source::read("fn a() {}\n#[cfg(test)]\nmod tests;\n");
    assert_eq!(outside.n_product_lines(), 3);
}
