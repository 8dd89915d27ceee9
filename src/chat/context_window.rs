//! Which messages of a long conversation the model still sees.

use std::ops::Range;

use super::{Message, Role};

/// A conversation of which the oldest turns may be left out.
///
/// A turn is a user's message with the answers to it. The system message and the last turn always stay.
#[derive(Debug, Clone)]
pub struct ContextWindow<'a> {
    messages: &'a [Message],
    /// Those that may go, oldest first.
    turns: Vec<Range<usize>>,
    /// How many of them are gone.
    dropped: usize,
}

impl<'a> ContextWindow<'a> {
    /// All of `messages`.
    pub fn new(messages: &'a [Message]) -> Self {
        let starts: Vec<usize> = (0..messages.len()).filter(|&i| messages[i].role == Role::User).collect();
        let mut turns: Vec<Range<usize>> = starts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        // Answers without a question, such as a greeting, go first.
        let greeting = 0..starts.first().copied().unwrap_or(0);
        if messages[greeting.clone()].iter().any(|message| message.role != Role::System) {
            turns.insert(0, greeting);
        }
        Self { messages, turns, dropped: 0 }
    }

    /// The texts of the messages that stay whatever happens.
    pub fn least(&self) -> Vec<&'a str> {
        let stays = |i: &usize| !self.is_dropped(*i, self.turns.len());
        (0..self.messages.len()).filter(stays).map(|i| self.messages[i].content.as_str()).collect()
    }

    /// The messages that are left.
    pub fn kept(&self) -> Vec<Message> {
        self.kept_after(self.dropped)
    }

    /// Indices of the messages that are gone, ascending.
    pub fn dropped(&self) -> Vec<usize> {
        (0..self.messages.len()).filter(|&i| self.is_dropped(i, self.dropped)).collect()
    }

    /// How many turns are gone.
    pub fn dropped_turns(&self) -> usize {
        self.dropped
    }

    /// Leaves out the oldest `turns` turns, or as many as may go.
    pub fn drop_turns(&mut self, turns: usize) {
        self.dropped = turns.min(self.turns.len());
    }

    /// Makes the conversation fit, and returns the tokens of what is left. Nothing more is dropped where they are
    /// `limit` or fewer. Where they are more, turns are dropped until `target` is reached (less than `limit`, so that
    /// the next few turns fit without dropping again, which would have the model read everything anew), or until none
    /// is left that may go: then there may be more tokens than `limit`.
    ///
    /// # Errors
    /// Those of `render`, which turns messages into tokens.
    pub fn fit<T, E>(
        &mut self,
        limit: usize,
        target: usize,
        mut render: impl FnMut(&[Message]) -> Result<Vec<T>, E>,
    ) -> Result<Vec<T>, E> {
        let tokens = render(&self.kept())?;
        if tokens.len() <= limit || self.dropped == self.turns.len() {
            return Ok(tokens);
        }
        // Fewer messages are fewer tokens: the fewest turns to drop are found by halving.
        let (mut low, mut high) = (self.dropped + 1, self.turns.len());
        let mut best = None;
        while low < high {
            let middle = low.midpoint(high);
            let tokens = render(&self.kept_after(middle))?;
            if tokens.len() <= target {
                high = middle;
                best = Some((middle, tokens));
            } else {
                low = middle + 1;
            }
        }
        self.dropped = low;
        match best {
            Some((turns, tokens)) if turns == low => Ok(tokens),
            _ => render(&self.kept()),
        }
    }

    fn kept_after(&self, dropped: usize) -> Vec<Message> {
        let kept = self.messages.iter().enumerate().filter(|(i, _)| !self.is_dropped(*i, dropped));
        kept.map(|(_, message)| message.clone()).collect()
    }

    fn is_dropped(&self, index: usize, dropped: usize) -> bool {
        self.messages[index].role != Role::System && self.turns[..dropped].iter().any(|turn| turn.contains(&index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `s`ystem, `u`ser or `a`ssistant, each message as long as its place in the conversation plus one.
    fn conversation(roles: &str) -> Vec<Message> {
        let role = |c| match c {
            's' => Role::System,
            'u' => Role::User,
            _ => Role::Assistant,
        };
        roles.chars().enumerate().map(|(i, c)| Message::new(role(c), "x".repeat(i + 1))).collect()
    }

    /// A token a character.
    fn render(messages: &[Message]) -> Result<Vec<char>, ()> {
        Ok(messages.iter().flat_map(|message| message.content.chars()).collect())
    }

    fn fit(roles: &str, limit: usize, target: usize) -> (usize, Vec<usize>) {
        let messages = conversation(roles);
        let mut window = ContextWindow::new(&messages);
        let tokens = window.fit(limit, target, render).unwrap();
        assert_eq!(tokens, render(&window.kept()).unwrap());
        (tokens.len(), window.dropped())
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(fit("suauau", 21, 1), (21, vec![]));
    }

    #[test]
    fn the_oldest_turns_go_question_and_answer_together() {
        assert_eq!(fit("suauau", 20, 20), (16, vec![1, 2]));
        assert_eq!(fit("suauau", 20, 15), (7, vec![1, 2, 3, 4]), "down to the target once anything has to go");
    }

    #[test]
    fn the_system_message_and_the_last_turn_stay_whatever_the_limit() {
        assert_eq!(fit("suauau", 1, 1), (7, vec![1, 2, 3, 4]));
        assert_eq!(fit("suaua", 1, 1), (1 + 4 + 5, vec![1, 2]), "a reply that is continued stays with its question");
        assert_eq!(fit("su", 1, 1), (3, vec![]));
        assert_eq!(fit("u", 0, 0), (1, vec![]));
        assert_eq!(fit("", 0, 0), (0, vec![]));
    }

    #[test]
    fn odd_conversations_are_cut_too() {
        assert_eq!(fit("sauau", 6, 6), (1 + 5, vec![1, 2, 3]), "a greeting goes first");
        assert_eq!(fit("uuu", 3, 3), (3, vec![0, 1]), "questions without answers");
        assert_eq!(fit("usau", 6, 6), (2 + 4, vec![0, 2]), "a system message in the middle stays");
        assert_eq!(fit("aa", 0, 0), (3, vec![]));
    }

    #[test]
    fn the_fewest_turns_are_dropped_at_every_limit() {
        let messages = conversation(&format!("s{}u", "ua".repeat(40)));
        let total = render(&messages).unwrap().len();
        for limit in (82..total).step_by(7) {
            let mut window = ContextWindow::new(&messages);
            let found = window.fit(limit, limit, render).unwrap().len();
            let fewest = (0..=40).find(|&turns| {
                let mut window = ContextWindow::new(&messages);
                window.drop_turns(turns);
                render(&window.kept()).unwrap().len() <= limit
            });
            assert_eq!(window.dropped_turns(), fewest.unwrap_or(40), "limit {limit}");
            assert!(found <= limit || window.dropped_turns() == 40);
        }
    }
}
