//! Which filters act, and in which order: llama.cpp's `--samplers`.

use std::fmt;
use std::str::FromStr;

use gibber_files::nearest::nearest_within;
use gibber_files::quoted;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Filter;

/// What stands between two names.
const SEPARATOR: char = ';';

/// The word for no filter at all.
const NONE: &str = "none";

/// The word for the order that nobody has changed.
const DEFAULT: &str = "default";

/// Samplers of llama.cpp that are off unless a parameter turns them on which this program does not have: a list that has
/// them means the same without them.
const OFF: [&str; 3] = ["dry", "xtc", "adaptive_p"];

/// The filters that act, in their order, each once. What is left out does nothing, whatever its parameters say.
///
/// As text it is names with `;` between them, `top_k;top_p;temperature`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samplers(Vec<Filter>);

/// A text that is no list of filters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: samplers are {}", Samplers::wanted())]
pub struct InvalidSamplers {
    what: String,
}

impl Samplers {
    /// The filters, in order.
    pub fn iter(&self) -> impl Iterator<Item = Filter> {
        self.0.iter().copied()
    }

    /// Whether this filter acts.
    pub fn has(&self, filter: Filter) -> bool {
        self.0.contains(&filter)
    }

    /// The filters in llama.cpp's short form, a letter each.
    pub fn letters(&self) -> String {
        if self.0.is_empty() { NONE.to_owned() } else { self.iter().map(Filter::letter).collect() }
    }

    /// What a text of filters is, in words.
    pub fn wanted() -> String {
        let names: Vec<&str> = Filter::ALL.iter().map(|filter| filter.name()).collect();
        format!("{} in any order, each at most once, with {SEPARATOR} between them; or `{DEFAULT}`", names.join(", "))
    }

    /// The filters of these names.
    fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, InvalidSamplers> {
        let mut filters = Vec::new();
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            let letter = single(name);
            match Filter::named(name).or_else(|| Filter::of_letter(letter?)) {
                Some(filter) if filters.contains(&filter) => {
                    return Err(InvalidSamplers { what: format!("`{}` stands there twice", filter.name()) });
                }
                Some(filter) => filters.push(filter),
                None if OFF.contains(&name) => {}
                None => return Err(InvalidSamplers::unknown(name)),
            }
        }
        Ok(Self(filters))
    }
}

impl Default for Samplers {
    fn default() -> Self {
        Self(Filter::ALL.to_vec())
    }
}

impl fmt::Display for Samplers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        for (at, filter) in self.iter().enumerate() {
            if at > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            f.write_str(filter.name())?;
        }
        Ok(())
    }
}

impl FromStr for Samplers {
    type Err = InvalidSamplers;

    /// Names with `;` between them, `default`, or `none`; also llama.cpp's letters, `kypmt`.
    fn from_str(text: &str) -> Result<Self, InvalidSamplers> {
        match text.trim() {
            DEFAULT => Ok(Self::default()),
            NONE => Ok(Self(Vec::new())),
            word if Filter::named(word).is_none() && !word.contains(SEPARATOR) => match names_of_letters(word) {
                Some(_) if meant(word, 1).is_some() => Err(InvalidSamplers::not_letters(word)),
                Some(names) => Self::of_names(names.into_iter()),
                None => Self::of_names(std::iter::once(word)),
            },
            names => Self::of_names(names.split(SEPARATOR)),
        }
    }
}

impl InvalidSamplers {
    fn unknown(name: &str) -> Self {
        let near = meant(name, 2).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        Self { what: format!("there is no sampler `{}`{near}", quoted::shortened(name)) }
    }

    /// A word that may be letters or a name that was mistyped: it is not guessed which.
    fn not_letters(word: &str) -> Self {
        let letters: Vec<String> = word.chars().filter(|c| Filter::of_letter(*c).is_some()).map(String::from).collect();
        let letters = letters.join(&SEPARATOR.to_string());
        Self { what: format!("{}, and letters are written `{letters}`", Self::unknown(word).what) }
    }
}

/// The names that a word of llama.cpp's letters stands for. Letters of nothing but what is off are rather a name that was
/// mistyped.
fn names_of_letters(word: &str) -> Option<Vec<&'static str>> {
    let named = |letter| Filter::of_letter(letter).map(Filter::name).or_else(|| off_of_letter(letter));
    let names = word.chars().map(named).collect::<Option<Vec<_>>>();
    names.filter(|_| word.chars().any(|letter| Filter::of_letter(letter).is_some()))
}

/// The only letter of a name.
fn single(name: &str) -> Option<char> {
    let mut letters = name.chars();
    letters.next().filter(|_| letters.next().is_none())
}

