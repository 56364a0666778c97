//! The process's mappings, read from /proc/self/maps without allocating.

use super::errno;
use crate::sys::seccomp;

/// Longest path that is kept.
const MAX_PATH: usize = 256;

/// One line of /proc/self/maps.
#[derive(Clone, Copy)]
pub struct Mapping {
    /// First byte.
    pub start: usize,
    /// First byte behind.
    pub end: usize,
    /// May code run there?
    pub executable: bool,
    /// May it be written?
    pub writable: bool,
    /// May it be read?
    pub readable: bool,
    /// Is it shared with whoever maps the same?
    pub shared: bool,
    path: [u8; MAX_PATH],
    path_len: usize,
}

impl Mapping {
    /// File or kernel's word in brackets; empty for anonymous memory. Cut at 256 bytes.
    pub fn path(&self) -> &[u8] {
        self.path.get(..self.path_len).unwrap_or(&[])
    }

    /// Is a file behind it?
    pub fn is_file(&self) -> bool {
        self.path().first() == Some(&b'/')
    }

    /// The path as text; what is not UTF-8 is left out.
    pub fn path_text(&self) -> &str {
        core::str::from_utf8(self.path()).unwrap_or("a file with an odd name")
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let mut range = fields.next()?.splitn(2, |&byte| byte == b'-');
        let (start, end) = (hex(range.next()?)?, hex(range.next()?)?);
        let permissions = fields.next()?;
        let path = fields.nth(3).unwrap_or(&[]).trim_ascii_start();
        let mut mapping = Self {
            start,
            end,
            readable: permissions.first() == Some(&b'r'),
            writable: permissions.get(1) == Some(&b'w'),
            shared: permissions.get(3) == Some(&b's'),
            executable: permissions.get(2) == Some(&b'x'),
            path: [0; MAX_PATH],
            path_len: path.len().min(MAX_PATH),
        };
        for (to, from) in mapping.path.iter_mut().zip(path) {
            *to = *from;
        }
        Some(mapping)
    }
}

fn hex(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |value, &digit| {
        let digit = (digit as char).to_digit(16)?;
        Some((value << 4) | digit as usize)
    })
}

/// What a look at the mappings found out.
#[derive(Clone, Copy)]
#[allow(
    clippy::large_enum_variant,
    reason = "returned once, on a cold path where nothing may be boxed"
)]
pub enum Lookup {
    /// The address is in this mapping.
    Mapped(Mapping),
    /// It is in none.
    Unmapped,
    /// /proc cannot be read.
    Unknown,
}

/// The mapping that `address` is in.
pub fn find(address: usize) -> Lookup {
    let mut found = Lookup::Unmapped;
    let read = visit("/proc/self/maps\0", |line| match Mapping::parse(line) {
        Some(mapping) if address >= mapping.start && address < mapping.end => {
            found = Lookup::Mapped(mapping);
            false
        }
        _ => true,
    });
    if read { found } else { Lookup::Unknown }
}

/// Calls `each` with every mapping. `false`: /proc cannot be read.
pub fn for_each(mut each: impl FnMut(&Mapping)) -> bool {
    visit("/proc/self/maps\0", |line| {
        if let Some(mapping) = Mapping::parse(line) {
            each(&mapping);
        }
        true
    })
}

/// Start of the first mapping of the file at `path`.
pub fn first_of(path: &[u8]) -> Option<usize> {
    let mut first = None;
    visit("/proc/self/maps\0", |line| match Mapping::parse(line) {
        Some(mapping) if mapping.path() == path => {
            first = Some(mapping.start);
            false
        }
        _ => true,
    });
    first
}

/// The file mapping that ends where another one starts, at `start`.
pub fn in_front_of(start: usize) -> Option<Mapping> {
    let mut found = None;
    visit("/proc/self/maps\0", |line| match Mapping::parse(line) {
        Some(mapping) if mapping.end == start => {
            found = Some(mapping).filter(Mapping::is_file);
            false
        }
        _ => true,
    });
    found
}

/// Is a file whose path ends in `name` mapped into process `pid`? `false` if that cannot be seen.
pub fn maps_file(pid: u32, name: &[u8]) -> bool {
    let mut path = [0u8; 32];
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    let mut rest = pid;
    while at > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let parts = [b"/proc/".as_slice(), digits.get(at..).unwrap_or(&[]), b"/maps\0"];
    for (to, from) in path.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    let mut found = false;
    visit(core::str::from_utf8(&path).unwrap_or("\0"), |line| {
        found = line.ends_with(name);
        !found
    });
    found
}

/// Calls `each` with every line of a file until it returns false. Lines over 1 KiB are cut.
/// `path` ends in a NUL. Says whether the file could be read.
fn visit(path: &str, mut each: impl FnMut(&[u8]) -> bool) -> bool {
    if seccomp::is_installed() {
        return false;
    }
    errno::preserve(|| {
        // SAFETY: the path ends in a NUL.
        let fd = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if fd < 0 {
            return false;
        }
        let mut buffer = [0u8; 1024];
        let mut line = [0u8; 1024];
        let mut length = 0;
        'reading: loop {
            // SAFETY: the buffer is ours.
            let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            let Some(bytes) = usize::try_from(got).ok().and_then(|got| buffer.get(..got)) else {
                break;
            };
            if bytes.is_empty() {
                break;
            }
            for &byte in bytes {
                if byte == b'\n' {
                    if !each(line.get(..length).unwrap_or(&[])) {
                        break 'reading;
                    }
                    length = 0;
                } else if let Some(slot) = line.get_mut(length) {
                    *slot = byte;
                    length += 1;
                }
            }
        }
        // SAFETY: our own descriptor.
        unsafe { libc::close(fd) };
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_stack_and_nothing_are_told_apart() {
        let code = own_code_stack_and_nothing_are_told_apart as *const () as usize;
        assert!(matches!(find(code), Lookup::Mapped(m) if m.executable && m.is_file()));
        let local = 0u8;
        let stack = core::ptr::from_ref(&local) as usize;
        assert!(matches!(find(stack), Lookup::Mapped(m) if m.writable && !m.is_file()));
        assert!(matches!(find(0x10), Lookup::Unmapped));
    }

    #[test]
    fn files_mapped_elsewhere_are_seen() {
        let pid = super::super::process::id();
        assert!(maps_file(pid, b"libc.so.6"));
        assert!(!maps_file(pid, b"/no such file"));
        assert!(!maps_file(u32::MAX, b"libc.so.6"));
    }
}
