//! The calls of the system that a handler may make, and the installing of handlers. All of it is async-signal-safe.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// What the system calls when a signal comes.
pub(crate) type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Room for a handler of each signal: Linux has 64.
const SIGNALS: usize = 65;

/// What was installed before, a slot for each signal.
static FORMER: [Former; SIGNALS] = [const { Former::new() }; SIGNALS];

/// The action of a signal from before ours.
struct Former {
    is_there: AtomicBool,
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is written by `install` alone, before the handler that reads it is installed and while `is_there` is
// false; it is read only where `is_there` is true, and plain data.
unsafe impl Sync for Former {}

impl Former {
    const fn new() -> Self {
        Self { is_there: AtomicBool::new(false), action: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

fn slot(signal: c_int) -> Option<&'static Former> {
    FORMER.get(usize::try_from(signal).ok()?)
}

/// Installs `handler` for `signal`, unless the program was started with the signal ignored, or it is installed already.
pub(crate) fn install(signal: c_int, handler: Handler) {
    let Some(former) = slot(signal).filter(|former| !former.is_there.load(Ordering::Acquire)) else { return };
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action asks for the present one, which is written to `before`, room for exactly that.
    if unsafe { libc::sigaction(signal, std::ptr::null(), before.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: the call succeeded, so that `before` was written.
    let before = unsafe { before.assume_init() };
    if before.sa_sigaction == libc::SIG_IGN {
        return;
    }
    // SAFETY: `is_there` is false, so that no handler reads the slot; the one that will is installed below.
    unsafe { *former.action.get() = MaybeUninit::new(before) };
    former.is_there.store(true, Ordering::Release);
    set(signal, &action(handler));
}

/// An action that runs on the stack for signals where a thread has one: an overflow leaves no room on its own. Nothing but
/// another fault interrupts it.
fn action(handler: Handler) -> libc::sigaction {
    // SAFETY: an action is plain data, for which zeros are valid: no flags, no handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the mask is a field of a live action; the signals are valid ones.
    unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(&raw mut action.sa_mask, fault);
        }
    }
    action
}

fn set(signal: c_int, action: &libc::sigaction) {
    // SAFETY: the action is valid, and the former one is not asked for. A signal that cannot be handled is refused.
    unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
}

/// What was there before ours is in force again.
pub(crate) fn uninstall(signal: c_int) {
    let Some(former) = slot(signal).filter(|former| former.is_there.swap(false, Ordering::AcqRel)) else { return };
    // SAFETY: `is_there` was true, so that `install` has written the slot, and it writes no second time before this.
    let action = unsafe { (*former.action.get()).assume_init() };
    set(signal, &action);
}

/// Whether an instruction of the program caused the signal, which happens again where the handler returns.
pub(crate) fn is_fault(signal: c_int, code: c_int) -> bool {
    code > 0 && [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL].contains(&signal)
}

/// The code of what caused a signal.
pub(crate) fn code_of(info: *const siginfo_t) -> c_int {
    // SAFETY: the system calls a handler that was installed with SA_SIGINFO with a valid pointer.
    unsafe { (*info).si_code }
}

/// The signal does what it does by default: when the handler returns at the latest.
pub(crate) fn raise_default(signal: c_int) {
    // SAFETY: zeros are a valid action, and SIG_DFL is zero on every system that libc knows; said all the same.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = libc::SIG_DFL;
    set(signal, &action);
    // SAFETY: `raise` takes any number, and refuses what is no signal.
    unsafe { libc::raise(signal) };
}

/// The signal does what it does by default, once; what was installed for it is in force again when this returns.
pub(crate) fn raise_default_once(signal: c_int) {
    // SAFETY: as in `raise_default`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = libc::SIG_DFL;
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the action is valid, and `before` is room for the present one.
    if unsafe { libc::sigaction(signal, &raw const action, before.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: `raise` takes any number, and refuses what is no signal.
    unsafe { libc::raise(signal) };
    // SAFETY: the call above succeeded, so that `before` was written.
    set(signal, &unsafe { before.assume_init() });
}

/// Nothing is done. Other than a signal that is ignored, one with this handler is not ignored by programs that are started.
pub(crate) extern "C" fn do_nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

/// Writes all of `bytes`, unless whoever reads them has stopped to.
pub(crate) fn write(fd: c_int, mut bytes: &[u8]) {
    /// A terminal that takes nothing for so long is left as it is, in milliseconds.
    const PATIENCE: c_int = 500;
    while !bytes.is_empty() {
        let mut wanted = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one live element is passed, with the count of one.
        if unsafe { libc::poll(&raw mut wanted, 1, PATIENCE) } <= 0 {
            return;
        }
        // SAFETY: the pointer and the length are those of a live slice.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            _ => return,
        }
    }
}

/// Whether nothing is open under this number.
pub(crate) fn is_closed(fd: c_int) -> bool {
    // SAFETY: the flags of any number may be asked for.
    unsafe { libc::fcntl(fd, libc::F_GETFD) == -1 }
}

/// Whether a terminal is there.
pub(crate) fn is_terminal(fd: c_int) -> bool {
    let mut modes = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `modes` is room for what is written.
    unsafe { libc::tcgetattr(fd, modes.as_mut_ptr()) == 0 }
}

/// The number of the calling thread.
pub(crate) fn this_thread() -> usize {
    // SAFETY: it has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Sleeps without waking for anything but a signal.
pub(crate) fn sleep_seconds(seconds: libc::time_t) {
    let time = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
    // SAFETY: the time is valid, and what is left of it is not asked for.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Ends the process at once: no destructor of a library waits for a thread that does not end.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: it has no preconditions, and does not return.
    unsafe { libc::_exit(code) }
}
