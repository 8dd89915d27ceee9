use super::*;

#[test]
fn three_quotes_hold_a_text_of_several_lines() {
    assert_eq!(without_quotes("\"\"\"\none\ntwo\n\"\"\""), "one\ntwo");
    assert_eq!(without_quotes("\"\"\"one line\"\"\""), "one line");
    assert_eq!(without_quotes("a \"\"\" b"), "a \"\"\" b");
}
