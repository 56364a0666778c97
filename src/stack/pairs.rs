//! A table of words by key that all threads share: lock-free, made anew at twice the size when 5/8
//! full. It may forget (what is put into the old table meanwhile is lost), so that it holds only
//! what can be found again.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::sys::memory;

/// Entries of the first table: 64 KiB.
const FIRST_BITS: u32 = 12;
/// Entries looked at for one key.
const PROBES: usize = 64;
/// In place of a key: somebody is writing the entry.
const BUSY: u64 = 1;

/// What the keys are like. 0 and 1 are none.
pub(super) trait Keys {
    /// Where in a table of 2^`bits` entries the key is looked for first; below that.
    fn place(key: u64, bits: u32) -> usize;

    /// Can an entry be given to another key?
    const CHANGES_HANDS: bool;

    /// Will nobody ask for `key` any more, now that somebody puts `other`?
    fn is_over(key: u64, other: u64) -> bool;
}

struct Entry {
    key: AtomicU64,
    word: AtomicU64,
}

/// The head of a table; its entries follow.
#[repr(C)]
struct Table {
    bits: u32,
    used: AtomicUsize,
}

/// The table of now.
pub(super) struct Pairs<K> {
    current: AtomicPtr<Table>,
    growing: AtomicBool,
    keys: core::marker::PhantomData<K>,
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
    fn entry(&self, index: usize) -> &Entry {
        // SAFETY: 2^bits entries lie behind the head; every caller's index is below that.
        unsafe { &*core::ptr::from_ref(self).add(1).cast::<Entry>().add(index) }
    }

    /// The entries for a key, in the order in which they are tried.
    fn places(&self, first: usize) -> impl Iterator<Item = &Entry> {
        let mask = (1usize << self.bits) - 1;
        (first..first + PROBES).map(move |index| self.entry(index & mask))
    }

    /// What is put for the key, which is looked for first at `first`.
    #[inline(always)]
    fn get<K: Keys>(&self, first: usize, key: u64) -> Option<u64> {
        let entry = self.entry(first);
        match entry.key.load(Ordering::Acquire) {
            0 => None,
            found if found == key => entry.read::<K>(key),
            _ => self.get_behind::<K>(first, key),
        }
    }

    /// The same where another key has that place.
    #[inline(never)]
    fn get_behind<K: Keys>(&self, first: usize, key: u64) -> Option<u64> {
        let mask = (1usize << self.bits) - 1;
        let mut index = first;
        for _ in 1..PROBES {
            index = (index + 1) & mask;
            let entry = self.entry(index);
            let found = entry.key.load(Ordering::Acquire);
            if found == key {
                return entry.read::<K>(key);
            }
            if found == 0 {
                return None;
            }
        }
        None
    }

    fn put<K: Keys>(&self, key: u64, word: u64) {
        for entry in self.places(K::place(key, self.bits)) {
            let found = entry.key.load(Ordering::Acquire);
            if found == key {
                return;
            }
            let is_free = found == 0 || (found != BUSY && K::is_over(found, key));
            let claim = || {
                let (busy, failed) = (Ordering::AcqRel, Ordering::Relaxed);
                entry.key.compare_exchange(found, BUSY, busy, failed).is_ok()
            };
            if is_free && claim() {
                entry.word.store(word, Ordering::Release);
                entry.key.store(key, Ordering::Release);
                if found == 0 {
                    self.used.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        }
    }

    /// Denser is closer together, and more looks at each key.
    fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= 5 << (self.bits - 3)
    }
}

impl Entry {
    #[inline(always)]
    fn read<K: Keys>(&self, key: u64) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        // The entry may have been given to another key meanwhile, if this one is over.
        (!K::CHANGES_HANDS || self.key.load(Ordering::Relaxed) == key).then_some(word)
    }
}

impl<K: Keys> Pairs<K> {
    pub(super) const fn new() -> Self {
        Self {
            current: AtomicPtr::new(core::ptr::null_mut()),
            growing: AtomicBool::new(false),
            keys: core::marker::PhantomData,
        }
    }

