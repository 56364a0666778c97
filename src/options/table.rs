//! The options: ONE table that feeds the parser, the command line's flags, help and documentation.
//! The process's values lie beside it.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::sizes;
use super::sizes::LARGEST_SIZES;
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
        "all: canaries, poison and quarantine; none: only invalid pointers are found";
    HaltOnError, "halt_on_error", Type::Flag, 1,
        "End the program by SIGABRT at the first heap error; 0 goes on";
    ExitCode, "exitcode", Type::Number(255), 23,
        "Exit status if something was reported and the program would exit 0";
    MallocContextSize, "malloc_context_size", Type::Number(256), 256,
        "Most frames of a stack; 0 takes no stacks";
    MaxStackMemoryMb, "max_stack_memory_mb", Type::Number(1 << 20), 512,
        "Most MiB for stored stacks; beyond that, new stacks lose their innermost frames";
    QuarantineSizeMb, "quarantine_size_mb", Type::Number(1 << 20), 16,
        "Most MiB of freed blocks in quarantine, over all threads; 0 turns the quarantine off";
    ThreadLocalQuarantineSizeKb, "thread_local_quarantine_size_kb", Type::Number(1 << 30), 64,
        "Most KiB of freed blocks in quarantine a thread; more finds later writes and costs time";
    Guard, "guard", Type::Choice(&["auto", "off", "all"]), 0,
        "Blocks between guard pages, where each wrong access faults; auto: blocks 1, 2, 4, 8 ... \
         of each site; all: as many as the budget allows";
    GuardBackend, "guard_backend",
        Type::Choice(&["auto", "madvise", "userfaultfd", "mprotect", "none"]), 0,
        "How pages are made to fault; auto: the first that works";
    GuardSeed, "guard_seed", Type::Number(1 << 20), 0,
        "Guard other blocks of each site; the same seed guards the same blocks again";
    GuardSites, "guard_sites", Type::Patterns, 0,
        "Guard only blocks allocated below these functions";
    GuardModules, "guard_modules", Type::Patterns, 0,
        "Guard only blocks allocated below functions of these programs or libraries";
    GuardSizes, "guard_sizes", Type::Sizes, LARGEST_SIZES,
        "Guard only blocks of so many bytes";
    GuardSide, "guard_side", Type::Choice(&["turns", "after", "before"]), 0,
        "Where the guard of a block is: after it and before it by turns, or always there";
    GuardFreed, "guard_freed", Type::Choice(&["some", "all"]), 0,
        "Guarded blocks that fault once they are freed: as many as cost little, or all";
    GuardAlign, "guard_align", Type::Choice(&["16", "8", "4", "2", "1"]), 0,
        "Alignment of guarded C and C++ blocks whose guard is after them: below 16 it sees reads \
         closer to their end, and programs that need more fault";
    GuardBudgetMb, "guard_budget_mb", Type::Number(1 << 24), 0,
        "Most MiB of guarded blocks; 0: 1 plus a sixteenth of the live bytes, 16 at most, or with \
         guard=all a quarter of the memory that is available";
    CheckLibc, "check_libc", Type::Flag, 0,
        "Check the memory that libc's memcpy, strlen, read and their like are given; `run` \
         preloads libmallocop_checked.so for that";
    MaxMallocFillSize, "max_malloc_fill_size", Type::Number(1 << 40), 64,
        "Bytes filled at the start of a new block";
    MallocFillByte, "malloc_fill_byte", Type::Number(256), 256,
        "Byte that fills new blocks; 256: bytes by which a crash tells the block";
    MaxFreeFillSize, "max_free_fill_size", Type::Number(1 << 40), 2048,
        "Freed blocks of up to twice this many bytes are filled whole; larger ones at both ends \
         (256 bytes), with a checksum of the rest";
    FreeFillByte, "free_fill_byte", Type::Number(256), 256,
        "Byte that fills freed blocks; 256: bytes by which a crash tells the block";
    LeakCheckOnSignal, "leak_check_on_signal", Type::Choice(&["auto", "none", "all"]), 0,
        "Check for leaks before a signal ends the program; auto: SIGTERM and SIGINT under \
         `mallocop run`; all: also SIGHUP, SIGQUIT, SIGALRM, SIGUSR1 and the like";
    ExitCheckMs, "exit_check_ms", Type::Number(1 << 20), 200,
        "Most milliseconds for the check of all blocks where a program leaves by _exit, exec or a \
         signal; 0: none";
    HandleSegv, "handle_segv", Type::Flag, 1,
        "Explain a deadly SIGSEGV before it ends the program";
    HandleSigbus, "handle_sigbus", Type::Flag, 1,
        "The same for SIGBUS";
    HandleAbort, "handle_abort", Type::Flag, 1,
        "The same for SIGABRT";
    HandleSigill, "handle_sigill", Type::Flag, 1,
        "The same for SIGILL";
    HandleSigfpe, "handle_sigfpe", Type::Flag, 1,
        "The same for SIGFPE";
    HandleSigtrap, "handle_sigtrap", Type::Flag, 1,
        "The same for SIGTRAP";
    HandleSigsys, "handle_sigsys", Type::Flag, 1,
        "The same for SIGSYS";
    AllowUserSegvHandler, "allow_user_segv_handler", Type::Flag, 1,
        "Let the program handle SIGSEGV and SIGBUS itself; 0: it only seems to";
    UseSigaltstack, "use_sigaltstack", Type::Flag, 1,
        "Run signal handlers of the tool on stacks of their own";
    AllocDeallocMismatch, "alloc_dealloc_mismatch", Type::Flag, 1,
        "Report blocks freed with the wrong call (free of new, delete of malloc, delete of new[])";
    NewDeleteTypeMismatch, "new_delete_type_mismatch", Type::Flag, 1,
        "Report operator delete with the wrong size or alignment";
    AllocatorMayReturnNull, "allocator_may_return_null", Type::Flag, 1,
        "Warn and return NULL for a request that is too large or invalid; 0: an error";
    MaxAllocationSizeMb, "max_allocation_size_mb", Type::Number(1 << 43), 0,
        "Largest request in MiB; 0: no limit";
    ReallocMoves, "realloc_moves", Type::Choice(&["small", "all", "none"]), 0,
        "Blocks that realloc always moves, to expose stale pointers: below 64 KiB, all, none";
    MmapThreshold, "mmap_threshold", Type::Number(1 << 40), 0,
        "Smallest block, in bytes, that gets its own mapping; 0 starts at 128 KiB and adapts";
    TrimThreshold, "trim_threshold", Type::Number(1 << 40), 0,
        "Free bytes at the heap's top above which they return to the kernel; 0 starts at 128 KiB \
         and adapts";
    HugePages, "huge_pages", Type::Flag, 1,
        "Use huge pages for heaps above 16 MiB";
    DetectLeaks, "detect_leaks", Type::Flag, 1,
        "Check for leaks at exit; 0 only counts the blocks in use";
    ShowReachable, "show_reachable", Type::Flag, 0,
        "Also list still-reachable blocks, or all blocks in use without a leak check";
    Interior, "interior", Type::Choice(&["lenient", "strict"]), 0,
        "Interior pointers; lenient: the block is reachable; strict: possibly lost";
    Suppressions, "suppressions", Type::Path, 0,
        "Suppression file in LeakSanitizer or Valgrind syntax";
    LogPath, "log_path", Type::Path, 0,
        "File for the reports instead of standard error, one a process; %p: pid, %e: program";
    Include, "include", Type::Programs, 0,
        "Programs to check, all others are excluded; empty: all";
    Exclude, "exclude", Type::Programs, 0,
        "Programs that run without checks, stacks, leak check and report";
    Fail, "fail", Type::Plan, 0,
        "Requests for memory that fail, to test error handling; each process counts its own";
    ReportObjects, "report_objects", Type::Flag, 0,
        "Show address and size of each leaked block";
    UseStacks, "use_stacks", Type::Flag, 1,
        "Follow pointers from threads' stacks and the rest of their mappings";
    UseRegisters, "use_registers", Type::Flag, 1,
        "Follow pointers from threads' registers";
    UseGlobals, "use_globals", Type::Flag, 1,
        "Follow pointers from the writable data of programs and libraries, and from mapped files";
    UseMappings, "use_mappings", Type::Flag, 1,
        "Follow pointers from all other mapped memory";
    PrintSummary, "print_summary", Type::Flag, 1,
        "Print a summary of the root process at exit, even without leaks";
    MaxSites, "max_sites", Type::Number(1 << 20), 20,
        "Most sites in a list of blocks, the largest first";
    Addresses, "addresses", Type::Flag, 0,
        "Show the address of each frame";
    DedupTokenLength, "dedup_token_length", Type::Number(256), 0,
        "Functions on an error's DEDUP_TOKEN line for libFuzzer's minimizer; 0: no line, 3 under \
         libFuzzer";
    FullStacks, "full_stacks", Type::Flag, 0,
        "Show every frame; otherwise a row of frames in libc or the C++ or Rust library is one \
         line";
    Quiet, "quiet", Type::Flag, 0,
        "No start line and no summary";
}

/// Values of the option `guard`; 0 is auto.
pub const GUARD_OFF: usize = 1;
/// See [`GUARD_OFF`].
pub const GUARD_ALL: usize = 2;

/// Value of a flag.
pub fn flag(name: Name) -> bool {
    number(name) != 0
}

/// Value of a number, or the position of a choice.
pub fn number(name: Name) -> usize {
    VALUES.get(name as usize).map_or(0, |value| value.load(Ordering::Relaxed))
}

/// The sizes that an option names, in bytes.
pub fn size_range(name: Name) -> core::ops::RangeInclusive<usize> {
    sizes::unpack(number(name))
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
