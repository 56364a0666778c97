//! The table pc -> rule, filled at first sight.
//!
//! Each entry says of which epoch it is. An epoch ends when a module is unloaded: what is looked up
//! after that never sees the old rules, even where a new module has the old addresses.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::stack::concurrent_map::{ConcurrentMap, Keys};
use crate::stack::module_generations;
use crate::stack::unwind::cfi;
use crate::stack::unwind::eh_frame_hdr;
use crate::stack::unwind::rule::{Saved, UnwindRule};
use crate::stack::unwind::step::{EXACT, GUESSED};
use crate::stack::unwind::watched_modules;
use crate::sys::glibc::find_object;
use crate::sys::glibc::find_object::Object;

/// A key: the pc in 47 bits, the epoch, and the pc's two marks.
const EPOCH_SHIFT: u32 = 48;
const EPOCH_BITS: u32 = 14;
const EPOCH_MASK: u64 = ((1 << EPOCH_BITS) - 1) << EPOCH_SHIFT;

struct PcAndEpoch;

impl Keys for PcAndEpoch {
    const CHANGES_HANDS: bool = true;

    #[inline(always)]
    fn place(key: u64, bits: u32) -> usize {
        // 64 bytes of code have the four entries of a cache line: what a function calls is close
        // together.
        let spread = ((key & !EPOCH_MASK) >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((spread >> (66 - bits)) << 2 | key >> 4 & 3) as usize
    }

    fn is_over(key: u64, other: u64) -> bool {
        (key ^ other) & EPOCH_MASK != 0
    }
}

static RULES: ConcurrentMap<PcAndEpoch> = ConcurrentMap::new();
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// An epoch's number. All zero is the first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

impl Epoch {
    /// The epoch of now. Take it before looking a module up.
    #[inline(always)]
    pub(crate) fn now() -> Self {
        Self(EPOCH.load(Ordering::Acquire))
    }

    /// Was no module unloaded so far?
    #[inline(always)]
    pub(crate) const fn is_first(self) -> bool {
        self.0 == 0
    }

    /// What stands for the pc in tables, as long as the epoch lasts.
    #[inline(always)]
    pub(crate) fn key_of(self, pc: usize) -> u64 {
        pc as u64 | (u64::from(self.0) << EPOCH_SHIFT) & EPOCH_MASK
    }
}

/// Ends the epoch: a module was unloaded, and none has been loaded since. The loader calls, under
/// its lock, and is thus the only one; or, where that is not seen, a finding, for which it does not
/// matter.
pub(crate) fn end_epoch() {
    let next = EPOCH.load(Ordering::Relaxed).wrapping_add(1);
    if next.is_multiple_of(1 << EPOCH_BITS) {
        // Keys come round: what an earlier epoch with the same ones left goes first.
        RULES.clear();
    }
    EPOCH.store(next, Ordering::Release);
}

/// Forgets what another thread had begun when this process was forked.
pub(crate) fn renew_after_fork() {
    RULES.renew_after_fork();
    module_generations::renew_after_fork();
}

/// The rule for `pc`, a return address, or an exact one if marked [`EXACT`], as long as the epoch
/// lasts. `None`: no module is there now; one may be loaded without another having been unloaded.
pub(crate) fn rule_for(pc: usize, epoch: Epoch) -> Option<UnwindRule> {
    let known = RULES.get(epoch.key_of(pc & !GUESSED)).and_then(UnwindRule::from_word);
    known.or_else(|| work_out(pc, epoch))
}

#[cold]
#[inline(never)]
fn work_out(pc: usize, epoch: Epoch) -> Option<UnwindRule> {
    let (is_guess, pc) = (pc & GUESSED != 0, pc & !GUESSED);
    let place = place_of(pc);
    let object = find_object::find_object(place)?;
    watched_modules::note(object.link_map);
    module_generations::note(&object);
    let rule = rule_in(&object, place);
    if is_guess {
        // It may lead anywhere: nothing is read there, and no other thread is told.
        return Some(rule);
    }
    let rule = rule_of_code(&object, place, rule);
    RULES.put(epoch.key_of(pc), rule.word());
    Some(rule)
}

/// The instruction that a pc stands for: what a return address leads to may be the next function;
/// the call is in front of it.
pub(crate) const fn place_of(pc: usize) -> usize {
    if pc & EXACT == 0 { pc.wrapping_sub(1) } else { pc & !EXACT }
}

/// Where the function at `pc` has put its caller's `register`. Works it out each time.
#[cold]
pub(crate) fn saved_at(pc: usize, register: u16) -> Option<Saved> {
    let place = place_of(pc);
    let object = find_object::find_object(place)?;
    let entry = eh_frame_hdr::find(object.eh_frame_hdr, place)?;
    cfi::saved_by_entry(entry.section, entry.start, entry.offset, place, register)
}

fn rule_in(object: &Object, place: usize) -> UnwindRule {
    eh_frame_hdr::find(object.eh_frame_hdr, place).map_or(UnwindRule::UNKNOWN, |entry| {
        cfi::rule_by_entry(entry.section, entry.start, entry.offset, place)
    })
}

/// What the code says where the entry says nothing, or that a signal handler returns here:
/// functions that are no trampolines are marked like that, too.
fn rule_of_code(object: &Object, place: usize, by_entry: UnwindRule) -> UnwindRule {
    let returns_from_signal = || is_sigreturn(object, place + 1) || is_sigreturn(object, place);
    match by_entry {
        UnwindRule::SIGNAL if returns_from_signal() => UnwindRule::SIGNAL,
        UnwindRule::SIGNAL => UnwindRule::UNKNOWN,
        UnwindRule::UNKNOWN => match eh_frame_hdr::find(object.eh_frame_hdr, place + 1) {
            // To be returned to at its first byte: nobody called it. So coroutines' stacks begin.
            Some(entry) if entry.first == place + 1 => UnwindRule::END,
            _ if is_sigreturn(object, place + 1) => UnwindRule::SIGNAL,
            _ => UnwindRule::UNKNOWN,
        },
        rule => rule,
    }
}

/// Is `pc` at `mov $SYS_rt_sigreturn, %rax; syscall`? Trampolines without an entry are known by
/// that, as libgcc and gdb know them.
fn is_sigreturn(object: &Object, pc: usize) -> bool {
    const CODE: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    if pc + CODE.len() > object.end {
        return false;
    }
    // SAFETY: code of a loaded module, at a place that is about to be returned to.
    unsafe { (pc as *const [u8; 9]).read() == CODE }
}
