//! The model as text: findings, leak reports and stacks as a reader sees them, the same in a
//! watched process and in the command. Options of rendering are an argument; nothing global is
//! read.

mod block;
pub mod escape;
pub mod fault;
pub mod finding;
mod guarded;
mod hint;
pub mod leaks;
mod location;
pub mod message;
pub mod page;
pub mod stacks;
pub mod style;
pub mod summary;
pub mod symbolizer;
