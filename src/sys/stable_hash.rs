//! Hash tables whose order is always the same. The standard library's ask the kernel for random
//! numbers (getrandom(2)), which a seccomp filter may answer with the end of the program.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{HashMap, HashSet};

/// A map by numbers: addresses, sites.
pub type StableMap<K, V> = HashMap<K, V, BuildHasherDefault<StableHasher>>;
/// A set of numbers.
pub type StableSet<K> = HashSet<K, BuildHasherDefault<StableHasher>>;

/// Spreads numbers, page-aligned addresses too. Not for keys that somebody chooses to collide.
#[derive(Default)]
pub struct StableHasher(u64);

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(usize::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_usize(number as usize);
    }

    fn write_usize(&mut self, number: usize) {
        let mixed = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
