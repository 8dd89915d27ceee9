//! Tokens wait here until their text is certain.

use std::collections::VecDeque;

use super::TokenTrace;
use crate::tokenizer::DecodeStream;

/// A queue between the sampler and whoever reads the reply. A token stays in it while its last character is incomplete,
/// and while the text's tail could still become a stop text. So the texts that leave, joined, are exactly the reply.
#[derive(Debug)]
pub(super) struct HoldBack {
    stop: Vec<String>,
    decoder: DecodeStream,
    queue: VecDeque<TokenTrace>,
    /// The texts of `queue`, joined.
    text: String,
}

impl HoldBack {
    /// `decoder` makes the text of the tokens, `stop` are texts that end it.
    pub(super) fn new(decoder: DecodeStream, stop: &[String]) -> Self {
        let stop = stop.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        // More than is held back as a rule, so that no token has to make room.
        let (queue, text) = (VecDeque::with_capacity(16), String::with_capacity(256));
        Self { stop, decoder, queue, text }
    }

    /// Adds a token. Where a stop text is complete by that, it is returned, and the queue ends right before it.
    pub(super) fn push(&mut self, mut trace: TokenTrace, bytes: &[u8]) -> Option<String> {
        trace.text = self.decoder.push(bytes);
        self.text.push_str(&trace.text);
        self.queue.push_back(trace);
        // The first to begin; of two that begin together the longer one.
        let found = self.stop.iter().filter_map(|stop| Some((self.text.find(stop.as_str())?, stop)));
        let (at, stop) = found.min_by_key(|(at, stop)| (*at, std::cmp::Reverse(stop.len())))?;
        let stop = stop.clone();
        self.cut(at);
        Some(stop)
    }

    /// The next token whose text is certain.
    pub(super) fn next_certain(&mut self) -> Option<TokenTrace> {
        // The last token is to carry the replacement of a character that never becomes whole.
        if self.queue.is_empty() || (self.queue.len() == 1 && self.decoder.is_pending()) {
            return None;
        }
        let certain = self.text.len() - self.undecided();
        let length = self.queue.front().map_or(0, |trace| trace.text.len());
        if length > certain {
            return None;
        }
        self.text.drain(..length);
        self.queue.pop_front()
    }

    /// The text that waits, as it would be if the reply ended here.
    pub(super) fn waiting(&self) -> String {
        self.text.clone() + &self.decoder.clone().flush()
    }

