//! What is played for each picture.

use crate::recorder::Step;
use Step::{Await, Press, Type, Watch};

/// A picture in the making.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Of its file, without the ending.
    pub(crate) name: &'static str,
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    /// Of the program.
    pub(crate) arguments: &'static [&'static str],
    /// Whether the picture is a recording; otherwise it is the last screen.
    pub(crate) moves: bool,
    /// What is done.
    pub(crate) steps: &'static [Step],
}

const ENTER: &str = "\r";
const TAB: &str = "\t";
const RIGHT: &str = "\x1b[C";
const CTRL_T: &str = "\x14";

/// Every picture.
pub(crate) const SCENES: &[Scene] = &[Scene {
    name: "chat",
    size: (110, 30),
    arguments: &["--seed", "3", "--temp", "0.4", "-n", "90"],
    moves: true,
    steps: &[
        Await("is ready"),
        Watch(600),
        Type("What is the capital of France?"),
        Press(ENTER),
        Await("stop:"),
        Watch(900),
        Type("Tell me about its river."),
        Press(ENTER),
        Watch(500),
        Press(TAB),
        Press(RIGHT),
        Press(RIGHT),
        Press(RIGHT),
        Watch(2000),
        Press(CTRL_T),
        Watch(2500),
    ],
}];
