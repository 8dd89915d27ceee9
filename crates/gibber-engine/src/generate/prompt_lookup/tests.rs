use std::time::Duration;

use super::*;

/// Fed with `tokens` one by one, as a reply is.
fn drafter(mode: PromptLookup, tokens: &[TokenId]) -> Drafter {
    let mut drafter = Drafter::new(mode, 0);
    (1..=tokens.len()).for_each(|n| drafter.follow(&tokens[..n]));
    drafter
}

fn draft(mode: PromptLookup, tokens: &[TokenId], most: usize, eos: &[TokenId]) -> Vec<TokenId> {
    drafter(mode, tokens).draft(tokens, most, eos, &Pace::default()).to_vec()
}

const NOTHING: [TokenId; 0] = [];
const SAID: &[TokenId] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

#[test]
fn what_was_said_before_goes_on_as_it_did() {
    let tokens = [SAID, &SAID[..8]].concat();
    let found = draft(PromptLookup::On, &tokens, 100, &[]);
    assert!(found.len() >= 5, "{found:?}");
    assert_eq!(found, SAID[8..8 + found.len()]);
    assert_eq!(draft(PromptLookup::On, &tokens, 3, &[]), [9, 10, 11]);
    assert_eq!(draft(PromptLookup::On, &tokens, 0, &[]), NOTHING);
    assert_eq!(draft(PromptLookup::On, &tokens, 100, &[12]), [9, 10, 11], "nothing follows the end of a turn");
    assert_eq!(draft(PromptLookup::Off, &tokens, 100, &[]), NOTHING);
    assert_eq!(draft(PromptLookup::On, SAID, 100, &[]), NOTHING, "nothing comes twice");
}

#[test]
fn a_text_that_repeats_itself_is_drafted_beyond_its_end() {
    let tokens = [7, 8, 9].repeat(12);
    assert_eq!(draft(PromptLookup::On, &tokens, 8, &[]), [7, 8, 9, 7, 8, 9, 7, 8]);
}

#[test]
fn drafts_grow_as_they_come_true_and_stop_where_they_never_do() {
    let tokens = [SAID, &SAID[..3]].concat();
    let shy = draft(PromptLookup::On, &tokens, 100, &[]).len();
    let bold = draft(PromptLookup::On, &[SAID, &SAID[..16]].concat(), 100, &[]).len();
    assert!((1..bold).contains(&shy), "{shy} and {bold}");
    // The same three tokens again and again, and each time something else behind them.
    let teased: Vec<TokenId> = (100..130).flat_map(|other| [1, 2, 3, other]).chain([1, 2, 3]).collect();
    assert_eq!(draft(PromptLookup::On, &teased, 100, &[]), NOTHING);
}

#[test]
fn other_tokens_in_their_place_are_read_anew() {
    let tokens = [SAID, &SAID[..8]].concat();
    let mut drafter = drafter(PromptLookup::On, &tokens);
    drafter.restart();
    let others = [&SAID[10..], &SAID[10..15]].concat();
    drafter.follow(&others);
    assert_eq!(drafter.draft(&others, 2, &[], &Pace::default()), [16, 17]);
}

#[test]
fn auto_waits_for_the_clock_and_obeys_it() {
    let tokens = [SAID, &SAID[..16]].concat();
    let mut drafter = drafter(PromptLookup::Auto, &tokens);
    assert_eq!(drafter.draft(&tokens, 4, &[], &Pace::default()), NOTHING, "it is not known what anything takes");
    let paced = |relative: f64| {
        let mut pace = Pace::default();
        for _ in 0..40 {
            pace.note_pass(1, Duration::from_millis(10));
            for tokens in [2, 4, 8, 16] {
                pace.note_pass(tokens, Duration::from_millis(10).mul_f64(1.0 + relative * (tokens - 1) as f64));
                (1..tokens).for_each(|_| pace.note_accepted());
            }
        }
        pace
    };
    assert_eq!(drafter.draft(&tokens, 4, &[], &paced(0.1)), &SAID[16..]);
    assert_eq!(drafter.draft(&tokens, 4, &[], &paced(1.0)), NOTHING, "a pass of many takes as long as many passes");
}

#[test]
fn every_name_is_the_name_of_one() {
    for name in PromptLookup::NAMES {
        assert_eq!(PromptLookup::named(name).map(PromptLookup::as_str), Some(name));
    }
    assert_eq!(PromptLookup::named("On"), None);
}
