//! How long a word takes from one core to the other. Which cores of its own a host gives a virtual machine changes within
//! minutes, and what threads that free each other's blocks cost follows that.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crate::loops::cores;
use crate::statistics::Summary;

/// Ways there and back.
const TURNS: u32 = 4000;
/// Those before the clock starts.
const FIRST: u32 = 500;
/// Looks before the thread yields: there may be one core only.
const PATIENCE: u32 = 10_000;

/// A word in a cache line of its own.
#[repr(align(128))]
struct Word(AtomicU32);

/// Nanoseconds from a store in one thread until the other has seen it, on two cores.
pub(crate) fn measure() -> f64 {
    let word = Word(AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            cores::stay_on(1);
            for turn in 0..TURNS {
                word.await_value(2 * turn + 1);
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
                word.await_value(2 * turn + 2);
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(2 * (TURNS - FIRST))
        });
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Word {
    fn await_value(&self, value: u32) {
        let mut looks = 0;
        while self.0.load(Ordering::Acquire) != value {
            looks += 1;
            if looks % PATIENCE == 0 {
                thread::yield_now();
            }
            hint::spin_loop();
        }
    }
}

/// What is said of several; nothing of none.
pub(crate) fn sentence(passages: &[f64]) -> Option<String> {
    let Summary { lower, median, upper } = Summary::of(passages.iter().copied())?;
    Some(format!(
        "Beside these runs a word took {median:.0} ns from one core to the other (quartiles {lower:.0} and {upper:.0}).\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_longer_than_nothing() {
        let nanoseconds = measure();
        assert!(nanoseconds > 1.0 && nanoseconds.is_finite(), "{nanoseconds}");
    }

    #[test]
    fn where_none_was_measured_nothing_is_said() {
        assert_eq!(sentence(&[]), None);
        let said = sentence(&[40.0, 40.0, 44.0, 210.0, 212.0]).unwrap();
        assert!(said.contains(" took 44 ns ") && said.contains("quartiles 40 and 210"), "{said}");
    }
}
