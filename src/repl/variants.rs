//! A comparison in lines: one lane after the other, each under its heading.

use super::ReplError;
use super::printer::Printer;
use super::reply::ReplyPrinted;

use crate::app::App;

/// How far the lanes of a comparison are printed.
#[derive(Debug, Default)]
pub(super) struct VariantsPrinted {
    variant: usize,
    has_heading: bool,
    reply: ReplyPrinted,
}

impl VariantsPrinted {
    /// Prints what is new of the lane in turn, and of those after it once it has ended.
    pub(super) fn print(&mut self, app: &App, printer: &mut Printer) -> Result<(), ReplError> {
        let Some(comparison) = app.comparison() else {
            *self = Self::default();
            return Ok(());
        };
        while let Some(variant) = comparison.variants.get(self.variant) {
            if variant.message.is_none() && variant.summary.is_none() {
                break;
            }
            if !self.has_heading {
                printer.line(&format!(
                    "lane {} of {}, {}",
                    self.variant + 1,
                    comparison.variants.len(),
                    variant.heading()
                ))?;
                self.has_heading = true;
            }
            let node = variant.message.and_then(|message| app.transcript().node(message));
            let text = node.map_or("", |node| node.message.content.as_str());
            self.reply.print(text, app, printer)?;
            let Some(summary) = &variant.summary else { break };
            self.reply.end(app, printer)?;
            printer.line(&format!("[{}]", summary.line()))?;
            *self = Self { variant: self.variant + 1, ..Self::default() };
        }
        Ok(())
    }
}
