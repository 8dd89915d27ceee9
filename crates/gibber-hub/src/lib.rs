//! Models of a Hugging Face hub: what a name means, what a repository has, and how its files come here.
//!
//! Everything that speaks HTTP or knows the shared cache of `huggingface_hub` is here; what needs the engine (which type fits
//! this machine, what a header says) is the program's. There is no async runtime: a request blocks the thread that makes it,
//! and a [`Cancel`] ends it from another within a fifth of a second, whatever the server does.
//!
//! What a server sends is input like any other: bodies, headers, pages and numbers are bounded.
#![forbid(unsafe_code)]

mod api;
mod cache;
mod cancel;
mod catalogue;
mod download;
mod environment;
mod error;
mod gguf_name;
mod hash;
mod http;
mod journal;
mod ledger;
mod lock;
mod meter;
mod names;
mod plain;
mod plan;
mod pull;
mod remove;
mod segments;
mod throttle;
mod weight_type;

pub use api::{FileHead, Hub, Listing, Oid, RemoteFile};
pub use cache::Cache;
pub use cancel::Cancel;
pub use catalogue::{Catalogue, CatalogueEntry, CataloguePlace, Found, RecommendedSampling};
pub use environment::{ENDPOINT, HubEnvironment, TimeOuts, Token};
pub use error::{HubError, Near, Result};
pub use hash::digest;
pub use http::{Backoff, Body, Certificates, Proxies, Retry};
pub use ledger::{Ledger, LedgerEntry, LedgerFile, LedgerSource};
pub use meter::Bytes;
pub use names::{HUGGING_FACE, Reference, Repository};
pub use plain::{address_size, is_same_model, pull_address};
pub use plan::{Floats, GgufModel, Offer, Plan, floats, gguf_models, offer};
pub use pull::{Limits, PullEvent, Pulled, bytes_here, list, pull, read_file};
pub use remove::{Begun, KeptFile, Removal, User, begun, begun_of_addresses, remove_begun};
pub use weight_type::WeightType;
