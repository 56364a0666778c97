//! A stack with its names, as a symbolizer gives it.

use serde::{Deserialize, Serialize};

/// One line of a stack. An inlined call gives several for one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Function, demangled.
    pub function: Option<String>,
    /// The same as it stands in the file.
    pub symbol: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it; 0 when not known.
    pub line: u32,
    /// Column in it; 0 when not known.
    pub column: u32,
    /// Path of the module, and the address in it.
    pub module: Option<(String, usize)>,
    /// Where the frame's call returns to, or a signal came in.
    pub pc: usize,
    /// Was it found without unwind information?
    pub is_guessed: bool,
}

/// The frames of a stack, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Its frames, innermost first; inlined calls have frames of their own.
    pub frames: Vec<Frame>,
    /// How it ends.
    pub ending: Ending,
}

/// How a stack ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// At the frame that nothing called.
    #[default]
    Whole,
    /// Further frames are not stored.
    Cut,
    /// It could not be followed any further, in this module; empty: in code of none.
    Lost(String),
}

/// A file that is mapped into a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Where its first byte is mapped.
    pub base: usize,
}

impl Module {
    /// The path's last part.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A symbol of data, and how far behind its start an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSymbol {
    /// Its name, demangled.
    pub name: String,
    /// Bytes from its start.
    pub offset: usize,
}
