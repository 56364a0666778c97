//! LeakSanitizer's interface for programs (sanitizer/lsan_interface.h).

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use mallocop::debug::registry::{self, State};
use mallocop::leak::regions;
use mallocop::options::{self, Name};
use mallocop::report;
use mallocop::stack::caller::Registers;
use mallocop::sys::{apart, thread};

use crate::entry::with_registers;
use crate::{HEAP, exit, start};

with_registers! {
    /// Looks for leaks now, once and instead of at exit; ends the program with `exitcode` if there are any.
    #[unsafe(no_mangle)]
    __lsan_do_leak_check(0) => do_leak_check();
    /// Looks for leaks now and reports them. Returns 1 if there are any, 0 if not or if it cannot be done here.
    #[unsafe(no_mangle)]
    __lsan_do_recoverable_leak_check(0) => do_recoverable_leak_check() -> c_int;
}

extern "C" fn do_leak_check(registers: &Registers) {
    if can_look() && exit::take_final_check() && look(registers) {
        exit::end_with_exit_code();
    }
}

extern "C" fn do_recoverable_leak_check(registers: &Registers) -> c_int {
    c_int::from(can_look() && look(registers))
}

fn can_look() -> bool {
    options::flag(Name::DetectLeaks) && start::heap().is_some() && thread::is_outside()
}

fn look(registers: &Registers) -> bool {
    let found = apart::run(|| {
        HEAP.settle();
        HEAP.freeze();
        let found = exit::look_for_leaks(&registers.point(), false);
        HEAP.thaw();
        found
    });
    found == Some(true)
}

/// What the calling thread allocates from here on is not reported, until [`__lsan_enable`].
#[unsafe(no_mangle)]
extern "C" fn __lsan_disable() {
    if let Some(heap) = start::heap() {
        heap.look_away(true);
    }
}

/// Ends that, if it was called as often.
#[unsafe(no_mangle)]
extern "C" fn __lsan_enable() {
    if let Some(heap) = start::heap() {
        heap.look_away(false);
    }
}

/// The block at, or around, an address is not reported, nor what it leads to.
#[unsafe(no_mangle)]
extern "C" fn __lsan_ignore_object(pointer: *const c_void) {
    if start::heap().is_none() || !thread::is_outside() {
        return;
    }
    let address = pointer as usize;
    if let Some(user) = registry::at_or_before(address)
        && matches!(registry::state(user), Some(State::Live(_)))
        && address - user <= HEAP.extent(user)
        && HEAP.exempt(user).is_none()
    {
        static SAID: AtomicBool = AtomicBool::new(false);
        report_once(&SAID, "mallocop: __lsan_ignore_object does nothing without checks\n");
    }
}

/// Pointers in that memory keep blocks, whatever memory it is.
#[unsafe(no_mangle)]
extern "C" fn __lsan_register_root_region(start: *const c_void, bytes: usize) {
    if !start.is_null() && bytes != 0 && !regions::add(start as usize, bytes) {
        static SAID: AtomicBool = AtomicBool::new(false);
        report_once(&SAID, "mallocop: too many root regions are registered: 4096 count\n");
    }
}

/// Takes that back.
#[unsafe(no_mangle)]
extern "C" fn __lsan_unregister_root_region(start: *const c_void, bytes: usize) {
    regions::remove(start as usize, bytes);
}

fn report_once(said: &AtomicBool, text: &str) {
    if !said.swap(true, Ordering::Relaxed) {
        apart::run(|| report::emit(text));
    }
}
