//! What can be had in a chat where no model, or another one, is on this machine.

use super::models;
use crate::app::{ModelOffer, OfferedModel};
use crate::store::Paths;

/// The models that can be pulled and run here.
pub(super) fn offered() -> Vec<OfferedModel> {
    Vec::new()
}

/// What can be had where nothing is under a name.
pub(super) fn offer_for(name: &str, paths: &Paths) -> Option<ModelOffer> {
    (name.is_empty() && models::names(paths).is_empty()).then_some(ModelOffer::Any)
}
