//! Damaged and hostile inputs, and what is no plain file: the command and the library refuse them
//! or make the best of them, and never panic, hang, take all memory or print without end.
//!
//! Every mutated input comes from a seed. A failure names it, keeps the input, and has the line
//! that runs it again.

mod harness;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use harness::trials::{
    ALL_SPACE, FEW, Failures, NUMBERS, ODD, Random, STOPPED, command, folder, losing, overwrite,
    place, preloaded, recording, run, try_all,
};
use harness::{compile, finish};

/// Rules of both kinds.
const RULES: &str = "# known\nleak:lose\nleak:*.so*\n\
    leak:^a*b$ count<=3 bytes<=400 expires=2037-06-30 reason=a b\n\
    {\n name\n Memcheck:Leak\n match-leak-kinds: definite,indirect\n\
    \x20fun:malloc\n fun:leak_*\n ...\n obj:*/libc*\n}\n\
    {\n other\n Memcheck:Addr4\n src:a.c:12\n ...\n}\n";
/// What is put into texts, and for strings and numbers of recordings: all apart by `~`.
const WORDS: &str = "*~?~\n...\n~{~}\n~leak:~fun:~obj:~src:~Memcheck:Leak\n~\n~\r\n~\0~:~=~'~\\~|~\
    --~%p%e~match-leak-kinds:~ count<=~ bytes<=~ expires=9999-99-99~ expires=-1-0-0~ reason=~^$~\
    \u{feff}~\u{e9}~leak:*e*a*k*_*d*i*r*e*c*t*e*a*k*_*d*i*r*e*c*t*b\n~nth:~every:~\
    prob:1e-400,seed=~size>=~site:*a*a*b~all~none~-1~+1~1.5~0~7~256~18446744073709551615~\
    18446744073709551616~[~null~\"a\":~,";
const STRINGS: &str =
    r#"""~"/dev/zero"~"/proc/self/mem"~"/"~"\u0000"~"\u001b[2J"~"Lost"~"Killed"~null"#;
const NUMERALS: &str = "0~1~2~3~4~5~6~7~255~65535~4294967295~4294967295~4294967296~-1~1.5~1e99~\
    9223372036854775807~18446744073709551615~18446744073709551616~null";

fn careful() -> PathBuf {
    compile("careful.c", "careful", &[])
}

/// Changes a text in any way, a few times.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let (start, at) = (random.below(bytes.len()), random.below(bytes.len() + 1));
        let most = random.pick(&[8, 40, bytes.len()]);
        let part = start..(start + random.below(most)).min(bytes.len());
        let piece = bytes[part.clone()].to_vec();
        match random.below(12) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(part)),
            2 => drop(bytes.splice(part, (0..8).map(|_| random.next() as u8))),
            3 => drop(bytes.splice(at..at, piece.repeat(random.pick(&[1, 2, 16, 1000])))),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            5 => drop(bytes.splice(part, random.word(WORDS).bytes())),
            6 => {
                let word = random.word(WORDS).repeat(random.pick(&[1, 1, 1, 300, 20_000]));
                bytes.splice(at..at, word.into_bytes());
            }
            _ => change_value(bytes, random),
        }
        bytes.truncate(1 << 20);
    }
}

