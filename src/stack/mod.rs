//! Stacks: captured, interned into sites, and turned into names.
//!
//! `cfi` makes a `rule` of a module's call frame information, `rules` keeps it, `unwind` takes a
//! step by it, `memo` takes only those steps that have changed, `depot` gives the whole a number.

mod bounds;
pub mod caller;
pub mod capture;
pub mod cfi;
pub mod debug_check;
pub mod demangle;
pub mod depot;
mod eh_frame_hdr;
mod link_maps;
pub mod memo;
pub mod modules;
#[cfg(feature = "oracle")]
pub mod oracle;
mod pair_table;
mod pairs;
#[cfg(test)]
mod pairs_tests;
mod parts;
mod prefix_hash;
mod rows;
pub mod rule;
mod rules;
pub mod symbolize;
pub mod tenants;
pub mod totals;
mod tracer;
pub mod unwind;
