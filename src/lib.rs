//! gibber: an interactive terminal chat that runs a language model in its own process.
//!
//! # The map
//!
//! ```text
//! main -> cli -> everything            parse, put the parts together, one place for the exit code
//! tui, repl -> app, worker::{protocol, handle}, store::paths
//! app       -> settings, chat, store, worker::protocol   returns effects, never holds the handle
//! worker    -> engine, chat            the thread that owns the model
//! store     -> chat                    config directory, session database, prompt history
//! settings, chat -> engine's plain parameter types only
//! engine    -> nothing of ours         inference: pure, synchronous, deterministic
//! everything -> private, quoted        folders and files for the user alone; values as errors quote them
//! ```
//!
//! Two crates of the workspace know nothing of all this, and every layer may use them: `gibber_files` is the one door
//! through which a person's file is read, `gibber_signals` (with `unsafe`, as only the engine beside it) gives the terminal
//! back whatever ends the program, and bounds how long leaving takes.
//!
//! A key press becomes an [`app::Action`]; [`app::App`] turns it into state and [`app::Effect`]s; the front end's loop
//! carries the effects out (submit to the [`worker`], save to the [`store`], quit). The worker answers with
//! [`worker::protocol::EngineEvent`]s, which go back into the same state machine; a frame is a pure function of it.
//!
//! Chat templates of models and files are strangers' programs: the binary starts itself once more to run them
//! ([`chat::template::Sandbox`], answered by [`chat::template::serve`]).
//!
//! Start reading at [`worker::protocol`] (what the parts say to each other), then [`engine`] (how a token is computed)
//! or [`app`] (what the person can do).

pub mod app;
pub mod chat;
pub mod cli;
pub mod engine;
pub mod private;
pub mod quoted;
pub mod repl;
pub mod settings;
pub mod store;
pub mod tui;
pub mod worker;