    #[inline(always)]
    fn current(&self) -> Option<&'static Table> {
        // SAFETY: null or a table that stays for ever.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// The word put for the key, unless it is forgotten.
    #[inline(always)]
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        let table = self.current()?;
        table.get::<K>(K::place(key, table.bits), key)
    }

    /// Puts a word, if there is memory. A key stands for one word only.
    pub(super) fn put(&self, key: u64, word: u64) {
        if let Some(table) = self.roomy_table(key) {
            table.put::<K>(key, word);
        }
    }

    /// Forgets everything but what is being put meanwhile.
    pub(super) fn clear(&self) {
        let Some(table) = self.current() else { return };
        for entry in table.entries() {
            let key = entry.key.load(Ordering::Relaxed);
            // An entry that somebody is writing is left to them.
            if key > BUSY {
                let _ = entry.key.compare_exchange(key, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        table.used.store(0, Ordering::Relaxed);
    }

    /// Forgets a growth that another thread had begun when this process was forked.
    pub(super) fn renew_after_fork(&self) {
        self.growing.store(false, Ordering::Release);
    }

    /// The table, made or made anew if need be. `None` without memory.
    fn roomy_table(&self, key: u64) -> Option<&'static Table> {
        let table = self.current();
        match table {
            Some(table) if !table.is_full() => return Some(table),
            _ if self.growing.swap(true, Ordering::AcqRel) => return table,
            _ => {}
        }
        // Another thread may have been here since.
        let is_roomy = |table: &&Table| !table.is_full();
        let table = self.current().filter(is_roomy).or_else(|| self.grow(key));
        self.growing.store(false, Ordering::Release);
        table
    }

    fn grow(&self, now: u64) -> Option<&'static Table> {
        let old = self.current();
        let Some(new) = Table::map(old.map_or(FIRST_BITS, |old| old.bits + 1)) else { return old };
        for entry in old.map_or(&[][..], Table::entries) {
            let key = entry.key.load(Ordering::Acquire);
            if let Some(word) = entry.read::<K>(key)
                && key > BUSY
                && !K::is_over(key, now)
            {
                new.put::<K>(key, word);
            }
        }
        self.current.store(core::ptr::from_ref(new).cast_mut(), Ordering::Release);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of two halves; one with another upper half is over.
    struct Halves;

    impl Keys for Halves {
        const CHANGES_HANDS: bool = true;

        fn place(key: u64, bits: u32) -> usize {
            let spread = (key & 0xffff_ffff).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (spread >> (64 - bits)) as usize
        }

        fn is_over(key: u64, other: u64) -> bool {
            key >> 32 != other >> 32
        }
    }

    #[test]
    fn what_is_over_gives_way() {
        let table = Table::map(4).expect("memory");
        let put = |key, word| table.put::<Halves>(key, word);
        let get = |key| table.get::<Halves>(Halves::place(key, 4), key);
        for key in 2..18 {
            put(3 << 32 | key, key);
        }
        assert_eq!(get(3 << 32 | 16), Some(16));
        assert_eq!(get(4 << 32 | 16), None);
        put(4 << 32 | 16, 99);
        assert_eq!(get(4 << 32 | 16), Some(99));
        assert_eq!(table.used.load(Ordering::Relaxed), 16);
    }

    #[test]
    fn threads_that_write_and_grow_read_only_what_is_true() {
        let pairs = Pairs::<Halves>::new();
        let work = |from: u64| {
            for round in 0..40_000u64 {
                let key = (round * 7 + from) % 20_000 + 2;
                match pairs.get(key) {
                    Some(found) => assert_eq!(found, key * 3),
                    None => pairs.put(key, key * 3),
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|n| scope.spawn(move || work(n * 5000))).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
        assert!(pairs.current().expect("a table").bits > FIRST_BITS);
        pairs.clear();
        assert_eq!(pairs.get(5), None);
    }
}
