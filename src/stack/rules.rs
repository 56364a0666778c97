//! The table pc -> rule, shared by all threads: lock-free, filled at first sight, made anew at twice the size
//! when half full. What is lost on the way (an entry put into the old table meanwhile) is found again.
//!
//! Each entry says of which epoch it is. An epoch ends when a module is unloaded: what is looked up after
//! that never sees the old rules, even where a new module has the old addresses.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::cfi;
use super::eh_frame_hdr;
use super::rule::Rule;
use super::unwind::EXACT;
use crate::sys::loader::{self, Object};
use crate::sys::memory;

/// Entries of the first table: 64 KiB.
const FIRST_BITS: u32 = 12;
/// Entries looked at for one pc.
const PROBES: usize = 64;
/// An entry's key: the pc in 47 bits, the epoch, and whether the pc is exact.
const EPOCH_SHIFT: u32 = 48;
const EPOCH_BITS: u32 = 15;
/// In place of a key: somebody is writing the entry.
const BUSY: u64 = 1;

struct Entry {
    key: AtomicU64,
    rule: AtomicU64,
}

/// The head of a table; its entries follow.
#[repr(C)]
struct Table {
    bits: u32,
    /// 64 - bits.
    shift: u32,
    used: AtomicUsize,
}

static CURRENT: AtomicPtr<Table> = AtomicPtr::new(core::ptr::null_mut());
static GROWING: AtomicBool = AtomicBool::new(false);
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// The epoch of now. Take it before looking a module up.
#[inline]
pub(super) fn epoch() -> u32 {
    EPOCH.load(Ordering::Acquire)
}

/// Ends the epoch: a module was unloaded, and none has been loaded since.
pub(super) fn end_epoch() {
    let next = EPOCH.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
    if next.is_multiple_of(1 << EPOCH_BITS) {
        // The number comes round: what an earlier epoch of the same number left goes.
        if let Some(table) = current() {
            table.entries().iter().for_each(|entry| entry.key.store(0, Ordering::Release));
        }
    }
}

/// Forgets a growth that another thread had begun when this process was forked.
pub(super) fn renew_after_fork() {
    GROWING.store(false, Ordering::Release);
}

fn key_of(pc: usize, epoch: u32) -> u64 {
    pc as u64 | u64::from(epoch & ((1 << EPOCH_BITS) - 1)) << EPOCH_SHIFT
}

impl Table {
    const fn bytes(bits: u32) -> usize {
        size_of::<Self>() + (size_of::<Entry>() << bits)
    }

    fn map(bits: u32) -> Option<&'static Self> {
        let table = memory::map(Self::bytes(bits))? as *mut Self;
        // SAFETY: fresh zeroed memory for the head and the entries, ours for ever.
        unsafe {
            (&raw mut (*table).bits).write(bits);
            (&raw mut (*table).shift).write(64 - bits);
            Some(&*table)
        }
    }

    fn entries(&self) -> &[Entry] {
        // SAFETY: 2^bits entries lie behind the head.
        unsafe {
            let first = core::ptr::from_ref(self).add(1).cast::<Entry>();
            core::slice::from_raw_parts(first, 1 << self.bits)
        }
    }

    #[inline(always)]
    fn first_place(&self, pc: usize) -> usize {
        ((pc as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline(always)]
    fn entry(&self, index: usize) -> &Entry {
        let mask = (1usize << self.bits) - 1;
        // SAFETY: 2^bits entries lie behind the head, and the index is below that.
        unsafe { &*core::ptr::from_ref(self).add(1).cast::<Entry>().add(index & mask) }
    }

    /// The entries for a pc, in the order in which they are tried.
    #[inline]
    fn places(&self, pc: usize) -> impl Iterator<Item = &Entry> {
        let first = self.first_place(pc);
        (first..first + PROBES).map(|index| self.entry(index))
    }

    /// The rule, if it is in the first place.
    #[inline(always)]
    fn get_first(&self, pc: usize, key: u64) -> Option<Rule> {
        // SAFETY: the place is below 2^bits.
        let entry =
            unsafe { &*core::ptr::from_ref(self).add(1).cast::<Entry>().add(self.first_place(pc)) };
        if entry.key.load(Ordering::Acquire) != key {
            return None;
        }
        let rule = entry.rule.load(Ordering::Acquire);
        // The entry may have been given to another pc meanwhile, if its epoch is over.
        if entry.key.load(Ordering::Relaxed) == key { Rule::from_word(rule) } else { None }
    }

    fn get(&self, pc: usize, key: u64) -> Option<Rule> {
        for entry in self.places(pc) {
            let found = entry.key.load(Ordering::Acquire);
            if found == key {
                let rule = entry.rule.load(Ordering::Acquire);
                // The entry may have been given to another pc meanwhile, if its epoch is over.
                let is_same = entry.key.load(Ordering::Relaxed) == key;
                return if is_same { Rule::from_word(rule) } else { None };
            }
            if found == 0 {
                return None;
            }
        }
        None
    }

    fn put(&self, pc: usize, key: u64, rule: Rule) {
        for entry in self.places(pc) {
            let found = entry.key.load(Ordering::Acquire);
            if found == key {
                return;
            }
            let is_free = found == 0 || (found != BUSY && is_of_other_epoch(found, key));
            if is_free
                && entry
                    .key
                    .compare_exchange(found, BUSY, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                entry.rule.store(rule.word(), Ordering::Release);
                entry.key.store(key, Ordering::Release);
                if found == 0 {
                    self.used.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        }
    }

    fn is_half_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) >> (self.bits - 1) != 0
    }
}

const fn is_of_other_epoch(key: u64, other: u64) -> bool {
    (key ^ other) >> EPOCH_SHIFT & ((1 << EPOCH_BITS) - 1) != 0
}

#[inline]
fn current() -> Option<&'static Table> {
    // SAFETY: null or a table that stays for ever.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// The rule for `pc`, a return address, or an exact one if marked [`EXACT`].
#[inline(always)]
pub(super) fn rule_for(pc: usize, epoch: u32) -> Rule {
    let known = current().and_then(|table| table.get_first(pc, key_of(pc, epoch)));
    known.unwrap_or_else(|| rule_behind(pc, epoch))
}

#[inline(never)]
fn rule_behind(pc: usize, epoch: u32) -> Rule {
    let known = current().and_then(|table| table.get(pc, key_of(pc, epoch)));
    known.unwrap_or_else(|| work_out(pc, epoch))
}

#[cold]
#[inline(never)]
fn work_out(pc: usize, epoch: u32) -> Rule {
    // What a return address leads to may be the next function; the call is in front of it.
    let place = if pc & EXACT == 0 { pc.wrapping_sub(1) } else { pc & !EXACT };
    let Some(object) = loader::find_object(place) else {
        // Not kept: a module may be loaded there without one having been unloaded.
        return Rule::UNKNOWN;
    };
    super::modules::note_link_map(object.link_map);
    let rule = rule_in(&object, place);
    if let Some(table) = roomy_table(epoch) {
        table.put(pc, key_of(pc, epoch), rule);
    }
    rule
}

fn rule_in(object: &Object, place: usize) -> Rule {
    let by_entry = eh_frame_hdr::find(object.eh_frame_hdr, place).map_or(Rule::UNKNOWN, |entry| {
        cfi::rule_by_entry(entry.section, entry.start, entry.offset, place)
    });
    if by_entry != Rule::UNKNOWN {
        return by_entry;
    }
    match eh_frame_hdr::find(object.eh_frame_hdr, place + 1) {
        // To be returned to at its first byte: nobody called it. So coroutines' stacks begin.
        Some(entry) if entry.first == place + 1 => Rule::END,
        _ if is_sigreturn(object, place + 1) => Rule::SIGNAL,
        _ => Rule::UNKNOWN,
    }
}

/// Is `pc` at `mov $SYS_rt_sigreturn, %rax; syscall`? Trampolines without an entry are known by that, as
/// libgcc and gdb know them.
fn is_sigreturn(object: &Object, pc: usize) -> bool {
    const CODE: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    if pc + CODE.len() > object.end {
        return false;
    }
    // SAFETY: code of a loaded module, at a place that is about to be returned to.
    unsafe { (pc as *const [u8; 9]).read() == CODE }
}

/// The table, made or made anew if need be. `None` without memory.
fn roomy_table(epoch: u32) -> Option<&'static Table> {
    let table = current();
    match table {
        Some(table) if !table.is_half_full() => return Some(table),
        _ if GROWING.swap(true, Ordering::AcqRel) => return table,
        _ => {}
    }
    // Another thread may have been here since.
    let table = current().filter(|table| !table.is_half_full()).or_else(|| grow(epoch));
    GROWING.store(false, Ordering::Release);
    table
}

