//! A program in a real pseudo-terminal, and the screen that a person would see.
//!
//! A thread reads what the program writes into a [`vt100`] parser and answers the questions that programs ask terminals.
//! Tests press keys and wait for the screen to show something: every wait has a deadline and, when it passes, prints
//! the screen. Nothing here sleeps.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use vt100::Screen;

/// How long a test waits for what it expects. Passing this is a failure; it is never part of a test's own time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that are not characters, as terminals send them.
pub(crate) mod key {
    pub(crate) const ENTER: &str = "\r";
    pub(crate) const ESC: &str = "\x1b";
    pub(crate) const TAB: &str = "\t";
    pub(crate) const RIGHT: &str = "\x1b[C";
    pub(crate) const CTRL_C: &str = "\x03";
    pub(crate) const CTRL_D: &str = "\x04";
    pub(crate) const CTRL_O: &str = "\x0f";
    pub(crate) const CTRL_Z: &str = "\x1a";
}

/// What the program asked of the terminal beside drawing; no model and no file may cause any of it.
#[derive(Debug, Default)]
struct Requests {
    /// Bells, titles, clipboard writes, and sequences that the parser does not know.
    noted: Vec<String>,
    /// Answers that are due.
    answers: Vec<u8>,
    /// Whether no question is answered.
    is_mute: bool,
}

impl vt100::Callbacks for Requests {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.noted.push("bell".into());
    }

    fn set_window_title(&mut self, _: &mut Screen, title: &[u8]) {
        self.noted.push(format!("title {}", title.escape_ascii()));
    }

    fn set_window_icon_name(&mut self, _: &mut Screen, name: &[u8]) {
        self.noted.push(format!("icon name {}", name.escape_ascii()));
    }

    fn copy_to_clipboard(&mut self, _: &mut Screen, _: &[u8], data: &[u8]) {
        self.noted.push(format!("clipboard {}", data.escape_ascii()));
    }

    fn unhandled_osc(&mut self, _: &mut Screen, parameters: &[&[u8]]) {
        let parts: Vec<_> = parameters.iter().map(|part| part.escape_ascii().to_string()).collect();
        self.noted.push(format!("OSC {}", parts.join(";")));
    }

    fn unhandled_control(&mut self, _: &mut Screen, byte: u8) {
        self.noted.push(format!("control {byte:#04x}"));
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut Screen,
        first: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        letter: char,
    ) {
        match (first, letter) {
            (None, 'c' | 'n') if self.is_mute => {}
            // Primary device attributes: a plain VT220, which also ends crossterm's question for the Kitty protocol.
            (None, 'c') => self.answers.extend(b"\x1b[?62c"),
            (None, 'n') => {
                let (row, column) = screen.cursor_position();
                self.answers.extend(format!("\x1b[{};{}R", row + 1, column + 1).bytes());
            }
            // Synchronized output, an old mouse mode, the wheel as arrow keys, colours of underlines; the Kitty protocol's
            // push, pop and question.
            (Some(b'?'), 'h' | 'l' | 's' | 'r')
                if parameters.iter().any(|modes| matches!(modes, [2026 | 1015 | 1007])) => {}
            (None, 'm') => {}
            (Some(b'>' | b'<' | b'?'), 'u') => {}
            _ => self.noted.push(format!("CSI {first:?} {parameters:?} {letter}")),
        }
    }
}

type Parser = vt100::Parser<Requests>;

/// The parser, and a bell for whoever waits for it to change.
struct Display {
    parser: Mutex<Parser>,
    /// Every byte the program wrote.
    written: Mutex<Vec<u8>>,
    changed: Condvar,
    /// Whether the window is to be closed.
    is_closing: AtomicBool,
}

impl Display {
    fn lock(&self) -> MutexGuard<'_, Parser> {
        self.parser.lock().unwrap()
    }
}

/// A program that runs in a pseudo-terminal. Dropping it kills the program.
pub(crate) struct Terminal {
    display: Arc<Display>,
    keyboard: Arc<Mutex<Box<dyn Write + Send>>>,
    master: Option<Box<dyn MasterPty + Send>>,
    // Held so that the terminal's state can be read after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    ended: Receiver<ExitStatus>,
    process: Pid,
    running: bool,
    modes_before: u64,
}

