//! The machine: all assembly of the library, and all that depends on the processor and its calling
//! convention. Another architecture is a folder beside `x86_64` that gives the same names.

#[cfg(not(target_arch = "x86_64"))]
compile_error!("mallocop runs on x86-64 alone so far: src/arch has what another machine needs");

mod x86_64;

pub use x86_64::*;
