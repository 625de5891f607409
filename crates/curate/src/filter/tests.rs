use super::*;

#[test]
fn placeholder() {
    assert!(Filter::default().gopher.enabled);
}
