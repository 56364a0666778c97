//! Stacks as a reader sees them: function, file, line, column; the source line under the first
//! frame of the user's own code.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use super::escape::escape;
use super::page::{Page, Role};
use super::style::{Renderer, Style};
use crate::model::stack::{Ending, Frame, Stack};

/// What libc puts under main and under a thread's first function.
const STARTERS: [&str; 8] = [
    "_start",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "clone3",
    "__clone3",
];
/// Function names are padded to a common width up to this.
const MOST_PADDING: usize = 32;

/// The stack of a site without mallocop's own functions between the program's and libc's. Its
/// innermost frames stay, even if they are mallocop's: they show where mallocop itself has faulted.
pub fn stack_of<S: Copy>(site: S, with: &mut Renderer<'_, S>) -> Stack {
    let is_own = |frame: &Frame| {
        let path = frame.module.as_ref().map(|(path, _)| Path::new(path));
        path.and_then(Path::file_name)
            .is_some_and(|name| name == "libmallocop.so" || name == "libmallocop_checked.so")
    };
    let mut stack = with.symbolizer.stack(site);
    let mut is_inside = true;
    stack.frames.retain(|frame| {
        is_inside &= is_own(frame);
        is_inside || !is_own(frame)
    });
    stack
}

/// The stack of a site without what libc adds at its outer end, its names as they can be printed.
fn printed_stack<S: Copy>(site: S, with: &mut Renderer<'_, S>) -> Stack {
    let mut stack = stack_of(site, with);
    stack.frames.iter_mut().for_each(escape_names);
    let is_starter = |frame: &Frame| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| STARTERS.contains(&name.split('@').next().unwrap_or(name)))
    };
    // The outermost frames, where libc called main or the thread's function.
    let frames = &mut stack.frames;
    let outermost = frames.len().saturating_sub(4).max(1);
    if let Some(position) = frames.iter().skip(outermost).position(is_starter) {
        frames.truncate(outermost + position);
    }
    // Without libc's names: its frames at the outer end go, and with them the program's own start,
    // which may have no name either.
    let is_nameless = |frame: &Frame| frame.function.is_none();
    let is_libcs = |frame: &Frame| is_nameless(frame) && library_of(frame) == Some("libc");
    let mut end = frames.len();
    if let [.., inner, last] = frames.as_slice()
        && is_nameless(last)
        && is_libcs(inner)
    {
        end -= 1;
    }
    while end > outermost && frames.get(end - 1).is_some_and(is_libcs) {
        end -= 1;
    }
    if frames.get(end).is_some_and(is_libcs) {
        frames.truncate(end);
    }
    stack
}

fn escape_names(frame: &mut Frame) {
    let module = frame.module.as_mut().map(|(path, _)| path);
    let names = [frame.function.as_mut(), frame.file.as_mut(), module];
    for name in names.into_iter().flatten() {
        if let Cow::Owned(escaped) = escape(name) {
            *name = escaped;
        }
    }
}

