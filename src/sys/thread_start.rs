//! The beginning of a thread: what it is to do is noted until it begins, and before its own first
//! instruction it gets its stack for signal handlers.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::thread::ToolWork;
use super::{disposition, handler_stack, thread_exit};
use crate::options::{self, Name};

/// Threads that are to begin at once. Where no thread comes of a call, as under a limit, its place
/// stays taken; without one a thread begins without us.
const ROOM: usize = 1024;

/// A thread's function, 0 where the place is free, and its argument.
struct Place {
    function: AtomicUsize,
    argument: AtomicUsize,
}

static PLACES: [Place; ROOM] =
    [const { Place { function: AtomicUsize::new(0), argument: AtomicUsize::new(0) } }; ROOM];

/// Do threads begin without us?
static IS_LEFT_ALONE: AtomicBool = AtomicBool::new(false);

/// From here on they do.
pub fn leave_alone() {
    IS_LEFT_ALONE.store(true, Ordering::Relaxed);
}

/// Notes what a new thread is to do; [`begin`] takes it. `None`: it is to begin without us.
pub fn note(function: usize, argument: usize) -> Option<usize> {
    let is_left_alone = IS_LEFT_ALONE.load(Ordering::Relaxed);
    if is_left_alone || !options::flag(Name::UseSigaltstack) || disposition::is_foreign() {
        return None;
    }
    let is_free = |place: &Place| {
        let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        place.function.compare_exchange(0, function, done, failed).is_ok()
    };
    let number = PLACES.iter().position(is_free)?;
    PLACES.get(number)?.argument.store(argument, Ordering::Release);
    Some(number)
}

/// In the new thread: gets it ready, and says what it is to do.
pub fn begin(number: usize) -> (usize, usize) {
    let _work = ToolWork::begin();
    if handler_stack::attach() {
        thread_exit::watch();
    }
    let Some(place) = PLACES.get(number) else { return (0, 0) };
    let argument = place.argument.swap(0, Ordering::Acquire);
    (place.function.swap(0, Ordering::AcqRel), argument)
}

/// Arguments of threads that have not begun: nothing else may lead to what they point to.
pub fn for_each_argument(each: impl FnMut(usize)) {
    PLACES.iter().map(|place| place.argument.load(Ordering::Relaxed)).for_each(each);
}
