//! Compares every stack with what libgcc's unwinder says, for the tests. The first difference ends
//! the process by SIGABRT.

use core::sync::atomic::{AtomicU64, Ordering};

use super::modules;
use crate::stack::unwind::frame_cache::FrameCache;
use crate::stack::unwind::rule::UnwindRule;
use crate::stack::unwind::rule_table;
use crate::stack::unwind::step::{EXACT, GUESSED};
use crate::sys::{output, process};

static COMPARED: AtomicU64 = AtomicU64::new(0);
static FRAMES: AtomicU64 = AtomicU64::new(0);
static BY_RULE: AtomicU64 = AtomicU64::new(0);
static GUESSES: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Compares the frame cache's stack, which is the caller's, with libgcc's.
pub(super) fn compare(frame_cache: &mut FrameCache) {
    BY_RULE.fetch_add(core::mem::take(&mut frame_cache.by_rule), Ordering::Relaxed);
    let mut ours = (0..frame_cache.depth()).rev().map(|index| frame_cache.pc(index));
    let mut inside = true;
    let mut ended = false;
    let mut same = true;
    // SAFETY: nothing that the unwinder touches is changed meanwhile; it reads this thread's stack.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let theirs = frame.ip() as usize;
            inside = inside && modules::is_own(theirs);
            // libgcc ends with a frame at 0 where nothing called the last one.
            if inside || theirs == 0 {
                return true;
            }
            match ours.next() {
                // It goes no further where there is no rule: it cannot have this frame.
                Some(pc) if pc & GUESSED != 0 => ended = true,
                Some(pc) => same = pc & !EXACT == theirs,
                None => same = false,
            }
            same && !ended
        });
    }
    let rest = ours.next();
    let left_over = !ended && rest.is_some_and(|pc| pc & GUESSED == 0);
    if !same || left_over {
        tell_difference(frame_cache);
    }
    COMPARED.fetch_add(1, Ordering::Relaxed);
    FRAMES.fetch_add(frame_cache.depth() as u64, Ordering::Relaxed);
    GUESSES.fetch_add(u64::from(rest.is_some()), Ordering::Relaxed);
    LOST.fetch_add(u64::from(frame_cache.is_lost()), Ordering::Relaxed);
}

#[cold]
fn tell_difference(frame_cache: &FrameCache) {
    let mut text = format!("oracle: stacks differ; lost: {}\nours\n", frame_cache.is_lost());
    for index in (0..frame_cache.depth()).rev().take(400) {
        let pc = frame_cache.pc(index);
        let rule = rule_table::rule_for(pc & !GUESSED, rule_table::Epoch::now())
            .unwrap_or(UnwindRule::UNKNOWN);
        text.push_str(&format!(
            "  {:#018x} {}\n",
            frame_cache.pc(index),
            frame_cache.describe(index, rule)
        ));
    }
    text.push_str("libgcc's\n");
    // SAFETY: nothing that the unwinder touches is changed meanwhile; it reads this thread's stack.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let pc = frame.ip() as usize;
            if !modules::is_own(pc) {
                text.push_str(&format!("  {pc:#018x}\n"));
            }
            text.len() < 1 << 16
        });
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    output::write_stderr(text.as_bytes());
    output::write_stderr(maps.as_bytes());
    process::abort();
}

/// One line: what was compared in this process.
pub fn summary() -> String {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "oracle: {} stacks, {} frames, {} by rule, {} with guesses, {} lost: all equal\n",
        count(&COMPARED),
        count(&FRAMES),
        count(&BY_RULE),
        count(&GUESSES),
        count(&LOST)
    )
}
