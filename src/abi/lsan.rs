//! LeakSanitizer's interface for programs (sanitizer/lsan_interface.h): what is behind its symbols.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::Registers;
use crate::leak::root_regions;
use crate::model::finding::Operation;
use crate::options::{self, Name};
use crate::runtime::report_sink;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::lookup;
use crate::sys::{alt_stack, thread};

use crate::runtime::hooked::alloc_hooks;
use crate::runtime::{HEAP, exit, init};
use crate::with_registers;

with_registers! {
    /// Looks for leaks now, once and instead of at exit; ends the program with `exitcode` if there
    /// are any.
    do_leak_check(0) => do_leak_check_from();
    /// Looks for leaks now and reports them. Returns 1 if there are any, 0 if not or if it cannot
    /// be done here.
    do_recoverable_leak_check(0) => do_recoverable_leak_check_from() -> c_int;
}

extern "C" fn do_leak_check_from(registers: &Registers) {
    if can_look() && exit::take_final_check() && look(registers) {
        exit::end_with_exit_code();
    }
}

extern "C" fn do_recoverable_leak_check_from(registers: &Registers) -> c_int {
    c_int::from(can_look() && look(registers))
}

fn can_look() -> bool {
    options::flag(Name::DetectLeaks) && init::ready().is_some() && thread::is_outside()
}

fn look(registers: &Registers) -> bool {
    let found = alt_stack::run(|| {
        HEAP.settle();
        HEAP.freeze();
        let found = exit::look_for_leaks(&registers.point(), false);
        HEAP.thaw();
        found
    });
    found == Some(true)
}

with_registers! {
    /// What the calling thread allocates from here on is not reported, until [`enable`].
    disable(0) => disable_from();
}

extern "C" fn disable_from(registers: &Registers) {
    let Some(heap) = init::ready() else { return };
    if thread::is_outside() && !thread::is_blind() && alloc_hooks::is_theirs(registers.pc) {
        alt_stack::run(|| alloc_hooks::ask(&registers.point()));
    }
    heap.exempt_allocations(true);
}

/// Ends that, if it was called as often.
pub extern "C" fn enable() {
    if let Some(heap) = init::ready() {
        heap.exempt_allocations(false);
    }
}

/// The block at, or around, an address is not reported, nor what it leads to.
pub extern "C" fn ignore_object(pointer: *const c_void) {
    if init::ready().is_none() || !thread::is_outside() {
        return;
    }
    let address = pointer as usize;
    if let Some(user) = lookup::at_or_before(address)
        && block_table::state(user).is_some_and(BlockState::is_live)
        && address - user <= HEAP.extent(user)
        && HEAP.exempt(user).is_none()
    {
        static SAID: AtomicBool = AtomicBool::new(false);
        report_once(&SAID, "mallocop: __lsan_ignore_object does nothing without checks\n");
    }
}

/// Pointers in that memory keep blocks, whatever memory it is.
pub extern "C" fn register_root_region(start: *const c_void, bytes: usize) {
    if !start.is_null() && bytes != 0 && !root_regions::add(start as usize, bytes) {
        static SAID: AtomicBool = AtomicBool::new(false);
        report_once(&SAID, "mallocop: too many root regions are registered: 4096 count\n");
    }
}

/// Takes that back.
pub extern "C" fn unregister_root_region(start: *const c_void, bytes: usize) {
    root_regions::remove(start as usize, bytes);
}

fn report_once(said: &AtomicBool, text: &str) {
    if !said.swap(true, Ordering::Relaxed) {
        alt_stack::run(|| report_sink::emit(text));
    }
}

/// Verifies every live block and every freed one that waits; each damaged one is reported.
/// Returns their number.
pub extern "C" fn verify() -> c_int {
    if init::ready().is_none() || !thread::is_outside() {
        return 0;
    }
    let found = {
        let _work = thread::ToolWork::begin();
        HEAP.freeze();
        let found = HEAP.check_all(Operation::Check);
        HEAP.thaw();
        found
    };
    c_int::try_from(found).unwrap_or(c_int::MAX)
}