/// Puts another value where a number, a string or a group in brackets is in a JSON text.
fn change_value(text: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(text.len());
    // Names of members stay.
    let is_start = |pair: &[u8]| match pair[1] {
        b'"' => pair[0] == b':',
        byte => b"[{".contains(&byte) || byte.is_ascii_digit() && !pair[0].is_ascii_digit(),
    };
    let Some(start) = text[from..].windows(2).position(is_start) else { return };
    let (start, mut depth) = (from + start + 1, 0);
    let first = text[start];
    let len = text[start + 1..].iter().position(|&byte| {
        depth += i32::from(b"[{".contains(&byte)) - i32::from(b"]}".contains(&byte));
        match first {
            b'"' => byte == b'"',
            b'[' | b'{' => depth < 0,
            _ => !byte.is_ascii_digit(),
        }
    });
    let Some(len) = len else { return };
    let end = start + 1 + len + usize::from(!first.is_ascii_digit());
    let old = text[start..end].to_vec();
    let new = match first {
        b'"' => random.word(STRINGS).as_bytes().to_vec(),
        b'[' if random.below(3) == 0 => b"[]".to_vec(),
        b'[' | b'{' => {
            [[&old[..], b","].concat().repeat(random.pick(&[1, 30, 1000])), old].concat()
        }
        _ => random.word(NUMERALS).as_bytes().to_vec(),
    };
    text.splice(start..end, new);
}

#[test]
fn mutated_recordings_are_refused_or_shown() {
    let real: Vec<String> = [
        ("leak.c", &[][..]),
        ("double_free.c", &[]),
        ("overflow_64.c", &[]),
        ("hoard.c", &["kill"]),
    ]
    .map(|(source, arguments)| recording(&compile(source, source, &[]), arguments, source))
    .into();
    let sound = folder("recordings").join("sound");
    fs::write(&sound, &real[0]).expect("a file");
    let shown = finish(command(&["report", "--json", "-"]).arg(&sound));
    assert!(shown.stderr.contains("#0 leak_direct") && shown.stdout.starts_with('{'));
    let flags: [&[&str]; 5] = [
        &["report"],
        &["report", "--json", "-"],
        &["report", "--json=-", "--show-reachable", "--addresses"],
        &["report", "--full-stacks", "--max-sites=0", "--quiet"],
        &["report", "--json", "-", sound.to_str().expect("a path")],
    ];
    try_all(38, "recordings", |random, input| {
        let mut bytes = random.pick(&[0, 1, 2, 3].map(|at| &real[at])).clone().into_bytes();
        match random.below(3) {
            0 => mutate(&mut bytes, random),
            _ => (0..=random.below(2)).for_each(|_| change_value(&mut bytes, random)),
        }
        fs::write(input, bytes).expect("an input");
        let mut command = command(random.pick(&flags));
        command.arg(input);
        (command, &[])
    });
}

#[test]
fn mutated_rules_are_refused_or_used() {
    let program = losing("ruled", &[]);
    let path = |input: &Path| input.display().to_string();
    try_all(14, "rules", |random, input| {
        let mut bytes = RULES.as_bytes().to_vec();
        mutate(&mut bytes, random);
        fs::write(input, bytes).expect("an input");
        if random.below(4) == 0 {
            return (preloaded(&program, &format!("{FEW}:suppressions={}", path(input))), STOPPED);
        }
        // The rules are read before the program is looked for.
        let flag = format!("--suppressions={}", path(input));
        (command(&["run", &flag, "--", "/nowhere/program"]), &[])
    });
}

/// Names of all options, with what they are by themselves.
fn options() -> Vec<(String, String)> {
    let listed = finish(&mut command(&["options"])).stdout;
    let options = listed.lines().filter_map(|line| {
        let (name, rest) = line.split_once('=')?;
        let value = rest.split(' ').next().unwrap_or("");
        let is_option = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_option.then(|| (name.to_owned(), value.to_owned()))
    });
    options.collect()
}

