//! What the black-box tests share.

pub(crate) mod catalogue;
pub(crate) mod pty;
