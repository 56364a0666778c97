//! The options: ONE table that feeds the parser, the command line's flags, help and documentation.
//!
//! `MALLOCOP_OPTIONS=key=value:key=value`; `:`, `,`, white space separate.

mod plan;
mod rejected;
mod style;
mod texts;

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

pub use plan::Plan;
pub use rejected::Rejected;
pub use style::style;
use texts::MAX_TEXT;
pub use texts::{copy_text, set_text, text};

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 0/1, true/false, yes/no.
    Flag,
    /// A whole number from 0 to this.
    Number(usize),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Path of a file, up to 1023 bytes; in quotes where it has separators in it.
    Path,
    /// Names of programs, separated by `|`.
    Programs,
    /// Which requests are refused: a [`Plan`].
    Plan,
}

/// A value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of a flag or a number; the position of a choice.
    Number(usize),
    /// A path, or names.
    Text(&'a str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// As written in `MALLOCOP_OPTIONS`; with `-` for `_` it is the flag of `mallocop run`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Type,
    /// Value when nothing is said; choices count from 0, paths are empty.
    pub default: usize,
    /// One sentence.
    pub help: &'static str,
}

macro_rules! options {
    ($($variant:ident, $name:literal, $kind:expr, $default:expr, $help:literal;)*) => {
        /// The options by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $(#[doc = $help] $variant,)* }

        /// The table, in the order in which help shows it.
        pub const TABLE: &[OptionSpec] = &[
            $(OptionSpec { name: $name, kind: $kind, default: $default, help: $help },)*
        ];

        const NAMES: [Name; TABLE.len()] = [$(Name::$variant,)*];

        static VALUES: [AtomicUsize; TABLE.len()] = [$(AtomicUsize::new($default),)*];
    };
}

