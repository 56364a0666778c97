//! A table of words by key that all threads share: lock-free, made anew at twice the size when 5/8
//! full. It may forget (what is put into the old table meanwhile is lost), so that it holds only
//! what can be found again.

use super::map_table::{FIRST_BITS, MapEntry, MapTable};
use crate::sys::atomic::{AtomicBool, AtomicPtr, Ordering};

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

/// The table of now.
pub(super) struct ConcurrentMap<K> {
    pub(super) current: AtomicPtr<MapTable>,
    pub(super) growing: AtomicBool,
    pub(super) keys: core::marker::PhantomData<K>,
}

impl MapTable {
    /// The entries for a key, in the order in which they are tried.
    fn places(&self, first: usize) -> impl Iterator<Item = &MapEntry> {
        let mask = (1usize << self.bits) - 1;
        (first..first + PROBES).map(move |index| self.entry(index & mask))
    }

    /// What is put for the key, which is looked for first at `first`.
    #[inline(always)]
    pub(super) fn get<K: Keys>(&self, first: usize, key: u64) -> Option<u64> {
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

    pub(super) fn put<K: Keys>(&self, key: u64, word: u64) {
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
        self.used.load(Ordering::Relaxed) >= (5 << self.bits) >> 3
    }
}

impl MapEntry {
    #[inline(always)]
    fn read<K: Keys>(&self, key: u64) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        // The entry may have been given to another key meanwhile, if this one is over.
        (!K::CHANGES_HANDS || self.key.load(Ordering::Relaxed) == key).then_some(word)
    }
}

impl<K: Keys> ConcurrentMap<K> {
    #[inline(always)]
    pub(super) fn current(&self) -> Option<&'static MapTable> {
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
    fn roomy_table(&self, key: u64) -> Option<&'static MapTable> {
        let table = self.current();
        match table {
            Some(table) if !table.is_full() => return Some(table),
            _ if self.growing.swap(true, Ordering::AcqRel) => return table,
            _ => {}
        }
        // Another thread may have been here since.
        let is_roomy = |table: &&MapTable| !table.is_full();
        let table = self.current().filter(is_roomy).or_else(|| self.grow(key));
        self.growing.store(false, Ordering::Release);
        table
    }

    fn grow(&self, now: u64) -> Option<&'static MapTable> {
        let old = self.current();
        let Some(new) = MapTable::map(old.map_or(FIRST_BITS, |old| old.bits + 1)) else {
            return old;
        };
        for entry in old.map_or(&[][..], MapTable::entries) {
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
