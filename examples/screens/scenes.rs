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

const F6: &str = "\x1b[17~";

/// Every picture.
pub(crate) const SCENES: &[Scene] = &[
    Scene {
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
    },
    Scene {
        name: "step",
        size: (110, 30),
        arguments: &["--seed", "3", "-n", "90"],
        moves: false,
        steps: &[
            Await("is ready"),
            Type("/step on"),
            Press(ENTER),
            Type("Name a river in Europe."),
            Press(ENTER),
            Await("paused"),
            Press(" "),
            Press(" "),
            Press("2"),
            Press(" "),
            Watch(300),
        ],
    },
    Scene {
        name: "heat",
        size: (110, 30),
        arguments: &["--seed", "5", "-n", "90"],
        moves: false,
        steps: &[
            Await("is ready"),
            Type("Tell me about the Seine."),
            Press(ENTER),
            Await("stop:"),
            Press(F6),
            Watch(300),
        ],
    },
    Scene {
        name: "compare",
        size: (110, 30),
        arguments: &["--seed", "5", "-n", "70"],
        moves: false,
        steps: &[
            Await("is ready"),
            Type("/compare precise creative -- Tell me about the Seine."),
            Press(ENTER),
            Watch(3000),
        ],
    },
];
