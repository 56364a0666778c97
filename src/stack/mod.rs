//! Stacks: captured, interned into sites, and turned into names.

pub mod capture;
pub mod depot;
pub mod modules;
pub mod symbolize;
