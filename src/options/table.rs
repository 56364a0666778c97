//! The options: ONE table that feeds the parser, the command line's flags, help and documentation.
//! The process's values lie beside it.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::spec::{OptionSpec, Type};

macro_rules! options {
    ($($variant:ident, $name:literal, $kind:expr, $default:expr, $help:literal;)*) => {
        /// The options by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $(#[doc = $help] $variant,)* }

        /// The table, in the order in which help shows it.
        pub const TABLE: &[OptionSpec] = &[
            $(OptionSpec { name: $name, kind: $kind, default: $default, help: $help },)*
        ];

        /// The names, in the order of the table.
        pub(super) const NAMES: [Name; TABLE.len()] = [$(Name::$variant,)*];

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

/// Sets a number; of a flag 0 or 1, of a choice its position.
pub fn set_number(name: Name, number: usize) {
    if let Some(slot) = VALUES.get(name as usize) {
        slot.store(number, Ordering::Relaxed);
    }
}

/// Is the option only looked at when leaks are looked for?
pub(super) fn is_late(option: &OptionSpec) -> bool {
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
    LATE.iter().any(|&name| TABLE.get(name as usize).is_some_and(|row| row.name == option.name))
}
