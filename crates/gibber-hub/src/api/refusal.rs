//! What a hub means when it refuses, and what to do about it.

use serde::Deserialize;

use super::{Hub, Listing};
use crate::error::Near;
use crate::{HubError, Repository, Result};

/// Names that are offered in the place of one that is not there.
const OFFERED: usize = 3;
/// How often a hub is asked for them.
const SEARCHES: usize = 5;
/// How similar they are at least, from 0 to 1.
const SIMILAR: f64 = 0.6;

/// What a refusal means.
enum Meaning {
    Gated,
    NoRepository,
    NoRevision,
    NoFile,
    Token,
    Other,
}

fn meaning(error: &HubError) -> Meaning {
    let HubError::Status { status, code, message, .. } = error else { return Meaning::Other };
    match (code.as_str(), status) {
        ("GatedRepo", _) => Meaning::Gated,
        ("RevisionNotFound", _) => Meaning::NoRevision,
        ("EntryNotFound", _) => Meaning::NoFile,
        ("RepoNotFound", _) => Meaning::NoRepository,
        (_, 401) if is_of_token(message) => Meaning::Token,
        // A hub says so of what is not there, and of what is hidden.
        (_, 401 | 404) => Meaning::NoRepository,
        _ => Meaning::Other,
    }
}

/// Whether a refusal is about the token. That a name and a password are wrong is said of every repository that is not there.
fn is_of_token(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("invalid credentials") || message.contains("token") && message.contains("expired")
}

impl Hub {
    /// `error` as what it means for a repository at a revision.
    pub(super) fn explained(&self, error: HubError, repository: &Repository, revision: &str) -> HubError {
        match meaning(&error) {
            Meaning::Gated => self.gated(repository),
            Meaning::NoRepository | Meaning::NoFile => HubError::NoRepository {
                endpoint: self.environment.endpoint.clone(),
                repository: repository.to_string(),
                near: self.near_repositories(repository),
                has_token: self.environment.token.is_some(),
                advice: self.advice(),
            },
            Meaning::NoRevision => HubError::NoRevision {
                repository: repository.to_string(),
                revision: revision.to_owned(),
                near: self.revisions(repository).map(|names| near(revision, names)).unwrap_or_default(),
            },
            Meaning::Token => self.wrong_token(),
            Meaning::Other => error,
        }
    }

    /// `error` as what it means for a file.
    pub(super) fn of_file(&self, error: HubError, listing: &Listing, path: &str) -> HubError {
        let is_of_file =
            |error: &HubError| matches!(error, HubError::Status { status: 404, code, .. } if code.is_empty());
        match meaning(&error) {
            Meaning::NoFile => self.no_file(listing, path),
            // A mirror that says nothing but the status: the repository was there a moment ago.
            Meaning::NoRepository if is_of_file(&error) => self.no_file(listing, path),
            _ => self.explained(error, &listing.repository, &listing.revision),
        }
    }

    fn no_file(&self, listing: &Listing, path: &str) -> HubError {
        HubError::NoFile {
            repository: listing.repository.to_string(),
            revision: listing.revision.clone(),
            path: path.to_owned(),
            near: near(path, listing.files.iter().map(|file| file.path.clone()).collect()),
        }
    }

    fn gated(&self, repository: &Repository) -> HubError {
        let page = format!("{}/{repository}", self.environment.endpoint);
        let advice = match self.environment.token {
            Some(_) => {
                format!("the person whose token this is has not been let in; ask for it at {page}, then try again")
            }
            None => format!("visit {page}, agree to what its makers ask, and {}", self.advice()),
        };
        HubError::Gated { repository: repository.to_string(), advice }
    }

    fn wrong_token(&self) -> HubError {
        HubError::Token { endpoint: self.environment.endpoint.clone(), advice: self.advice() }
    }

