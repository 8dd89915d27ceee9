//! Keys are pressed and events fed; what is on screen is compared, and what was asked of the worker and of the store.

mod ascii;
mod branches;
mod chats;
mod eager_prefill;
mod files;
mod first_steps;
mod heat;
mod keys;
mod layers;
mod lists;
mod markdown;
mod messages;
mod mouse;
mod own_keys;
mod pulls;
mod replay;
mod saved;
mod screens;
mod stage;
mod steer;
mod themes;
mod tokens;
mod transcript;
mod variants;
mod writing;
