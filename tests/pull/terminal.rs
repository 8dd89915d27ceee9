//! What a person at a terminal is asked and shown.

use super::support::pty::key;
use super::*;

const SCREEN: (u16, u16) = (120, 24);

#[test]
fn a_model_that_is_not_here_is_asked_for_fetched_and_run() {
    let machine = Machine::new();
    let mut terminal = machine.terminal(&["run", "--raw", "-n", "4", "-m", "org/tiny-GGUF:Q8_0", "Once"], SCREEN);
    terminal.wait_for_text("pull org/tiny-GGUF:Q8_0, 82 kB? [Y/n]");
    terminal.press(key::ENTER);
    assert!(terminal.wait_for_end().success(), "{}", terminal.contents());
    terminal.assert_restored();
    assert!(machine.repository("org/tiny-GGUF").exists());
}

#[test]
fn no_the_end_of_input_and_ctrl_c_are_answers() {
    for (keys, code) in [("n\r", 1), (key::CTRL_D, 1), (key::CTRL_C, 130)] {
        let machine = Machine::new();
        let mut terminal = machine.terminal(&["run", "-m", "org/tiny-GGUF:Q8_0", "hi"], SCREEN);
        terminal.wait_for_text("[Y/n]");
        terminal.press(keys);
        assert_eq!(terminal.wait_for_end().exit_code(), code, "{keys:?}: {}", terminal.contents());
        if code == 1 {
            terminal.wait_for_text("`gibber pull org/tiny-GGUF:Q8_0` fetches it");
        }
        terminal.assert_restored();
        assert!(!machine.path("hf").exists());
    }
}

#[test]
fn the_bar_shows_how_far_it_is_on_any_width_and_goes_away() {
    for columns in [100, 30] {
        let machine = Machine::new();
        machine.hub.behave(|manners| manners.bytes_per_second = Some(30_000));
        let mut terminal = machine.terminal(&["pull", "-y", "org/tiny-GGUF:F32"], (columns, 12));
        terminal.wait_for_screen("a share", |screen| screen.contains(" % ") || screen.contains(" %,"));
        machine.hub.behave(|manners| manners.bytes_per_second = None);
        assert!(terminal.wait_for_end().success(), "{}", terminal.contents());
        terminal.wait_for_text("gibber -m ");
        let screen = terminal.contents();
        assert!(!screen.contains('━') && !screen.contains('─'), "{screen}");
        terminal.assert_restored();
        assert_eq!(terminal.requests(), Vec::<String>::new());
    }
}

#[test]
fn ctrl_c_takes_the_bar_away_and_says_what_is_kept() {
    let machine = Machine::new();
    machine.hub.behave(|manners| manners.bytes_per_second = Some(40_000));
    let mut terminal = machine.terminal(&["pull", "-y", "org/tiny-GGUF:F32"], SCREEN);
    terminal.wait_for_screen("the bar", |screen| screen.contains('─'));
    terminal.press(key::CTRL_C);
    assert_eq!(terminal.wait_for_end().exit_code(), 130);
    let screen = terminal.wait_for_text("what was fetched is kept");
    assert!(!screen.contains('━') && !screen.contains("─ "), "{screen}");
    terminal.assert_restored();
}

#[test]
fn floats_are_quantized_where_the_person_agrees() {
    let machine = Machine::new();
    let mut terminal = machine.terminal(&["pull", "org/tiny"], (100, 24));
    terminal.wait_for_text("quantize them to Q8_0");
    terminal.press("y\r");
    terminal.wait_for_text("gibber -m org/tiny-Q8_0");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn what_is_to_run_is_asked_about_its_floats_as_well() {
    let machine = Machine::new();
    let mut terminal = machine.terminal(&["run", "--raw", "-n", "4", "-m", "org/tiny", "Once"], SCREEN);
    terminal.wait_for_text("pull org/tiny, ");
    terminal.press(key::ENTER);
    terminal.wait_for_text("quantize them to Q8_0");
    terminal.press(key::ENTER);
    assert!(terminal.wait_for_end().success(), "{}", terminal.contents());
    assert!(machine.path("models/org/tiny-Q8_0.gguf").exists());
}

#[test]
fn removing_is_asked_about_with_no_as_the_usual_answer() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let mut terminal = machine.terminal(&["models", "remove", "org/tiny-GGUF"], SCREEN);
    terminal.wait_for_text("[y/N]");
    terminal.press(key::ENTER);
    assert_eq!(terminal.wait_for_end().exit_code(), 1);
    assert!(machine.repository("org/tiny-GGUF").exists());
    let mut terminal = machine.terminal(&["models", "remove", "org/tiny-GGUF"], SCREEN);
    terminal.wait_for_text("[y/N]");
    terminal.press("y\r");
    terminal.wait_for_text("82 kB freed");
    assert!(terminal.wait_for_end().success());
    assert!(!machine.repository("org/tiny-GGUF").exists());
}
