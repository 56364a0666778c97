//! A wrong access to memory, found where it was made.

use serde::{Deserialize, Serialize};

/// The access, and how its block came to be guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongAccess {
    /// Was it a write?
    pub is_write: bool,
    /// Bytes that it was of; 0: not known.
    pub bytes: usize,
    /// Was the block freed?
    pub is_freed: bool,
    /// Which of its site's blocks it was, from 1.
    pub ordinal: u32,
    /// The option `guard_seed`.
    pub seed: u32,
    /// Are all blocks guarded that fit the budget?
    pub is_all: bool,
    /// The call by which it was made, and its end; `None`: by an instruction.
    pub call: Option<(Call, CallEnd)>,
}

/// How a wrong access by a call was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    /// The kernel refused it with EFAULT.
    Refused,
    /// The kernel transferred so many bytes and stopped.
    Short(usize),
    /// By a check of the call's arguments or result (`check_libc`).
    Checked,
}

macro_rules! calls {
    ($($variant:ident, $name:literal, $fills:literal;)*) => {
        /// A function of libc's that reads or writes memory of the caller's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Call { $(#[doc = $name] $variant,)* }

        impl Call {
            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The call with that index in the list, from 0.
            pub fn from_number(number: u32) -> Option<Self> {
                [$(Self::$variant,)*].get(number as usize).copied()
            }

            /// AddressSanitizer's name for overlapping operands of this call.
            pub const fn overlap(self) -> &'static str {
                match self { $(Self::$variant => concat!($name, "-param-overlap"),)* }
            }

            /// Does it write to its buffer, or to the first of two?
            pub const fn fills(self) -> bool {
                match self { $(Self::$variant => $fills,)* }
            }
        }
    };
}

calls! {
    Read, "read", true;
    Pread, "pread", true;
    Readv, "readv", true;
    Preadv, "preadv", true;
    Recv, "recv", true;
    Recvfrom, "recvfrom", true;
    Recvmsg, "recvmsg", true;
    Fread, "fread", true;
    Write, "write", false;
    Pwrite, "pwrite", false;
    Writev, "writev", false;
    Pwritev, "pwritev", false;
    Send, "send", false;
    Sendto, "sendto", false;
    Sendmsg, "sendmsg", false;
    Fwrite, "fwrite", false;
    Memcpy, "memcpy", true;
    Mempcpy, "mempcpy", true;
    Memmove, "memmove", true;
    Memset, "memset", true;
    Memccpy, "memccpy", true;
    Bcopy, "bcopy", true;
    Bzero, "bzero", true;
    ExplicitBzero, "explicit_bzero", true;
    Strcpy, "strcpy", true;
    Stpcpy, "stpcpy", true;
    Strncpy, "strncpy", true;
    Stpncpy, "stpncpy", true;
    Strcat, "strcat", true;
    Strncat, "strncat", true;
    Strxfrm, "strxfrm", true;
    Wcscpy, "wcscpy", true;
    Wcpcpy, "wcpcpy", true;
    Wcsncpy, "wcsncpy", true;
    Wcpncpy, "wcpncpy", true;
    Wcscat, "wcscat", true;
    Wcsncat, "wcsncat", true;
    Wmemcpy, "wmemcpy", true;
    Wmempcpy, "wmempcpy", true;
    Wmemmove, "wmemmove", true;
    Wmemset, "wmemset", true;
    Sprintf, "sprintf", true;
    Snprintf, "snprintf", true;
    Swprintf, "swprintf", true;
    Fgets, "fgets", true;
    Getline, "getline", true;
    Getdelim, "getdelim", true;
    Getcwd, "getcwd", true;
    Readlink, "readlink", true;
    Getrandom, "getrandom", true;
    Qsort, "qsort", true;
    Memchr, "memchr", false;
    Memrchr, "memrchr", false;
    Rawmemchr, "rawmemchr", false;
    Memmem, "memmem", false;
    Memcmp, "memcmp", false;
    Bcmp, "bcmp", false;
    Strlen, "strlen", false;
    Strnlen, "strnlen", false;
    Strchr, "strchr", false;
    Strchrnul, "strchrnul", false;
    Strrchr, "strrchr", false;
    Strstr, "strstr", false;
    Strcasestr, "strcasestr", false;
    Strspn, "strspn", false;
    Strcspn, "strcspn", false;
    Strpbrk, "strpbrk", false;
    Strdup, "strdup", false;
    Strndup, "strndup", false;
    Strcoll, "strcoll", false;
    Strcmp, "strcmp", false;
    Strncmp, "strncmp", false;
    Strcasecmp, "strcasecmp", false;
    Strncasecmp, "strncasecmp", false;
    Wcslen, "wcslen", false;
    Wcsnlen, "wcsnlen", false;
    Wcscmp, "wcscmp", false;
    Wcsncmp, "wcsncmp", false;
    Wcschr, "wcschr", false;
    Wcsrchr, "wcsrchr", false;
    Wcsdup, "wcsdup", false;
    Wmemcmp, "wmemcmp", false;
    Wmemchr, "wmemchr", false;
    Fputs, "fputs", false;
    Puts, "puts", false;
    Bsearch, "bsearch", false;
}

/// Two overlapping operands of a call that does not allow that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The call.
    pub call: Call,
    /// Bytes of each.
    pub bytes: usize,
    /// Start of the source; the finding's pointer is the start of the destination.
    pub from: usize,
}
