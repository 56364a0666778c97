//! qsort and bsearch.

use core::ffi::{c_int, c_void};

use crate::check::{Access, Call, check};
use crate::memory::fixed;
use crate::original::originals;

type Out = *mut c_void;
type In = *const c_void;
type Compare = unsafe extern "C-unwind" fn(In, In) -> c_int;
type CompareWith = unsafe extern "C-unwind" fn(In, In, Out) -> c_int;

originals! {
    qsort: (Out, usize, usize, Option<Compare>) -> ();
    qsort_r: (Out, usize, usize, Option<CompareWith>, Out) -> ();
    bsearch: (In, In, usize, usize, Option<Compare>) -> Out;
}

/// Checks a whole array.
fn check_array(call: Call, access: Access, start: usize, count: usize, size: usize) {
    check(call, access, start, count.saturating_mul(size));
}

fixed! {
    qsort(start: Out, count: usize, size: usize, compare: Option<Compare>) -> (),
        |_| check_array(Call::Qsort, Access::Write, start as usize, count, size);
    qsort_r(start: Out, count: usize, size: usize, compare: Option<CompareWith>, with: Out) -> (),
        |_| check_array(Call::Qsort, Access::Write, start as usize, count, size);
    bsearch(key: In, start: In, count: usize, size: usize, compare: Option<Compare>) -> Out,
        |_| check_array(Call::Bsearch, Access::Read, start as usize, count, size);
}