options! {
    Checks, "checks", Type::Choice(&["all", "none"]), 0,
        "all: canaries, poison and quarantine; none: the bare heap, invalid pointers still found";
    HaltOnError, "halt_on_error", Type::Flag, 1,
        "End the program by SIGABRT at the first heap error; 0 goes on";
    ExitCode, "exitcode", Type::Number(255), 23,
        "Exit status when something was found and the program itself returned 0";
    MallocContextSize, "malloc_context_size", Type::Number(256), 256,
        "Frames of a stack that are stored and shown; 0 takes no stacks";
    MaxStackMemoryMb, "max_stack_memory_mb", Type::Number(1 << 20), 512,
        "Most MiB for stored stacks; beyond that a new stack is stored as its nearest outer part that is known";
    QuarantineSizeMb, "quarantine_size_mb", Type::Number(1 << 20), 16,
        "Most MiB of freed blocks that wait for a late write, over all threads; 0 turns the wait off";
    ThreadLocalQuarantineSizeKb, "thread_local_quarantine_size_kb", Type::Number(1 << 30), 64,
        "Most KiB of freed blocks that wait in each thread: more sees later writes, and costs time";
    MaxMallocFillSize, "max_malloc_fill_size", Type::Number(1 << 40), 64,
        "Bytes at the start of a new block that are filled";
    MallocFillByte, "malloc_fill_byte", Type::Number(255), 0xbe,
        "Byte that new blocks are filled with";
    MaxFreeFillSize, "max_free_fill_size", Type::Number(1 << 40), 2048,
        "A freed block of up to twice so many bytes is filled whole; of a larger one 256 bytes at each end are, and what lies between is summed";
    FreeFillByte, "free_fill_byte", Type::Number(255), 0x55,
        "Byte that freed blocks are filled with";
    AllocDeallocMismatch, "alloc_dealloc_mismatch", Type::Flag, 1,
        "Report blocks freed with the wrong call (free of new, delete of malloc, delete of new[])";
    NewDeleteTypeMismatch, "new_delete_type_mismatch", Type::Flag, 1,
        "Report operator delete with the wrong size or alignment";
    AllocatorMayReturnNull, "allocator_may_return_null", Type::Flag, 1,
        "A request that cannot be met warns and returns NULL; 0 makes it an error";
    MaxAllocationSizeMb, "max_allocation_size_mb", Type::Number(1 << 43), 0,
        "Largest request in MiB that is served; 0 sets no limit";
    ReallocMoves, "realloc_moves", Type::Choice(&["small", "all", "none"]), 0,
        "Blocks that realloc always moves, so that stale pointers show: those below 64 KiB, all, none";
    MmapThreshold, "mmap_threshold", Type::Number(1 << 40), 0,
        "Bytes from which blocks get a mapping of their own, fixed; 0 starts at 128 KiB and adapts";
    TrimThreshold, "trim_threshold", Type::Number(1 << 40), 0,
        "Free bytes at the heap's top beyond which they go back, fixed; 0 starts at 128 KiB and adapts";
    HugePages, "huge_pages", Type::Flag, 1,
        "Ask the kernel for huge pages where a heap has grown beyond 16 MiB";
    DetectLeaks, "detect_leaks", Type::Flag, 1,
        "Look at exit for blocks that nothing in the program leads to any more; 0 counts what is in use";
    ShowReachable, "show_reachable", Type::Flag, 0,
        "List the sites of blocks that are still reachable, too, or of all in use where leaks are not looked for";
    Interior, "interior", Type::Choice(&["lenient", "strict"]), 0,
        "Pointers into a block: lenient: they keep it; strict: a block that only they lead to is possibly lost";
    Suppressions, "suppressions", Type::Path, 0,
        "File with rules for leaks that are not to be reported, as LeakSanitizer or Valgrind have them";
    LogPath, "log_path", Type::Path, 0,
        "Each process writes its own report to this file, not to standard error; %p is its id, %e its program";
    Include, "include", Type::Programs, 0,
        "Programs that are checked, as if all others were excluded; none: all";
    Exclude, "exclude", Type::Programs, 0,
        "Programs that run without checks, stacks and leak check, and of which nothing is said";
    Fail, "fail", Type::Plan, 0,
        "Requests for memory that are refused, to test what the program does then; each process counts its own";
    ReportObjects, "report_objects", Type::Flag, 0,
        "Show address and size of each leaked block";
    UseStacks, "use_stacks", Type::Flag, 1,
        "Follow pointers from threads' stacks, with what else is in a stack's mapping";
    UseRegisters, "use_registers", Type::Flag, 1,
        "Follow pointers from threads' registers";
    UseGlobals, "use_globals", Type::Flag, 1,
        "Follow pointers from the writable data of programs and libraries, and mapped files";
    UseMappings, "use_mappings", Type::Flag, 1,
        "Follow pointers from all other memory that the program has mapped";
    PrintSummary, "print_summary", Type::Flag, 1,
        "The root process says at exit what is in use, also where nothing is leaked";
    MaxSites, "max_sites", Type::Number(1 << 20), 20,
        "Largest sites that a list of leaked blocks or of blocks in use shows";
    Addresses, "addresses", Type::Flag, 0,
        "Show the address of each frame";
    DedupTokenLength, "dedup_token_length", Type::Number(256), 0,
        "Functions of an error's stack on a line DEDUP_TOKEN, by which libFuzzer's minimizer tells errors apart; 0: no line, 3 under libFuzzer";
    FullStacks, "full_stacks", Type::Flag, 0,
        "Show every frame, also several in a row of libc, the C++ or Rust's library, which are one line else";
    Quiet, "quiet", Type::Flag, 0,
        "No start line and no summary";
}

/// Value of a flag.
pub fn flag(name: Name) -> bool {
    number(name) != 0
}

/// Value of a number, or the position of a choice.
pub fn number(name: Name) -> usize {
    VALUES.get(name as usize).map_or(0, |value| value.load(Ordering::Relaxed))
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("0 or 1"),
            Self::Number(most) => write!(f, "a whole number from 0 to {most}"),
            Self::Path => write!(f, "a path of up to {MAX_TEXT} bytes"),
            Self::Programs => f.write_str("names of programs, separated by |"),
            Self::Plan => f.write_str(plan::FORMS),
            Self::Choice(words) => {
                for (position, word) in words.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { ", " })?;
                    f.write_str(word)?;
                }
                Ok(())
            }
        }
    }
}

