//! What is told of a pull that goes on in the background: plain data, as a front end and the state machine see it.

/// Which pull: counted up by whoever asks for pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PullId(pub u64);

/// Something is new of a pull.
#[derive(Debug, Clone, PartialEq)]
pub struct PullNews {
    /// Of which.
    pub id: PullId,
    /// What was asked for.
    pub name: String,
    /// What it is.
    pub step: PullStep,
}

/// How far a pull is. After [`PullStep::Ended`] there is nothing more of it.
#[derive(Debug, Clone, PartialEq)]
pub enum PullStep {
    /// What the name stands for, in a line: the repository, the file, and why it is this one.
    Chosen(String),
    /// It waits for something: another program, the server, the next try.
    Waiting(String),
    /// It comes.
    Progress(PullProgress),
    /// It is over.
    Ended(PullEnd),
}

/// Bytes of a pull.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PullProgress {
    /// Those that are here; never less than before.
    pub done: u64,
    /// All. More than before where something has to be fetched again.
    pub total: u64,
    /// How fast they come, once that is known.
    pub bytes_per_second: Option<f64>,
    /// How long it will take at this speed.
    pub seconds_left: Option<u64>,
}

/// How a pull has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEnd {
    /// The model is here.
    Here {
        /// What it is called here: `/model` and `-m` take it.
        model: String,
        /// What else is to be said, such as that it would be faster in another format.
        note: Option<String>,
    },
    /// It was stopped; what has come is kept.
    Stopped,
    /// A sentence that says why, and what to do.
    Failed(String),
}
