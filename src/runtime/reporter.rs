//! Findings -> text -> the reader; and the end of the program where that is due.

use crate::sys::thread_number;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{abort, config, report_sink};
use crate::model::fault::FaultReport;
use crate::model::finding::{Defect, Finding, Location, Operation};
use crate::model::finding_report::FindingReport;
use crate::model::site::ProcessSite;
use crate::model::stack::{DataSymbol, Module, Stack};
use crate::options::{self, Name};
use crate::stack::modules;
use crate::stack::symbolize::ProcessSymbolizer;
use crate::sys::{errno, process, seccomp, thread};
use crate::text::page::Page;
use crate::text::style::{Renderer, Style};
use crate::text::symbolizer::Symbolizer;
use crate::text::{fault, finding};
use crate::trace;

/// Sites whose warnings are remembered, so that each speaks once.
const MOST_WARNED: usize = 256;

struct Reporter {
    symbolizer: Option<ProcessSymbolizer>,
}

static REPORTER: Mutex<Reporter> = Mutex::new(Reporter { symbolizer: None });
/// Thread slot of whoever reports.
static OWNER: AtomicUsize = AtomicUsize::new(0);
static FOUND: AtomicBool = AtomicBool::new(false);
/// A child forked while another thread was reporting must not touch the symbolizer it left.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// Was an error found in this process?
pub fn has_found() -> bool {
    FOUND.load(Ordering::Relaxed)
}

/// Notes that an error was found.
pub fn note_error() {
    FOUND.store(true, Ordering::Relaxed);
    trace::count_finding();
}

/// Runs `f` as the one reporter. `None` when this thread is reporting already (a signal handler
/// interrupted it) or the symbolizer cannot be used.
fn as_reporter<T>(f: impl FnOnce(&mut Reporter) -> T) -> Option<T> {
    let me = thread::slot_address();
    if OWNER.load(Ordering::Relaxed) == me || ABANDONED.load(Ordering::Relaxed) {
        return None;
    }
    let mut reporter = REPORTER.lock();
    OWNER.store(me, Ordering::Relaxed);
    let result = f(&mut reporter);
    OWNER.store(0, Ordering::Relaxed);
    Some(result)
}

/// Runs `f` with the symbolizer.
pub fn with_symbolizer<T>(f: impl FnOnce(&mut ProcessSymbolizer) -> T) -> Option<T> {
    as_reporter(|reporter| f(reporter.symbolizer.get_or_insert_default()))
}

