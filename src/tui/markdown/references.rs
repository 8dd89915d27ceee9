//! Links that say where they go to somewhere else: `[text][label]`, and `[label]: address`, which mostly comes later.

use std::collections::HashMap;

use pulldown_cmark::{BrokenLink, CowStr, Options, Parser};

/// The addresses that a text has given so far, by their labels.
#[derive(Debug, Default)]
pub(super) struct References {
    addresses: HashMap<String, String>,
}

impl References {
    /// Takes the definitions of a block, and returns the labels that are new.
    pub(super) fn define(&mut self, block: &str, options: Options) -> Vec<String> {
        let parser = Parser::new_ext(block, options);
        let mut news = Vec::new();
        for (label, definition) in parser.reference_definitions().iter() {
            // A footnote of one word looks like an address.
            let label = folded(label);
            if !label.starts_with('^') && !self.addresses.contains_key(&label) {
                self.addresses.insert(label.clone(), definition.dest.to_string());
                news.push(label);
            }
        }
        news
    }

    /// The address of a link; where there is none yet, its label is `missing`.
    pub(super) fn resolve<'a>(
        &self,
        link: &BrokenLink<'a>,
        missing: &mut Vec<String>,
    ) -> Option<(CowStr<'a>, CowStr<'a>)> {
        let label = folded(&link.reference);
        match self.addresses.get(&label) {
            Some(address) => Some((address.clone().into(), CowStr::Borrowed(""))),
            None => {
                missing.push(label);
                None
            }
        }
    }
}

/// A label as labels are compared: whatever the case of its letters, and how wide its blanks are.
fn folded(label: &str) -> String {
    label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
