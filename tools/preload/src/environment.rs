//! The environment of a program that is started: without us where it cannot do with us.
//!
//! Safe in signal handlers and between vfork and exec.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use mallocop::heap::size::{PAGE, round_down, round_up};
use mallocop::runtime::report_sink;
use mallocop::sys::{exec_check, memory};

/// Texts, ended by null: arguments or an environment.
pub(crate) type Texts = *const *const c_char;

/// File names of our libraries, at the end of a path. The second does nothing without the first.
const LIBRARY: &[u8] = b"/libmallocop.so";
const CHECKED: &[u8] = b"/libmallocop_checked.so";
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Variables of an environment that is changed on the stack, and most bytes of the new LD_PRELOAD.
const MOST_VARIABLES: usize = 128;
const MOST_PRELOAD: usize = 512;
/// # Safety
/// An array of C strings that ends with null, or null.
unsafe fn each<'a>(texts: Texts) -> impl Iterator<Item = (*const c_char, &'a [u8])> {
    let mut at = texts;
    core::iter::from_fn(move || {
        // SAFETY: not behind the null at the end, by the caller's word.
        let text = if at.is_null() { ptr::null() } else { unsafe { *at } };
        if text.is_null() {
            return None;
        }
        // SAFETY: an element in front of the null; a C string.
        unsafe {
            at = at.add(1);
            Some((text, CStr::from_ptr(text).to_bytes()))
        }
    })
}

/// Are we preloaded in that environment? Not in one that cannot be read: the kernel refuses it.
fn has_us(environment: Texts) -> bool {
    if !is_readable(environment) {
        return false;
    }
    // SAFETY: an array of C strings, all of which can be read.
    let mut all = unsafe { each(environment) };
    let is_first = |file: &[u8]| file.ends_with(LIBRARY);
    all.any(|(_, text)| text.strip_prefix(PRELOAD).is_some_and(|list| files(list).any(is_first)))
}

/// Remembers the page that was found readable last.
struct Look(usize);

impl Look {
    /// Of no page yet: none begins at that address.
    const fn new() -> Self {
        Self(usize::MAX)
    }

    fn may_read(&mut self, address: usize) -> bool {
        let page = round_down(address, PAGE);
        if page != self.0 {
            if !memory::is_readable(page, page + PAGE) {
                return false;
            }
            self.0 = page;
        }
        true
    }

    /// Is there a C string?
    fn may_read_text(&mut self, text: *const c_char) -> bool {
        let mut at = text as usize;
        loop {
            if !self.may_read(at) {
                return false;
            }
            // SAFETY: in a page that can be read.
            if unsafe { *(at as *const c_char) } == 0 {
                return true;
            }
            at += 1;
        }
    }
}

/// Can a path be read? Null is none.
pub(crate) fn is_readable_path(path: *const c_char) -> bool {
    !path.is_null() && Look::new().may_read_text(path)
}

/// Can the array and its strings be read? What libc has can; null is an empty one.
fn is_readable(environment: Texts) -> bool {
    // SAFETY: libc's variable, read once.
    if environment.is_null() || environment == unsafe { environ } {
        return true;
    }
    let (mut array, mut texts) = (Look::new(), Look::new());
    let mut at = environment as usize;
    while at.is_multiple_of(size_of::<usize>()) && array.may_read(at) {
        // SAFETY: in a page that can be read, and does not cross its end.
        let text = unsafe { *(at as Texts) };
        if text.is_null() {
            return true;
        }
        if !texts.may_read_text(text) {
            return false;
        }
        at += size_of::<usize>();
    }
    false
}

unsafe extern "C" {
    static environ: Texts;
}

/// The files of an LD_PRELOAD.
fn files(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| b": ".contains(byte)).filter(|file| !file.is_empty())
}

fn is_ours(file: &[u8]) -> bool {
    file.ends_with(LIBRARY) || file.ends_with(CHECKED)
}

/// Executes or starts, by `run`, the program at `path` with the environment that it can do with.
///
/// # Safety
/// As [`each`] asks.
pub(crate) unsafe fn with_environment(
    path: Option<&CStr>,
    environment: Texts,
    run: impl FnOnce(Texts) -> c_int,
) -> c_int {
    let is_watched = has_us(environment);
    let obstacle = path.filter(|_| is_watched).and_then(exec_check::find_obstacle);
    let Some((obstacle, path)) = obstacle.zip(path) else { return run(environment) };
    report_sink::record_unwatched(obstacle, path.to_bytes());
    if obstacle.is_harmful() {
        // SAFETY: the caller of this function promises the same.
        unsafe { without_us(environment, run) }
    } else {
        run(environment)
    }
}

/// Runs with the environment without us.
///
/// # Safety
/// As [`each`] asks.
#[inline(never)]
unsafe fn without_us(environment: Texts, run: impl FnOnce(Texts) -> c_int) -> c_int {
    let mut list = [0u8; MOST_PRELOAD];
    let mut near = [ptr::null(); MOST_VARIABLES];
    // SAFETY: the caller of this function promises the same.
    let count = unsafe { each(environment) }.count();
    let room = match count < MOST_VARIABLES {
        true => near.as_mut_slice(),
        false => match memory::map(round_up((count + 1) * size_of::<*const c_char>(), PAGE)) {
            // SAFETY: fresh zeroed memory for so many; it goes with the program that is left, or
            // stays.
            Some(start) => unsafe {
                core::slice::from_raw_parts_mut(start as *mut *const c_char, count + 1)
            },
            None => return run(environment),
        },
    };
    // SAFETY: the caller of this function promises the same.
    let texts = unsafe { each(environment) }.filter_map(|(text, bytes)| {
        let kept = bytes.strip_prefix(PRELOAD).map_or(text, |files| others(files, &mut list));
        (!kept.is_null()).then_some(kept)
    });
    room.iter_mut().zip(texts).for_each(|(place, text)| *place = text);
    run(room.as_ptr())
}

/// An LD_PRELOAD with the other files of a list; null if there are none, or too many.
fn others(list: &[u8], room: &mut [u8; MOST_PRELOAD]) -> *const c_char {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        let place = room.get_mut(len..len + bytes.len())?;
        place.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    let mut any = put(PRELOAD).and(None);
    for file in files(list).filter(|file| !is_ours(file)) {
        any = put(file).and_then(|()| put(b":"));
    }
    match any.and_then(|()| put(b"\0")) {
        Some(()) => room.as_ptr().cast(),
        None => ptr::null(),
    }
}
