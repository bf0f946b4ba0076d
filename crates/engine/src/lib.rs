//! Rows, commits and the single-writer loop.
