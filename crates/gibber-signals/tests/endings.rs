//! A program of its own for each ending: this one, started again in a pseudo-terminal, as the child of a test.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::undocumented_unsafe_blocks)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gibber_signals::{ending, mapped, terminal};
use libc::{SIGABRT, SIGBUS, SIGSEGV, SIGTERM, c_int};

/// Says which part the child plays.
const PART: &str = "GIBBER_SIGNALS_PART";
const LEAVING: &str = "<terminal given back>";
/// No test takes as long by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is started again: it plays its part and does not come back. As a test it has nothing to do.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    // Whoever has started the tests may have these ignored: a shell in the background, nohup. They would stay so.
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    match part.as_str() {
        "wait" => wait(),
        "release" => {
            hold();
            terminal::release();
            wait_quietly();
        }
        "ignored" => {
            unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
            hold();
            unsafe { libc::raise(libc::SIGUSR1) };
            say("still here");
            terminal::restore();
            ending::exit(3);
        }
        "abort" => {
            hold();
            std::process::abort();
        }
        "memory" => {
            hold();
            drop(std::hint::black_box(Vec::<u8>::with_capacity(isize::MAX as usize)));
        }
        "null" => {
            hold();
            unsafe { std::ptr::null::<u8>().wrapping_add(std::hint::black_box(0)).read_volatile() };
        }
        "overflow" => {
            hold();
            println!("{}", deep(1));
        }
        "listen" => {
            let _wish = ending::listen(&[SIGTERM], |_| say("asked to leave")).unwrap();
            wait();
        }
        "settled" => {
            let wish = std::sync::Arc::new(std::sync::OnceLock::<ending::Wish>::new());
            let of_listener = std::sync::Arc::clone(&wish);
            let listening = ending::listen(&[SIGTERM], move |_| {
                say("asked to stop");
                of_listener.wait().settle();
            });
            wish.set(listening.unwrap()).unwrap();
            wait();
        }
        "lent" => {
            let (go_on, busy) = std::sync::mpsc::channel();
            let (notice, is_busy) = std::sync::mpsc::channel();
            // Whoever listens is busy until the other program has ended, and looks then.
            let notify = move |signal| match signal {
                libc::SIGWINCH => {
                    notice.send(()).unwrap();
                    busy.recv().unwrap();
                }
                libc::SIGUSR2 => ending::exit(3),
                signal => say(&format!("asked to leave by {signal}")),
            };
            let wish = ending::listen(&[libc::SIGWINCH, libc::SIGINT, libc::SIGUSR2], notify).unwrap();
            unsafe { libc::raise(libc::SIGWINCH) };
            is_busy.recv().unwrap();
            wish.while_lent(|| [libc::SIGINT, libc::SIGQUIT].map(|signal| unsafe { libc::raise(signal) }));
            unsafe { libc::raise(libc::SIGUSR2) };
            go_on.send(()).unwrap();
            wait_quietly();
        }
        "mapped" => {
            hold();
            gibber_signals::watch_mapped_files();
            read_what_is_gone();
        }
        "mapped and told" => {
            hold();
            gibber_signals::watch_mapped_files();
            mapped::notify(mapped::PATIENCE, || {
                say("saved");
                ending::exit(1);
            })
            .unwrap();
            std::thread::spawn(read_what_is_gone).join().unwrap();
        }
        "mapped and nobody cares" => {
            hold();
            gibber_signals::watch_mapped_files();
            mapped::notify(Duration::from_secs(1), || say("told")).unwrap();
            std::thread::spawn(read_what_is_gone).join().unwrap();
        }
        other => panic!("no part is called {other}"),
    }
}

/// Holds the terminal, and makes it raw.
fn hold() {
    terminal::hold(LEAVING.as_bytes()).unwrap();
    unsafe {
        let mut modes = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(0, &raw mut modes), 0);
        libc::cfmakeraw(&raw mut modes);
        assert_eq!(libc::tcsetattr(0, libc::TCSANOW, &raw const modes), 0);
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").unwrap();
    out.flush().unwrap();
}

fn wait() -> ! {
    hold();
    wait_quietly()
}

fn wait_quietly() -> ! {
    say("ready");
    loop {
        std::thread::park();
    }
}

#[allow(unconditional_recursion)]
fn deep(number: u64) -> u64 {
    let room = std::hint::black_box([number; 100]);
    deep(room[3] + 1) + room[7]
}

/// Maps a file, cuts it short, and reads it.
fn read_what_is_gone() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 1 << 16]).unwrap();
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), 1 << 16, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED);
        file.set_len(0).unwrap();
        map.cast::<u8>().add(40_000).read_volatile();
    }
    say("it was read");
}

/// A child in a terminal of its own.
struct Played {
    child: Child,
    screen: File,
    written: String,
    before: libc::termios,
    // Keeps the terminal's modes when the child is gone.
    slave: File,
}

