//! `gibber score`: how probable a text is to the model.

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::args::Score;
use super::output::Output;
use super::session::{Session, unexpected};
use super::{Context, Exit, INTERRUPTED, text};
use crate::worker::protocol::{EngineCommand, EngineEvent, ScoredToken};
use gibber_engine::TokenId;

pub(super) fn run(mut context: Context, arguments: &Score) -> Result<()> {
    arguments.model.apply(&mut context.settings);
    let text = match (&arguments.prompt, &arguments.file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => text::of_file(file)?,
        (None, None) => text::of_stdin()?,
    };
    context.bring(&arguments.model)?;
    let tokens = score(&mut Session::start(&context)?, text)?;
    let mut output = Output::stdout();
    if arguments.json {
        for token in &tokens {
            output.json(&TokenLine::from(token))?;
        }
        return output.json(&Summary::of(&tokens));
    }
    output.line("   logprob    rank  text")?;
    for token in &tokens {
        output.line(&row(token))?;
    }
    output.line(&Summary::of(&tokens).to_string())
}

fn score(session: &mut Session, text: String) -> Result<Vec<ScoredToken>> {
    let closing = session.ask(|id| EngineCommand::Score { id, text }, |_| Ok(()));
    match closing {
        _ if session.is_interrupted() => Err(Exit(INTERRUPTED).into()),
        Ok(EngineEvent::Scored { tokens, .. }) if tokens.is_empty() => Err(anyhow!("the text is empty")),
        Ok(EngineEvent::Scored { tokens, .. }) => Ok(tokens),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => Err(error),
    }
}

fn row(token: &ScoredToken) -> String {
    let logprob = token.logprob.map_or("-".into(), |logprob| format!("{logprob:.4}"));
    let rank = token.rank.map_or("-".into(), |rank| rank.to_string());
    format!("{logprob:>10} {rank:>7}  {:?}", token.text)
}

#[derive(Serialize)]
struct TokenLine<'a> {
    id: TokenId,
    text: &'a str,
    logprob: Option<f32>,
    rank: Option<u32>,
}

impl<'a> From<&'a ScoredToken> for TokenLine<'a> {
    fn from(token: &'a ScoredToken) -> Self {
        Self { id: token.token, text: &token.text, logprob: token.logprob, rank: token.rank }
    }
}

/// The last line; `nll` and `ppl` are absent where only one token is there, which nothing predicts.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename = "summary")]
struct Summary {
    tokens: usize,
    scored: usize,
    nll: Option<f64>,
    ppl: Option<f64>,
}

impl Summary {
    fn of(tokens: &[ScoredToken]) -> Self {
        let logprobs = tokens.iter().filter_map(|token| token.logprob).map(f64::from);
        let scored = logprobs.clone().count();
        let nll = (scored > 0).then(|| -logprobs.sum::<f64>() / scored as f64);
        Self { tokens: tokens.len(), scored, nll, ppl: nll.map(f64::exp) }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.nll, self.ppl) {
            (Some(nll), Some(ppl)) => write!(
                f,
                "{} tokens, {} scored · mean negative log-likelihood {nll:.4} nats · perplexity {ppl:.3}",
                self.tokens, self.scored
            ),
            _ => write!(f, "{} tokens: nothing comes before the first one, so there is nothing to score", self.tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(logprob: Option<f32>) -> ScoredToken {
        ScoredToken { token: 1, text: "a\u{1b}\n".into(), logprob, rank: logprob.map(|_| 0) }
    }

    #[test]
    fn the_mean_is_over_the_tokens_that_are_scored() {
        let summary = Summary::of(&[token(None), token(Some(-1.0)), token(Some(-3.0))]);
        assert_eq!((summary.tokens, summary.scored, summary.nll), (3, 2, Some(2.0)));
        assert_eq!(summary.ppl, Some(2.0_f64.exp()));
    }

    #[test]
    fn one_token_has_nothing_to_score() {
        let line = serde_json::to_string(&Summary::of(&[token(None)])).unwrap();
        assert_eq!(line, r#"{"type":"summary","tokens":1,"scored":0,"nll":null,"ppl":null}"#);
    }

    #[test]
    fn a_row_is_one_line_whatever_the_token_is() {
        assert_eq!(row(&token(Some(-0.25))), "   -0.2500       0  \"a\\u{1b}\\n\"");
    }
}
