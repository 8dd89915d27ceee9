//! `gibber bench`
use anyhow::Result;

use super::Context;
use super::args::Bench;

pub(super) fn run(mut context: Context, arguments: &Bench) -> Result<()> {
    arguments.model.apply(&mut context.settings);
    Ok(())
}
