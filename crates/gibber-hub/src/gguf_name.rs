//! Names of GGUF files: whether one stands for a model, and which part of it.

/// A file name that ends in `.gguf`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GgufName<'a> {
    stem: &'a str,
    part: Option<Part>,
}

/// Which part of a split model a file is (`gguf-split` of llama.cpp).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) count: usize,
}

/// Digits of a part's number.
const DIGITS: usize = 5;

impl<'a> GgufName<'a> {
    /// Of `STEM.gguf` or `STEM-00001-of-00003.gguf`, in any case of letters.
    pub(crate) fn new(file: &'a str) -> Option<Self> {
        let (whole, ending) = file.rsplit_once('.')?;
        if !ending.eq_ignore_ascii_case("gguf") || whole.is_empty() {
            return None;
        }
        let split = Self::split(whole);
        Some(Self { stem: split.map_or(whole, |(stem, _)| stem), part: split.map(|(_, part)| part) })
    }

    fn split(whole: &'a str) -> Option<(&'a str, Part)> {
        let (rest, count) = whole.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let parsed = |digits: &str| {
            digits.parse().ok().filter(|_| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let part = Part { number: parsed(number)?, count: parsed(count)? };
        (1..=part.count).contains(&part.number).then_some((stem, part))
    }

    /// The name without ending and number.
    pub(crate) fn stem(&self) -> &'a str {
        self.stem
    }

    pub(crate) fn part(&self) -> Option<Part> {
        self.part
    }

    /// Whether it is something beside a model: what sees pictures, what was measured for quantizing, what drafts.
    pub(crate) fn is_companion(&self) -> bool {
        let stem = self.stem.to_ascii_lowercase();
        let words: Vec<&str> = stem.split(['-', '.', '_']).collect();
        ["mmproj", "imatrix", "mtp", "vocab"].iter().any(|companion| words.contains(companion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_taken_apart() {
        let name = GgufName::new("Big-Q4_K_M-00002-of-00003.gguf").unwrap();
        assert_eq!((name.stem(), name.part()), ("Big-Q4_K_M", Some(Part { number: 2, count: 3 })));
        let whole = |file: &str| GgufName::new(file).map(|name| (name.stem().to_owned(), name.part()));
        assert_eq!(whole("a.gguf"), Some(("a".to_owned(), None)));
        for odd in ["a-1-of-2.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf", "a-+0001-of-00002.gguf"] {
            assert_eq!(whole(odd).unwrap().1, None, "{odd}");
        }
        assert_eq!([whole("a.bin"), whole(".gguf"), whole("gguf")], [None, None, None]);
    }

    #[test]
    fn what_lies_beside_a_model_is_no_model() {
        for companion in ["mmproj-model-f16.gguf", "Model.mmproj-Q8_0.gguf", "imatrix_unsloth.gguf", "mtp-gemma-4.gguf"]
        {
            assert!(GgufName::new(companion).unwrap().is_companion(), "{companion}");
        }
        for model in ["gemma-3-4b-it-Q4_K_M.gguf", "ggml-model-q4_0.gguf", "ggml-model-i2_s.gguf"] {
            assert!(!GgufName::new(model).unwrap().is_companion(), "{model}");
        }
    }
}
