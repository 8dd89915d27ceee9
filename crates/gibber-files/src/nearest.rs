//! What a mistyped name was to be. That is another question than which rows a search means: letters are wrong here, and
//! only left out there.

/// The one of `names` that is nearest to `name`, where one is near enough to be meant: two letters are wrong, missing, too
/// many or swapped at most, and fewer in a short name.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(2, name, names)
}

/// As [`nearest`], where `most` letters may be wrong.
pub fn nearest_within<'a>(most: usize, name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    names
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= most.min(candidate.len() / 2))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_by_what_is_nearly_it_and_by_nothing_else() {
        let of = |name: &str| nearest(name, ["quit", "temperature", "regen"].into_iter());
        assert_eq!((of("quti"), of("Temprature"), of("rgeen")), (Some("quit"), Some("temperature"), Some("regen")));
        assert_eq!((of("zzzzzz"), of(""), of("it")), (None, None, Some("quit")));
    }
}
