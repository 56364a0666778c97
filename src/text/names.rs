//! Who knows what stands behind the number of a stack: the process itself, or whoever reads its
//! record.

use crate::stack::depot::{self, SiteId};
use crate::stack::modules;
use crate::stack::symbolize::{Frame, ProcessSymbolizer};
use crate::text::source;

/// Knows stacks by their sites.
pub trait Names {
    /// The stack of a site.
    fn stack(&mut self, site: SiteId) -> Stack;

    /// The source line of a frame, if its file is there.
    fn source_line(&mut self, frame: &Frame) -> Option<String> {
        source::line_of(frame)
    }

    /// Was there no time for all names?
    fn is_exhausted(&self) -> bool {
        false
    }
}

/// A stack as a reader sees it.
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

impl Names for ProcessSymbolizer {
    fn stack(&mut self, site: SiteId) -> Stack {
        let mut frames = Vec::new();
        let mut ending = Ending::Whole;
        for stored in depot::frames(site) {
            frames.extend_from_slice(self.frames_at(stored));
            ending = match stored.ending() {
                depot::StackEnd::Whole => Ending::Whole,
                depot::StackEnd::Cut => Ending::Cut,
                depot::StackEnd::Lost => {
                    let module = modules::find(stored.pc() - 1);
                    Ending::Lost(module.map_or_else(String::new, |module| module.name().to_owned()))
                }
            };
        }
        Stack { frames, ending }
    }

    fn is_exhausted(&self) -> bool {
        self.is_out_of_time()
    }
}
