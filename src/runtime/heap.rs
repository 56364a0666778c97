//! The program's heap.

use super::reporter;
use crate::checks::CheckedHeap;

/// The program's heap. What it finds goes to the reporter.
pub static HEAP: CheckedHeap = CheckedHeap::new(reporter::on_finding);
