use super::*;

#[test]
fn three_quotes_hold_a_text_of_several_lines() {
    assert_eq!(without_quotes("\"\"\"\none\ntwo\n\"\"\""), "one\ntwo");
    assert_eq!(without_quotes("\"\"\"one line\"\"\""), "one line");
    assert_eq!(without_quotes("a \"\"\" b"), "a \"\"\" b");
}

#[test]
fn what_only_the_full_screen_can_do_is_refused_in_a_sentence() {
    assert_eq!(refuse_on_lines("/pause").unwrap(), "/pause needs the full screen: leave, and start `gibber` for it");
    for line in ["/step on", "/heat", "/heat rank", "/score"] {
        assert!(refuse_on_lines(line).is_some(), "{line}");
    }
    for line in ["/stats", "hello", "//pause", "/paus"] {
        assert_eq!(refuse_on_lines(line), None);
    }
    let help = app::help_text();
    assert!(help.contains("/stats") && !help.contains("/pause"), "{help}");
}
