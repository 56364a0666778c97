//! Facts of a fault: the thread's stack, the address, the registers. Nothing of it is
//! certain to be readable: each look ends where it faults.

use crate::arch::{ADDRESS_BITS, CallFrame, FaultContext, GENERAL, Operand, Touch, memory_operand};
use crate::model::fault::{Access, Explained, FaultReport, Value};
use crate::model::finding::{Life, Location};
use crate::model::site::ProcessSite;
use crate::runtime::HEAP;
use crate::stack::capture;
use crate::stack::modules;
use crate::stack::unwind::step::EXACT;
use crate::sys::caught_signal::{self, CaughtSignal};
use crate::sys::fault_net::attempt;
use crate::sys::{death, memory, process, seccomp, thread, thread_number};

/// Below this an address comes from a null pointer: the kernel maps nothing there
/// (vm.mmap_min_addr).
const NEAR_NULL: usize = 64 << 10;
/// So far from the stack pointer a thread touches its stack.
const NEAR_STACK: usize = 64 << 10;
/// Longest instruction of the processor.
const LONGEST: usize = 15;

/// The site of the thread's stack where the signal came in.
pub(super) fn site_of(signal: &CaughtSignal<'_>, context: &FaultContext) -> ProcessSite {
    let frame = innermost(signal, context);
    attempt(|| capture::site_at(frame, false)).map_or(ProcessSite::NONE, |(site, _)| site)
}

/// All that can be told without a lock and without memory: the stack.
pub(super) fn begin(signal: &CaughtSignal<'_>, context: &FaultContext) -> FaultReport {
    let (access, address, base) = touched(signal, context);
    let is_own = signal.is_raised() && modules::is_own(context.pc());
    let frame = innermost(signal, context);
    let (site, depth) =
        attempt(|| capture::site_at(frame, is_own)).unwrap_or((ProcessSite::NONE, 0));
    FaultReport {
        pid: process::id(),
        signal: signal.number(),
        code: signal.code(),
        sender: signal.sender(),
        access,
        address: address.map(|word| value_of(word, context)),
        base,
        registers: Vec::new(),
        is_own,
        thread: (!thread::is_new()).then(thread_number::known_number),
        thread_name: String::new(),
        site,
        depth: depth as u32,
        threads: Vec::new(),
        others: Vec::new(),
        unseen: 0,
        module: None,
    }
}

/// Adds what only the heap and /proc know. Takes locks, and memory of ours.
pub(super) fn complete(
    report: &mut FaultReport,
    signal: &CaughtSignal<'_>,
    context: &FaultContext,
) {
    if let Some(address) = &mut report.address
        && matches!(address.value, Value::At(_))
        && let Some((place, block)) = attempt(|| HEAP.locate(address.word))
    {
        (address.value, address.block) = (Value::At(place), block);
        let is_mapping = matches!(place, Location::Mapping { .. });
        report.module = is_mapping.then(|| modules::find(address.word)).flatten();
    }
    if !signal.is_memory_fault() {
        return;
    }
    let explains = report.address.as_ref().is_some_and(|address| {
        address.block.is_some() || matches!(address.value, Value::NearNull(_))
    });
    for (at, word) in (0..).zip(context.general()) {
        let is_base = report.base == Some(at);
        let known = if is_base { None } else { of_register(at, word, context) };
        // Registers that other work has left behind lead to the ends of blocks, too.
        let is_near = |known: &Explained| {
            matches!(known.value, Value::At(Location::Past(_) | Location::Before(_)))
        };
        let known = known.filter(|known| !(explains && is_near(known)));
        report.registers.extend(known.map(|known| (at, known)));
    }
}

/// The value of a register, if it leads to a freed block, or to near a live one, or is poison.
fn of_register(at: u8, word: usize, context: &FaultContext) -> Option<Explained> {
    let value = value_of(word, context);
    let Value::At(_) = value.value else { return None };
    let (place, block) = attempt(|| HEAP.locate_block(word)).flatten()?;
    // Of a live block's fill our own work may have left a part in the register.
    let is_telling = match place {
        Location::PoisonOf(added) => block.life == Life::Freed && added == 0,
        Location::FillOf(_) => false,
        // r8 to r11, which no function preserves.
        Location::Past(_) | Location::Before(_) if at < 4 => false,
        Location::Past(1..=64) | Location::Before(1..=64) => true,
        _ => block.life == Life::Freed,
    };
    is_telling.then_some(Explained { value: Value::At(place), block: Some(block), ..value })
}

