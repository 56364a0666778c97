//! A deadly signal as text: what the thread did, what the address is, what the registers hold, and
//! what the other threads were doing.

use std::fmt::Write as _;

use super::block::write_block;
use super::escape::escape;
use super::location::{Located, write_located};
use super::page::{Page, Role};
use super::stacks;
use super::style::Renderer;
use crate::model::fault::{Access, Explained, FaultReport, REGISTERS, Value};
use crate::model::finding::{Life, Location};
use crate::model::signal;

/// Frames that are shown of another thread.
const MOST_FRAMES: usize = 4;
/// Codes of signals that an instruction raises (sigaction(2)), with what they say.
const REASONS: [(i32, i32, &str); 7] = [
    (8, 1, "integer division by zero"),
    (8, 2, "integer overflow in a division"),
    (4, 2, "an instruction that the program is not to execute, as of __builtin_trap"),
    (7, 2, "a page of a mapped file that the file does not have"),
    (5, 128, "a breakpoint instruction"),
    (31, 1, "a system call that the program's filter refuses"),
    (7, 4, "a memory error of the machine"),
];

/// The whole text.
pub fn write<S: Copy>(report: &FaultReport<S>, with: &mut Renderer<'_, S>) -> Page {
    let mut out = Page::new();
    out.set_role(Role::Error);
    let _ = write!(out, "=={}==ERROR: mallocop: ", report.pid);
    write_message(&mut out, report, with);
    out.push('\n');
    out.set_role(Role::Heading);
    let _ = writeln!(out, "  by {} here:", thread(report));
    stacks::write_stack(&mut out, report.site, with);
    if let Some(address) = &report.address {
        write_origin(&mut out, report, address, with);
    }
    write_registers(&mut out, report, with);
    write_others(&mut out, report, with);
    let place = stacks::headline(report.site, with);
    out.set_role(Role::Error);
    let _ = writeln!(out, "SUMMARY: mallocop: {} {place}", report.id());
    stacks::write_token(&mut out, report.site, with);
    out
}

/// The event in a sentence, and in brackets the stable name of its class.
pub fn write_message<S: Copy>(out: &mut Page, report: &FaultReport<S>, with: &mut Renderer<'_, S>) {
    let name = &signal::name(report.signal);
    let _ = match (&report.address, report.access) {
        (Some(address), _) if matches!(address.value, Value::StackEnd) => {
            let frames = report.depth;
            write!(out, "{name}: stack overflow: {frames} frames leave no room on the stack")
        }
        (Some(address), access) => {
            let what = match access {
                Access::Read => "read of",
                Access::Write => "write to",
                Access::Jump => "jump to",
                Access::Unknown => "access to",
            };
            let _ = write!(out, "{name}: {what} address {:#x}, which ", address.word);
            write_value(out, report, address, with);
            Ok(())
        }
        (None, _) => write_reason(out, report, name),
    };
    if report.is_own {
        out.push_str(", in mallocop itself: its own words may be overwritten");
    }
    let _ = write!(out, " ({})", report.id());
}

fn write_reason<S>(out: &mut Page, report: &FaultReport<S>, name: &str) -> std::fmt::Result {
    let known =
        |(signal, code, _): &&(i32, i32, &str)| (*signal, *code) == (report.signal, report.code);
    match REASONS.iter().find(known) {
        Some((.., reason)) => write!(out, "{name}: {reason}"),
        None if report.is_raised() => write!(out, "{name}"),
        None if report.sender == report.pid => write!(out, "{name}: the process has raised it"),
        None => write!(out, "{name}: sent by process {}", report.sender),
    }
}

/// The explanation of a value, as the end of a sentence that starts with the value.
fn write_value<S: Copy>(
    out: &mut Page,
    report: &FaultReport<S>,
    explained: &Explained<S>,
    with: &mut Renderer<'_, S>,
) {
    let _ = match explained.value {
        Value::NearNull(0) => write!(out, "is a null pointer"),
        Value::NearNull(offset) => write!(out, "is offset {offset} of a null pointer"),
        Value::StackEnd => write!(out, "is behind the end of the stack"),
        Value::At(place) => {
            let located = Located {
                pointer: explained.word,
                place,
                block: explained.block.as_ref(),
                module: report.module.as_ref(),
                threads: &report.threads,
            };
            if place == Location::Unknown {
                out.push_str("cannot be accessed");
            } else {
                write_located(out, &located, with);
            }
            Ok(())
        }
    };
}

/// Where the address comes from: the register, and the block behind it.
fn write_origin<S: Copy>(
    out: &mut Page,
    report: &FaultReport<S>,
    address: &Explained<S>,
    with: &mut Renderer<'_, S>,
) {
    if let Some(block) = &address.block {
        write_block(out, &report.threads, (block, ""), with);
    }
}

fn write_registers<S: Copy>(out: &mut Page, report: &FaultReport<S>, with: &mut Renderer<'_, S>) {
    let name = |at: u8| REGISTERS.get(usize::from(at)).copied().unwrap_or("a register");
    if let Some(base) = report.base {
        let _ = writeln!(out, "  the address comes from {}", name(base));
    }
    let mut told: Vec<usize> = Vec::new();
    for (_, known) in &report.registers {
        if told.contains(&known.word) {
            continue;
        }
        told.push(known.word);
        let all = report.registers.iter().filter(|(_, other)| other.word == known.word);
        let names: Vec<&str> = all.map(|(at, _)| name(*at)).collect();
        let verb = if names.len() == 1 { "holds" } else { "hold" };
        let _ = write!(out, "  {} {verb} {:#x}, which ", names.join(", "), known.word);
        write_value(out, report, known, with);
        out.push('\n');
        let Some(block) = &known.block else { continue };
        let (what, site) = match block.life {
            Life::Freed => ("freed", block.free_site),
            Life::Live => ("allocated", block.site),
        };
        let place = stacks::headline(site, with);
        let _ = writeln!(out, "    {what} at {place}");
    }
}

fn write_others<S: Copy>(out: &mut Page, report: &FaultReport<S>, with: &mut Renderer<'_, S>) {
    if report.others.is_empty() && report.unseen == 0 {
        return;
    }
    out.set_role(Role::Heading);
    out.push_str("  other threads:\n");
    let mut lines: Vec<(String, usize)> = Vec::new();
    for other in &report.others {
        let frames = stacks::named_frames(other.site, with);
        let name = |frame: &crate::model::stack::Frame| {
            frame.function.clone().unwrap_or_else(|| "?".to_owned())
        };
        let shown: Vec<String> = frames.iter().take(MOST_FRAMES).map(name).collect();
        let more = if frames.len() > MOST_FRAMES { ", ..." } else { "" };
        let line = format!("\"{}\" in {}{more}", escape(&other.name), shown.join(", "));
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => lines.push((line, 1)),
        }
    }
    for (line, count) in lines {
        let times = if count == 1 { String::new() } else { format!(" ({count} threads)") };
        let _ = writeln!(out, "    {line}{times}");
    }
    if report.unseen != 0 {
        let _ = writeln!(out, "    {} more that were not looked at", report.unseen);
    }
}

/// `thread T1 "worker"`.
fn thread<S>(report: &FaultReport<S>) -> String {
    let name = if report.thread_name.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", escape(&report.thread_name))
    };
    match report.thread {
        Some(number) => format!("thread T{number}{name}"),
        None => format!("a thread{name}"),
    }
}
