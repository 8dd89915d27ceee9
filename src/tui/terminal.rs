//! The terminal: taken at the start, given back whatever happens.

use std::cell::Cell;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdout};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::ThreadId;

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, KeyboardEnhancementFlags,
    PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};

/// On the alternate screen many terminals make arrow keys of the mouse wheel (mode 1007, "alternate scroll"), and Up would
/// bring an earlier prompt instead of the draft. Whether they did is kept (XTSAVE) before that is switched off.
const WHEEL_IS_WHEEL: &str = "\x1b[?1007s\x1b[?1007l";

/// Those that cannot keep it (XTRESTORE) have it on by themselves.
const WHEEL_AS_IT_WAS: &str = "\x1b[?1007h\x1b[?1007r";

type PanicHook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

/// The terminal in full-screen mode; dropping it gives the terminal back.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Output<Stdout>>>,
    /// See [`Output::holds`].
    holds: Rc<Cell<bool>>,
    mouse: bool,
    former_hook: Arc<PanicHook>,
}

/// Where frames go. Each is one write, where it is not huge: a write wakes whoever shows the terminal, and takes a core
/// from the model for that.
struct Output<W: Write> {
    out: BufWriter<W>,
    /// While a frame is in the making nothing of it is flushed.
    holds: Rc<Cell<bool>>,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.holds.get() { Ok(()) } else { self.out.flush() }
    }
}

impl Terminal {
    /// Takes the terminal.
    pub(super) fn take(mouse: bool) -> io::Result<Self> {
        let former_hook = install_panic_hook();
        enter(mouse).inspect_err(|_| leave())?;
        let holds = Rc::new(Cell::new(false));
        let output = Output { out: BufWriter::with_capacity(1 << 16, stdout()), holds: Rc::clone(&holds) };
        let inner = ratatui::Terminal::new(CrosstermBackend::new(output)).inspect_err(|_| leave())?;
        Ok(Self { inner, holds, mouse, former_hook })
    }

    /// Draws a frame, in one piece where the terminal can.
    pub(super) fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.holds.set(true);
        queue!(self.inner.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.inner.draw(render).map(|_| ());
        self.holds.set(false);
        execute!(self.inner.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    /// The next frame draws every cell. Nothing is asked: ratatui's own `clear` wants to know where the cursor is, and
    /// there are terminals that do not say (a serial line, a slow connection, one that is stopped).
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        let size = self.inner.size()?;
        self.inner.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Takes the terminal again after the program was stopped: whoever had it meanwhile may have left it in any state.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        // The modes first: in the background this stops the program again, before anything is written.
        disable_raw_mode()?;
        // What is counted or kept there is not to be so twice.
        execute!(stdout(), PopKeyboardEnhancementFlags, Print(WHEEL_AS_IT_WAS))?;
        enter(self.mouse)?;
        self.redraw()
    }

    /// Takes the mouse, or leaves it to the terminal's own selection.
    pub(super) fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        let backend = self.inner.backend_mut();
        if on { execute!(backend, EnableMouseCapture) } else { execute!(backend, DisableMouseCapture) }
    }

    /// Puts a text on the clipboard (OSC 52), where the terminal lets programs do that.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.inner.backend_mut(), CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal to `other` for a while.
    pub(super) fn lend<T>(&mut self, other: impl FnOnce() -> T) -> io::Result<T> {
        leave();
        let outcome = other();
        enter(self.mouse)?;
        self.redraw()?;
        Ok(outcome)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
        // Setting a hook while panicking would abort; the process is ending then anyway.
        if !std::thread::panicking() {
            let former = Arc::clone(&self.former_hook);
            set_hook(Box::new(move |info| former(info)));
        }
    }
}

fn enter(mouse: bool) -> io::Result<()> {
    // A signal that ends the program gives the terminal back, too.
    gibber_signals::terminal::hold(&leaving()?)?;
    enable_raw_mode()?;
    // So that Shift-Enter is told from Enter, where the terminal can; others ignore it.
    let flags = PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES);
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, Print(WHEEL_IS_WHEEL), flags)?;
    if mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// What undoes all that was switched on.
fn leaving() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    queue!(bytes, EndSynchronizedUpdate, DisableMouseCapture, Print(WHEEL_AS_IT_WAS), PopKeyboardEnhancementFlags)?;
    queue!(bytes, DisableBracketedPaste, LeaveAlternateScreen, Show)?;
    Ok(bytes)
}

/// Whether the terminal, which was there at the start, has gone: the window was closed, the connection broke.
pub(super) fn is_gone() -> bool {
    !io::stdin().is_terminal()
}

/// Gives the terminal back. Each step is tried, whatever became of the one before.
fn leave() {
    let mut out = stdout();
    let _ = leaving().and_then(|bytes| out.write_all(&bytes));
    let _ = out.flush();
    let _ = disable_raw_mode();
    gibber_signals::terminal::release();
}

/// A panic of this thread gives the terminal back before it is told; one of another thread must not touch the screen:
/// who started that thread catches it and says so.
fn install_panic_hook() -> Arc<PanicHook> {
    let former: Arc<PanicHook> = Arc::from(take_hook());
    let hook = Arc::clone(&former);
    let screen_thread: ThreadId = std::thread::current().id();
    set_hook(Box::new(move |info| {
        if std::thread::current().id() == screen_thread {
            leave();
            hook(info);
        } else {
            tracing::error!("{info}");
        }
    }));
    former
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the writes that reach it.
    #[derive(Default)]
    struct Counting(Rc<Cell<usize>>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + 1);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_is_one_write() {
        let (writes, holds) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
        let out = BufWriter::with_capacity(1 << 16, Counting(Rc::clone(&writes)));
        let mut output = Output { out, holds: Rc::clone(&holds) };
        for _ in 0..3 {
            output.write_all(b"part of a frame").unwrap();
            output.flush().unwrap();
        }
        assert_eq!(writes.get(), 0);
        holds.set(false);
        output.flush().unwrap();
        assert_eq!(writes.get(), 1);
    }
}