/// Appends the stack of a site, a line each, or why there is none.
pub fn write_stack<S: Copy>(out: &mut Page, site: S, with: &mut Renderer<'_, S>) {
    let Stack { frames, ending } = printed_stack(site, with);
    if frames.is_empty() {
        out.push_str(match with.style.has_stacks {
            false => "    (no stack: malloc_context_size=0)\n",
            true => "    (no stack was stored)\n",
        });
        return;
    }
    let width = |frame: &Frame| frame.function.as_deref().map_or(0, |name| name.chars().count());
    let padding = frames.iter().map(width).filter(|&width| width <= MOST_PADDING);
    let padding = padding.max().unwrap_or(0);
    let own = frames.iter().position(|frame| is_users(frame, with));
    let style = with.style;
    let here = style.working_directory.as_path();
    let mut number = 0;
    let mut cycle: Option<(Range<usize>, usize)> = None;
    while let Some(frame) = frames.get(number) {
        let folded = folded_from(frames.get(number..).unwrap_or(&[]), style);
        if let Some((again, times)) = cycle.clone().filter(|(again, _)| again.start == number) {
            write_again(out, again.len(), times);
            number += again.len() * times;
            cycle = None;
            continue;
        }
        if cycle.is_none() {
            cycle = cycle_from(&frames, number, style);
        }
        if folded > 1 && own.is_none_or(|own| !(number..number + folded).contains(&own)) {
            write_folded(out, number, frames.get(number..number + folded).unwrap_or(&[]));
            number += folded;
            continue;
        }
        let _ = write!(out, "    #{number} ");
        if style.addresses {
            let _ = write!(out, "{:#014x} in ", frame.pc);
        }
        write_frame(out, frame, padding, here);
        if frame.is_guessed {
            out.push_str(" (guessed by the frame pointer)");
        }
        out.push('\n');
        if Some(number) == own
            && let Some(text) = with.symbolizer.source_line(frame)
        {
            out.set_role(Role::Source);
            let _ = writeln!(out, "    {:>6} |     {}", frame.line, escape(text.trim()));
        }
        number += 1;
    }
    match ending {
        Ending::Whole => {}
        Ending::Cut => out.push_str("    (more frames are not stored: malloc_context_size)\n"),
        Ending::Lost(module) => {
            let place = if module.is_empty() { "code of no file" } else { &module };
            let _ = writeln!(out, "    truncated (no unwind info in {place})");
        }
    }
}

/// Is the frame in the user's own code: has it a source that is there, and is it in no library that
/// all have?
fn is_users<S: Copy>(frame: &Frame, with: &mut Renderer<'_, S>) -> bool {
    library_of(frame).is_none() && with.symbolizer.source_line(frame).is_some()
}

/// The library that all programs have in common and that a frame is in.
pub(crate) fn library_of(frame: &Frame) -> Option<&'static str> {
    let file = frame.file.as_deref().unwrap_or("");
    let path = frame.module.as_ref().map_or("", |(path, _)| path.as_str());
    let module = path.rsplit('/').next().unwrap_or(path);
    let function = frame.function.as_deref().unwrap_or("").trim_start_matches('<');
    // C++'s library has names in `std::`, too: its symbols tell.
    let is_rusts =
        ["core::", "alloc::", "std::", "__rustc"].iter().any(|start| function.starts_with(start))
            && frame.symbol.as_deref().is_none_or(is_rust_symbol);
    // The names of inlined functions are short.
    let is_ours = file.ends_with("src/global.rs")
        && ["alloc", "alloc_zeroed", "dealloc", "realloc"].contains(&function);
    let begins = |start: &&str| function.starts_with(*start);
    let is_ours = is_ours || ["__rustc::", "mallocop::global::"].iter().any(begins);
    let is_rustcs = file.contains("/rustc/") && file.contains("/library/");
    if is_ours || is_rustcs || file.is_empty() && is_rusts {
        Some("Rust's library")
    } else if file.contains("/include/c++/") || module.starts_with("libstdc++.so") {
        Some("the C++ library")
    } else if module.starts_with("libc.so") || module.starts_with("ld-linux") {
        Some("libc")
    } else {
        None
    }
}

/// Is it a symbol of Rust's, by either of its schemes?
fn is_rust_symbol(symbol: &str) -> bool {
    rustc_demangle::try_demangle(symbol).is_ok()
}

/// How many of these frames are one line: those in front that are in one library.
fn folded_from(frames: &[Frame], style: &Style) -> usize {
    let library = frames.first().and_then(library_of);
    if library.is_none() || style.full_stacks || style.addresses {
        return 1;
    }
    frames.iter().take_while(|frame| library_of(frame) == library).count()
}

