//! What libFuzzer and programs ask of a sanitizer (sanitizer/common_interface_defs.h,
//! allocator_interface.h): what is behind those symbols. libFuzzer takes them where they are there,
//! as weak symbols.

use crate::model::stack::DataSymbol;
use crate::model::stack::Module;
use crate::text::page::Page;
use crate::text::style::Renderer;
use crate::text::symbolizer::Symbolizer;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use std::fmt::Write as _;

use crate::arch::Registers;
use crate::heap::size::WORD;
use crate::model::site::ProcessSite;
use crate::model::stack::Frame;
use crate::model::stack::Stack;
use crate::options::{self, Name};
use crate::runtime::hooked::alloc_hooks;
use crate::runtime::{HEAP, init, reporter};
use crate::stack::capture;
use crate::stack::modules;
use crate::stack::symbolize::ProcessSymbolizer;
use crate::sys::{alt_stack, output, thread};
use crate::text::stacks;
use crate::with_registers;

/// Sites that the list of what is in use shows.
const MOST_SITES: usize = 20;

/// Installs functions that hear of each block from here on. Returns how many pairs there are; 0: no
/// room.
pub extern "C" fn install_malloc_and_free_hooks(
    malloc: *const c_void,
    free: *const c_void,
) -> c_int {
    if init::ready().is_none() || malloc.is_null() || free.is_null() {
        return 0;
    }
    if options::number(Name::DedupTokenLength) == 0 {
        options::set_number(Name::DedupTokenLength, DEDUP_FRAMES);
    }
    alloc_hooks::install(malloc as usize, free as usize) as c_int
}

/// Functions that libFuzzer's minimizer compares: what its documentation asks of AddressSanitizer.
const DEDUP_FRAMES: usize = 3;

with_registers! {
    /// Prints the caller's stack.
    print_stack_trace(0) => print_stack_trace_from();
}

extern "C" fn print_stack_trace_from(registers: &Registers) {
    let site = {
        let _call = thread::Call::begin(registers.sp - WORD);
        capture::full_site()
    };
    alt_stack::run(|| {
        let mut text = Page::new();
        reporter::with_renderer(|with| {
            let style = with.style;
            let mut outside = Renderer { symbolizer: &mut Outside(&mut *with.symbolizer), style };
            stacks::write_stack(&mut text, site, &mut outside);
        });
        output::write_stderr(text.text().as_bytes());
    });
}

/// Stacks without what lies further in than the program's call of this library: a hook that asks
/// for one is called by us.
struct Outside<'a>(&'a mut dyn Symbolizer<ProcessSite>);

impl Symbolizer<ProcessSite> for Outside<'_> {
    fn stack(&mut self, site: ProcessSite) -> Stack {
        let mut stack = self.0.stack(site);
        let own = stack.frames.iter().rposition(|frame| modules::is_own(frame.pc));
        stack.frames.drain(..own.map_or(0, |last| last + 1));
        stack
    }

    fn source_line(&mut self, frame: &Frame) -> Option<String> {
        self.0.source_line(frame)
    }

    fn data_symbol(&mut self, module: &Module, address: usize) -> Option<DataSymbol> {
        self.0.data_symbol(module, address)
    }
}

/// Gives what is free back to the system.
pub extern "C" fn purge_allocator() {
    if let Some(heap) = init::ready().filter(|_| thread::is_outside()) {
        heap.trim(0);
    }
}

/// Prints where the memory in use was allocated: the largest sites that together have so many
/// hundredths of it, at most so many.
pub extern "C" fn print_memory_profile(percent: usize, most: usize) {
    alt_stack::run(|| {
        let sites = HEAP.in_use_by_site();
        let all: u64 = sites.iter().map(|(_, totals)| totals.bytes).sum();
        let blocks: u64 = sites.iter().map(|(_, totals)| totals.blocks).sum();
        let mut text = Page::new();
        let _ =
            writeln!(text, "mallocop: {all} bytes in use in {blocks} blocks, most of them from:");
        let mut shown = 0;
        for &(site, totals) in sites.iter().take(most.min(MOST_SITES)) {
            if shown * 100 >= all * percent as u64 {
                break;
            }
            shown += totals.bytes;
            let _ = writeln!(
                text,
                "  {} bytes in {} blocks, allocated here:",
                totals.bytes, totals.blocks
            );
            reporter::with_renderer(|with| stacks::write_stack(&mut text, site, with));
        }
        output::write_stderr(text.text().as_bytes());
    });
}

