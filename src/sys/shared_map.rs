//! Mappings of a file that processes share, and memory that a forked child does not inherit.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::errno;
use crate::sys::owned_maps;

/// Maps the first `bytes` of the regular file at `path`, to read and write, and says how long it
/// is. `None` if it is shorter than that or cannot be opened. The descriptor is closed again.
pub fn map_file(path: &CStr, bytes: usize) -> Option<(usize, usize)> {
    errno::preserve(|| {
        let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: open(2) with a C string.
        let fd = unsafe { libc::open(path.as_ptr(), flags) };
        if fd < 0 {
            return None;
        }
        // SAFETY: lseek(2), mmap(2) and close(2) on our own descriptor; the address is the kernel's
        // choice, and the file is that long.
        unsafe {
            let length = usize::try_from(libc::lseek(fd, 0, libc::SEEK_END)).unwrap_or(0);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = if length >= bytes {
                libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0)
            } else {
                libc::MAP_FAILED
            };
            libc::close(fd);
            Some((hold(at, bytes)?, length))
        }
    })
}

/// Maps `bytes` of the file from `offset` bytes behind the start of a mapping of it, which need not
/// reach so far; needs no descriptor (mremap(2) with a size of 0). `None` when the kernel refuses.
///
/// # Safety
/// `start` is the start of a mapping by [`map_file`]; the file is long enough; all are multiples of
/// the page size.
pub unsafe fn map_further(start: usize, offset: usize, bytes: usize) -> Option<usize> {
    errno::preserve(|| {
        // SAFETY: makes a second mapping of shared pages elsewhere; gives back its front part,
        // which nobody has seen.
        unsafe {
            let old = start as *mut libc::c_void;
            let at = libc::mremap(old, 0, offset + bytes, libc::MREMAP_MAYMOVE);
            if at != libc::MAP_FAILED && offset != 0 {
                libc::munmap(at, offset);
            }
            if at == libc::MAP_FAILED { None } else { hold(at.byte_add(offset), bytes) }
        }
    })
}

/// Notes a fresh mapping as the tool's, which no core file needs.
///
/// # Safety
/// It is one of `bytes` bytes, or MAP_FAILED.
unsafe fn hold(at: *mut libc::c_void, bytes: usize) -> Option<usize> {
    if at == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: by the caller's word; without effect on what is in there.
    unsafe { libc::madvise(at, bytes, libc::MADV_DONTDUMP) };
    owned_maps::note(at as usize, bytes);
    Some(at as usize)
}

/// Has the kernel refused to?
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// From now on a child of this process finds those pages zeroed, however it was forked; see
/// [`wipes_on_fork`].
///
/// # Safety
/// The whole pages are private memory of the caller's, who can do with zeroed ones in a child.
pub unsafe fn wipe_on_fork(start: usize, bytes: usize) {
    errno::preserve(|| {
        let at = start as *mut libc::c_void;
        // SAFETY: by the caller's word.
        if unsafe { libc::madvise(at, bytes, libc::MADV_WIPEONFORK) } != 0 {
            IS_REFUSED.store(true, Ordering::Relaxed);
        }
    });
}

/// Were all pages zeroed that were to be? Not by kernels before 4.14.
pub fn wipes_on_fork() -> bool {
    !IS_REFUSED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use crate::heap::size::PAGE;

    #[test]
    fn a_file_is_mapped_further_without_a_descriptor() {
        let path = std::env::temp_dir().join(format!("mallocop-shared-{}", std::process::id()));
        let mut bytes = vec![0u8; 8 * PAGE];
        bytes[5 * PAGE] = 42;
        std::fs::write(&path, &bytes).expect("a file");
        let name = CString::new(path.as_os_str().as_bytes()).expect("a name");
        assert_eq!(map_file(&name, 9 * PAGE), None);
        let (start, length) = map_file(&name, PAGE).expect("a mapping");
        assert_eq!(length, 8 * PAGE);
        // SAFETY: the file has eight pages.
        let further = unsafe { map_further(start, 5 * PAGE, PAGE) }.expect("a mapping");
        // SAFETY: both are mapped, and this test's alone.
        unsafe {
            assert_eq!((further as *const u8).read(), 42);
            (further as *mut u8).write(7);
        }
        assert_eq!(std::fs::read(&path).expect("the file")[5 * PAGE], 7);
        std::fs::remove_file(&path).expect("the file");
    }
}
