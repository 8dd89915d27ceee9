//! The program on a pseudo-terminal, and its screen over time.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a scene waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two frames of a moving picture, at the least.
const FRAME: Duration = Duration::from_millis(80);

/// One step of a scene.
#[derive(Debug)]
pub(crate) enum Step {
    /// Types this, a key at a time.
    Type(&'static str),
    /// Presses one key, as a terminal sends it.
    Press(&'static str),
    /// Waits until this stands on the screen.
    Await(&'static str),
    /// Looks on for so many milliseconds.
    Watch(u64),
}

/// What the screen showed, from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Since the first frame.
    pub(crate) at: Duration,
    /// The screen.
    pub(crate) screen: vt100::Screen,
}

/// A running program and its screens so far.
pub(crate) struct Recorder {
    parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    // The terminal is there as long as this is.
    _master: Box<dyn MasterPty + Send>,
    _home: tempfile::TempDir,
    started: Instant,
    frames: Vec<Frame>,
}

impl Recorder {
    /// Starts the program with a config directory of its own, on a screen of (columns, rows).
    pub(crate) fn start(program: &Path, arguments: &[&str], (cols, rows): (u16, u16)) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })?;
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("GIBBER_CONFIG_DIR", home.path());
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let child = pair.slave.spawn_command(command)?;
        let mut reader = pair.master.try_clone_reader()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keyboard = pair.master.take_writer()?;
        let parser = vt100::Parser::new(rows.try_into()?, cols.try_into()?, 0);
        let (started, frames) = (Instant::now(), Vec::new());
        Ok(Self { parser, output, keyboard, child, _master: pair.master, _home: home, started, frames })
    }

    /// Plays a step to its end.
    pub(crate) fn play(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Type(text) => {
                for character in text.chars() {
                    self.keyboard.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
                    self.watch(Duration::from_millis(45));
                }
            }
            Step::Press(key) => {
                self.keyboard.write_all(key.as_bytes())?;
                self.watch(Duration::from_millis(200));
            }
            Step::Await(text) => {
                let deadline = Instant::now() + PATIENCE;
                while !self.parser.screen().contents().contains(text) {
                    if Instant::now() > deadline {
                        bail!("waited in vain for {text:?}; the screen:\n{}", self.parser.screen().contents());
                    }
                    self.watch(Duration::from_millis(20));
                }
            }
            Step::Watch(time) => self.watch(Duration::from_millis(*time)),
        }
        Ok(())
    }

    /// Takes in what the program writes for this long.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.parser.process(&bytes);
                    self.note_frame();
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Keeps the screen as it is now; frames that follow each other at once become one.
    fn note_frame(&mut self) {
        let at = self.started.elapsed();
        let screen = self.parser.screen().clone();
        match self.frames.last_mut() {
            Some(last) if at - last.at < FRAME => last.screen = screen,
            _ => self.frames.push(Frame { at, screen }),
        }
    }

    /// Ends the program, and returns its screens.
    pub(crate) fn end(mut self) -> Vec<Frame> {
        let at = self.started.elapsed();
        let screen = self.parser.screen().clone();
        self.frames.push(Frame { at, screen });
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let first = self.frames[0].at;
        self.frames.iter_mut().for_each(|frame| frame.at -= first);
        self.frames
    }
}