impl Terminal {
    /// Starts `command` on a screen of `columns` by `rows`.
    pub(crate) fn start(command: CommandBuilder, (columns, rows): (u16, u16)) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let parser = Parser::new_with_callbacks(nonzero(rows), nonzero(columns), 0, Requests::default());
        let display = Arc::new(Display {
            parser: Mutex::new(parser),
            written: Mutex::default(),
            changed: Condvar::new(),
            is_closing: AtomicBool::new(false),
        });
        let keyboard = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let modes_before = modes(pair.master.as_ref());
        let mut child = pair.slave.spawn_command(command).unwrap();
        let process = Pid::from_raw(child.process_id().unwrap().try_into().unwrap()).unwrap();
        let (report, ended) = mpsc::channel();
        thread::spawn(move || report.send(child.wait().unwrap()));
        let (reader, shown, answers) =
            (pair.master.try_clone_reader().unwrap(), Arc::clone(&display), Arc::clone(&keyboard));
        thread::spawn(move || read_all(reader, &shown, &answers));
        Self {
            display,
            keyboard,
            master: Some(pair.master),
            _slave: pair.slave,
            ended,
            process,
            running: true,
            modes_before,
        }
    }

    /// Presses keys, or types text: the bytes as a terminal sends them.
    pub(crate) fn press(&self, keys: &str) {
        let mut keyboard = self.keyboard.lock().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Pastes text, bracketed as the program asked for.
    pub(crate) fn paste(&self, text: &str) {
        self.press(&format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Changes the size of the screen, which the program learns by SIGWINCH.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.display.lock().set_size(nonzero(rows), nonzero(columns));
        self.master.as_ref().unwrap().resize(size(columns, rows)).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process, signal).unwrap();
    }

    /// From now on the terminal answers no question, as over a serial line.
    pub(crate) fn answer_nothing(&self) {
        self.display.lock().callbacks_mut().is_mute = true;
    }

    /// Closes the window while the program writes something, and waits for the program to end.
    pub(crate) fn hang_up(&mut self) -> ExitStatus {
        self.display.is_closing.store(true, Ordering::Release);
        *self.keyboard.lock().unwrap() = Box::new(std::io::sink());
        self.master = None;
        self.wait_for_end()
    }

    /// The text of the screen, a line a row.
    pub(crate) fn contents(&self) -> String {
        text(self.display.lock().screen())
    }

    /// What the program asked of the terminal beside drawing.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.display.lock().callbacks().noted.clone()
    }

    /// Every byte that the program wrote.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.display.written.lock().unwrap().clone()
    }

    /// Whether the program reads key by key, without echo.
    pub(crate) fn is_raw(&self) -> bool {
        modes(self.master.as_ref().unwrap().as_ref()) != self.modes_before
    }

    /// Waits until the screen is as `wanted` says; returns its text.
    pub(crate) fn wait_for(&self, what: &str, mut wanted: impl FnMut(&Screen) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.display.lock();
        while !wanted(parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}; the screen:\n{}", text(parser.screen()));
            parser = self.display.changed.wait_timeout(parser, left).unwrap().0;
        }
        text(parser.screen())
    }

    /// Waits until the screen's text is as `wanted` says; returns it.
    pub(crate) fn wait_for_screen(&self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> String {
        self.wait_for(what, |screen| wanted(&text(screen)))
    }

    /// Waits until `wanted` stands on the screen; returns the screen's text.
    pub(crate) fn wait_for_text(&self, wanted: &str) -> String {
        self.wait_for_screen(&format!("{wanted:?}"), |screen| screen.contains(wanted))
    }

    /// Waits for the program to end.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let ended = self.ended.recv_timeout(PATIENCE);
        let status = ended.unwrap_or_else(|_| panic!("the program goes on; the screen:\n{}", self.contents()));
        self.running = false;
        status
    }

    /// Checks that the terminal is as the program found it: the main screen, a cursor, lines with echo, no paste or mouse
    /// reports. Waits for what is still under way.
    pub(crate) fn assert_restored(&self) {
        self.wait_for("the terminal to be restored", |screen| {
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        });
        assert!(!self.is_raw(), "the terminal was left in raw mode");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.running {
            // It may have ended by itself, and then there is nothing to kill.
            let _ = kill_process(self.process, Signal::KILL);
            let _ = self.ended.recv_timeout(PATIENCE);
        }
    }
}

/// Shows what the program writes, until its terminal is gone.
fn read_all(mut reader: Box<dyn Read + Send>, display: &Display, keyboard: &Mutex<Box<dyn Write + Send>>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        if display.is_closing.load(Ordering::Acquire) {
            return;
        }
        display.written.lock().unwrap().extend(&bytes[..count]);
        let mut parser = display.lock();
        parser.process(&bytes[..count]);
        let answers = std::mem::take(&mut parser.callbacks_mut().answers);
        drop(parser);
        display.changed.notify_all();
        if !answers.is_empty() && keyboard.lock().unwrap().write_all(&answers).is_err() {
            break;
        }
    }
}

/// Rows without their trailing blanks. `Screen::contents` would join rows that were wrapped.
fn text(screen: &Screen) -> String {
    let columns = screen.size().1.get();
    let rows: Vec<_> = screen.rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n")
}

/// The line discipline's local flags: echo, lines, signals.
fn modes(master: &dyn MasterPty) -> u64 {
    // The type's width depends on the system.
    u64::from(master.get_termios().unwrap().local_flags.bits())
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn nonzero(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

#[test]
fn the_screen_shows_what_the_program_writes_and_the_keys_reach_it() {
    let mut terminal = Terminal::start(CommandBuilder::new("cat"), (40, 10));
    terminal.press("two words\r");
    terminal.wait_for("echo and answer", |screen| text(screen).matches("two words").count() == 2);
    assert!(!terminal.is_raw());
    terminal.press(key::CTRL_D);
    assert!(terminal.wait_for_end().success());
    terminal.assert_restored();
}

#[test]
fn a_terminal_that_is_left_in_disorder_is_noticed() {
    let mut command = CommandBuilder::new("sh");
    command.args(["-c", r#"stty raw -echo; printf '\033[?1049h\033[?25l\033[?2004h\033]0;owned\007\a'"#]);
    let mut terminal = Terminal::start(command, (40, 10));
    assert!(terminal.wait_for_end().success());
    terminal.wait_for("the disorder", |screen| {
        screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste()
    });
    assert!(terminal.is_raw());
    let requests = terminal.requests();
    assert!(requests.contains(&"title owned".to_owned()) && requests.contains(&"bell".to_owned()), "{requests:?}");
}
