//! What is told of a pull that goes on in the background: plain data, as a front end and the state machine see it.

use gibber_engine::FileType;

use super::time_text;

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

/// What is to become of weights that are floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FloatsWish {
    /// They stay what they are; the person is asked.
    #[default]
    Keep,
    /// They are quantized once they are here: to this type, or to the best that this machine has the memory for.
    Quantize(Option<FileType>),
}

/// How far a pull is. After [`PullStep::Ended`] there is nothing more of it.
#[derive(Debug, Clone, PartialEq)]
pub enum PullStep {
    /// What the name stands for, in a line: the repository, the file, and why it is this one.
    Chosen(String),
    /// Its weights are floats, which are best quantized to this once they are here: whether that is wanted is asked, while
    /// they come.
    Floats(FileType),
    /// It waits for something: another program, the server, the next try.
    Waiting(String),
    /// It comes.
    Progress(PullProgress),
    /// Its weights are here, and this much of them is quantized.
    Quantizing(FileType, PullProgress),
    /// It is over.
    Ended(PullEnd),
}

impl PullStep {
    /// Whether the chat has a note of it; the rest shows in how far the pull is.
    pub fn is_noted(&self) -> bool {
        match self {
            Self::Chosen(_) | Self::Floats(_) | Self::Ended(_) => true,
            Self::Waiting(_) | Self::Progress(_) | Self::Quantizing(..) => false,
        }
    }
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

impl PullProgress {
    /// From 0 to 100: a hundred is all of it, and not less.
    pub fn percent(&self) -> u64 {
        let share = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u64::try_from(share).unwrap_or(100).min(100)
    }

    /// `120 of 484 MB`, `1.20 of 4.84 GB`.
    pub fn bytes(&self) -> String {
        let (done, total) = (self.done as f64, self.total as f64);
        match self.total {
            0..1_000_000 => format!("{:.0} of {:.0} kB", done / 1e3, total / 1e3),
            1_000_000..1_000_000_000 => format!("{:.0} of {:.0} MB", done / 1e6, total / 1e6),
            _ => format!("{:.2} of {:.2} GB", done / 1e9, total / 1e9),
        }
    }

    /// `12.3 MB/s`; empty while it is not known.
    pub fn speed(&self) -> String {
        self.bytes_per_second.map_or_else(String::new, |speed| format!("{:.1} MB/s", speed / 1e6))
    }

    /// `1 min 20 s left`; empty while it is not known, and where nothing is left.
    pub fn time_left(&self) -> String {
        let left = self.seconds_left.filter(|&left| left > 0);
        left.map_or_else(String::new, |left| format!("{} left", time_text(left)))
    }

    /// All of that.
    pub fn line(&self) -> String {
        let parts = [format!("{} %", self.percent()), self.bytes(), self.speed(), self.time_left()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }
}

/// How a pull has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEnd {
    /// The model is here.
    Here {
        /// What it is called here: `/model` and `-m` take that, as they take what was asked for.
        model: String,
        /// What else is to be said, such as that it would be faster in another format.
        note: Option<String>,
        /// What its weights are best quantized to, where they have been floats until now and still are.
        floats: Option<FileType>,
    },
    /// It was stopped; what has come is kept.
    Stopped,
    /// A sentence that says why, and what to do.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_pull_is_is_told_in_the_units_of_its_size() {
        let progress = |done, total, bytes_per_second, seconds_left| {
            PullProgress { done, total, bytes_per_second, seconds_left }.line()
        };
        assert_eq!(progress(0, 0, None, None), "0 % · 0 of 0 kB");
        assert_eq!(
            progress(120_000_000, 484_000_000, Some(12.34e6), Some(30)),
            "24 % · 120 of 484 MB · 12.3 MB/s · 30 s left"
        );
        assert_eq!(progress(1_200_000_000, 4_840_000_000, None, Some(80)), "24 % · 1.20 of 4.84 GB · 1 min 20 s left");
        assert_eq!(progress(483_999_999, 484_000_000, Some(1e6), Some(0)), "99 % · 484 of 484 MB · 1.0 MB/s");
        assert_eq!(progress(u64::MAX, u64::MAX, None, Some(7500)).split(" · ").last(), Some("2 h 5 min left"));
    }
}