/// A recursion: the frames of its second turn, if the frames from `number` on are the first, and
/// how often these come again. `None`: it is none, or too short to be worth a line.
fn cycle_from(frames: &[Frame], number: usize, style: &Style) -> Option<(Range<usize>, usize)> {
    const LONGEST: usize = 8;
    const MOST_SHOWN: usize = 3;
    if style.full_stacks || style.addresses {
        return None;
    }
    let is_same = |(one, other): (&Frame, &Frame)| {
        (&one.function, &one.file, &one.module) == (&other.function, &other.file, &other.module)
            && (one.line, one.column) == (other.line, other.column)
    };
    let rest = frames.get(number..)?;
    (1..=LONGEST).find_map(|period| {
        let first = rest.get(..period)?;
        let is_first =
            |turn: &&[Frame]| turn.len() == period && turn.iter().zip(first).all(is_same);
        let times = rest.get(period..)?.chunks(period).take_while(is_first).count();
        let again = number + period..number + 2 * period;
        (times >= MOST_SHOWN).then_some((again, times))
    })
}

fn write_again(out: &mut Page, frames: usize, times: usize) {
    let what = match frames {
        1 => "this frame".to_owned(),
        count => format!("these {count} frames"),
    };
    let _ = writeln!(out, "    ... {what} {times} times more");
}

/// Several frames of one library as one line, under the name that was called.
fn write_folded(out: &mut Page, number: usize, frames: &[Frame]) {
    let (last, count) = (number + frames.len() - 1, frames.len());
    let called = frames.last();
    let library = called.and_then(library_of).unwrap_or("a library");
    let name = called.and_then(|frame| frame.function.as_deref()).unwrap_or("...");
    let _ = writeln!(out, "    #{number}-#{last} {name} ({count} frames of {library})");
}

fn write_frame(out: &mut Page, frame: &Frame, padding: usize, here: &Path) {
    let place = place_of(frame, here);
    match &frame.function {
        Some(function) => {
            let _ = write!(out, "{function:padding$} {place}");
        }
        None => out.push_str(&place),
    }
}

/// `file:line:column`, or the module and the address in it where there is no line.
fn place_of(frame: &Frame, here: &Path) -> String {
    match (&frame.file, &frame.module) {
        (Some(file), _) if frame.line != 0 => {
            let file = shorten(file, here);
            match frame.column {
                0 => format!("{file}:{}", frame.line),
                column => format!("{file}:{}:{column}", frame.line),
            }
        }
        (_, Some((path, offset))) => {
            let name = path.rsplit('/').next().unwrap_or(path);
            if frame.function.is_some() {
                format!("({name})")
            } else {
                format!("({name}+{offset:#x})")
            }
        }
        _ => "(code of no file)".to_owned(),
    }
}

/// A path without the working directory in front.
fn shorten<'a>(file: &'a str, here: &Path) -> &'a str {
    let short = Path::new(file).strip_prefix(here).ok().and_then(Path::to_str).unwrap_or(file);
    short.strip_prefix("./").unwrap_or(short)
}

/// The names of a site's frames, innermost first, all that libc adds at the outer end left out.
pub fn named_frames<S: Copy>(site: S, with: &mut Renderer<'_, S>) -> Vec<Frame> {
    printed_stack(site, with).frames
}

/// How a leak is told from all others in a list of suppressions.
pub(crate) enum Mark {
    /// By a function on its stack.
    Function(String),
    /// By its innermost functions: what is on the stack besides is on all stacks.
    Innermost(Vec<String>),
}

/// What to name in a rule for a site: the function of the first frame of the user's own code, else
/// of the first that has a name and is not in the libraries that all programs allocate by; with
/// those in front of it where it is the outermost one, such as `main`. `None`: none is left, as of
/// a stack of which only libc's start is stored.
pub(crate) fn mark<S: Copy>(site: S, with: &mut Renderer<'_, S>) -> Option<Mark> {
    let frames = named_frames(site, with);
    let is_runtime = |frame: &Frame| {
        let path = frame.module.as_ref().map_or("", |(path, _)| path.as_str());
        let name = path.rsplit('/').next().unwrap_or(path);
        ["libc.so", "libstdc++.so", "libc++.so", "ld-linux"]
            .iter()
            .any(|known| name.starts_with(known))
    };
    let is_named = |frame: &Frame| frame.function.is_some();
    let own = frames.iter().position(|frame| is_users(frame, with) && !is_runtime(frame));
    let at =
        own.or_else(|| frames.iter().position(|frame| is_named(frame) && !is_runtime(frame)))?;
    if at + 1 < frames.len() {
        return frames.get(at)?.function.clone().map(Mark::Function);
    }
    // Rules of this form go by symbols where they are mangled.
    let symbol_of = |frame: &Frame| frame.symbol.clone().or_else(|| frame.function.clone());
    Some(Mark::Innermost(
        frames.iter().map(|frame| symbol_of(frame).unwrap_or_else(|| "*".to_owned())).collect(),
    ))
}

