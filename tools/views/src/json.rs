//! A report for programs: what a reader sees as text, as JSON (docs/json.md).

use mallocop::model::fault::{Access, FaultReport, REGISTERS};
use mallocop::model::finding::{Block, Defect, Finding};
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::{self, Loss, Reachable};
use mallocop::model::recording::{ProcessEnd, RecordedProcess, Recording};
use mallocop::model::signal;
use mallocop::model::site::{RecordingSite, SiteTotals};
use mallocop::model::stack as model;
use mallocop::text;
use mallocop::text::message::write_message;
use mallocop::text::page::Page;
use mallocop::text::stacks::stack_of;
use mallocop::text::style::Renderer;
use serde::Serialize;

/// Version of the schema: raised when what is there changes its meaning or goes.
const VERSION: u32 = 2;

#[derive(Serialize)]
struct Report {
    format: &'static str,
    version: u32,
    /// Stacks; other members refer to them by index from 0.
    stacks: Vec<Stack>,
    processes: Vec<ProcessReport>,
    unwatched: Vec<Unwatched>,
}

#[derive(Serialize)]
struct Stack {
    frames: Vec<Frame>,
    /// whole, cut (more frames are not stored) or lost (no unwind information).
    ending: &'static str,
}

#[derive(Serialize)]
struct Frame {
    function: Option<String>,
    file: Option<String>,
    line: u32,
    column: u32,
    module: Option<String>,
    /// In the module's file, as its symbols have it.
    address: usize,
    guessed: bool,
}

#[derive(Serialize)]
struct ProcessReport {
    pid: u32,
    parent_pid: u32,
    program: String,
    /// exited, left, replaced, killed or running.
    end: &'static str,
    /// The signal that ended it; null where none did, or nobody saw.
    signal: Option<i32>,
    /// The deadly signal that it has told of itself; null: none.
    fault: Option<Fault>,
    findings: Vec<JsonFinding>,
    leaks: Vec<Leak>,
    /// Can be reached, where a leak check was made; else in use, not classified.
    in_use: Vec<InUse>,
    is_classified: bool,
    suppressed: Totals,
    /// Null where the process came to no end at which it could say so.
    allocations: Option<u64>,
    frees: Option<u64>,
    allocated_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    /// Entries of its record that found no room: this report lacks them.
    lost_entries: u32,
}

#[derive(Serialize)]
struct JsonFinding {
    /// Stable, AddressSanitizer's where that has one.
    id: &'static str,
    /// error or warning.
    severity: &'static str,
    message: String,
    pointer: usize,
    thread: u16,
    stack: Option<u32>,
    block: Option<BlockReport>,
    access: Option<AccessReport>,
}

/// A wrong access that was found where it was made.
#[derive(Serialize)]
struct AccessReport {
    /// read or write.
    kind: &'static str,
    /// 0 where not known.
    bytes: usize,
    /// Offset of the access from the block's start.
    offset: isize,
    /// The system call that made it; null: an instruction.
    call: Option<&'static str>,
    /// Which of its site's blocks it was, from 1.
    block_number: u32,
    guard_seed: u32,
}

#[derive(Serialize)]
struct Fault {
    /// AddressSanitizer's name, or SEGV and the like.
    id: &'static str,
    signal: String,
    message: String,
    /// read, write, jump or unknown.
    access: &'static str,
    address: Option<usize>,
    /// The register that the address came from.
    register: Option<&'static str>,
    thread: Option<u16>,
    stack: Option<u32>,
    /// Frames of the whole stack, also of those that are not stored.
    depth: u32,
    block: Option<BlockReport>,
    threads: Vec<OtherThread>,
}

#[derive(Serialize)]
struct OtherThread {
    name: String,
    stack: Option<u32>,
}

#[derive(Serialize)]
struct BlockReport {
    start: usize,
    size: Option<usize>,
    allocated_by: Option<&'static str>,
    allocated_at: Option<u32>,
    freed_at: Option<u32>,
}

