//! The environment of a program that is started: without us where it cannot do with us.
//!
//! Safe in signal handlers and between vfork and exec.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use mallocop::report;
use mallocop::sys::target;

/// Texts, ended by null: arguments or an environment.
pub(crate) type Texts = *const *const c_char;

/// Our library's file, at the end of a path.
const LIBRARY: &[u8] = b"/libmallocop.so";
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Variables of an environment that is changed, at most, and bytes of the new LD_PRELOAD.
const MOST_VARIABLES: usize = 1024;
const MOST_PRELOAD: usize = 2048;
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

/// Are we preloaded in that environment?
///
/// # Safety
/// As for [`each`].
unsafe fn has_us(environment: Texts) -> bool {
    // SAFETY: as the caller says.
    let mut all = unsafe { each(environment) };
    all.any(|(_, text)| text.strip_prefix(PRELOAD).is_some_and(|list| files(list).any(is_ours)))
}

/// The files of an LD_PRELOAD.
fn files(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| b": ".contains(byte)).filter(|file| !file.is_empty())
}

fn is_ours(file: &[u8]) -> bool {
    file.ends_with(LIBRARY)
}

/// Executes or starts, by `run`, the program at `path` with the environment that it can do with.
///
/// # Safety
/// As for [`each`].
pub(crate) unsafe fn with_environment(
    path: Option<&CStr>,
    environment: Texts,
    run: impl FnOnce(Texts) -> c_int,
) -> c_int {
    // SAFETY: as the caller says.
    let is_watched = unsafe { has_us(environment) };
    let obstacle = path.filter(|_| is_watched).and_then(target::find_obstacle);
    let Some((obstacle, path)) = obstacle.zip(path) else { return run(environment) };
    report::tell_unwatched(obstacle, path.to_bytes());
    if obstacle.is_harmful() {
        // SAFETY: as the caller says.
        unsafe { without_us(environment, run) }
    } else {
        run(environment)
    }
}

/// Runs with the environment without us. One of more than 1023 variables stays as it is.
///
/// # Safety
/// As for [`each`].
#[inline(never)]
unsafe fn without_us(environment: Texts, run: impl FnOnce(Texts) -> c_int) -> c_int {
    let mut list = [0u8; MOST_PRELOAD];
    let mut room = [ptr::null(); MOST_VARIABLES];
    let mut used = 0;
    // SAFETY: as the caller says.
    for (text, bytes) in unsafe { each(environment) } {
        let kept = match bytes.strip_prefix(PRELOAD) {
            Some(files) => others(files, &mut list),
            None => text,
        };
        let Some(place) = room.get_mut(used).filter(|_| used + 1 < MOST_VARIABLES) else {
            return run(environment);
        };
        if !kept.is_null() {
            *place = kept;
            used += 1;
        }
    }
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
