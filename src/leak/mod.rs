//! Leaks: which live blocks the program can still reach. `chart` says which block a word points into, `mark`
//! follows such words, `classify` sorts what is lost, `hidden` keeps both from memory that cannot be read or was
//! never touched.

pub mod chart;
pub mod classify;
pub mod hidden;
pub mod mark;
