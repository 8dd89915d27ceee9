//! Short names for models: `assets/catalogue.toml` and one of the person's own.

/// All short names.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// In the order of the files.
    pub entries: Vec<CatalogueEntry>,
}

/// What a short name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogueEntry {
    /// As it is typed: `qwen3`.
    pub name: String,
    /// What stands behind the colon: `0.6b`.
    pub tag: String,
}
