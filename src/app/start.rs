//! What a program starts with, and the clock that it is told the time by.

use std::time::Instant;

use super::OfferedModel;
use crate::chat::Transcript;
use crate::settings::Settings;
use crate::settings::layers::Given;
use crate::settings::theme::Theme;
use crate::store::SessionRecord;

/// The time at which something happens; the front end's loop reads the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For durations.
    pub at: Instant,
    /// Seconds since 1970, for what is saved.
    pub unix: i64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), unix: i64::try_from(since.as_secs()).unwrap_or(0) }
    }
}

/// What a program starts with.
#[derive(Debug, Default)]
pub struct Start {
    /// All that was set.
    pub settings: Settings,
    /// What of that, and of the sampling, the command line says.
    pub given: Given,
    /// Earlier prompts, oldest first.
    pub history: Vec<String>,
    /// A saved conversation to go on with.
    pub session: Option<(SessionRecord, Transcript)>,
    /// The models that can be named.
    pub models: Vec<String>,
    /// The models that can be pulled.
    pub offered: Vec<OfferedModel>,
    /// What is said to the model first, while it is being loaded.
    pub message: Option<String>,
    /// The person's own themes.
    pub themes: Vec<Theme>,
    /// Whether nothing was ever said or kept here.
    pub is_first_run: bool,
    /// What is wrong with the settings and does not keep the program from starting, a sentence each.
    pub warnings: Vec<String>,
    /// Random: the names of new conversations are drawn from it.
    pub seed: u64,
}
