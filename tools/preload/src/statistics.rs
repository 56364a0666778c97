//! mallinfo, mallinfo2, malloc_stats, malloc_info: glibc's windows into the heap.

use core::ffi::{c_char, c_int};
use std::ffi::CString;

use mallocop::heap::Usage;
use mallocop::model::site::HeapStats;
use mallocop::sys::alt_stack;
use mallocop::sys::output;
use mallocop::sys::thread::ToolWork;

use crate::start;

fn totals() -> (HeapStats, Usage) {
    start::heap().map(mallocop::checks::CheckedHeap::totals).unwrap_or_default()
}

/// Bytes that live mapped blocks are counted with: those asked for, and all that they hold where
/// that is not known.
fn mapped_bytes() -> usize {
    let mut bytes = 0;
    if let Some(heap) = start::heap() {
        let is_checked = heap.is_checked();
        heap.for_each_mapped(|_, end, live| {
            let held = |user: usize, size: usize| if is_checked { size } else { end - user };
            bytes += live.map_or(0, |large| held(large.user, large.size));
        });
    }
    bytes
}

#[unsafe(no_mangle)]
extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let (stats, usage) = totals();
    libc::mallinfo2 {
        arena: usage.held,
        ordblks: 0,
        smblks: 0,
        hblks: usage.mapped_chunks,
        hblkhd: usage.mapped,
        usmblks: 0,
        fsmblks: 0,
        // Without the mapped blocks, which have a field of their own.
        uordblks: (stats.live as usize).saturating_sub(mapped_bytes()),
        fordblks: usage.held - usage.in_use,
        keepcost: 0,
    }
}

/// The same in the old form, whose fields wrap at 2 GiB as glibc's do.
#[unsafe(no_mangle)]
extern "C" fn mallinfo() -> libc::mallinfo {
    let info = mallinfo2();
    libc::mallinfo {
        arena: info.arena as c_int,
        ordblks: info.ordblks as c_int,
        smblks: info.smblks as c_int,
        hblks: info.hblks as c_int,
        hblkhd: info.hblkhd as c_int,
        usmblks: info.usmblks as c_int,
        fsmblks: info.fsmblks as c_int,
        uordblks: info.uordblks as c_int,
        fordblks: info.fordblks as c_int,
        keepcost: info.keepcost as c_int,
    }
}

#[unsafe(no_mangle)]
extern "C" fn malloc_stats() {
    // As glibc's, it is no cancellation point.
    let _work = ToolWork::begin();
    let (stats, usage) = totals();
    let text = format!(
        "mallocop: {} bytes in use in {} blocks; heap {} bytes, mapped {} bytes in {} blocks\n",
        stats.live,
        stats.allocations - stats.frees,
        usage.held,
        usage.mapped,
        usage.mapped_chunks
    );
    // malloc_stats(3) prints on standard error, whatever that is now.
    alt_stack::without_cancellation(|| output::write_all(2, text.as_bytes()));
}

/// malloc_info(3): XML on a stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    let (stats, usage) = totals();
    let text = {
        let _work = ToolWork::begin();
        CString::new(format!(
            "<malloc version=\"1\">\n<heap nr=\"0\">\n</heap>\n\
             <total type=\"mmap\" count=\"{}\" size=\"{}\"/>\n\
             <system type=\"current\" size=\"{}\"/>\n\
             <live count=\"{}\" size=\"{}\"/>\n</malloc>\n",
            usage.mapped_chunks,
            usage.mapped,
            usage.held,
            stats.allocations - stats.frees,
            stats.live
        ))
    };
    let Ok(text) = text else { return -1 };
    let text: *const c_char = text.as_ptr();
    // SAFETY: the caller gives an open stream; the text is a live C string.
    let printed = alt_stack::without_cancellation(|| unsafe { libc::fputs(text, stream) });
    if printed < 0 { -1 } else { 0 }
}
