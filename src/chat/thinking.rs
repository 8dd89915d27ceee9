//! What a model thinks before it answers: the part of a reply between `<think>` and `</think>`, as Qwen3 and others write it.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A reply that begins with a thought, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thought<'a> {
    /// What is thought, without blanks around it.
    pub text: &'a str,
    /// Whether it has come to its end.
    pub is_over: bool,
    /// What is said after it.
    pub answer: &'a str,
}

impl<'a> Thought<'a> {
    /// The thought at the beginning of `reply`, if there is one.
    pub fn of(reply: &'a str) -> Option<Self> {
        let rest = reply.trim_start().strip_prefix(OPEN)?;
        Some(match rest.split_once(CLOSE) {
            Some((text, answer)) => Self { text: text.trim(), is_over: true, answer: answer.trim_start() },
            None => Self { text: rest.trim(), is_over: false, answer: "" },
        })
    }

    /// One line that stands for it.
    pub fn summary(&self) -> String {
        let words = self.text.split_whitespace().count();
        let plural = if words == 1 { "" } else { "s" };
        if self.is_over {
            format!("thought for {words} word{plural}")
        } else {
            format!("thinking: {words} word{plural}")
        }
    }
}

/// Lets pass what is said of a reply that comes in pieces, and keeps back what is thought.
#[derive(Debug, Default)]
pub struct ThoughtFilter {
    reply: String,
    /// Bytes of the answer that were let pass.
    passed: usize,
}

impl ThoughtFilter {
    /// Takes the next piece of the reply and returns what may be shown now.
    pub fn push(&mut self, piece: &str) -> &str {
        self.reply.push_str(piece);
        let start = self.reply.trim_start();
        let shown = match Thought::of(&self.reply) {
            Some(thought) => thought.answer,
            // It may still become a thought.
            None if OPEN.starts_with(start) => "",
            None => &self.reply,
        };
        let from = self.passed;
        self.passed = shown.len();
        &shown[from..]
    }

    /// What is kept back at the end though it was no thought.
    pub fn rest(&self) -> &str {
        if self.passed == 0 && Thought::of(&self.reply).is_none() { &self.reply } else { "" }
    }

    /// The thought, if the reply began with one that is not empty.
    pub fn thought(&self) -> Option<Thought<'_>> {
        Thought::of(&self.reply).filter(|thought| !thought.text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_stands_at_the_beginning_alone() {
        let thought = Thought::of("\n<think>\nHm, two words.\n</think>\n\nFour.").unwrap();
        assert_eq!((thought.text, thought.is_over, thought.answer), ("Hm, two words.", true, "Four."));
        assert_eq!(thought.summary(), "thought for 3 words");
        let open = Thought::of("<think>\nHm").unwrap();
        assert_eq!((open.text, open.is_over, open.summary().as_str()), ("Hm", false, "thinking: 1 word"));
        for none in ["", "Four.", "I <think> so </think>", "<thin", "</think> Four."] {
            assert_eq!(Thought::of(none), None, "{none}");
        }
    }

    #[test]
    fn whatever_the_pieces_only_the_answer_passes() {
        for (reply, answer) in [
            ("<think>\nHm é.\n</think>\n\nFour <b>.\n", "Four <b>.\n"),
            (" plain é", " plain é"),
            ("<thinner> than", "<thinner> than"),
            ("<think>\n\n</think>\n\nNo thought", "No thought"),
            ("<think>cut short", ""),
            ("<th", "<th"),
            ("", ""),
        ] {
            for size in 1..=reply.len().max(1) {
                let mut filter = ThoughtFilter::default();
                let characters: Vec<char> = reply.chars().collect();
                let pieces = characters.chunks(size).map(|piece| piece.iter().collect::<String>());
                let mut passed: String = pieces.map(|piece| filter.push(&piece).to_owned()).collect();
                passed.push_str(filter.rest());
                assert_eq!(passed, answer, "{reply:?} in pieces of {size}");
            }
        }
    }
}
