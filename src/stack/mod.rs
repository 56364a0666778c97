//! Stacks: captured, interned into sites, and turned into names.
//!
//! `unwind` walks from a frame to its caller, `capture` makes a site of the calling stack, `depot`
//! keeps each stack once and numbers it, `modules` knows what is loaded, `site_counts` what each
//! site has allocated, `symbolize` names functions and lines inside the process.

pub mod capture;
mod concurrent_map;
#[cfg(test)]
mod concurrent_map_tests;
pub mod debug_check;
pub mod demangle;
pub mod depot;
mod empty_map;
mod map_table;
pub mod module_generations;
pub mod modules;
#[cfg(feature = "oracle")]
pub mod oracle;
pub mod site_counts;
mod source_line;
pub mod symbolize;
pub mod unwind;
