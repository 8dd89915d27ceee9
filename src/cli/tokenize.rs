//! `gibber tokenize`: a text as the model sees it. Only the tokenizer is built, no weight is read.

use anyhow::Result;
use serde::Serialize;

use super::args::Tokenize;
use super::output::Output;
use super::{Context, models, text};
use gibber_engine::{TokenId, load};

#[derive(Serialize)]
struct Pieces {
    ids: Vec<TokenId>,
    pieces: Vec<String>,
}

pub(super) fn run(mut context: Context, arguments: &Tokenize) -> Result<()> {
    arguments.model.apply(&mut context.settings);
    let text = match (arguments.text.as_deref(), &arguments.file) {
        (_, Some(file)) => text::of_file(file)?,
        (None | Some("-"), None) => text::of_stdin()?,
        (Some(text), None) => text.to_owned(),
    };
    context.bring(&arguments.model)?;
    let source = models::resolve(&context.settings.model.name, &context.paths)?;
    let tokenizer = load::open(&source)?.tokenizer()?;
    let ids = tokenizer.encode(&text, true)?;
    let mut output = Output::stdout();
    if arguments.json {
        let pieces = ids.iter().map(|id| tokenizer.piece(*id)).collect();
        return output.json(&Pieces { ids, pieces });
    }
    for id in ids {
        output.line(&format!("{id:>7}  {}", tokenizer.quoted_piece(id)))?;
    }
    Ok(())
}
