//! A comparison in lines: one lane after the other, each under its heading.

use super::ReplError;
use super::printer::Printer;
use super::reply::ReplyPrinted;

use crate::app::App;

/// How far the lanes of a comparison are printed.
#[derive(Debug, Default)]
pub(super) struct LanesPrinted {
    lane: usize,
    has_heading: bool,
    reply: ReplyPrinted,
}

impl LanesPrinted {
    /// Prints what is new of the lane in turn, and of those after it once it has ended.
    pub(super) fn print(&mut self, app: &App, printer: &mut Printer) -> Result<(), ReplError> {
        let Some(comparison) = app.comparison() else {
            *self = Self::default();
            return Ok(());
        };
        while let Some(lane) = comparison.lanes.get(self.lane) {
            if lane.message.is_none() && lane.summary.is_none() {
                break;
            }
            if !self.has_heading {
                printer.line(&format!("lane {} of {}, {}", self.lane + 1, comparison.lanes.len(), lane.heading()))?;
                self.has_heading = true;
            }
            let node = lane.message.and_then(|message| app.transcript().node(message));
            let text = node.map_or("", |node| node.message.content.as_str());
            self.reply.print(text, app, printer)?;
            let Some(summary) = &lane.summary else { break };
            self.reply.end(app, printer)?;
            printer.line(&format!("[{}]", summary.line()))?;
            *self = Self { lane: self.lane + 1, ..Self::default() };
        }
        Ok(())
    }
}
