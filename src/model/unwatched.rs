//! Programs that are started without the library, and why.

use serde::{Deserialize, Serialize};

/// Why the library cannot be preloaded into a program, or must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreloadObstacle {
    /// It has no dynamic loader.
    Static,
    /// Its loader is musl's, whose libc ours is not.
    Musl,
    /// It is of another architecture, or of 32 bits.
    Foreign,
    /// It gets other privileges, for which the loader leaves preloaded libraries out.
    Privileged,
    /// It checks its heap by itself.
    Sanitizer,
}

impl PreloadObstacle {
    /// Does the program have to be started without the library? Otherwise its loader leaves that
    /// out by itself.
    pub const fn is_harmful(self) -> bool {
        matches!(self, Self::Musl | Self::Foreign | Self::Sanitizer)
    }

    /// The end of a sentence that starts with the program.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Static => "is statically linked",
            Self::Musl => "uses musl's libc",
            Self::Foreign => "is no x86-64 program",
            Self::Privileged => "is setuid or setgid",
            Self::Sanitizer => "is built with a sanitizer",
        }
    }
}
