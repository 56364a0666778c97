//! The record: what outlives the process. Under `mallocop run` it lies in the tree file, one for
//! the whole tree of processes, made and sized by the command and mapped by every process; without
//! one, in private memory of the same form. docs/format.md has all of it.
//!
//! The file is made of extents of 16 KiB, numbered from 0. The first has the header, the next ones
//! a tag for each extent: whose it is and what is in it. Who needs room claims an extent by one
//! atomic step on its tag and is then the only one to write there, but for what says otherwise. So
//! a process that is killed in the middle of anything blocks nobody, and the command reads while
//! they write.

mod extents;
mod layout;
mod log;
mod process;
pub mod reader;
mod tree_file;

pub use crate::trace::extents::{ExtentKind, ExtentPlace, unit};
pub use crate::trace::log::{LogEntry, MOST as MOST_BYTES, append};
pub use crate::trace::process::{
    ProcessImage, ProcessRecord, ProcessState, Role, SITE_SEGMENTS, claim_extent as claim,
    count_finding, count_fork, count_in, end, end_if_own, enter, image, note_exit_code,
    note_totals, renew_after_fork, slot,
};
pub use crate::trace::tree_file::{
    GIVEN_BACK_AT, HINT_AT, Header, IN_WINDOW as WINDOW_EXTENTS, fresh_header, is_open,
};
pub use layout::{
    COUNTED, CountRecord, EXTENT, FIRST_EXTENT, MAGIC, MOST_EXTENTS, ModuleRecord, NodeRecord,
    PORTIONS, Portion, SITES, TAGS, UNIT, UNITS, VARIABLE, VERSION,
};
