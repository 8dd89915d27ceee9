//! Questions that are answered with yes or no, before something is fetched or deleted.

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context as _, Result};
use gibber_signals::ending;

use super::INTERRUPTED;
use super::interrupt::Interrupt;
use crate::chat::one_line;

/// How often a question is asked that gets something else than an answer.
const ATTEMPTS: usize = 3;
/// Bytes of a line that may be an answer; whoever writes more means something else.
const LONGEST: u64 = 1000;

/// Whether a person can be asked: the question goes to stderr, the answer comes from stdin.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks; Enter alone is what `default` says. The end of the input is no, Ctrl-C ends the program.
///
/// # Errors
/// Where the terminal cannot be read.
pub(super) fn ask(question: &str, default: bool) -> Result<bool> {
    let interrupt = Interrupt::install(ending::PATIENCE)?;
    interrupt.watch(|| {
        end_line();
        ending::exit(INTERRUPTED)
    });
    let answer = ask_for(question, default, read_line);
    interrupt.rest();
    answer
}

fn ask_for(question: &str, default: bool, mut read: impl FnMut() -> Result<Option<String>>) -> Result<bool> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    for _ in 0..ATTEMPTS {
        let _ = write!(stderr(), "{} {choice} ", one_line(question)).and_then(|()| stderr().flush());
        let Some(line) = read()? else {
            end_line();
            return Ok(false);
        };
        match meant_by(&line, default) {
            Some(answer) => return Ok(answer),
            None => tell!("please answer with y or n"),
        }
    }
    Ok(false)
}

/// What an answer means; nothing where it is none.
fn meant_by(line: &str, default: bool) -> Option<bool> {
    match line.trim().to_lowercase().as_str() {
        "" => Some(default),
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}

/// A line, without more of it than an answer has; nothing at the end of the input.
fn read_line() -> Result<Option<String>> {
    use std::io::{BufRead, Read};
    let mut bytes = Vec::new();
    let mut stdin = stdin().lock();
    let count = stdin.by_ref().take(LONGEST).read_until(b'\n', &mut bytes).context("cannot read the answer")?;
    Ok((count > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

fn end_line() {
    let _ = stderr().write_all(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str], default: bool) -> (bool, usize) {
        let mut lines = lines.iter();
        let mut asked = 0;
        let answer = ask_for("really?", default, || {
            asked += 1;
            Ok(lines.next().map(|line| (*line).to_owned()))
        });
        (answer.unwrap(), asked)
    }

    #[test]
    fn yes_no_and_enter_are_answers_and_the_end_of_input_is_no() {
        for (lines, default, expected) in [
            (&["y\n"][..], false, (true, 1)),
            (&["YES\r\n"], false, (true, 1)),
            (&["n\n"], true, (false, 1)),
            (&["\n"], true, (true, 1)),
            (&["\n"], false, (false, 1)),
            (&["what\n", "y\n"], false, (true, 2)),
            (&["a\n", "b\n", "c\n", "y\n"], true, (false, 3)),
            (&[], true, (false, 1)),
            (&["maybe\n"], true, (false, 2)),
        ] {
            assert_eq!(answer(lines, default), expected, "{lines:?}");
        }
    }
}
