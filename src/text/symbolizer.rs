//! The interface to whoever knows names: the process itself, or whoever reads its recording.

use crate::model::stack::{DataSymbol, Frame, Module, Stack};

/// Gives stacks their names. `S` is the number of a stack, of a process or of a recording.
pub trait Symbolizer<S> {
    /// The stack of a site.
    fn stack(&mut self, site: S) -> Stack;

    /// The source line of a frame, if its file is there.
    fn source_line(&mut self, frame: &Frame) -> Option<String> {
        let _ = frame;
        None
    }

    /// The symbol that covers an address of a process's memory, code or data, in `module`.
    fn data_symbol(&mut self, module: &Module, address: usize) -> Option<DataSymbol> {
        let _ = (module, address);
        None
    }

    /// Was there no time for all names?
    fn is_exhausted(&self) -> bool {
        false
    }
}

/// Knows no names.
#[derive(Clone, Copy, Debug)]
pub struct Nameless;

impl<S> Symbolizer<S> for Nameless {
    fn stack(&mut self, _: S) -> Stack {
        Stack::default()
    }
}