    /// Ends the text: what is left is certain now.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = TokenTrace> {
        let rest = self.decoder.flush();
        if let Some(last) = self.queue.back_mut() {
            last.text.push_str(&rest);
        }
        self.text.clear();
        self.queue.drain(..)
    }

    /// Length of the longest tail of the text that a stop text begins with.
    fn undecided(&self) -> usize {
        let longest = self.stop.iter().map(|stop| stop.len() - 1).max().unwrap_or(0).min(self.text.len());
        let tails = (self.text.len() - longest..self.text.len()).filter(|&at| self.text.is_char_boundary(at));
        let tail = tails.map(|at| &self.text[at..]).find(|tail| self.stop.iter().any(|stop| stop.starts_with(tail)));
        tail.map_or(0, str::len)
    }

    /// Ends the queue at byte `at` of its text: later tokens are gone.
    fn cut(&mut self, at: usize) {
        self.decoder = DecodeStream::new();
        let mut start = 0;
        self.queue.retain_mut(|trace| {
            let keep = start < at;
            let end = start + trace.text.len();
            trace.text.truncate(at.saturating_sub(start));
            start = end;
            keep
        });
        self.text.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(token: u32) -> TokenTrace {
        let (text, candidates) = (String::new(), Vec::new());
        TokenTrace { token, text, logprob: 0.0, entropy: 0.0, rank: 0, kept_mass: 1.0, candidates, picked: false }
    }

    /// What each push lets out, then what the end does; and the stop text that ended it.
    fn run(stop: &[&str], pieces: &[&[u8]]) -> (Vec<Vec<(u32, String)>>, Option<String>) {
        let stop: Vec<String> = stop.iter().map(|&stop| stop.to_owned()).collect();
        let mut hold = HoldBack::new(DecodeStream::new(), &stop);
        let mut steps = Vec::new();
        let mut met = None;
        for (i, bytes) in pieces.iter().enumerate() {
            met = hold.push(trace(i as u32), bytes);
            if met.is_some() {
                break;
            }
            steps.push(std::iter::from_fn(|| hold.next_certain()).map(|t| (t.token, t.text)).collect());
        }
        steps.push(hold.finish().map(|t| (t.token, t.text)).collect());
        (steps, met)
    }

    fn text(steps: &[Vec<(u32, String)>]) -> String {
        steps.iter().flatten().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn without_stop_texts_whole_characters_leave_at_once() {
        let (steps, met) = run(&[], &[b"a", b" b"]);
        assert_eq!(steps, [vec![(0, "a".into())], vec![(1, " b".into())], vec![]]);
        assert_eq!(met, None);
    }

    #[test]
    fn a_split_character_leaves_with_its_last_token() {
        let (steps, _) = run(&[], &[b"\xf0\x9f", b"\x98", b"\x80!"]);
        assert_eq!(steps[2].last(), Some(&(2, "😀!".into())));
        assert_eq!(text(&steps), "😀!");
        assert_eq!(steps.iter().flatten().count(), 3, "every token leaves");
    }

    #[test]
    fn an_unfinished_character_ends_as_a_replacement() {
        let (steps, _) = run(&[], &[b"a", b"\xe2\x82"]);
        assert_eq!(steps, [vec![(0, "a".into())], vec![], vec![(1, "\u{fffd}".into())]]);
    }

    #[test]
    fn a_stop_text_over_three_tokens_is_cut_out_exactly() {
        let (steps, met) = run(&["\nUser:"], &[b"Fine.", b" Bye\n", b"Us", b"er: more"]);
        assert_eq!(steps, [vec![(0, "Fine.".into())], vec![], vec![], vec![(1, " Bye".into())]]);
        assert_eq!(met.as_deref(), Some("\nUser:"));
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_let_out() {
        let (steps, met) = run(&["\nUser:"], &[b"a\n", b"Us", b"e it"]);
        assert_eq!(steps[..2], [vec![], vec![]]);
        assert_eq!(text(&steps), "a\nUse it");
        assert_eq!(met, None);
        assert_eq!(text(&run(&["\nUser:"], &[b"a\n", b"User"]).0), "a\nUser", "also at the end");
    }

    #[test]
    fn the_earliest_stop_text_wins_and_tokens_behind_it_are_gone() {
        let (steps, met) = run(&["END", "E", "D"], &[b"xENDy"]);
        assert_eq!((text(&steps).as_str(), met.as_deref()), ("x", Some("END")));
        let (steps, met) = run(&["STOP"], &[b"ST", b"OP"]);
        assert_eq!(steps.iter().flatten().count(), 0, "a reply of nothing has no tokens");
        assert_eq!(met.as_deref(), Some("STOP"));
    }

    #[test]
    fn a_restart_within_the_candidate_is_noticed() {
        let (steps, met) = run(&["aab"], &[b"a", b"a", b"a", b"b"]);
        assert_eq!((text(&steps).as_str(), met.as_deref()), ("a", Some("aab")));
    }

    #[test]
    fn characters_of_several_bytes_in_stop_texts() {
        let (steps, met) = run(&["é!"], &["né".as_bytes(), "é".as_bytes(), b"!"]);
        assert_eq!((text(&steps).as_str(), met.as_deref()), ("né", Some("é!")));
        assert_eq!(run(&[""], &[b"a"]).1, None, "an empty stop text stops nothing");
    }

    /// Every way of cutting a text into tokens gives the same reply.
    #[test]
    fn the_reply_does_not_depend_on_the_tokens() {
        let whole = "añ😀b<end>c".as_bytes();
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
                let (steps, met) = run(&["<end>", "<enx>"], &pieces);
                assert_eq!((text(&steps).as_str(), met.as_deref()), ("añ😀b", Some("<end>")), "{first} {second}");
                assert_eq!(text(&run(&["<fin>"], &pieces).0), "añ😀b<end>c", "{first} {second}");
            }
        }
    }
}
