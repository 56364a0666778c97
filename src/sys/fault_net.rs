//! Looks at memory that may have gone away, or that the program has written over: a fault costs the
//! look, never the program.

use core::sync::atomic::{AtomicU32, Ordering};

use super::job::Job;
use super::thread;
use crate::arch::{FaultContext, WayBack, call_with_way_back, landing};

/// A way out of a look: where the thread goes on, and what is put back there.
#[repr(C)]
struct Exit {
    way: WayBack,
    depth: u64,
    is_apart: bool,
    /// Address of the way out of the look that this one is a part of; 0: of none.
    before: usize,
}

/// Looks that a fault has ended.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How many looks a fault has ended in this process.
pub fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// Does `work`. `None`: a fault has ended it. What it holds then is never given back: it takes no
/// lock over what may fault, and owns nothing that matters.
///
/// Where no handler of ours takes faults (`runtime::fault`), a fault ends the program as ever.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Option<T> {
    let mut job = Job::new(work);
    let before = thread::way_back();
    let (depth, is_apart) = (thread::depth(), thread::is_apart());
    let mut exit = Exit { way: WayBack::default(), depth, is_apart, before };
    thread::set_way_back(&raw mut exit as usize);
    let function = job.runner();
    // SAFETY: the function takes this job, which outlives the call.
    let has_faulted =
        unsafe { call_with_way_back((&raw mut job).cast(), function, &mut exit.way) } != 0;
    thread::set_way_back(before);
    if has_faulted {
        LOST.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    job.result
}

/// For a handler of a fault that the thread's own instruction has raised: lets the thread leave the
/// look under way. `false`: there is none.
pub fn leave_look(context: &mut FaultContext) -> bool {
    let exit = thread::way_back() as *const Exit;
    // SAFETY: 0, or what `attempt` has noted, whose frame is there until it has noted what was
    // before it.
    let Some(exit) = (unsafe { exit.as_ref() }) else { return false };
    // One that a handler of the program's has left for good leads nowhere: it is taken once.
    thread::set_way_back(exit.before);
    thread::restore_depth(exit.depth);
    thread::set_apart(exit.is_apart);
    context.go_on_at(landing as *const () as usize, exit.way.sp);
    true
}