/// Runs `f` with the symbolizer and the options of rendering.
pub fn with_renderer<T>(f: impl FnOnce(&mut Renderer<'_, ProcessSite>) -> T) -> Option<T> {
    with_symbolizer(|symbolizer| render(symbolizer, f))
}

/// Runs `f` with a symbolizer of the caller's and the options of rendering.
pub fn render<T>(
    symbolizer: &mut dyn Symbolizer<ProcessSite>,
    f: impl FnOnce(&mut Renderer<'_, ProcessSite>) -> T,
) -> T {
    f(&mut Renderer { symbolizer, style: &style() })
}

/// The options of rendering. After a seccomp filter the working directory is not asked for.
fn style() -> Style {
    let here = match seccomp::is_installed() {
        true => PathBuf::new(),
        false => std::env::current_dir().unwrap_or_default(),
    };
    options::style(here)
}

/// After fork: another thread of the parent may have been reporting.
pub fn renew_after_fork() {
    if REPORTER.is_locked() && OWNER.load(Ordering::Relaxed) != thread::slot_address() {
        ABANDONED.store(true, Ordering::Relaxed);
    }
}

/// Reports a finding. Does not return when it ends the program.
pub fn on_finding(finding: &Finding) {
    config::find();
    errno::preserve(|| {
        let fatal = is_fatal(finding);
        if finding.is_error() || fatal {
            note_error();
        }
        as_reporter(|reporter| {
            if finding.is_error() || note_warning(finding) {
                let report = gather(finding);
                if !report_sink::tell(&report) {
                    let symbolizer = reporter.symbolizer.get_or_insert_default();
                    let page = render(symbolizer, |with| finding::write(&report, with));
                    report_sink::emit(page.text());
                }
            }
            if fatal {
                abort::die();
            }
        })
        .unwrap_or_else(|| {
            let page = render(&mut Unnamed, |with| finding::short(&gather(finding), with));
            report_sink::emit(page.text());
            if fatal {
                abort::die();
            }
        });
    });
}

/// Reports a deadly signal.
pub fn on_fault(report: &FaultReport) {
    config::find();
    if report_sink::tell_fault(report) {
        return;
    }
    let emit = |page: Page| report_sink::emit(page.text());
    if with_renderer(|with| emit(fault::write(report, with))).is_none() {
        emit(render(&mut Unnamed, |with| fault::write(report, with)));
    }
}

/// Gathers the names that go with a finding.
fn gather(finding: &Finding) -> FindingReport {
    let block = finding.block.as_ref();
    let mut numbers = vec![finding.thread];
    numbers.extend(block.and_then(|block| block.thread));
    numbers.extend(block.and_then(|block| block.free_thread));
    if let Location::Stack(owner) = finding.place {
        numbers.push(owner);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let is_mapping = matches!(finding.place, Location::Mapping { .. });
    FindingReport {
        pid: process::id(),
        finding: *finding,
        threads: numbers.into_iter().filter_map(|n| Some((n, thread_name(n)?))).collect(),
        module: is_mapping.then(|| modules::find(finding.pointer)).flatten(),
        command: match finding.defect {
            Defect::Access(_) => command_line(),
            _ => String::new(),
        },
    }
}

/// The command line of this program, as a shell takes it; empty where it cannot be had.
fn command_line() -> String {
    if seccomp::is_installed() {
        return String::new();
    }
    let words = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let words = words.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=+,:@%".contains(c);
    let words: Vec<String> = words
        .map(|word| match !word.is_empty() && word.chars().all(is_plain) {
            true => word.into_owned(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        })
        .collect();
    // What is behind the last NUL is not a word.
    words.get(..words.len().saturating_sub(1)).unwrap_or(&[]).join(" ")
}

/// The name of a numbered thread, if it has one.
pub fn thread_name(number: u16) -> Option<String> {
    let tid = thread_number::tid_of(number);
    match number {
        0 => Some("main".to_owned()),
        _ if tid == 0 => None,
        _ => thread_number::name_of(tid),
    }
}

/// Symbols of data alone: for when the symbolizer is in use.
struct Unnamed;

impl Symbolizer<ProcessSite> for Unnamed {
    fn stack(&mut self, _: ProcessSite) -> Stack {
        Stack::default()
    }

    fn data_symbol(&mut self, module: &Module, address: usize) -> Option<DataSymbol> {
        modules::symbol_at(module, address)
    }
}

/// Sites that have warned, plus one; 0: room for another.
static WARNED: [AtomicU32; MOST_WARNED] = [const { AtomicU32::new(0) }; MOST_WARNED];

/// The key of a warning: they speak once for each place, notes once. `None`: it speaks each time.
fn key_of(finding: &Finding) -> Option<u32> {
    match finding.defect {
        Defect::Surveyed { .. } => None,
        Defect::Unjudged => Some(ProcessSite::NONE.0.wrapping_add(1)),
        _ => Some(finding.site.0.wrapping_add(1)),
    }
}

/// Notes a warning. `false`: it was there, or there is no room.
fn note_warning(finding: &Finding) -> bool {
    let Some(key) = key_of(finding) else { return true };
    for slot in &WARNED {
        match slot.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(known) if known == key => return false,
            Err(_) => {}
        }
    }
    false
}

/// Does a warning say nothing new, and changes nothing? Programs that probe for memory fail by the
/// thousand. No lock is taken.
pub fn was_reported(finding: &Finding) -> bool {
    let Some(key) = key_of(finding) else { return false };
    let is_known = |slot: &AtomicU32| slot.load(Ordering::Relaxed) == key;
    !finding.is_error() && !is_fatal(finding) && WARNED.iter().any(is_known)
}

/// Heap errors end the program, but not one that is ending by itself: its output would be lost.
fn is_fatal(finding: &Finding) -> bool {
    match (finding.defect, finding.operation) {
        (_, Operation::Exit) | (Defect::Unjudged, _) => false,
        (Defect::Refused { .. } | Defect::Surveyed { .. }, _) => false,
        (Defect::BadRequest(_), _) => !options::flag(Name::AllocatorMayReturnNull),
        _ => options::flag(Name::HaltOnError),
    }
}
