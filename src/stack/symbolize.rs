//! Addresses -> functions, files and lines, inside the process, after the fact. Allocates from the
//! tool's heap; holds no lock of ours meanwhile.

use crate::model::site::ProcessSite;
use crate::model::site::StackEnd;
use crate::model::stack::DataSymbol;
use crate::model::stack::Ending;
use crate::model::stack::Frame;
use crate::model::stack::Module;
use crate::model::stack::Stack;
use crate::stack::depot;
use crate::stack::source_line;
use crate::text::symbolizer::Symbolizer;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::debug_check;
use super::demangle::demangle;
use super::depot::StoredFrame;
use super::modules;
use crate::own;
use crate::stack::module_generations;
use crate::sys::stable_hash::StableMap;
use crate::sys::{process, seccomp};

/// Milliseconds of CPU time that one process spends on names; after that frames show module and
/// offset. A debug build of a small Rust program with this crate in it takes 400 in all; beside
/// builds on both cores 1000 were not enough twice.
const BUDGET: u64 = 3000;
/// Bytes of the tool's memory that have to be there before a module's names are read.
const ROOM: usize = 12 << 20;

/// Does nobody read names here?
static FORGOES_NAMES: AtomicBool = AtomicBool::new(false);

/// From here on frames show module and offset.
pub fn forgo_names() {
    FORGOES_NAMES.store(true, Ordering::Relaxed);
}

/// Remembers what it has looked up, and how long that took.
#[derive(Default)]
pub struct ProcessSymbolizer {
    known: StableMap<(usize, u32), Vec<Frame>>,
    /// Modules whose debug information can be read, and others, by first address.
    sound: StableMap<usize, bool>,
    spent: u64,
}

impl ProcessSymbolizer {
    /// The frames at a stored frame's pc, innermost first; never empty.
    pub fn frames_at(&mut self, stored: StoredFrame) -> &[Frame] {
        // Looked up is the instruction in front of a return address, but that at an exact pc.
        let pc = stored.pc() + usize::from(stored.is_exact());
        let key = (pc, stored.generation());
        if !self.known.contains_key(&key) {
            let mut frames = self.look_up(pc, stored.generation());
            for frame in &mut frames {
                (frame.pc, frame.is_guessed) = (stored.pc(), stored.is_guessed());
            }
            self.known.insert(key, frames);
        }
        self.known.get(&key).map_or(&[], Vec::as_slice)
    }

    fn look_up(&mut self, pc: usize, generation: u32) -> Vec<Frame> {
        if !module_generations::is_loaded(pc - 1, generation) {
            // Whatever is there now is not what was there then.
            return vec![Frame {
                module: module_generations::module_at(pc - 1, generation),
                ..Frame::default()
            }];
        }
        // With a filter no file can be opened any more.
        if seccomp::is_installed() || self.is_out_of_time() || !own::heap::has_room(ROOM) {
            return vec![module_frame(pc)];
        }
        let started = process::thread_milliseconds();
        if !self.is_sound(pc) {
            return vec![module_frame(pc)];
        }
        let frames = resolve(pc);
        self.spent += process::thread_milliseconds() - started;
        frames
    }

    /// Can the debug information of the module be read that a pc is in?
    fn is_sound(&mut self, pc: usize) -> bool {
        let Some(module) = modules::find(pc - 1) else { return true };
        let look = || debug_check::is_sound(Path::new(&module.path));
        *self.sound.entry(module.base).or_insert_with(look)
    }

    /// The innermost frame at an address that is executed now.
    pub fn frame_of(&mut self, pc: usize) -> Frame {
        // As if it were a return address.
        let is_readable = !self.is_out_of_time() && self.is_sound(pc + 1);
        let frames = if is_readable { resolve(pc + 1) } else { vec![module_frame(pc + 1)] };
        frames.into_iter().next().unwrap_or_default()
    }

    /// One that gives no names: for a forked child, where another thread may have been in the
    /// middle of looking one up.
    pub fn without_names() -> Self {
        Self { spent: BUDGET, ..Self::default() }
    }

    /// Begins with all of the time once more; what there was no time for is looked up when it is
    /// asked for again.
    pub fn renew(&mut self) {
        if self.is_out_of_time() {
            self.known.clear();
        }
        self.spent = 0;
    }

    /// Has the time for names run out?
    pub fn is_out_of_time(&self) -> bool {
        self.spent >= BUDGET || FORGOES_NAMES.load(Ordering::Relaxed)
    }
}

fn module_frame(pc: usize) -> Frame {
    let module = modules::find(pc - 1).map(|module| {
        let offset = pc - module.base;
        (module.path, offset)
    });
    Frame { module, ..Frame::default() }
}

fn resolve(pc: usize) -> Vec<Frame> {
    let module = module_frame(pc).module;
    let mut frames = Vec::new();
    // SAFETY: the one caller at a time is guaranteed by `&mut self`; nobody else in the process
    // uses this copy of the symbolizer.
    unsafe {
        backtrace::resolve_unsynchronized(pc as *mut core::ffi::c_void, |symbol| {
            frames.push(Frame {
                function: symbol.name().and_then(|name| name.as_str().map(demangle)),
                symbol: symbol.name().and_then(|name| name.as_str().map(str::to_owned)),
                file: symbol.filename().map(|file| file.to_string_lossy().into_owned()),
                line: symbol.lineno().unwrap_or(0),
                column: symbol.colno().unwrap_or(0),
                module: module.clone(),
                ..Frame::default()
            });
        });
    }
    if frames.is_empty() {
        frames.push(Frame { module, ..Frame::default() });
    }
    frames
}

impl Symbolizer<ProcessSite> for ProcessSymbolizer {
    fn stack(&mut self, site: ProcessSite) -> Stack {
        let mut frames = Vec::new();
        let mut ending = Ending::Whole;
        for stored in depot::frames(site) {
            frames.extend_from_slice(self.frames_at(stored));
            ending = match stored.ending() {
                StackEnd::Whole => Ending::Whole,
                StackEnd::Cut => Ending::Cut,
                StackEnd::Lost => {
                    let module = modules::find(stored.pc() - 1);
                    Ending::Lost(module.map_or_else(String::new, |module| module.name().to_owned()))
                }
            };
        }
        Stack { frames, ending }
    }

    fn source_line(&mut self, frame: &Frame) -> Option<String> {
        source_line::line_of(frame)
    }

    fn data_symbol(&mut self, module: &Module, address: usize) -> Option<DataSymbol> {
        modules::symbol_at(module, address)
    }

    fn is_exhausted(&self) -> bool {
        self.is_out_of_time()
    }
}
