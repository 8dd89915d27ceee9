//! Models from elsewhere, as the program has them: what is pulled, and what a person is told of it meanwhile.
//!
//! [`ModelHub`] carries out the whole way, for the command line and for pulls in the background of a chat alike: a name
//! becomes an [`Offer`] (what would be fetched, and why this), an offer becomes a model that is [`Here`].

pub mod background;
pub mod catalogue;
mod files;
pub mod fit;
pub mod header;
pub mod jobs;
mod models;
pub mod news;
pub mod quantized;
mod resolve;
mod units;
mod within_memory;

pub use files::{ModelFile, files_of};
pub use models::{Choice, Here, ModelHub, Offer, OfferSource};
pub use quantized::{Floats, Made, QuantizeError};
pub use resolve::RemoteModel;
pub use units::{bytes_text, time_text};
pub use within_memory::Obtainable;

/// Why `name` can stand for no model anywhere, whatever a hub has; `None` where it can.
pub fn name_problem(name: &str) -> Option<String> {
    // Of which hub it may be that no address is encrypted, the environment says.
    if name.trim_start().to_ascii_lowercase().starts_with("http://") {
        return None;
    }
    gibber_hub::Reference::parse(name, gibber_hub::ENDPOINT).err().map(|error| error.to_string())
}
