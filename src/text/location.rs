//! The location of a pointer, in words.

use std::fmt::Write as _;

use super::escape::escape;
use super::page::Page;
use super::style::Renderer;
use crate::model::finding::{Block, Life, Location};
use crate::model::finding_report::FindingReport;
use crate::model::stack::Module;

/// A pointer and its location.
pub(crate) struct Located<'a, S> {
    pub(crate) pointer: usize,
    pub(crate) place: Location,
    /// The block that the location speaks of.
    pub(crate) block: Option<&'a Block<S>>,
    /// The file that the pointer's memory belongs to.
    pub(crate) module: Option<&'a Module>,
    /// Names of threads by their numbers.
    pub(crate) threads: &'a [(u16, String)],
}

/// The pointer's location, as the end of a sentence that starts with the pointer.
pub(crate) fn write_location<S: Copy>(
    out: &mut Page,
    report: &FindingReport<S>,
    with: &mut Renderer<'_, S>,
) {
    let finding = &report.finding;
    let located = Located {
        pointer: finding.pointer,
        place: finding.place,
        block: finding.block.as_ref(),
        module: report.module.as_ref(),
        threads: &report.threads,
    };
    write_located(out, &located, with);
    if !finding.pointer.is_multiple_of(16)
        && matches!(finding.place, Location::Unmapped | Location::Heap)
    {
        out.push_str(", and no block starts at an address that is not a multiple of 16");
    }
}

/// The location of any pointer, as the end of a sentence that starts with it.
pub(crate) fn write_located<S: Copy>(
    out: &mut Page,
    located: &Located<'_, S>,
    with: &mut Renderer<'_, S>,
) {
    let block = located.block.map_or_else(String::new, |block| {
        let freed = block.life == Life::Freed;
        let life = if freed { "freed " } else { "" };
        match block.size {
            Some(size) if !freed => format!("{} {size}-byte block", article(size)),
            Some(size) => format!("a {life}{size}-byte block"),
            None => format!("a {life}block"),
        }
    });
    let is_freed = located.block.is_some_and(|block| block.life == Life::Freed);
    let bytes = |n: usize| if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") };
    let _ = match located.place {
        Location::Start => write!(out, "is {block}"),
        Location::Inside(offset) => write!(out, "is {} inside {block}", bytes(offset)),
        Location::Before(distance) => {
            write!(out, "is {} before the start of {block}", bytes(distance))
        }
        Location::Past(0) => write!(out, "is right behind the end of {block}"),
        Location::Past(distance) => write!(out, "is {} past the end of {block}", bytes(distance)),
        Location::Heap => write!(out, "is in the heap but not near a block"),
        Location::Stack(owner) => {
            write!(out, "is on the stack of {}", thread_among(located.threads, owner))
        }
        Location::StackOf(tid) => write!(out, "is on the stack of another thread (tid {tid})"),
        Location::Mapping { executable, writable, file } => {
            write_mapping(out, located, (executable, writable, file), with)
        }
        Location::Unmapped => write!(out, "points to no mapped memory"),
        Location::PoisonOf(added) if is_freed => {
            write!(out, "was read from {block}{}", plus(added))
        }
        Location::PoisonOf(added) => {
            write!(out, "was read from freed memory, in which {block} is now{}", plus(added))
        }
        Location::FillOf(added) => {
            write!(out, "was read from {block} where nothing was written{}", plus(added))
        }
        Location::NonCanonical => write!(out, "is not a valid address"),
        Location::Unknown => write!(out, "is not a heap block"),
    };
}

/// The number that was added to a value, as a part of a sentence.
fn plus(added: isize) -> String {
    match added {
        0 => String::new(),
        1.. => format!(", plus {added}"),
        _ => format!(", less {}", added.unsigned_abs()),
    }
}

fn write_mapping<S: Copy>(
    out: &mut Page,
    located: &Located<'_, S>,
    (executable, writable, file): (bool, bool, bool),
    with: &mut Renderer<'_, S>,
) -> std::fmt::Result {
    let Some(module) = located.module else {
        return write!(out, "is in mapped memory outside the heap");
    };
    let name = escape(module.name()).into_owned();
    let symbol = with.symbolizer.data_symbol(module, located.pointer);
    let at = symbol.map(|symbol| match symbol.offset {
        0 => escape(&symbol.name).into_owned(),
        offset => format!("{}+{offset}", escape(&symbol.name)),
    });
    match at {
        Some(at) if executable => write!(out, "is code: {at} in {name}"),
        Some(at) => write!(out, "is the global {at} (in {name})"),
        None if executable => write!(out, "is code of {name}"),
        None if writable || !file => write!(out, "is in the data of {name}"),
        None => write!(out, "is in a file mapping of {}", escape(&module.path)),
    }
}

/// "an" in front of eight, eleven, eighteen and what starts with eight.
pub(crate) fn article(number: usize) -> &'static str {
    let digits = number.to_string();
    let leading = digits.get(..(digits.len() - 1) % 3 + 1).unwrap_or("");
    if leading.starts_with('8') || leading == "11" || leading == "18" { "an" } else { "a" }
}

/// `thread T1 "worker"`.
pub(crate) fn thread<S>(report: &FindingReport<S>, number: u16) -> String {
    thread_among(&report.threads, number)
}

/// A thread by its number, with the names of a list.
pub(crate) fn thread_among(threads: &[(u16, String)], number: u16) -> String {
    match threads.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("thread T{number} \"{}\"", escape(name)),
        None => format!("thread T{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_article() {
        for (number, expected) in [(1, "a"), (8, "an"), (11, "an"), (18, "an"), (80, "an")] {
            assert_eq!(article(number), expected, "{number}");
        }
        for (number, expected) in
            [(110, "a"), (811, "an"), (1800, "a"), (11_000, "an"), (81_000_000, "an")]
        {
            assert_eq!(article(number), expected, "{number}");
        }
    }
}
