//! The model as text: findings, leak reports and stacks as a reader sees them, the same in a watched
//! process and in the command.

pub mod escape;
pub mod finding;
pub mod leaks;
pub mod names;
mod place;
mod source;
pub mod stacks;
pub mod summary;