impl OptionSpec {
    /// The value that `text` stands for; whole words and range-checked numbers only.
    pub fn parse<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let number = match self.kind {
            Type::Flag => match text {
                "1" | "true" | "yes" => Some(1),
                "0" | "false" | "no" => Some(0),
                _ => None,
            },
            Type::Number(most) => parse_number(text).filter(|&value| value <= most),
            Type::Choice(words) => words.iter().position(|&word| word == text),
            Type::Plan if !text.is_empty() && Plan::parse(text).is_none() => None,
            Type::Path | Type::Programs | Type::Plan => {
                return (text.len() <= MAX_TEXT).then_some(Value::Text(text));
            }
        };
        number.map(Value::Number)
    }

    /// Is it only looked at when leaks are looked for?
    fn is_late(&self) -> bool {
        const LATE: [Name; 10] = [
            Name::DetectLeaks,
            Name::ExitCode,
            Name::Suppressions,
            Name::ShowReachable,
            Name::Interior,
            Name::ReportObjects,
            Name::UseStacks,
            Name::UseRegisters,
            Name::UseGlobals,
            Name::UseMappings,
        ];
        LATE.iter().any(|&name| TABLE.get(name as usize).is_some_and(|row| row.name == self.name))
    }

    /// A value as it is written.
    pub fn show(&self, value: usize) -> impl fmt::Display {
        // Bytes are known by their hexadecimal digits.
        struct Shown(Type, usize, bool);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Type::Choice(words) => f.write_str(words.get(self.1).unwrap_or(&"?")),
                    Type::Path | Type::Programs | Type::Plan => Ok(()),
                    Type::Number(255) if self.2 => write!(f, "{:#04x}", self.1),
                    _ => write!(f, "{}", self.1),
                }
            }
        }
        Shown(self.kind, value, self.name.ends_with("_fill_byte"))
    }
}

fn parse_number(text: &str) -> Option<usize> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => usize::from_str_radix(digits, 16).ok(),
        None if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}

fn is_separator(c: char) -> bool {
    c == ':' || c == ',' || c.is_ascii_whitespace()
}

/// The list's first option and what comes behind it; what stands in quotes is not split.
fn split_first(list: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in list.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if is_separator(c) => {
                let (first, rest) = list.split_at(at);
                let behind = rest.get(1..).unwrap_or("");
                if first.strip_prefix("fail=").is_some_and(|plan| plan::goes_on(plan, c, behind)) {
                    continue;
                }
                return (first, behind);
            }
            _ => {}
        }
    }
    (list, "")
}

/// Splits a list of options into rows of the table with their values; `each` gets every one.
pub fn parse<'a>(
    mut list: &'a str,
    mut each: impl FnMut(Result<(usize, Value<'a>), Rejected<'a>>),
) {
    while !list.is_empty() {
        let (first, rest) = split_first(list);
        if !first.is_empty() {
            each(parse_one(first));
        }
        list = rest;
    }
}

fn parse_one(text: &str) -> Result<(usize, Value<'_>), Rejected<'_>> {
    let (name, value) = text.split_once('=').ok_or(Rejected::NoValue(text))?;
    let row = TABLE.iter().position(|entry| entry.name == name).ok_or(Rejected::Unknown(name))?;
    let entry = TABLE.get(row).ok_or(Rejected::Unknown(name))?;
    let bare = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = bare('\'').or_else(|| bare('"')).unwrap_or(value);
    match entry.parse(value) {
        Some(value) => Ok((row, value)),
        None => Err(Rejected::BadValue(entry.name, value, entry.kind)),
    }
}

/// A path as it stands in a list of options; `None`: it has both kinds of quotes and a separator in
/// it.
pub fn quote(path: &str) -> Option<String> {
    if !path.contains(|c| is_separator(c) || c == '\'' || c == '"') {
        return Some(path.to_owned());
    }
    let quote = ['\'', '"'].into_iter().find(|&quote| !path.contains(quote))?;
    Some(format!("{quote}{path}{quote}"))
}

fn set(row: usize, value: Value<'_>) {
    match (NAMES.get(row), value) {
        (Some(&name), Value::Number(number)) => set_number(name, number),
        (Some(&name), Value::Text(text)) => set_text(name, text),
        (None, _) => {}
    }
}

/// Sets a number; of a flag 0 or 1, of a choice its position.
pub fn set_number(name: Name, number: usize) {
    if let Some(slot) = VALUES.get(name as usize) {
        slot.store(number, Ordering::Relaxed);
    }
}

/// Takes a list over into the process's options; `rejected` gets what could not be taken.
pub fn apply<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| match option {
        Ok((row, value)) => set(row, value),
        Err(why) => rejected(why),
    });
}

