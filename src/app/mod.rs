//! The state machine that both front ends share.

/// What a person did.
#[derive(Debug)]
pub enum Action {}
/// What the front end's loop is to carry out.
#[derive(Debug)]
pub enum Effect {}
/// The state of the program.
#[derive(Debug)]
pub struct App {}