/// `file:line:column in function` of the first frame of the user's own code, for a SUMMARY line.
pub fn headline<S: Copy>(site: S, with: &mut Renderer<'_, S>) -> String {
    let frames = named_frames(site, with);
    let own = frames.iter().find(|frame| is_users(frame, with));
    let named = || frames.iter().find(|frame| frame.file.is_some());
    let here = with.style.working_directory.as_path();
    match own.or_else(named).or(frames.first()) {
        Some(frame) => match &frame.function {
            Some(function) => format!("{} in {function}", place_of(frame, here)),
            None => place_of(frame, here),
        },
        None => "at an unknown place".to_owned(),
    }
}

/// The line by which libFuzzer tells errors apart, of the innermost functions, if that is wanted.
pub fn write_token<S: Copy>(out: &mut Page, site: S, with: &mut Renderer<'_, S>) {
    let length = with.style.dedup_token_length;
    let functions = |frame: &Frame| frame.function.clone().unwrap_or_else(|| "?".to_owned());
    let wanted: Vec<_> = match length {
        0 => return,
        _ => named_frames(site, with).iter().take(length).map(functions).collect(),
    };
    if !wanted.is_empty() {
        let _ = writeln!(out, "DEDUP_TOKEN: {}", wanted.join("--"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::symbolizer::Symbolizer;
    use super::*;
    use crate::model::site::ProcessSite;

    /// Frames by name, `?` for none, each in the module behind it.
    struct Given(&'static [(&'static str, &'static str)]);

    impl Symbolizer<ProcessSite> for Given {
        fn stack(&mut self, _: ProcessSite) -> Stack {
            let frame = |&(name, module): &(&str, &str)| Frame {
                function: Some(name.to_owned()).filter(|name| name != "?"),
                module: Some((module.to_owned(), 16)),
                ..Frame::default()
            };
            Stack { frames: self.0.iter().map(frame).collect(), ending: Ending::Whole }
        }
    }

    const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

    fn left_of(frames: &'static [(&str, &str)]) -> usize {
        let style = Style::default();
        let mut renderer = Renderer { symbolizer: &mut Given(frames), style: &style };
        printed_stack(ProcessSite(1), &mut renderer).frames.len()
    }

    /// A frame of libc that has no name is its start only where nothing but that is further out.
    #[test]
    fn libcs_start_is_left_out_with_and_without_names() {
        assert_eq!(left_of(&[("work", "p"), ("main", "p"), ("__libc_start_call_main", LIBC)]), 2);
        assert_eq!(left_of(&[("main", "p"), ("?", LIBC), ("?", LIBC), ("_start", "p")]), 1);
        assert_eq!(left_of(&[("?", "p"), ("?", LIBC), ("?", LIBC), ("?", "p")]), 1);
        // opendir(3) in a thread's function, whose own part in libc has no name.
        assert_eq!(left_of(&[("?", LIBC), ("?", LIBC), ("threads", "p"), ("?", LIBC)]), 3);
        assert_eq!(left_of(&[("?", LIBC), ("threads", "p"), ("?", LIBC), ("?", LIBC)]), 2);
        assert_eq!(left_of(&[("?", LIBC), ("?", LIBC)]), 1);
    }

    #[test]
    fn symbols_of_rust_and_of_cpp_are_told_apart() {
        assert!(is_rust_symbol("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"));
        assert!(!is_rust_symbol("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEC1Ev"));
    }
}
