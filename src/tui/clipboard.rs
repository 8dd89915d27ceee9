//! The system's clipboard, beside the terminal's (OSC 52): on a thread of its own, since a display that does not answer
//! must not hold up the screen. Where there is none (over SSH, without a display) nothing happens, and nothing is said.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

/// Puts a text on a clipboard; `false` where that does not work.
type Board = Box<dyn FnMut(String) -> bool>;

/// How long the end of the program waits for the desktop to take over what was copied.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to the clipboard.
///
/// On X11 what is on the clipboard belongs to the program that put it there. Dropped, this hands it over to the desktop's
/// clipboard manager, where one runs: otherwise it would be gone with the program.
#[derive(Debug)]
pub(super) struct Clipboard {
    open: fn() -> Option<Board>,
    /// To the thread, once something was copied.
    texts: Option<Sender<String>>,
    /// Closed once the thread has ended.
    ended: Option<Receiver<()>>,
}

impl Drop for Clipboard {
    fn drop(&mut self) {
        self.texts = None;
        if let Some(ended) = &self.ended {
            // It ends by itself where there is no clipboard; a display that does not answer is not waited for.
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

impl Clipboard {
    /// The system's.
    pub(super) fn system() -> Self {
        Self::opened_by(open_system)
    }

    fn opened_by(open: fn() -> Option<Board>) -> Self {
        Self { open, texts: None, ended: None }
    }

    /// Puts a text on it, if there is one.
    pub(super) fn put(&mut self, text: &str) {
        if self.texts.is_none() {
            let (texts, ended) = start(self.open);
            (self.texts, self.ended) = (Some(texts), Some(ended));
        }
        if let Some(texts) = &self.texts {
            // The thread has ended where there is no clipboard.
            let _ = texts.send(text.to_owned());
        }
    }
}

fn start(open: fn() -> Option<Board>) -> (Sender<String>, Receiver<()>) {
    let (sender, receiver) = unbounded();
    let (end, ended) = bounded(0);
    let _ = std::thread::Builder::new().name("clipboard".to_owned()).spawn(move || {
        serve(open, &receiver);
        // Only now that the clipboard is closed.
        drop(end);
    });
    (sender, ended)
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn without_a_clipboard_nothing_happens_however_often() {
        let mut clipboard = Clipboard::opened_by(|| None);
        clipboard.put("one");
        // Until the thread has ended, and after that.
        while clipboard.texts.as_ref().is_some_and(|texts| texts.send(String::new()).is_ok()) {
            std::thread::yield_now();
        }
        clipboard.put("two");
        let mut broken = Clipboard::opened_by(|| Some(Box::new(|_| false)));
        broken.put("one");
        broken.put("two");
    }

    #[test]
    fn the_clipboard_is_closed_before_the_program_ends() {
        static IS_CLOSED: AtomicBool = AtomicBool::new(false);
        struct Held;
        impl Drop for Held {
            fn drop(&mut self) {
                IS_CLOSED.store(true, Ordering::SeqCst);
            }
        }
        let mut clipboard = Clipboard::opened_by(|| {
            let held = Held;
            Some(Box::new(move |_| {
                let _held = &held;
                true
            }))
        });
        clipboard.put("one");
        let ended = clipboard.ended.clone().unwrap();
        drop(clipboard);
        // However slow the machine is: the thread ends because of the drop.
        assert!(ended.recv().is_err());
        assert!(IS_CLOSED.load(Ordering::SeqCst));
    }
}