    /// How a token is given.
    fn advice(&self) -> String {
        let page = format!("{}/settings/tokens", self.environment.endpoint);
        let file = match (&self.environment.token_trouble, &self.environment.token_path) {
            (Some(trouble), _) => format!(" (its file cannot be read: {trouble})"),
            (None, Some(path)) => format!(", or write it into {}", path.display()),
            (None, None) => String::new(),
        };
        format!("make a token at {page} and set HF_TOKEN to it{file}")
    }

    /// Repositories that may have been meant; none where the hub cannot be asked.
    fn near_repositories(&self, repository: &Repository) -> Near {
        let (hub, mut all) = (self.briefly(), Vec::<String>::new());
        for (at, text) in searched(repository.as_str()).into_iter().enumerate() {
            let Ok(found) = hub.search(&text) else { break };
            let found: Vec<_> = found.into_iter().filter(|found| found != repository.as_str()).collect();
            all.extend(found.clone());
            match near(repository.as_str(), all.clone()) {
                Near(similar) if !similar.is_empty() => return Near(similar),
                // What the hub finds by the name has it within: there similarity says only what comes first.
                Near(_) if at == 0 && !found.is_empty() => return Near(found.into_iter().take(OFFERED).collect()),
                Near(_) => {}
            }
        }
        Near::default()
    }

    /// Branches and tags.
    fn revisions(&self, repository: &Repository) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Name {
            name: String,
        }
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            branches: Vec<Name>,
            #[serde(default)]
            tags: Vec<Name>,
        }
        let names: Names = self.briefly().json(&self.address(&format!("/api/models/{repository}/refs"))?)?.0;
        Ok(names.branches.into_iter().chain(names.tags).map(|name| crate::http::printable(&name.name)).collect())
    }
}

/// What a hub is asked for where it has no `repository`: its name, that of what it was converted from, whoever made it, and
/// the words of the name, the longest first. A letter that is wrong is in one of them alone.
fn searched(repository: &str) -> Vec<String> {
    let (organization, name) = repository.split_once('/').unwrap_or(("", repository));
    let ending =
        name.len().checked_sub(5).filter(|&at| name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case("-gguf"));
    let stem = &name[..ending.unwrap_or(name.len())];
    let mut words: Vec<&str> = stem.split(['-', '_', '.']).filter(|word| word.len() > 2).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut texts: Vec<String> = Vec::new();
    for text in [name, stem, organization].into_iter().chain(words) {
        if !text.is_empty() && !texts.iter().any(|known| known == text) {
            texts.push(text.to_owned());
        }
    }
    texts.truncate(SEARCHES);
    texts
}

/// Those of `names` that are most like `wanted`, where case and folders count little.
fn near(wanted: &str, names: Vec<String>) -> Near {
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wanted = (wanted.to_lowercase(), last(wanted));
    let mut alike: Vec<_> = names
        .into_iter()
        .map(|name| {
            let whole = strsim::normalized_damerau_levenshtein(&wanted.0, &name.to_lowercase());
            (whole.max(strsim::normalized_damerau_levenshtein(&wanted.1, &last(&name))), name)
        })
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    Near(alike.into_iter().take(OFFERED).map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_whole_and_in_parts() {
        assert_eq!(searched("org/tinny-GGUF"), ["tinny-GGUF", "tinny", "org"]);
        assert_eq!(
            searched("Org/Big-Model-0.6B-GGUF"),
            ["Big-Model-0.6B-GGUF", "Big-Model-0.6B", "Org", "Model", "Big"]
        );
        assert_eq!(searched("gpt2"), ["gpt2"]);
    }

    #[test]
    fn near_names_are_the_similar_ones_and_the_nearest_first() {
        let names = ["model-Q8_0.gguf", "model-Q4_K_M.gguf", "README.md", "sub/model-q4_k_m.gguf"].map(str::to_owned);
        let Near(found) = near("model-Q4_K_S.gguf", names.to_vec());
        assert_eq!(found, ["model-Q4_K_M.gguf", "sub/model-q4_k_m.gguf", "model-Q8_0.gguf"]);
        assert_eq!(near("nothing of the kind", names.to_vec()), Near::default());
    }
}
