//! Which C++ operators come to us, and which must go on to somebody else's.
//!
//! An operator whose standard default calls another one (new[], nothrow, sized, delete[]) has to
//! call that one when the program replaced it. libstdc++'s own version does just that, so such
//! calls are handed on to it. Looked up once.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use mallocop::sys::thread::ToolWork;

use crate::HEAP;
use crate::program_symbols::look_behind;

macro_rules! operators {
    ($($name:ident, $symbol:literal, [$($calls:ident),*];)*) => {
        /// The operators by their mangled names, and those that their defaults call.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[allow(clippy::upper_case_acronyms, reason = "no names but these say which is which")]
        pub(crate) enum Operator { $($name,)* }

        const ALL: &[(&CStr, &[Operator])] = &[$(($symbol, &[$(Operator::$calls),*]),)*];
        static NEXT: [AtomicPtr<c_void>; ALL.len()] =
            [const { AtomicPtr::new(ptr::null_mut()) }; ALL.len()];
    };
}

operators! {
    New, c"_Znwm", [];
    NewArray, c"_Znam", [New];
    NewNothrow, c"_ZnwmRKSt9nothrow_t", [New];
    NewArrayNothrow, c"_ZnamRKSt9nothrow_t", [NewArray, New];
    AlignedNew, c"_ZnwmSt11align_val_t", [];
    AlignedNewArray, c"_ZnamSt11align_val_t", [AlignedNew];
    AlignedNewNothrow, c"_ZnwmSt11align_val_tRKSt9nothrow_t", [AlignedNew];
    AlignedNewArrayNothrow, c"_ZnamSt11align_val_tRKSt9nothrow_t", [AlignedNewArray, AlignedNew];
    Delete, c"_ZdlPv", [];
    DeleteArray, c"_ZdaPv", [Delete];
    DeleteSized, c"_ZdlPvm", [Delete];
    DeleteArraySized, c"_ZdaPvm", [DeleteArray, Delete];
    DeleteNothrow, c"_ZdlPvRKSt9nothrow_t", [Delete];
    DeleteArrayNothrow, c"_ZdaPvRKSt9nothrow_t", [DeleteArray, Delete];
    AlignedDelete, c"_ZdlPvSt11align_val_t", [];
    AlignedDeleteArray, c"_ZdaPvSt11align_val_t", [AlignedDelete];
    AlignedDeleteSized, c"_ZdlPvmSt11align_val_t", [AlignedDelete];
    AlignedDeleteArraySized, c"_ZdaPvmSt11align_val_t", [AlignedDeleteArray, AlignedDelete];
    AlignedDeleteNothrow, c"_ZdlPvSt11align_val_tRKSt9nothrow_t", [AlignedDelete];
    AlignedDeleteArrayNothrow, c"_ZdaPvSt11align_val_tRKSt9nothrow_t",
        [AlignedDeleteArray, AlignedDelete];
}

const NEW: u8 = 0;
const RESOLVING: u8 = 1;
const RESOLVED: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(NEW);

/// Looks the operators up if that has not been done: our constructor does, or the first operator
/// that is called before it.
pub(crate) fn ensure_resolved() {
    let first = STATE.load(Ordering::Acquire) != RESOLVED
        && STATE.compare_exchange(NEW, RESOLVING, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if first {
        let _work = ToolWork::begin();
        HEAP.set_operators_are_ours(resolve());
        STATE.store(RESOLVED, Ordering::Release);
    }
}

/// The operator in the library behind us that this call has to go on to; null: it is ours.
pub(crate) fn next(operator: Operator) -> *mut c_void {
    ensure_resolved();
    NEXT.get(operator as usize).map_or(ptr::null_mut(), |next| next.load(Ordering::Relaxed))
}

fn is_replaced(operator: Operator) -> bool {
    ALL.get(operator as usize).is_some_and(|(symbol, _)| {
        // SAFETY: dlsym(3) with a C string.
        let used = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) } as usize;
        used != 0 && !mallocop::stack::modules::is_own(used)
    })
}

/// Finds out which operators the program replaced. Returns whether operator new and delete, plain
/// and array, all come to us.
fn resolve() -> bool {
    for (index, (symbol, calls)) in ALL.iter().enumerate() {
        if calls.iter().any(|&called| is_replaced(called))
            && let Some(slot) = NEXT.get(index)
        {
            slot.store(look_behind(symbol), Ordering::Relaxed);
        }
    }
    let families = [Operator::New, Operator::NewArray, Operator::Delete, Operator::DeleteArray];
    let aligned = [Operator::AlignedNew, Operator::AlignedDelete];
    !families.into_iter().chain(aligned).any(is_replaced)
}
