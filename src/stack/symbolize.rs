//! Addresses -> functions, files and lines, inside the process, after the fact. Allocates from the
//! tool's heap; holds no lock of ours meanwhile.

use std::collections::HashMap;

use super::depot::StoredFrame;
use super::modules;
use crate::own;
use crate::sys::{filter, process};

/// Milliseconds of CPU time that one process spends on names; after that frames show module and offset.
const BUDGET: u64 = 1000;
/// Bytes of the tool's memory that have to be there before a module's names are read.
const ROOM: usize = 12 << 20;

/// One line of a stack. An inlined call gives several for one address.
#[derive(Clone, Debug)]
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
}

/// Remembers what it has looked up, and how long that took.
#[derive(Default)]
pub struct Symbolizer {
    known: HashMap<usize, Vec<Frame>>,
    spent: u64,
}

impl Symbolizer {
    /// The frames at a stored frame's pc, innermost first; never empty.
    pub fn frames_at(&mut self, stored: StoredFrame) -> &[Frame] {
        // Looked up is the instruction in front of a return address, but that at an exact pc.
        let pc = stored.pc() + usize::from(stored.is_exact());
        if !self.known.contains_key(&pc) && filter::is_installed() {
            // No file can be opened any more.
            self.known.insert(pc, vec![module_frame(pc)]);
        } else if !self.known.contains_key(&pc) {
            let started = process::thread_milliseconds();
            let may_look = self.spent < BUDGET && own::heap::has_room(ROOM);
            let frames = if may_look { resolve(pc) } else { vec![module_frame(pc)] };
            self.spent += process::thread_milliseconds() - started;
            self.known.insert(pc, frames);
        }
        self.known.get(&pc).map_or(&[], Vec::as_slice)
    }

    /// Has the time for names run out?
    pub const fn is_exhausted(&self) -> bool {
        self.spent >= BUDGET
    }
}

fn module_frame(pc: usize) -> Frame {
    let module = modules::find(pc - 1).map(|module| {
        let offset = pc - module.base;
        (module.path, offset)
    });
    Frame { function: None, symbol: None, file: None, line: 0, column: 0, module }
}

fn resolve(pc: usize) -> Vec<Frame> {
    let module = module_frame(pc).module;
    let mut frames = Vec::new();
    // SAFETY: the one caller at a time is guaranteed by `&mut self`; nobody else in the process
    // uses this copy of the symbolizer.
    unsafe {
        backtrace::resolve_unsynchronized(pc as *mut core::ffi::c_void, |symbol| {
            frames.push(Frame {
                function: symbol.name().map(|name| format!("{name:#}")),
                symbol: symbol.name().and_then(|name| name.as_str().map(str::to_owned)),
                file: symbol.filename().map(|file| file.to_string_lossy().into_owned()),
                line: symbol.lineno().unwrap_or(0),
                column: symbol.colno().unwrap_or(0),
                module: module.clone(),
            });
        });
    }
    if frames.is_empty() {
        frames.push(Frame { function: None, symbol: None, file: None, line: 0, column: 0, module });
    }
    frames
}
