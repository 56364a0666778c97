//! What is made once, found by all threads without a lock, and stays: a pointer that the first to
//! come sets, and a list that only grows.

use crate::sys::atomic::{AtomicBool, AtomicPtr, Ordering};

/// The pointer in `slot`. If it is null, the one that `make` returns is put there. Of two threads
/// that do so at once one is first: the other gets that pointer, and its own goes to `unmake`.
/// `None`: `make` has none.
pub fn load_or_publish<T>(
    slot: &AtomicPtr<T>,
    make: impl FnOnce() -> Option<*mut T>,
    unmake: impl FnOnce(*mut T),
) -> Option<*mut T> {
    let known = slot.load(Ordering::Acquire);
    if !known.is_null() {
        return Some(known);
    }
    let fresh = make()?;
    match slot.compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(fresh),
        Err(first) => {
            unmake(fresh);
            Some(first)
        }
    }
}

/// An item's place in a [`List`]. In zeroed memory, in none.
pub struct Link<T> {
    pub(crate) listed: AtomicBool,
    pub(crate) next: AtomicPtr<T>,
}

/// What a [`List`] can hold.
pub trait Linked: Sized + 'static {
    /// The item's place.
    fn link(&self) -> &Link<Self>;
}

/// Items, newest first.
pub struct List<T> {
    pub(crate) first: AtomicPtr<T>,
}

impl<T: Linked> List<T> {
    /// Puts an item in, unless another thread does or has done so.
    pub fn add(&self, item: &'static T) {
        let link = item.link();
        if link.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let fresh = core::ptr::from_ref(item).cast_mut();
        let mut first = self.first.load(Ordering::Acquire);
        loop {
            link.next.store(first, Ordering::Release);
            match self.first.compare_exchange(first, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => first = now,
            }
        }
    }

    /// Every item that was put in before this call, and perhaps some that are meanwhile. Any thread
    /// may call it, also where items have parts of one thread: it touches the others alone.
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + use<T> {
        let mut next = self.first.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            // SAFETY: null, or an item that `add` was given for ever.
            let item = unsafe { next.as_ref() }?;
            next = item.link().next.load(Ordering::Acquire);
            Some(item)
        })
    }
}