/// Reports go to that descriptor from here on.
pub extern "C" fn set_report_fd(descriptor: *const c_void) {
    if let Ok(descriptor) = c_int::try_from(descriptor as usize) {
        output::set_descriptor(descriptor);
    }
}

/// The module that an address is in, and where in it. 0: in none, or its path has no room.
///
/// # Safety
/// `path` has room for `room` bytes and `offset` for an address.
pub unsafe extern "C" fn get_module_and_offset_for_pc(
    pc: *const c_void,
    path: *mut c_char,
    room: usize,
    offset: *mut *const c_void,
) -> c_int {
    let pc = pc as usize;
    let Some(module) = alt_stack::run(|| modules::find(pc)).flatten() else { return 0 };
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if !offset.is_null() {
            offset.write((pc - module.base) as *const c_void);
        }
        c_int::from(write_text(path, room, &module.path))
    }
}

/// Writes what is known of a code address in a form of the caller's.
///
/// # Safety
/// `form` is a C string, and `out` has room for `room` bytes.
pub unsafe extern "C" fn symbolize_pc(
    pc: *const c_void,
    form: *const c_char,
    out: *mut c_char,
    room: usize,
) {
    // SAFETY: the caller of this function promises the same.
    let form = unsafe { CStr::from_ptr(form) }.to_string_lossy().into_owned();
    let text = alt_stack::run(|| {
        let look_up =
            |names: &mut ProcessSymbolizer| shown(&form, &names.frame_of(pc as usize), pc as usize);
        reporter::with_symbolizer(look_up).unwrap_or_default()
    });
    // SAFETY: the caller of this function promises the same.
    unsafe { write_text(out, room, &text.unwrap_or_default()) };
}

/// Writes a text and the zero behind it, cut where there is no room. Is it whole?
///
/// # Safety
/// `out` has room for `room` bytes.
unsafe fn write_text(out: *mut c_char, room: usize, text: &str) -> bool {
    let Some(most) = room.checked_sub(1).filter(|_| !out.is_null()) else { return false };
    let len = text.len().min(most);
    // SAFETY: as the caller says; the text does not lie there.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), len);
        out.add(len).write(0);
    }
    len == text.len()
}

/// A frame in a form: `%p` address, `%m` module, `%o` offset in it, `%f` function, `%s` file, `%l`
/// line, `%c` column, `%F` "in function", `%S` file:line:column, `%L` that or (module+offset), `%M`
/// (module+offset).
fn shown(form: &str, frame: &Frame, pc: usize) -> String {
    let function = frame.function.as_deref().unwrap_or("");
    let (module, offset) =
        frame.module.as_ref().map_or(("", 0), |(path, offset)| (path.as_str(), *offset));
    let in_module = format!("({module}+{offset:#x})");
    let in_source = frame.file.as_ref().map(|file| match (frame.line, frame.column) {
        (0, _) => file.clone(),
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    });
    let mut out = String::new();
    let mut chars = form.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let _ = match chars.next() {
            Some('p') => write!(out, "{pc:#x}"),
            Some('m') => write!(out, "{module}"),
            Some('o') => write!(out, "{offset:#x}"),
            Some('f') => write!(out, "{function}"),
            Some('F') if function.is_empty() => Ok(()),
            Some('F') => write!(out, "in {function}"),
            Some('s') => write!(out, "{}", frame.file.as_deref().unwrap_or("")),
            Some('l') => write!(out, "{}", frame.line),
            Some('c') => write!(out, "{}", frame.column),
            Some('S') => write!(out, "{}", in_source.as_deref().unwrap_or("")),
            Some('L') => write!(out, "{}", in_source.as_deref().unwrap_or(&in_module)),
            Some('M') => write!(out, "{in_module}"),
            Some('n') => write!(out, "0"),
            Some('%') => write!(out, "%"),
            Some(other) => write!(out, "%{other}"),
            None => Ok(()),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_all_forms() {
        let frame = Frame {
            function: Some("parse".to_owned()),
            file: Some("p.c".to_owned()),
            line: 7,
            column: 3,
            module: Some(("/bin/p".to_owned(), 0x123)),
            ..Frame::default()
        };
        assert_eq!(shown("%p %F %L", &frame, 0x1000), "0x1000 in parse p.c:7:3");
        assert_eq!(shown("%m %o %M 100%%", &frame, 0), "/bin/p 0x123 (/bin/p+0x123) 100%");
        let bare = Frame { module: frame.module, ..Frame::default() };
        assert_eq!(shown("%F%L|%s:%l%", &bare, 0), "(/bin/p+0x123)|:0");
    }
}
