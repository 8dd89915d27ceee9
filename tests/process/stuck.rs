//! A worker that never comes back: somebody else holds the lock of the quantized weights. It can be left all the same.

use super::*;

/// Loads a model for ever.
const LOADS: [&str; 2] = ["--quantize", "q8_0"];

/// Each wait for the lock is one of `home`'s programs, until the file is dropped.
fn held_lock(home: &Home) -> fs::File {
    fs::create_dir(home.path("cache")).unwrap();
    let lock = fs::File::create(home.path("cache/lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn every_key_that_leaves_leaves_a_screen_whose_worker_hangs() {
    for keys in [&[key::CTRL_C, key::CTRL_C][..], &[key::CTRL_D], &["/quit", key::ENTER]] {
        let home = Home::new();
        let _lock = held_lock(&home);
        let mut terminal = home.screen(&LOADS);
        for key in keys {
            terminal.wait_for_text("loading");
            terminal.press(key);
        }
        assert!(ended(&mut terminal).success(), "{keys:?}");
    }
}

#[test]
fn a_question_that_waits_for_the_model_is_stopped_and_left() {
    let home = Home::new();
    let _lock = held_lock(&home);
    let mut terminal = home.screen(&LOADS);
    terminal.wait_for_text("loading");
    say(&terminal, "Is it there?");
    terminal.wait_for_text("> Ask something");
    terminal.press(key::ESC);
    terminal.wait_for_text("stopping");
    terminal.press(key::CTRL_D);
    assert!(ended(&mut terminal).success());
}

#[test]
fn signals_end_a_screen_whose_worker_hangs() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let home = Home::new();
        let _lock = held_lock(&home);
        let mut terminal = home.screen(&LOADS);
        terminal.signal(signal);
        assert_eq!(ended(&mut terminal).exit_code(), code, "{signal:?}");
    }
}

#[test]
fn the_line_mode_is_left_while_its_worker_hangs() {
    type Leave = fn(&Terminal);
    let ways: [(Leave, u32); 3] = [
        (|terminal| terminal.press(key::CTRL_C), 130),
        (|terminal| terminal.signal(Signal::TERM), 143),
        (|terminal| terminal.signal(Signal::HUP), 129),
    ];
    for (leave, code) in ways {
        let home = Home::new();
        let _lock = held_lock(&home);
        let mut terminal = home.terminal(&[&["repl", "-v"], &LOADS[..]].concat());
        leave(&terminal);
        let status = terminal.wait_for_end();
        assert!(status.exit_code() == code || status.signal().is_some(), "{code}: {status:?}");
        terminal.assert_restored();
    }
}

#[test]
fn a_command_is_interrupted_while_its_worker_hangs() {
    let home = Home::new();
    let _lock = held_lock(&home);
    let mut child = home.command(&[&["run", "Hi"], &LOADS[..]].concat()).spawn().unwrap();
    let process = rustix::process::Pid::from_child(&child);
    let started = Instant::now();
    // Before it listens, the signal ends it by itself; or not at all, where the tests were started with it ignored, as a
    // shell does in the background. So it is pressed again until it is heard.
    let status = loop {
        rustix::process::kill_process(process, Signal::INT).unwrap();
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().unwrap();
                panic!("the program has not ended");
            }
        }
    };
    assert!(
        status.code() == Some(130) || std::os::unix::process::ExitStatusExt::signal(&status) == Some(2),
        "{status}"
    );
}
