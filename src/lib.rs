//! gibber: an interactive terminal chat that runs a language model in its own process.
//!
//! # The map
//!
//! ```text
//! main -> cli -> everything            parse, put the parts together, one place for the exit code
//! tui, repl -> app, worker::{protocol, handle}, store::paths
//! app       -> settings, chat, store, worker::protocol, hub::news   returns effects, never holds the handle
//! worker    -> gibber_engine, chat     the thread that owns the model
//! hub       -> gibber_engine, store    models from elsewhere, in the background
//! store     -> chat                    config directory, session database, prompt history
//! settings, chat -> gibber_engine's plain parameter types only
//! ```
//!
//! The other crates of the workspace know nothing of all this. [`gibber_engine`] is inference: pure, synchronous,
//! deterministic. Every layer may use two more: `gibber_files` is the one door through which a person's file is read, and
//! knows how folders for the user alone are made and how errors quote a value; `gibber_signals` gives the terminal back
//! whatever ends the program, and bounds how long leaving takes. `unsafe` code is in the engine and in `gibber_signals`
//! alone.
//!
//! A key goes through the screen's layers, of which the first that takes it makes an [`app::Action`] of it; [`app::App`] turns
//! that into state and [`app::Effect`]s; the front end's loop carries the effects out (submit to the [`worker`], save to the
//! [`store`], read a file), and what comes of it goes back as an [`app::Outcome`]. What only a screen does is
//! [`app::OnScreen`]. The worker answers with
//! [`worker::protocol::EngineEvent`]s, which go back into the same state machine; a frame is a pure function of it.
//!
//! Chat templates of models and files are strangers' programs: the binary starts itself once more to run them
//! ([`chat::template::Sandbox`], answered by [`chat::template::serve`]).
//!
//! Start reading at [`worker::protocol`] (what the parts say to each other), then [`gibber_engine`] (how a token is computed)
//! or [`app`] (what the person can do).
#![forbid(unsafe_code)]

pub mod app;
pub mod chat;
pub mod cli;
pub mod hub;
pub mod repl;
pub mod settings;
pub mod store;
pub mod tui;
pub mod worker;
