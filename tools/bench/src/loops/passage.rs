//! How long a word takes from one core to the other. Which cores of its own a host gives a virtual
//! machine changes within minutes, and what threads that free each other's blocks cost follows
//! that.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use super::cores;
use super::exchange::wait_until;

/// Ways there and back.
const TURNS: u32 = 4000;
/// Those before the clock starts.
const FIRST: u32 = 500;

/// A word in a cache line of its own.
#[repr(align(128))]
struct Word(AtomicU32);

/// Nanoseconds from a store in one thread until the other has seen it, on two cores.
pub(crate) fn passage() -> f64 {
    let word = Word(AtomicU32::new(0));
    let await_value = |value| wait_until(|| word.0.load(Ordering::Acquire) == value);
    thread::scope(|scope| {
        scope.spawn(|| {
            cores::stay_on(1);
            for turn in 0..TURNS {
                await_value(2 * turn + 1);
                word.0.store(2 * turn + 2, Ordering::Release);
            }
        });
        let asking = scope.spawn(|| {
            cores::stay_on(0);
            let mut start = Instant::now();
            for turn in 0..TURNS {
                if turn == FIRST {
                    start = Instant::now();
                }
                word.0.store(2 * turn + 1, Ordering::Release);
                await_value(2 * turn + 2);
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(2 * (TURNS - FIRST))
        });
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_longer_than_nothing() {
        let nanoseconds = passage();
        assert!(nanoseconds > 1.0 && nanoseconds.is_finite(), "{nanoseconds}");
    }
}