#[test]
fn mutated_options_are_refused_or_taken() {
    let (options, program) = (options(), careful());
    assert!(options.len() > 30, "{options:?}");
    try_all(14, "options", |random, _| {
        let some = |random: &mut Random, dashes: &str| {
            let (name, value) = &options[random.below(options.len())];
            let value = if random.below(2) == 0 { random.word(WORDS) } else { value };
            let name = if dashes.is_empty() { name.clone() } else { name.replace('_', "-") };
            let mut bytes = format!("{dashes}{name}={value}").into_bytes();
            if random.below(3) == 0 {
                mutate(&mut bytes, random);
            }
            // Nothing has a zero, the kernel takes 128 KiB, and no log is written elsewhere.
            bytes.retain(|&byte| byte != 0 && byte != b'/');
            bytes.truncate(30_000);
            bytes
        };
        let list = [(); 3].map(|()| some(random, "")).join(&b':');
        let list = OsString::from_vec(list);
        if random.below(4) == 0 {
            let mut command = preloaded(&program, "");
            command.env("MALLOCOP_OPTIONS", list);
            return (command, STOPPED);
        }
        let mut command = command(&["run"]);
        command.args([(); 2].map(|()| OsString::from_vec(some(random, "--"))));
        if random.below(2) == 0 {
            command.env("MALLOCOP_OPTIONS", list);
        }
        let runs = random.below(16) == 0;
        command.arg("--").arg(if runs { &program } else { Path::new("/nowhere/program") });
        (command, STOPPED)
    });
}

#[test]
fn mutated_tree_files_stop_no_program() {
    let program = careful();
    try_all(6, "trees", |random, input| {
        let kind = random.below(8);
        if kind == 0 {
            place(random.pick(&ODD), input);
        } else {
            let _ = fs::remove_file(input).or_else(|_| fs::remove_dir(input));
            // Magic, version, extents, root, findings, processes, activity, hint, first unused one.
            let mut header = b"mallocop".to_vec();
            let words = [2_u32, 2048, 0, 0, 0, 0, 33, 33];
            header.extend(words.into_iter().flat_map(u32::to_ne_bytes));
            for _ in 0..random.below(4) {
                let (at, some) = (random.below(header.len()), random.below(3000) as u64);
                let number = if random.below(2) == 0 { some } else { random.pick(&NUMBERS) };
                overwrite(&mut header, at / 4 * 4, &number.to_ne_bytes()[..4]);
            }
            fs::write(input, &header).expect("a header");
            let size = random.pick(&[0, 1, 39, 40, 4096, 4 << 20, 32 << 20, 64 << 20]);
            let size = if kind < 4 { size } else { 32 << 20 };
            let file = File::options().write(true).open(input).expect("the file");
            file.set_len(size).expect("a length");
            // Tags, and what the first extents have.
            for _ in 0..random.below(3) * 100 {
                let (at, number) = (random.below(40 * 16_384) as u64, random.below(3000) as u64);
                if size >= 32 << 20 {
                    file.write_at(&number.to_ne_bytes(), 16_384 + at).expect("a word");
                }
            }
        }
        let mut command = preloaded(&program, FEW);
        command.env("MALLOCOP_TREE", input);
        (command, STOPPED)
    });
}

#[test]
fn odd_files_are_no_rules() {
    let program = losing("odd-rules", &[]);
    let at = folder("odd-rules").join("rules");
    let mut failures = Failures::default();
    for kind in ODD.into_iter().chain(["long", "long and odd", "unreadable"]) {
        place(kind, &at);
        if let Some(byte) = [("long", b'a'), ("long and odd", 0xff), ("unreadable", b'\n')]
            .into_iter()
            .find_map(|(name, byte)| (name == kind).then_some(byte))
        {
            let _ = fs::remove_file(&at);
            let piece = [b"leak:".to_vec(), vec![byte; (1 << 20) - 5]].concat();
            let mut file = File::create(&at).expect("a file");
            (0..100).for_each(|_| file.write_all(&piece).expect("a piece"));
        }
        let path = at.display();
        let flag = format!("--suppressions={path}");
        let mut given = command(&["run", &flag, "--"]);
        given.arg(&program);
        let given = run(given, ALL_SPACE);
        failures.note(kind, &given, &[], None);
        let ran = run(preloaded(&program, &format!("{FEW}:suppressions={path}")), ALL_SPACE);
        failures.note(kind, &ran, &[], None);
    }
    failures.end();
}