/// The explanation of a value by itself.
fn value_of(word: usize, context: &FaultContext) -> Explained {
    let plain = |value| Explained { word, value, block: None };
    if word < NEAR_NULL {
        return plain(Value::NearNull(word));
    }
    if word >> ADDRESS_BITS != 0 {
        return plain(Value::At(Location::NonCanonical));
    }
    let is_near = word.abs_diff(context.sp()) < NEAR_STACK;
    let is_full = || seccomp::is_installed() || !memory::is_readable(word, word + 1);
    plain(if is_near && is_full() { Value::StackEnd } else { Value::At(Location::Unknown) })
}

/// The thread's access, its address, and the register that this came from.
fn touched(
    signal: &CaughtSignal<'_>,
    context: &FaultContext,
) -> (Access, Option<usize>, Option<u8>) {
    if !signal.is_memory_fault() {
        return (Access::Unknown, None, None);
    }
    let address = signal.address();
    match context.page_fault() {
        Some(Touch::Jump) => (Access::Jump, Some(address), None),
        Some(touch) => {
            let operand = operand_of(context);
            // A wide access may begin in front of the page that faults.
            let is_same = |operand: &Operand| address.wrapping_sub(operand.address) < 4096;
            let base = operand.filter(is_same).and_then(|operand| operand.base);
            (access_of(touch), Some(address), base)
        }
        // Not an address: the kernel does not know it, the instruction does.
        None => match operand_of(context) {
            Some(Operand { address, base, touch, .. }) => (access_of(touch), Some(address), base),
            None => (Access::Unknown, returned_to(context), None),
        },
    }
}

/// Where a `ret` that faults was to go on.
fn returned_to(context: &FaultContext) -> Option<usize> {
    const RETURN: [u8; 2] = [0xc3, 0xc2];
    let code = read_code(context.pc());
    code.first().filter(|byte| RETURN.contains(byte))?;
    attempt(|| read_word(context.sp())).flatten()
}

const fn access_of(touch: Touch) -> Access {
    match touch {
        Touch::Read => Access::Read,
        Touch::Write => Access::Write,
        Touch::Jump => Access::Jump,
    }
}

pub(super) fn operand_of(context: &FaultContext) -> Option<Operand> {
    let general: [usize; GENERAL] = context.general();
    memory_operand(&read_code(context.pc()), &general, |number| context.mask_register(number))
}

/// The bytes at a pc; what cannot be read is 0.
fn read_code(pc: usize) -> [u8; LONGEST] {
    let mut code = [0; LONGEST];
    attempt(|| {
        for (at, byte) in (pc..).zip(&mut code) {
            // SAFETY: readable, or the look ends here.
            *byte = unsafe { (at as *const u8).read_volatile() };
        }
    });
    code
}

fn read_word(at: usize) -> Option<usize> {
    // SAFETY: readable, or the look ends here.
    at.is_multiple_of(8).then(|| unsafe { (at as *const usize).read_volatile() })
}

/// The frame that the stack begins with. A thread that has jumped to where there is no code was
/// called from where its stack says.
fn innermost(signal: &CaughtSignal<'_>, context: &FaultContext) -> CallFrame {
    let (mut pc, sp, fp) = (context.pc(), context.sp(), context.fp());
    if signal.number() == caught_signal::TRAP
        && signal.is_raised()
        && death::is_behind_breakpoint(pc)
    {
        pc -= 1;
    }
    if context.page_fault() == Some(Touch::Jump)
        && let Some(caller) = attempt(|| read_word(sp)).flatten()
    {
        return CallFrame { pc: caller, sp: sp + 8, fp };
    }
    CallFrame { pc: pc | EXACT, sp, fp }
}
