//! The system's clipboard, beside the terminal's (OSC 52): on a thread of its own, since a display that does not answer
//! must not hold up the screen. Where there is none (over SSH, without a display) nothing happens, and nothing is said.

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Puts a text on a clipboard; `false` where that does not work.
type Board = Box<dyn FnMut(String) -> bool>;

/// The way to the clipboard.
#[derive(Debug)]
pub(super) struct Clipboard {
    open: fn() -> Option<Board>,
    /// To the thread, once something was copied.
    texts: Option<Sender<String>>,
}

impl Clipboard {
    /// The system's.
    pub(super) fn system() -> Self {
        Self { open: open_system, texts: None }
    }

    /// Puts a text on it, if there is one.
    pub(super) fn put(&mut self, text: &str) {
        let open = self.open;
        let texts = self.texts.get_or_insert_with(|| start(open));
        // The thread has ended where there is no clipboard.
        let _ = texts.send(text.to_owned());
    }
}

fn start(open: fn() -> Option<Board>) -> Sender<String> {
    let (sender, receiver) = unbounded();
    let _ = std::thread::Builder::new().name("clipboard".to_owned()).spawn(move || serve(open, &receiver));
    sender
}

/// Keeps the clipboard open: on X11 its content is gone with the program that gave it.
fn serve(open: fn() -> Option<Board>, texts: &Receiver<String>) {
    let Some(mut board) = open() else { return };
    while let Ok(text) = texts.recv() {
        if !board(text) {
            return;
        }
    }
}

fn open_system() -> Option<Board> {
    let mut clipboard = arboard::Clipboard::new().ok()?;
    Some(Box::new(move |text| clipboard.set_text(text).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_clipboard_nothing_happens_however_often() {
        let mut clipboard = Clipboard { open: || None, texts: None };
        clipboard.put("one");
        // Until the thread has ended, and after that.
        while clipboard.texts.as_ref().is_some_and(|texts| texts.send(String::new()).is_ok()) {
            std::thread::yield_now();
        }
        clipboard.put("two");
        let mut broken = Clipboard { open: || Some(Box::new(|_| false)), texts: None };
        broken.put("one");
        broken.put("two");
    }
}