/// The name that a word was to be which is none: it is the beginning of one, or is one but for `most` letters. Two letters
/// are two letters.
fn meant(word: &str, most: usize) -> Option<&'static str> {
    let word = word.replace('-', "_");
    let names = || Filter::ALL.into_iter().flat_map(Filter::names);
    // A name is not longer than this, and what is compared with all of them is not a text of any length.
    if !(3..=24).contains(&word.chars().count()) {
        return None;
    }
    let longer = names().find(|name| name.starts_with(&word));
    longer.or_else(|| nearest_within(most, &word, names().filter(|name| name.len() > 3)))
}

/// The name of one of [`OFF`] by its letter in llama.cpp's short form.
fn off_of_letter(letter: char) -> Option<&'static str> {
    match letter {
        'd' => Some("dry"),
        'x' => Some("xtc"),
        _ => None,
    }
}

impl Serialize for Samplers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Samplers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Samplers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Samplers::wanted())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Samplers, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Samplers, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                names.join(&SEPARATOR.to_string()).parse().map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<Samplers>().unwrap().to_string()
    }

    #[test]
    fn names_are_those_of_llama_cpp_in_the_order_they_are_given() {
        let usual = "top_k;typ_p;top_p;min_p;temperature";
        assert_eq!(parsed(usual), usual);
        assert_eq!(parsed("top-k; typical ;nucleus;min-p;temp"), usual);
        assert_eq!(parsed("kypmt"), usual);
        assert_eq!(parsed("temperature"), "temperature");
        assert_eq!(parsed("default"), Samplers::default().to_string());
        assert_eq!(parsed(""), "none");
        assert_eq!(parsed("none"), "none");
        // Its own default, with samplers that are off unless asked for.
        assert!(parsed("penalties;dry;top_k;typ_p;top_p;min_p;xtc;temperature").starts_with("penalties;top_k;typ_p"));
    }

    #[test]
    fn what_is_no_filter_is_named_with_those_that_there_are() {
        let error = |text: &str| text.parse::<Samplers>().unwrap_err().to_string();
        let said = error("top_k;tok_p");
        assert!(
            said.starts_with("there is no sampler `tok_p` (did you mean `top_p`?): samplers are penalties, "),
            "{said}"
        );
        assert!(error("zzz").starts_with("there is no sampler `zzz`"));
        assert!(error("top_k;top-k").starts_with("`top_k` stands there twice"));
        assert!(error(&"x".repeat(100_000)).len() < 500);
    }

    #[test]
    fn a_mistyped_name_is_not_read_as_letters() {
        for (word, near) in [
            ("tem", "temperature"),
            ("tep", "temp"),
            ("temt", "temp"),
            ("typ_", "typ_p"),
            ("pemp", "temp"),
            ("typp", "typ_p"),
        ] {
            let error = word.parse::<Samplers>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("there is no sampler `{word}` (did you mean `{near}`?)")), "{error}");
        }
        let error = "tem".parse::<Samplers>().unwrap_err().to_string();
        assert!(error.contains("letters are written `t;e;m`"), "{error}");
        assert_eq!(parsed("t;e;m"), "temperature;penalties;min_p");
        assert_eq!(
            (parsed("mt"), parsed("ktmp")),
            ("min_p;temperature".into(), "top_k;temperature;min_p;top_p".into())
        );
        assert!("t;t".parse::<Samplers>().unwrap_err().to_string().starts_with("`temperature` stands there twice"));
        assert_eq!(parsed("edskypmxt"), Samplers::default().to_string());
    }

    #[test]
    fn a_list_is_read_from_a_string_and_from_an_array_and_written_as_a_string() {
        let read = |json: &str| serde_json::from_str::<Samplers>(json).map_err(|error| error.to_string());
        let expected: Samplers = "top_k;temperature".parse().unwrap();
        assert_eq!(read("\"top_k;temperature\""), Ok(expected.clone()));
        assert_eq!(read("[\"top_k\", \"temperature\"]"), Ok(expected.clone()));
        assert_eq!(serde_json::to_string(&expected).unwrap(), "\"top_k;temperature\"");
        assert!(read("[\"top_q\"]").unwrap_err().contains("there is no sampler `top_q`"));
        assert!(read("3").is_err());
    }

    #[test]
    fn every_name_alias_and_letter_stands_for_one_filter() {
        for filter in Filter::ALL {
            assert_eq!(Filter::named(filter.name()), Some(filter));
            assert_eq!(Filter::ALL.iter().filter(|other| other.letter() == filter.letter()).count(), 1, "{filter:?}");
            assert!(!OFF.contains(&filter.name()));
        }
    }
}
