//! The options of rendering, as an argument for [`crate::text`].

use std::path::PathBuf;

use super::table::{Name, flag, number};
use crate::text::style::Style;

/// The options as they are now. `working_directory` is left out at the front of file names.
pub fn style(working_directory: PathBuf) -> Style {
    Style {
        addresses: flag(Name::Addresses),
        full_stacks: flag(Name::FullStacks),
        has_stacks: number(Name::MallocContextSize) != 0,
        max_sites: number(Name::MaxSites),
        dedup_token_length: number(Name::DedupTokenLength),
        show_reachable: flag(Name::ShowReachable),
        free_fill: u8::try_from(number(Name::FreeFillByte)).ok(),
        malloc_fill: u8::try_from(number(Name::MallocFillByte)).ok(),
        working_directory,
    }
}