fn grow(epoch: u32) -> Option<&'static Table> {
    let old = current();
    let Some(new) = Table::map(old.map_or(FIRST_BITS, |old| old.bits + 1)) else { return old };
    let now = key_of(0, epoch);
    for entry in old.map_or(&[][..], Table::entries) {
        let key = entry.key.load(Ordering::Acquire);
        let rule = Rule::from_word(entry.rule.load(Ordering::Acquire));
        let is_same = entry.key.load(Ordering::Relaxed) == key;
        if let Some(rule) = rule
            && key > BUSY
            && is_same
            && !is_of_other_epoch(key, now)
        {
            let pc = key & !(((1 << EPOCH_BITS) - 1) << EPOCH_SHIFT);
            new.put(pc as usize, key, rule);
        }
    }
    CURRENT.store(core::ptr::from_ref(new).cast_mut(), Ordering::Release);
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Kind, Parts, Saved};
    use super::*;

    fn rule(offset: i64) -> Rule {
        Rule::of(Parts { kind: Kind::Stack, register: 7, offset, plus: 0, saved: Saved::Same })
    }

    #[test]
    fn entries_are_of_their_epoch_and_give_way_to_later_ones() {
        let table = Table::map(4).expect("memory");
        for pc in 1..=16 {
            table.put(pc << 4, key_of(pc << 4, 3), rule(8));
        }
        assert_eq!(table.get(16, key_of(16, 3)), Some(rule(8)));
        assert_eq!(table.get(16, key_of(16, 4)), None);
        assert_eq!(table.get(16 | EXACT, key_of(16 | EXACT, 3)), None);
        // The table is full; those of an epoch that is over give way.
        table.put(16, key_of(16, 4), rule(24));
        assert_eq!(table.get(16, key_of(16, 4)), Some(rule(24)));
        assert_eq!(table.used.load(Ordering::Relaxed), 16);
    }

    #[test]
    fn threads_that_write_and_grow_read_only_what_is_true() {
        let work = |from: usize| {
            for round in 0..40_000usize {
                let pc = (((round * 7 + from) % 20_000) << 4) | 3;
                let expected = rule((pc as i64 & 0xffff) + 8);
                let epoch = 1 << 14;
                let key = key_of(pc, epoch);
                match current().and_then(|table| table.get(pc, key)) {
                    Some(found) => assert_eq!(found, expected),
                    None => {
                        if let Some(table) = roomy_table(epoch) {
                            table.put(pc, key, expected);
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|n| scope.spawn(move || work(n * 5000))).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
        assert!(current().expect("a table").bits > FIRST_BITS);
    }
}
