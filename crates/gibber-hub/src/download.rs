//! One file: several ranges at once, resumed where they ended, checked, and put in its place.
