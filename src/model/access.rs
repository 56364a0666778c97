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
    /// The system call by which it was made, and its end; `None`: by an instruction.
    pub call: Option<(Call, CallEnd)>,
}

/// The end of a system call that could not use all of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    /// EFAULT.
    Refused,
    /// It has transferred so many bytes.
    Short(usize),
}

macro_rules! calls {
    ($($variant:ident, $name:literal, $fills:literal;)*) => {
        /// A call by which the kernel uses a buffer, by libc's function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Call { $(#[doc = $name] $variant,)* }

        impl Call {
            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Does the kernel write to the buffer?
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
}
