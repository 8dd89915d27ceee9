//! A reply, token by token.
