//! Which bytes of a partial file are there.