impl Played {
    fn start(part: &str) -> Self {
        let (mut master, mut slave) = (-1, -1);
        let no_name = std::ptr::null_mut();
        let opened = unsafe {
            libc::openpty(&raw mut master, &raw mut slave, no_name, std::ptr::null_mut(), std::ptr::null_mut())
        };
        assert_eq!(opened, 0);
        let (screen, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let before = modes(&slave);
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture"]).env(PART, part);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { child, screen, written: String::new(), before, slave }
    }

    fn signal(&self, signal: c_int) {
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// Reads until `text` has come.
    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.written.contains(text) {
            assert!(Instant::now() < deadline, "waited in vain for {text:?}: {}", self.written);
            self.read();
        }
    }

    /// Reads what is there, without waiting for long.
    fn read(&mut self) {
        let mut wanted = libc::pollfd { fd: self.screen.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        if unsafe { libc::poll(&raw mut wanted, 1, 10) } > 0 {
            let mut bytes = [0; 4096];
            let count = self.screen.read(&mut bytes).unwrap_or(0);
            self.written.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits for the end; `meanwhile` is done again and again.
    fn end(&mut self, meanwhile: impl Fn(&Self)) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                (0..20).for_each(|_| self.read());
                return status;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("it goes on: {}", self.written);
            }
            meanwhile(self);
        }
    }

    fn assert_given_back(&self) {
        assert_eq!(self.written.matches(LEAVING).count(), 1, "{}", self.written);
        let (before, after) = (&self.before, &modes(&self.slave));
        let flags = |modes: &libc::termios| (modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag, modes.c_cc);
        assert_eq!(flags(before), flags(after));
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // It has ended by itself where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn modes(terminal: &File) -> libc::termios {
    unsafe {
        let mut modes = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &raw mut modes), 0);
        modes
    }
}

/// The end of a part that ends by itself.
fn end_of(part: &str) -> (ExitStatus, Played) {
    let mut played = Played::start(part);
    (played.end(|_| {}), played)
}

#[test]
fn each_signal_ends_the_program_with_the_terminal_given_back() {
    #[cfg(target_os = "linux")]
    let others = vec![libc::SIGIO, libc::SIGPWR, libc::SIGSTKFLT, libc::SIGRTMIN(), libc::SIGRTMAX()];
    #[cfg(not(target_os = "linux"))]
    let others = vec![];
    let everywhere = [
        libc::SIGQUIT,
        SIGABRT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        SIGBUS,
        SIGSEGV,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    let timers = [libc::SIGXFSZ, libc::SIGXCPU, libc::SIGVTALRM, libc::SIGPROF];
    for signal in everywhere.into_iter().chain(timers).chain(others) {
        let mut played = Played::start("wait");
        played.wait_for("ready");
        played.signal(signal);
        let status = played.end(|_| {});
        assert_eq!(status.signal(), Some(signal), "{signal}: {status}");
        played.assert_given_back();
    }
}

#[test]
fn a_terminal_that_was_released_is_left_alone() {
    let mut played = Played::start("release");
    played.wait_for("ready");
    played.signal(libc::SIGQUIT);
    assert_eq!(played.end(|_| {}).signal(), Some(libc::SIGQUIT));
    assert!(!played.written.contains(LEAVING), "{}", played.written);
}

#[test]
fn a_signal_that_was_ignored_stays_so() {
    let (status, played) = end_of("ignored");
    assert_eq!(status.code(), Some(3), "{}", played.written);
    played.assert_given_back();
}

#[test]
fn a_fault_keeps_its_signal_and_the_runtimes_word() {
    let (status, played) = end_of("null");
    assert_eq!(status.signal(), Some(SIGSEGV), "{}", played.written);
    played.assert_given_back();
    let (status, played) = end_of("overflow");
    assert_eq!(status.signal(), Some(SIGABRT), "{}", played.written);
    assert!(played.written.contains("has overflowed its stack"), "{}", played.written);
    played.assert_given_back();
}

#[test]
fn an_abort_is_said_behind_the_screen() {
    for part in ["abort", "memory"] {
        let (status, played) = end_of(part);
        assert_eq!(status.signal(), Some(SIGABRT), "{}", played.written);
        let behind = played.written.split(LEAVING).nth(1).unwrap();
        assert!(behind.contains("error: the program was aborted"), "{}", played.written);
        played.assert_given_back();
    }
}

#[test]
fn the_second_wish_to_leave_ends_a_program_that_does_not() {
    let mut played = Played::start("listen");
    played.wait_for("ready");
    played.signal(SIGTERM);
    played.wait_for("asked to leave");
    let status = played.end(|played| played.signal(SIGTERM));
    assert_eq!(status.signal(), Some(SIGTERM));
    assert_eq!(played.written.matches("asked to leave").count(), 1, "{}", played.written);
    played.assert_given_back();
}

#[test]
fn keys_for_another_program_are_no_wish_however_late_one_listens() {
    let (status, played) = end_of("lent");
    assert_eq!(status.code(), Some(3), "{}", played.written);
    assert!(!played.written.contains("asked to leave"), "{}", played.written);
}

#[test]
fn a_wish_that_was_settled_is_followed_by_another_first_one() {
    let mut played = Played::start("settled");
    played.wait_for("ready");
    let deadline = Instant::now() + PATIENCE;
    while played.written.matches("asked to stop").count() < 3 && Instant::now() < deadline {
        played.signal(SIGTERM);
        played.read();
    }
    assert_eq!(played.child.try_wait().unwrap(), None, "{}", played.written);
}

#[test]
fn a_mapped_file_that_was_cut_short_ends_the_program_with_a_sentence() {
    let (status, played) = end_of("mapped");
    assert_eq!(status.code(), Some(1), "{}", played.written);
    assert!(played.written.contains(mapped::CHANGED), "{}", played.written);
    played.assert_given_back();
}

#[test]
fn who_holds_the_chat_is_told_of_a_mapped_file() {
    let (status, played) = end_of("mapped and told");
    assert_eq!(status.code(), Some(1), "{}", played.written);
    assert!(played.written.contains("saved") && !played.written.contains("it was read"), "{}", played.written);
    played.assert_given_back();
}

#[test]
fn where_nobody_reacts_to_a_mapped_file_the_signal_ends_the_program() {
    let (status, played) = end_of("mapped and nobody cares");
    assert_eq!(status.signal(), Some(SIGBUS), "{}", played.written);
    played.assert_given_back();
}
