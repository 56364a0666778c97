//! The reservation: how much address space there is for slots, and what they may take of memory.

use crate::arena::peak_bytes;
use crate::checks::guard::policy::{Rule, rule};
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
/// with `guard=all`.
pub(super) fn reserve() -> usize {
    let most = match options::number(Name::GuardBudgetMb) {
        0 => available_memory() / PART,
        megabytes => megabytes << 20,
    };
    let wanted = if is_auto() { SPANS } else { (most * ADDRESSES).min(LARGEST) / SPAN };
    let limit = process::address_space_limit();
    let spans = if limit == usize::MAX { wanted } else { wanted.min(limit / SHARE / SPAN) };
    let is_off = options::number(Name::Guard) == options::GUARD_OFF;
    // Writable memory counts against a limit on data.
    if is_off || spans == 0 || seccomp::is_installed() || process::limits_data() {
        return 0;
    }
    let ways = match options::number(Name::GuardBackend) {
        0 => &BACKENDS[..],
        number => BACKENDS.get(number - 1..number).unwrap_or(&[]),
    };
    let Some(start) = guarded_slots::reserve(spans) else { return 0 };
    if guard_pages::choose(ways, start, SPAN) == Backend::None {
        guarded_slots::abandon();
    }
    most
}
