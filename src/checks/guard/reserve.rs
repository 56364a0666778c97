//! The reservation: how much address space there is for slots, and what they may take of memory.

use crate::arena::peak_bytes;
use crate::checks::guard::policy::{Rule, rule};
use crate::model::leak_report::GuardObstacle;
use crate::options::{self, Name};
use crate::shadow::guarded_slots::{self, SPAN};
use crate::sys::available_memory::available_memory;
use crate::sys::guard_pages::{self, BACKENDS, Backend};
use crate::sys::{process, seccomp};

/// Spans with `guard=auto`: 64 MiB of addresses.
const SPANS: usize = 32;
/// The part of a limit on address space that slots may take.
const SHARE: usize = 16;
/// With `guard=all`: bytes of addresses for each byte of memory, and the part of memory that is
/// available.
const ADDRESSES: usize = 3;
const PART: usize = 4;
const LARGEST: usize = 1 << 44;

/// Are there to be a few slots, not one for each block?
fn is_auto() -> bool {
    rule() != Rule::All
}

/// Most bytes that were live in the process at once.
pub(super) fn peak() -> usize {
    peak_bytes()
}

/// Reserves addresses and chooses the way to make pages fault. Returns the most bytes of memory
/// with `guard=all`. Where none are wanted, nothing is reserved.
pub(super) fn reserve() -> Result<usize, GuardObstacle> {
    let most = match options::number(Name::GuardBudgetMb) {
        0 => available_memory() / PART,
        megabytes => megabytes << 20,
    };
    let wanted = if is_auto() { SPANS } else { (most * ADDRESSES).min(LARGEST) / SPAN };
    let limit = process::address_space_limit();
    let spans = if limit == usize::MAX { wanted } else { wanted.min(limit / SHARE / SPAN) };
    if spans == 0 {
        return Err(GuardObstacle::AddressLimit);
    }
    if seccomp::is_installed() {
        return Err(GuardObstacle::Filter);
    }
    // Writable memory counts against a limit on data.
    if process::limits_data() {
        return Err(GuardObstacle::DataLimit);
    }
    let ways = match options::number(Name::GuardBackend) {
        0 => &BACKENDS[..],
        number => BACKENDS.get(number - 1..number).unwrap_or(&[]),
    };
    let start = guarded_slots::reserve(spans).ok_or(GuardObstacle::AddressLimit)?;
    if guard_pages::choose(ways, start, SPAN) == Backend::None {
        guarded_slots::abandon();
        return if ways.is_empty() { Ok(0) } else { Err(GuardObstacle::NoBackend) };
    }
    Ok(most)
}
