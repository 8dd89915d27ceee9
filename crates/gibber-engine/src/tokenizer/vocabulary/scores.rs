//! SentencePiece's scores, from the merges that a `tokenizer.json` has in their place.

use std::collections::{HashMap, HashSet};

use super::NORMAL;

/// The score of each token, by id: the sooner a piece is merged, the higher. Only where every two pieces that make a
/// third are a merge, and the merges of one piece follow each other, is that the same tokenizer.
///
/// # Errors
/// Names the pieces that no scores can stand for.
pub(super) fn of(tokens: &[String], kinds: &[i32], merges: &[(String, String)]) -> Result<Vec<f32>, String> {
    let mut rank_of: HashMap<String, usize> = HashMap::new();
    let mut previous = String::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        let whole = format!("{left}{right}");
        if whole != previous && rank_of.insert(whole.clone(), rank).is_some() {
            return Err(other_than_scores(left, right));
        }
        previous = whole;
    }
    let pairs: HashSet<(&str, &str)> = merges.iter().map(|(left, right)| (left.as_str(), right.as_str())).collect();
    let is_normal = |(_, kind): &(&String, &i32)| **kind == NORMAL;
    let pieces: HashSet<&str> = tokens.iter().zip(kinds).filter(is_normal).map(|(token, _)| token.as_str()).collect();
    for piece in &pieces {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if pieces.contains(left) && pieces.contains(right) && !pairs.contains(&(left, right)) {
                return Err(other_than_scores(left, right));
            }
        }
    }
    // What no merge makes comes last, in the order of the ids.
    let last = merges.len();
    let score = |(id, token): (usize, &String)| -(rank_of.get(token).copied().unwrap_or(last + id) as f32);
    Ok(tokens.iter().enumerate().map(score).collect())
}

fn other_than_scores(left: &str, right: &str) -> String {
    format!(
        "its merges (such as `{left}` with `{right}`) are not those of a SentencePiece model, and a GGUF file has no other way to cut such texts"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(tokens: &[&str], merges: &[(&str, &str)]) -> Result<Vec<f32>, String> {
        let owned = |text: &&str| (*text).to_owned();
        let merges: Vec<_> = merges.iter().map(|(left, right)| (owned(left), owned(right))).collect();
        of(&tokens.iter().map(owned).collect::<Vec<_>>(), &vec![NORMAL; tokens.len()], &merges)
    }

    #[test]
    fn what_is_merged_first_has_the_highest_score() {
        let tokens = ["abc", "bc", "ab", "a", "b", "c"];
        let merges = [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")];
        assert_eq!(scores(&tokens, &merges).unwrap(), [-2.0, 0.0, -1.0, -7.0, -8.0, -9.0]);
    }

    #[test]
    fn merges_that_scores_cannot_tell_are_refused() {
        let tokens = ["abc", "bc", "ab", "a", "b", "c"];
        assert!(scores(&tokens, &[("b", "c"), ("a", "b"), ("a", "bc")]).unwrap_err().contains("`ab` with `c`"));
        let apart = [("b", "c"), ("a", "bc"), ("a", "b"), ("ab", "c")];
        assert!(scores(&tokens, &apart).unwrap_err().contains("`ab` with `c`"));
    }
}
