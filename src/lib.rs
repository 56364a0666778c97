//! A debug allocator for Linux: canaries, a quarantine for freed blocks, and leak reports, all with
//! stacks.
//!
//! # Quick start
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: mallocop::Mallocop = mallocop::Mallocop::new();
//!
//! fn main() {
//!     let name = String::from("checked");
//!     assert_eq!(name.len(), 7);
//! }
//! ```
//!
//! Every allocation of the program's Rust code is checked now. Errors and leaks are reported on
//! standard error; `MALLOCOP_OPTIONS` sets the options. `#[mallocop::test]` makes a test fail that
//! leaks, [`leak_scope`] looks at a part of one, [`stats`] counts.
//!
//! The `mallocop` command checks programs that are not built with this crate.
//!
//! # Inside
//!
//! The crate exports no `malloc` symbol: linking it replaces nothing. The other modules are the
//! parts that the command and libmallocop.so are made of; ARCHITECTURE.md has a map. They change
//! without notice.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod abi;
pub mod arch;
pub mod arena;
pub mod checks;
mod global;
pub mod heap;
pub mod leak;
pub mod model;
pub mod options;
pub mod own;
pub mod program;
pub mod runtime;
pub mod shadow;
pub mod stack;
pub mod sys;
pub mod testing;
pub mod text;
pub mod trace;

/// Earlier names of modules, for one release.
#[doc(hidden)]
pub use checks as debug;
pub use global::Mallocop;
pub use mallocop_macros::test;
#[doc(hidden)]
pub use model::finding;
pub use testing::{LeakScope, leak_scope, stats};
#[doc(hidden)]
pub use text as report;
#[doc(hidden)]
pub use trace as record;
