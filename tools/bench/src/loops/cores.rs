//! Keeps threads on cores of their own: two that wait for each other would else often stay on one
//! core, where nothing is shared and nothing contended.

use std::mem;

/// Keeps the calling thread on one of the cores it may use, the first, the second, and so on. Where
/// there are fewer, or the system refuses, the thread stays where it is.
pub(crate) fn stay_on(which: usize) {
    // SAFETY: a set of cores is an array of bits, and all zeros is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set is ours to write, of the size given.
    let known = unsafe { libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed) } == 0;
    let limit = 8 * size_of_val(&allowed);
    // SAFETY: every core asked for is below the set's number of bits.
    let mut cores = (0..limit).filter(|core| unsafe { libc::CPU_ISSET(*core, &allowed) });
    let Some(core) = cores.nth(which).filter(|_| known) else { return };
    // SAFETY: a cpu_set_t is valid when zero: it is a set of bits.
    let mut only: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the core was found in a set of the same size.
    unsafe { libc::CPU_SET(core, &mut only) };
    // SAFETY: the set is ours, of the size given. A refusal leaves the thread where it is.
    unsafe { libc::sched_setaffinity(0, size_of_val(&only), &raw const only) };
}
