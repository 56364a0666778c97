//! Compares the decoder with binutils' disassembler over this machine's libc and the files that
//! `MALLOCOP_OPERAND_ORACLE` lists, separated by spaces.

use std::collections::BTreeMap;
use std::process::Command;

use super::fault_context::GENERAL;
use super::instruction::memory_operand;

const NAMES: [&str; GENERAL] = [
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax",
    "rcx", "rsp",
];
const WIDTHS: [(&str, usize); 8] = [
    ("BYTE", 1),
    ("WORD", 2),
    ("DWORD", 4),
    ("QWORD", 8),
    ("TBYTE", 10),
    ("XMMWORD", 16),
    ("YMMWORD", 32),
    ("ZMMWORD", 64),
];

/// Values of the registers, all different.
fn general() -> [usize; GENERAL] {
    core::array::from_fn(|at| 0x1_0000_0000 * (at + 1) + 0x1001 * at)
}

/// Address and width of the memory operand in the disassembler's text, with these registers.
fn told(text: &str) -> Option<(usize, usize)> {
    let (before, behind) = text.split_once('[')?;
    let (inner, after) = behind.split_once(']')?;
    let word =
        before.trim_end().strip_suffix(" PTR").or(before.trim_end().strip_suffix(" BCST"))?;
    let size = word.rsplit([' ', ',', '\t']).next()?;
    let width = WIDTHS.iter().find(|(name, _)| *name == size)?.1;
    let mut address = 0_usize;
    for part in inner.replace('-', "+-").split('+').filter(|part| !part.is_empty()) {
        let (negative, part) = part.strip_prefix('-').map_or((false, part), |part| (true, part));
        let (name, scale) = part.split_once('*').unwrap_or((part, "1"));
        let value = match NAMES.iter().position(|known| *known == name) {
            Some(at) => general()[at] * scale.parse::<usize>().ok()?,
            None => usize::from_str_radix(name.strip_prefix("0x")?, 16).ok()?,
        };
        address = address.wrapping_add(if negative { value.wrapping_neg() } else { value });
    }
    (!after.contains('[')).then_some((address, width))
}

/// The instructions of a file, as bytes and text.
fn instructions_of(file: &str) -> Option<Vec<(Vec<u8>, String)>> {
    let run = Command::new("objdump").args(["-dw", "-Mintel", file]).output().ok()?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, '\t');
        let (_, bytes, text) = (parts.next()?, parts.next()?, parts.next()?);
        let byte = |word| u8::from_str_radix(word, 16).ok();
        Some((bytes.split_whitespace().map_while(byte).collect(), text.to_owned()))
    };
    Some(text.lines().filter_map(of_line).collect())
}

/// Is an instruction left out: without an access, or with an address from other registers?
fn is_left_out(text: &str) -> bool {
    let mnemonic = text.split_whitespace().find(|word| {
        !["rep", "repz", "repnz", "lock", "bnd", "notrack", "data16", "cs"].contains(word)
    });
    let mnemonic = mnemonic.unwrap_or("");
    // Half floats are not decoded; the others are privileged or obsolete.
    let is_rare = ["lar", "lsl", "str", "sldt", "ltr", "pmulhrw", "vmovw"].contains(&mnemonic)
        || mnemonic.starts_with('v') && mnemonic.ends_with("sh");
    let is_no_access = ["lea", "nop", "prefetch", "clflush", "clwb", "xsave", "xrstor", "fxsave"];
    is_rare
        || is_no_access.iter().any(|start| mnemonic.starts_with(start))
        || ["gather", "scatter"].iter().any(|part| mnemonic.contains(part))
        || ["fs:", "gs:", "es:[", "ds:[rsi", "[rip", "[eip", "(bad)"]
            .iter()
            .any(|part| text.contains(part))
}

#[test]
fn operands_agree_with_the_disassembler() {
    let mut files = vec!["/lib/x86_64-linux-gnu/libc.so.6".to_owned()];
    let more = std::env::var("MALLOCOP_OPERAND_ORACLE").unwrap_or_default();
    files.extend(more.split_whitespace().map(str::to_owned));
    let mut wrong: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut compared = 0;
    for (bytes, text) in files.iter().filter_map(|file| instructions_of(file)).flatten() {
        // objdump prints fwait and the instruction behind it in one line.
        let is_one = bytes.first() != Some(&0x9b) && !text.contains("jmp    DWORD");
        let Some(expected) = told(&text).filter(|_| is_one && !is_left_out(&text)) else {
            continue;
        };
        // Masks choose all elements.
        let found = memory_operand(&bytes, &general(), |_| Some(u64::MAX));
        let found = found.map(|found| (found.address, found.bytes));
        compared += 1;
        // The decoder does not know the size of these elements.
        let is_unknown = text.contains("{k") && found == Some((expected.0, 0));
        if found != Some(expected) && !is_unknown {
            let mnemonic = text.split_whitespace().next().unwrap_or("").to_owned();
            let entry = wrong.entry(mnemonic).or_default();
            entry.0 += 1;
            entry.1 = format!("{text} {bytes:x?}: {found:x?}, not {expected:x?}");
        }
    }
    // Nothing is compared only if objdump is not installed.
    assert!(compared > 10_000 || compared == 0 && instructions_of("").is_none(), "{compared}");
    assert!(wrong.is_empty(), "of {compared} operands: {wrong:#?}");
}
