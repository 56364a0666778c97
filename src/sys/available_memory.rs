//! The memory that programs can still have.

use super::raw_syscall;

/// Bytes of it (MemAvailable of /proc/meminfo); 0: not known.
pub fn available_memory() -> usize {
    const NAME: &[u8] = b"MemAvailable:";
    let mut room = [0; 512];
    let length = read(&mut room).unwrap_or(0);
    let text = room.get(..length).unwrap_or(&[]);
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(NAME));
    let digits = line.unwrap_or(&[]).iter().filter(|byte| byte.is_ascii_digit());
    let kilobytes = digits
        .fold(0, |sum: usize, &digit| sum.saturating_mul(10).saturating_add((digit - b'0').into()));
    kilobytes.saturating_mul(1024)
}

fn read(room: &mut [u8]) -> Option<usize> {
    let (path, flags) = (c"/proc/meminfo", libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: opens, reads into the caller's room, and closes again.
    unsafe {
        let arguments = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0];
        let fd = usize::try_from(raw_syscall::call(libc::SYS_openat, arguments)).ok()?;
        let arguments = [fd, room.as_mut_ptr() as usize, room.len(), 0];
        let length = raw_syscall::call(libc::SYS_read, arguments);
        raw_syscall::call(libc::SYS_close, [fd, 0, 0, 0]);
        usize::try_from(length).ok()
    }
}
