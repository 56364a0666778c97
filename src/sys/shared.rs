//! A file mapped shared, for what leaves the process.

use core::ffi::CStr;
use core::ptr;

use super::{errno, holdings};

/// Maps the first `bytes` of the file at `path`, to read and write. `None` if it is shorter or
/// cannot be opened. The descriptor is closed again.
pub fn map_file(path: &CStr, bytes: usize) -> Option<usize> {
    errno::preserve(|| {
        // SAFETY: open(2) with a C string.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
        if fd < 0 {
            return None;
        }
        // SAFETY: lseek(2), mmap(2) and close(2) on our own descriptor; the address is the kernel's
        // choice, and the file is that long.
        unsafe {
            let long_enough =
                usize::try_from(libc::lseek(fd, 0, libc::SEEK_END)).is_ok_and(|len| len >= bytes);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = if long_enough {
                libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0)
            } else {
                libc::MAP_FAILED
            };
            libc::close(fd);
            if at == libc::MAP_FAILED {
                return None;
            }
            holdings::note(at as usize, bytes);
            Some(at as usize)
        }
    })
}
