//! A key ends at the first layer that takes it.

use super::stage::Stage;
use crate::app::keymap::Context;
use crate::worker::fake::{FakeWorker, Step};

#[test]
fn a_key_ends_at_what_lies_on_top() {
    let mut stage = Stage::new(120, 30, FakeWorker::new().reply([Step::text("Yes")]));
    stage.keys("one<Enter>");
    stage.pump_to_end();
    // The list of keys over everything: a letter narrows it down, and nothing is written.
    stage.keys("<F1>x");
    assert_eq!((stage.screen.overlays.len(), stage.screen.composer.text()), (1, ""));
    // A key that it has no use for is none of the layers' below either, where it is one for writing.
    stage.keys("<Esc><Esc>");
    assert!(stage.screen.overlays.is_empty());
    // Names that are offered come before what is written: Down chooses one, and Esc takes them away and nothing else.
    stage.keys("/te<Down>");
    assert!(stage.screen.popup.is_open());
    assert_eq!(stage.screen.composer.text(), "/te");
    stage.keys("<Esc>");
    assert!(!stage.screen.popup.is_open());
    assert_eq!(stage.screen.composer.text(), "/te");
    // Without them the same key is the composer's.
    stage.keys("<Ctrl-U><Up>");
    assert_eq!(stage.screen.composer.text(), "one");
}

#[test]
fn a_key_that_no_layer_has_bound_is_written_whatever_has_the_focus() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    stage.keys("<Tab>");
    assert_eq!(stage.screen.focus, Context::Sampling);
    stage.keys("x");
    assert_eq!((stage.screen.focus, stage.screen.composer.text()), (Context::Composer, "x"));
}