/// Says what of a list would be rejected, and takes nothing over.
pub fn check<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| {
        if let Err(why) = option {
            rejected(why);
        }
    });
}

/// As [`apply`] for a list that comes when the program runs already.
pub fn apply_late<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| match option {
        Ok((row, value)) => match TABLE.get(row) {
            Some(entry) if !entry.is_late() => rejected(Rejected::TooLate(entry.name)),
            _ => set(row, value),
        },
        Err(why) => rejected(why),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(list: &str) -> Vec<Result<(usize, Value<'_>), Rejected<'_>>> {
        let mut found = Vec::new();
        parse(list, |option| found.push(option));
        found
    }

    #[test]
    fn separators_booleans_and_ranges() {
        let row = |name| TABLE.iter().position(|entry| entry.name == name).expect("in the table");
        assert_eq!(
            all("halt_on_error=no:exitcode=7, checks=none\nfree_fill_byte=0xff"),
            [
                Ok((row("halt_on_error"), Value::Number(0))),
                Ok((row("exitcode"), Value::Number(7))),
                Ok((row("checks"), Value::Number(1))),
                Ok((row("free_fill_byte"), Value::Number(255))),
            ]
        );
        for bad in [
            "halt_on_error=nope",
            "halt_on_error=",
            "exitcode=256",
            "exitcode=-1",
            "exitcode=+1",
            "exitcode=1x",
            "checks=al",
            "quiet",
            "nonsense=1",
            "=1",
        ] {
            assert!(matches!(all(bad)[..], [Err(_)]), "{bad}");
        }
        assert!(all("::, ").is_empty());
    }

    #[test]
    fn plans_hold_separators() {
        let row = Name::Fail as usize;
        for plan in [
            "nth:7",
            "every:100",
            "prob:0.5",
            "prob:0.5,seed=9",
            "size>=64",
            "site:f",
            "site:a::b::c",
        ] {
            let list = format!("quiet=1:fail={plan}:exitcode=3,quiet=0");
            let found = all(&list);
            assert_eq!(found.len(), 4, "{plan}");
            assert_eq!(found[1], Ok((row, Value::Text(plan))));
        }
        assert!(matches!(all("fail=nth:x")[..], [Err(Rejected::BadValue(..))]));
    }

    #[test]
    fn paths_in_quotes_are_not_split() {
        let row = Name::Suppressions as usize;
        for path in ["plain", "with:colon, and blank", "it's", "a \"quoted\" one", ""] {
            let list = format!("quiet=1:suppressions={}:quiet=0", quote(path).expect("quotable"));
            let found = all(&list);
            assert_eq!(found.len(), 3, "{list}");
            assert_eq!(found[1], Ok((row, Value::Text(path))));
        }
        assert_eq!(quote("'\" "), None);
        let long = format!("suppressions={}", "x".repeat(MAX_TEXT + 1));
        assert!(matches!(all(&long)[..], [Err(Rejected::BadValue(..))]));
    }

    #[test]
    fn what_counts_from_the_first_block_on_comes_too_late() {
        let mut why = Vec::new();
        apply_late("checks=none:nonsense=1:exitcode=23", |rejected| why.push(rejected));
        assert_eq!(why, [Rejected::TooLate("checks"), Rejected::Unknown("nonsense")]);
    }

    #[test]
    fn a_list_that_is_only_looked_at_changes_nothing() {
        let before = number(Name::MmapThreshold);
        let mut why = Vec::new();
        check("mmap_threshold=77777:nonsense=1", |rejected| why.push(rejected));
        assert_eq!(why, [Rejected::Unknown("nonsense")]);
        assert_eq!(number(Name::MmapThreshold), before);
    }

    #[test]
    fn every_row_is_sound() {
        for (row, entry) in TABLE.iter().enumerate() {
            let name = entry.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(
                TABLE.iter().position(|other| other.name == name),
                Some(row),
                "{name} twice"
            );
            let expected = match entry.kind {
                Type::Path | Type::Programs | Type::Plan => Value::Text(""),
                _ => Value::Number(entry.default),
            };
            assert_eq!(entry.parse(&entry.show(entry.default).to_string()), Some(expected));
            assert!(!entry.help.is_empty() && !entry.help.ends_with('.'), "{name}");
        }
    }
}
