//! Events of the terminal, read by a thread of their own, and keys in the keymap's terms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::terminal;
use crate::app::keymap::{Key, KeyPress, Keymap};

/// How long the thread waits for an event before it looks whether it is to pause. Keys do not wait for it.
const POLL: Duration = Duration::from_millis(250);

/// The reading thread's end in the event loop.
#[derive(Debug)]
pub(super) struct Input {
    events: Receiver<std::io::Result<Event>>,
    paused: Arc<AtomicBool>,
    resting: Receiver<()>,
}

impl Input {
    /// Starts the thread; it ends when the terminal does, or when this is dropped.
    pub(super) fn spawn() -> std::io::Result<Self> {
        let (event_sender, events) = unbounded();
        let (rest_sender, resting) = crossbeam_channel::bounded(1);
        let paused = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&paused);
        std::thread::Builder::new()
            .name("terminal input".to_owned())
            .spawn(move || read_events(&event_sender, &rest_sender, &flag))?;
        Ok(Self { events, paused, resting })
    }

    /// Where the events arrive.
    pub(super) fn events(&self) -> &Receiver<std::io::Result<Event>> {
        &self.events
    }

    /// Leaves the terminal's input to another program until [`Input::resume`]; returns once the thread rests.
    pub(super) fn pause(&self) {
        while self.resting.try_recv().is_ok() {}
        self.paused.store(true, Ordering::Release);
        let _ = self.resting.recv_timeout(4 * POLL);
    }

    /// Reads on.
    pub(super) fn resume(&self) {
        self.paused.store(false, Ordering::Release);
    }
}

fn read_events(events: &Sender<std::io::Result<Event>>, rest: &Sender<()>, paused: &AtomicBool) {
    loop {
        if paused.load(Ordering::Acquire) {
            let _ = rest.try_send(());
            std::thread::sleep(POLL / 10);
            continue;
        }
        let event = match event::poll(POLL) {
            // Of a terminal that has gone it reads nothing, again and again, and calls that no error.
            Ok(false) if terminal::is_gone() => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let broken = event.is_err();
        if events.send(event).is_err() || broken {
            return;
        }
    }
}

/// What was pressed, in the keymap's terms. A terminal that sends Esc as one byte cannot tell Esc and a key behind it from
/// that key with Alt, where both are read at once (tmux waits half a second for the second one). So Alt with a key is
/// Esc and that key wherever nothing is bound to it: neither of the two is lost.
pub(super) fn key_presses(event: &KeyEvent, keymap: &Keymap) -> Vec<KeyPress> {
    let Some(press) = key_press(event) else { return Vec::new() };
    let is_one_byte = matches!(press.key, Key::Char(_) | Key::Enter | Key::Tab | Key::Backspace) && !press.shift;
    if !press.alt || !is_one_byte || keymap.is_bound(press) {
        return vec![press];
    }
    let alone = KeyEvent { modifiers: event.modifiers - KeyModifiers::ALT, ..*event };
    std::iter::once(KeyPress::plain(Key::Esc)).chain(key_press(&alone)).collect()
}

/// A key in the keymap's terms; `None` for releases and for keys that nothing can be bound to.
fn key_press(event: &KeyEvent) -> Option<KeyPress> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    let shift = event.modifiers.contains(KeyModifiers::SHIFT);
    let press = |key| Some(KeyPress { key, ctrl, alt, shift });
    match event.code {
        // Many terminals send ^H for Backspace; the two cannot be told apart.
        KeyCode::Char('h') if ctrl && !alt => Some(KeyPress::plain(Key::Backspace)),
        KeyCode::Char(character) => {
            let key = if ctrl || alt { character.to_ascii_lowercase() } else { character };
            Some(KeyPress { key: Key::Char(key), ctrl, alt, shift: false })
        }
        KeyCode::Enter => press(Key::Enter),
        // Esc twice arrives as Alt-Esc where both are read at once.
        KeyCode::Esc => Some(KeyPress::plain(Key::Esc)),
        KeyCode::Tab => press(Key::Tab),
        KeyCode::BackTab => Some(KeyPress { key: Key::Tab, ctrl, alt, shift: true }),
        KeyCode::Backspace => press(Key::Backspace),
        KeyCode::Delete => press(Key::Delete),
        KeyCode::Up => press(Key::Up),
        KeyCode::Down => press(Key::Down),
        KeyCode::Left => press(Key::Left),
        KeyCode::Right => press(Key::Right),
        KeyCode::Home => press(Key::Home),
        KeyCode::End => press(Key::End),
        KeyCode::PageUp => press(Key::PageUp),
        KeyCode::PageDown => press(Key::PageDown),
        KeyCode::F(number) => press(Key::F(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<KeyPress> {
        key_press(&KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_are_what_the_table_calls_them() {
        let none = KeyModifiers::NONE;
        assert_eq!(pressed(KeyCode::Char('J'), KeyModifiers::CONTROL), KeyPress::parse("Ctrl-J"));
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::SHIFT), KeyPress::parse("Shift-Tab"));
        assert_eq!(pressed(KeyCode::Char('A'), KeyModifiers::SHIFT), Some(KeyPress::plain(Key::Char('A'))));
        assert_eq!(pressed(KeyCode::Char('h'), KeyModifiers::CONTROL), Some(KeyPress::plain(Key::Backspace)));
        assert_eq!(pressed(KeyCode::Esc, KeyModifiers::ALT), Some(KeyPress::plain(Key::Esc)));
        assert_eq!(pressed(KeyCode::Tab, KeyModifiers::ALT), KeyPress::parse("Alt-Tab"));
        assert_eq!(pressed(KeyCode::CapsLock, none), None);
        let release = KeyEvent::new_with_kind(KeyCode::Enter, none, KeyEventKind::Release);
        assert_eq!(key_press(&release), None);
    }

    #[test]
    fn esc_and_a_key_that_are_read_at_once_are_both_pressed() {
        let keymap = Keymap::default();
        let presses = |code, modifiers| key_presses(&KeyEvent::new(code, modifiers), &keymap);
        let after_esc = |key: &str| vec![KeyPress::plain(Key::Esc), KeyPress::parse(key).unwrap()];
        assert_eq!(presses(KeyCode::Char('x'), KeyModifiers::ALT), after_esc("x"));
        let capital = presses(KeyCode::Char('X'), KeyModifiers::ALT | KeyModifiers::SHIFT);
        assert_eq!(capital, [KeyPress::plain(Key::Esc), KeyPress::plain(Key::Char('X'))]);
        assert_eq!(presses(KeyCode::Char('c'), KeyModifiers::ALT | KeyModifiers::CONTROL), after_esc("Ctrl-C"));
        // What is bound is what the table says; what no byte stands for is never Esc.
        assert_eq!(presses(KeyCode::Char('b'), KeyModifiers::ALT), [KeyPress::parse("Alt-B").unwrap()]);
        assert_eq!(presses(KeyCode::Enter, KeyModifiers::ALT), [KeyPress::parse("Alt-Enter").unwrap()]);
        assert_eq!(presses(KeyCode::PageUp, KeyModifiers::ALT).len(), 1);
        assert_eq!(presses(KeyCode::Char('x'), KeyModifiers::NONE), [KeyPress::parse("x").unwrap()]);
    }
}
