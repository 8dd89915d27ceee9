//! Files as the person names them and finds them.

/// What is in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Without its folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// The folder that was looked into last, as it was named, and what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) folder: String,
    pub(super) entries: Vec<FileEntry>,
}

/// The path that an argument names: it may stand between quotes, or have its spaces behind backslashes.
pub(super) fn unquoted(argument: &str) -> String {
    let between = |quote| argument.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match between('"').or_else(|| between('\'')) {
        Some(path) => path.to_owned(),
        None => argument.replace("\\ ", " "),
    }
}
