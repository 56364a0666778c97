//! The process's memory as the kernel reads it: what is not there is an error, not a fault, and
//! protection keys do not count (pkeys(7)).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{errno, process};

/// Reads by process_vm_readv(2). Where that is refused it reads /proc/self/mem, which reads
/// protected pages as well.
pub struct KernelReader {
    /// Where the call is refused, as by old container filters.
    memory: Option<File>,
}

impl KernelReader {
    /// Of this process.
    pub fn open() -> Self {
        let here = 0u64;
        let mut there = [0u8; 8];
        let memory = match read_by_call(core::ptr::from_ref(&here) as usize, &mut there) {
            Some(8) => None,
            _ => File::open("/proc/self/mem").ok(),
        };
        Self { memory }
    }

    /// Reads from `address` on. Returns how many bytes could be read; 0: not even one.
    pub fn read(&self, address: usize, bytes: &mut [u8]) -> usize {
        match &self.memory {
            Some(memory) => memory.read_at(bytes, address as u64).unwrap_or(0),
            None => read_by_call(address, bytes).unwrap_or(0),
        }
    }
}

fn read_by_call(address: usize, bytes: &mut [u8]) -> Option<usize> {
    let to = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let from = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    let id = process::id() as libc::pid_t;
    // SAFETY: process_vm_readv(2) writes into the slice alone, and fails where nothing can be read.
    let got = errno::preserve(|| unsafe {
        libc::process_vm_readv(id, &raw const to, 1, &raw const from, 1, 0)
    });
    usize::try_from(got).ok()
}

#[cfg(test)]
mod tests {
    use super::super::memory;
    use super::*;
    use crate::heap::size::PAGE;

    #[test]
    fn what_is_there_is_read_by_both_ways() {
        let start = memory::reserve(2 * PAGE).expect("address space");
        // SAFETY: the first page of what was reserved just now.
        unsafe {
            assert!(memory::commit(start, PAGE));
            ((start + PAGE - 8) as *mut u64).write(7);
            memory::unmap(start + PAGE, PAGE);
        }
        for reader in [
            KernelReader { memory: None },
            KernelReader { memory: File::open("/proc/self/mem").ok() },
        ] {
            let mut bytes = [0u8; 16];
            assert_eq!(reader.read(start + PAGE - 8, &mut bytes), 8);
            assert_eq!(bytes[0], 7);
            assert_eq!(reader.read(start + PAGE, &mut bytes), 0);
        }
        // SAFETY: reserved above, and not used any more.
        unsafe { memory::unmap(start, PAGE) };
    }
}
