//! The terminal, given back by a signal that ends the program.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

use crate::{mapped, system};

/// Bytes that give a terminal back, at the most.
const ROOM: usize = 256;

/// What is said of an abort.
const ABORTED: &[u8] = b"error: the program was aborted: memory has run out, or there is a fault in it\n";

/// Whether a screen is held. Everything below is written only while it is not.
static HELD: AtomicBool = AtomicBool::new(false);
static LEAVING: [AtomicU8; ROOM] = [const { AtomicU8::new(0) }; ROOM];
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The terminal whose modes are kept.
static TERMINAL: AtomicI32 = AtomicI32::new(-1);
static MODES: Modes = Modes(UnsafeCell::new(MaybeUninit::uninit()));

/// The modes that the terminal had.
struct Modes(UnsafeCell<MaybeUninit<libc::termios>>);

// SAFETY: it is written by `hold` alone, which one thread calls, and only while `HELD` is false; it is read only by whoever
// has changed `HELD` from true to false, and plain data.
unsafe impl Sync for Modes {}

/// Signals that end a program and that it does not wait for.
fn fatal() -> impl Iterator<Item = c_int> {
    const EVERYWHERE: [c_int; 15] = [
        libc::SIGQUIT,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGSEGV,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGXFSZ,
        libc::SIGXCPU,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
    ];
    #[cfg(target_os = "linux")]
    let others = [libc::SIGIO, libc::SIGPWR, libc::SIGSTKFLT].into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
    #[cfg(not(target_os = "linux"))]
    let others = std::iter::empty();
    EVERYWHERE.into_iter().chain(others)
}

/// From now on, until [`release`], a signal that ends the program writes `leaving` to stdout and sets the terminal's modes
/// as they are now. To be called before the terminal is made raw, by the one thread that does so; where there is no
/// terminal, nothing is held.
///
/// # Errors
/// Where `leaving` is longer than 256 bytes.
pub fn hold(leaving: &[u8]) -> io::Result<()> {
    if leaving.len() > ROOM {
        return Err(io::Error::other("too much is to be written to give the terminal back"));
    }
    release();
    let mut modes = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `modes` is room for what is written.
    if unsafe { libc::tcgetattr(libc::STDIN_FILENO, modes.as_mut_ptr()) } == 0 {
        TERMINAL.store(libc::STDIN_FILENO, Ordering::Relaxed);
        // SAFETY: `HELD` is false after `release`, so that nobody reads; no other thread calls this.
        unsafe { *MODES.0.get() = modes };
    } else {
        TERMINAL.store(-1, Ordering::Relaxed);
    }
    for (place, byte) in LEAVING.iter().zip(leaving) {
        place.store(*byte, Ordering::Relaxed);
    }
    LENGTH.store(leaving.len(), Ordering::Relaxed);
    HELD.store(true, Ordering::Release);
    fatal().for_each(|signal| system::install(signal, on_fatal));
    Ok(())
}

/// The terminal was given back: signals do what they did before.
pub fn release() {
    HELD.store(false, Ordering::Release);
    // SIGBUS has another reason to be handled: see `mapped`.
    fatal().filter(|signal| *signal != libc::SIGBUS).for_each(system::uninstall);
    install_for_mapped_files();
}

/// The handler of SIGBUS is in force, if it is wanted without a screen.
pub(crate) fn install_for_mapped_files() {
    system::uninstall(libc::SIGBUS);
    if mapped::is_watched() {
        system::install(libc::SIGBUS, on_fatal);
    }
}

/// Gives the terminal back, once, if a screen is held; returns whether it was. Async-signal-safe.
pub fn restore() -> bool {
    if !HELD.swap(false, Ordering::AcqRel) {
        return false;
    }
    let mut bytes = [0; ROOM];
    for (byte, place) in bytes.iter_mut().zip(&LEAVING) {
        *byte = place.load(Ordering::Relaxed);
    }
    system::write(libc::STDOUT_FILENO, bytes.get(..LENGTH.load(Ordering::Relaxed)).unwrap_or_default());
    let terminal = TERMINAL.load(Ordering::Relaxed);
    if terminal >= 0 {
        // SAFETY: `hold` has written the modes before it stored a terminal, and writes them again only after another
        // `release`. A terminal that is gone is refused.
        unsafe { libc::tcsetattr(terminal, libc::TCSANOW, (*MODES.0.get()).as_ptr()) };
    }
    true
}

/// Gives the terminal back, and lets the signal do what it does by default.
extern "C" fn on_fatal(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let code = system::code_of(info);
    if signal == libc::SIGBUS {
        // Comes back where nobody could be told.
        mapped::on_bus(code, || _ = restore());
    }
    if restore() && signal == libc::SIGABRT {
        // What was said of it before went to the screen that is gone.
        system::write(libc::STDERR_FILENO, ABORTED);
    }
    if system::is_fault(signal, code) {
        // The instruction is tried again, under whatever was installed before: the runtime's word about a stack that has
        // overflowed, or the default.
        system::uninstall(signal);
    } else {
        system::raise_default(signal);
    }
}