#[derive(Serialize)]
struct Totals {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Leak {
    /// direct, indirect or possible.
    kind: &'static str,
    blocks: u64,
    bytes: u64,
    stack: Option<u32>,
}

#[derive(Serialize)]
struct InUse {
    blocks: u64,
    bytes: u64,
    stack: Option<u32>,
}

#[derive(Serialize)]
struct Unwatched {
    program: String,
    reason: &'static str,
}

/// The place of a site's stack.
fn place(site: RecordingSite) -> Option<u32> {
    site.index()
}

fn totals(totals: SiteTotals) -> Totals {
    Totals { blocks: totals.blocks, bytes: totals.bytes }
}

/// The report as a line of JSON.
pub fn write(
    recording: &Recording,
    with: &mut Renderer<'_, RecordingSite>,
) -> serde_json::Result<String> {
    let report = Report {
        format: "mallocop-report",
        version: VERSION,
        stacks: recording.sites().map(|site| stack(stack_of(site, with))).collect(),
        processes: recording.processes.iter().map(|known| process(known, with)).collect(),
        unwatched: recording
            .unwatched
            .iter()
            .map(|(program, why)| Unwatched { program: program.clone(), reason: why.reason() })
            .collect(),
    };
    serde_json::to_string(&report)
}

fn stack(stack: model::Stack) -> Stack {
    let frame = |frame: model::Frame| Frame {
        function: frame.function,
        file: frame.file,
        line: frame.line,
        column: frame.column,
        address: frame.pc,
        module: frame.module.map(|(path, _)| path),
        guessed: frame.is_guessed,
    };
    Stack {
        frames: stack.frames.into_iter().map(frame).collect(),
        ending: match stack.ending {
            model::Ending::Whole => "whole",
            model::Ending::Cut => "cut",
            model::Ending::Lost(_) => "lost",
        },
    }
}

fn process(process: &RecordedProcess, with: &mut Renderer<'_, RecordingSite>) -> ProcessReport {
    let report = process.final_report();
    let known = |reachable: &Reachable<RecordingSite>| InUse {
        blocks: reachable.totals.blocks,
        bytes: reachable.totals.bytes,
        stack: place(reachable.site),
    };
    let stats = report.map(|report| report.sum.stats);
    let counted = Some(process.allocations).filter(|&allocations| allocations != 0);
    ProcessReport {
        pid: process.pid,
        parent_pid: process.parent_pid,
        program: process.program.clone(),
        end: match process.end {
            ProcessEnd::Exited => "exited",
            ProcessEnd::Left => "left",
            ProcessEnd::Replaced => "replaced",
            ProcessEnd::Killed => "killed",
            ProcessEnd::Running => "running",
        },
        signal: process.signal,
        fault: process.fault.as_ref().map(|report| fault(report, with)),
        findings: process.findings.iter().map(|report| finding(report, with)).collect(),
        leaks: report.map_or_else(Vec::new, |report| report.leaks.iter().map(leak).collect()),
        in_use: report
            .map_or(&process.in_use, |report| &report.reachable)
            .iter()
            .map(known)
            .collect(),
        is_classified: report.is_some_and(|report| report.sum.is_checked),
        suppressed: totals(report.map(|report| report.sum.suppressed).unwrap_or_default()),
        allocations: stats.map(|stats| stats.allocations).max(counted),
        frees: stats.map(|stats| stats.frees),
        allocated_bytes: stats.map(|stats| stats.allocated),
        peak_bytes: stats.map(|stats| stats.peak),
        lost_entries: process.lost,
    }
}

fn leak(leak: &leak_report::Leak<RecordingSite>) -> Leak {
    Leak {
        kind: match leak.loss {
            Loss::Direct => "direct",
            Loss::Indirect => "indirect",
            Loss::Possible => "possible",
        },
        blocks: leak.totals.blocks,
        bytes: leak.totals.bytes,
        stack: place(leak.site),
    }
}

fn finding(
    report: &FindingReport<RecordingSite>,
    with: &mut Renderer<'_, RecordingSite>,
) -> JsonFinding {
    let found = &report.finding;
    let mut message = Page::new();
    write_message(&mut message, report, with);
    JsonFinding {
        id: found.defect.id(),
        severity: if found.is_error() { "error" } else { "warning" },
        message: message.into_text(),
        pointer: found.pointer,
        thread: found.thread,
        stack: place(found.site),
        block: found.block.as_ref().map(block),
        access: access(found),
    }
}

fn access(found: &Finding<RecordingSite>) -> Option<AccessReport> {
    let Defect::Access(access) = found.defect else { return None };
    let start = found.block.as_ref().map_or(found.pointer, |block| block.user);
    Some(AccessReport {
        kind: if access.is_write { "write" } else { "read" },
        bytes: access.bytes,
        offset: found.pointer.wrapping_sub(start) as isize,
        call: access.call.map(|(call, _)| call.name()),
        block_number: access.ordinal,
        guard_seed: access.seed,
    })
}

fn fault(report: &FaultReport<RecordingSite>, with: &mut Renderer<'_, RecordingSite>) -> Fault {
    let mut message = Page::new();
    text::fault::write_message(&mut message, report, with);
    let address = report.address.as_ref();
    Fault {
        id: report.id(),
        signal: signal::name(report.signal),
        message: message.into_text(),
        access: match report.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Jump => "jump",
            Access::Unknown => "unknown",
        },
        address: address.map(|address| address.word),
        register: report.base.and_then(|base| REGISTERS.get(usize::from(base)).copied()),
        thread: report.thread,
        stack: place(report.site),
        depth: report.depth,
        block: address.and_then(|address| address.block.as_ref()).map(block),
        threads: report
            .others
            .iter()
            .map(|other| OtherThread { name: other.name.clone(), stack: place(other.site) })
            .collect(),
    }
}

fn block(block: &Block<RecordingSite>) -> BlockReport {
    BlockReport {
        start: block.user,
        size: block.size,
        allocated_by: block.kind.map(mallocop::finding::AllocKind::allocated_with),
        allocated_at: place(block.site),
        freed_at: place(block.free_site),
    }
}
