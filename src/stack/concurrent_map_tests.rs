use core::sync::atomic::Ordering;

use crate::stack::concurrent_map::{ConcurrentMap, Keys};
use crate::stack::map_table::{FIRST_BITS, MapTable};

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
    let table = MapTable::map(4).expect("memory");
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
    let pairs = ConcurrentMap::<Halves>::new();
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
