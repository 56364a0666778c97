//! Debug information that is damaged, hostile or no plain file: the command and the library name
//! what they can, and never panic, hang, take all memory or print without end.
//!
//! Every mutated file comes from a seed. A failure names it, keeps the file, and has the line that
//! runs it again.

mod harness;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::trials::{
    ALL_SPACE, FEW, Failures, HUGE, NUMBERS, ODD, Random, SPACE, command, folder, losing,
    overwrite, place, preloaded, recording, run, share, try_all,
};
use harness::{compile, finish, victims};

/// A section of an ELF file: where its header is, where its bytes are, how many.
struct Section {
    name: String,
    header: usize,
    address: u64,
    start: usize,
    size: usize,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))
}

fn sections(elf: &[u8]) -> Vec<Section> {
    let (table, count) = (word(elf, 0x28) as usize, word(elf, 0x38) >> 32 & 0xffff);
    let names = table + (word(elf, 0x38) >> 48) as usize * 64;
    let section = |number| {
        let header = table + number as usize * 64;
        let name = word(elf, names + 24) as usize + (word(elf, header) as u32) as usize;
        let name = elf[name..].split(|&byte| byte == 0).next().expect("a name");
        let name = String::from_utf8_lossy(name).into_owned();
        let [address, start, size] = [16, 24, 32].map(|at| word(elf, header + at));
        Section { name, header, address, start: start as usize, size: size as usize }
    };
    (0..count).map(section).collect()
}

/// Is a section one that names and lines come from?
fn is_read(section: &Section) -> bool {
    [".debug", ".symtab", ".strtab", ".shstrtab", ".eh_frame", ".note.gnu"]
        .iter()
        .any(|start| section.name.starts_with(start))
}

/// Addresses all over the code.
fn addresses(elf: &[u8]) -> Vec<u64> {
    let all = sections(elf);
    let text = all.iter().find(|section| section.name == ".text").expect("code");
    (0..24).map(|at| text.address + at * text.size as u64 / 24).collect()
}

/// What of a program's file may be damaged.
#[derive(Clone, Copy, PartialEq)]
enum Damage {
    All,
    AllButItsId,
    /// What is not loaded: the program still runs.
    Names,
}

/// Changes a program's file in some places.
fn damage(elf: &mut Vec<u8>, what: Damage, random: &mut Random) {
    let mut places = if what == Damage::Names { vec![] } else { vec![(0, 64), (64, 13 * 56)] };
    for section in sections(elf).iter().filter(|section| is_read(section)) {
        places.push((section.header, 64));
        let stays = match what {
            Damage::All => false,
            Damage::AllButItsId => section.name.starts_with(".note"),
            Damage::Names => section.address != 0,
        };
        if !stays {
            places.extend([(section.start, section.size); 3]);
        }
    }
    for _ in 0..=random.below(6) {
        let (start, size) = random.pick(&places);
        let at = start + random.below(size);
        let bytes = match random.below(5) {
            0 => vec![elf[at] ^ 1 << random.below(8)],
            1 => vec![random.next() as u8],
            2 => random.pick(&NUMBERS).to_le_bytes()[..random.pick(&[2, 4, 8])].to_vec(),
            3 => vec![random.pick(&[0xff, 0x80]); random.below(16)],
            _ => elf[start + random.below(size)..].iter().copied().take(random.below(40)).collect(),
        };
        overwrite(elf, at, &bytes);
    }
    if what != Damage::Names && random.below(20) == 0 {
        elf.truncate(random.below(elf.len()));
    }
}

/// A recording of one leak whose stack has these addresses of all programs.
fn recording_of(programs: &[PathBuf], id: &str, addresses: &[u64]) -> String {
    static REAL: OnceLock<String> = OnceLock::new();
    let real = REAL.get_or_init(|| recording(&losing("real", &[]), &[], "real"));
    let module =
        |path: &PathBuf| format!("{{\"path\":\"{}\",\"build_id\":\"{id}\"}}", path.display());
    let modules: Vec<String> = programs.iter().map(module).collect();
    let frames: Vec<String> = (0..programs.len())
        .flat_map(|at| addresses.iter().map(move |address| format!("[{at},{address},1]")))
        .collect();
    let places: Vec<String> = (0..frames.len()).map(|at| at.to_string()).collect();
    let stack = format!("{{\"frames\":[{}],\"ending\":\"Whole\"}}", places.join(","));
    let (head, _) = real.split_once("\"modules\":").expect("modules");
    let (_, tail) = real.split_once("\"processes\":").expect("processes");
    let (modules, frames) = (modules.join(","), frames.join(","));
    let lists = format!("\"modules\":[{modules}],\"frames\":[{frames}],\"stacks\":[{stack}]");
    format!("{head}{lists},\"processes\":{tail}")
}

fn report(programs: &[PathBuf], id: &str, addresses: &[u64], input: &Path) -> Command {
    fs::write(input, recording_of(programs, id, addresses)).expect("a recording");
    let mut command = command(&["report", "--json", "-"]);
    command.arg(input);
    command
}

/// A recording names many programs, so that one run of the command reads them all.
#[test]
fn mutated_debug_files_are_read_or_passed_over() {
    const MANY: usize = 20;
    let programs = [
        losing("dwarf5", &["-O2", "-Wl,--build-id=0xabcdef0123456789"]),
        losing("dwarf4", &["-gdwarf-4", "-Wl,--build-id=0xabcdef0123456789"]),
        losing("zlib", &["-gz=zlib", "-Wl,--build-id=0xabcdef0123456789"]),
        compile("names.cpp", "names", &["-O1", "-Wl,--build-id=0xabcdef0123456789"]),
    ];
    let input = folder("debug").join("input");
    let mut failures = Failures::default();
    for batch in 0..share(20) / MANY {
        let elf = fs::read(&programs[batch % 4]).expect("a program");
        let (id, what) = match batch % 3 {
            0 => ("", Damage::All),
            _ => ("abcdef0123456789", Damage::AllButItsId),
        };
        let files: Vec<PathBuf> = (batch * MANY..(batch + 1) * MANY)
            .map(|seed| {
                let (mut mutated, file) = (elf.clone(), folder("debug").join(format!("{seed}")));
                damage(&mut mutated, what, &mut Random::new(seed));
                fs::write(&file, mutated).expect("a program");
                file
            })
            .collect();
        let addresses = addresses(&elf);
        let outcome = run(report(&files, id, &addresses, &input), SPACE);
        if outcome.wrong(&[]).is_some() {
            failures.note(&format!("seeds from {}", batch * MANY), &outcome, &[], Some(&input));
            for file in &files {
                let alone = run(report(std::slice::from_ref(file), id, &addresses, &input), SPACE);
                failures.note(&format!("alone {}", file.display()), &alone, &[], None);
            }
        } else {
            assert_eq!(outcome.status, 0, "{}", outcome.text);
            files.iter().for_each(|file| fs::remove_file(file).expect("a file"));
        }
    }
    failures.end();
}

/// The file in a folder with this ending.
fn file_of(folder: &Path, ending: &str) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|it| it == ending)).expect("one")
}

#[test]
fn mutated_split_files_are_read_or_passed_over() {
    let program = losing("split", &["-gsplit-dwarf"]);
    let split = file_of(&folder("split"), "dwo");
    let (sound, elf) = (fs::read(&split).expect("a file"), fs::read(&program).expect("a program"));
    let recording = folder("split").join("recording");
    report(&[program], "", &addresses(&elf), &recording);
    try_all(3, "split", |random, input| {
        let mut bytes = sound.clone();
        damage(&mut bytes, Damage::All, random);
        fs::write(&split, &bytes).expect("a file");
        fs::write(input, &bytes).expect("a copy");
        let mut command = command(&["report"]);
        command.arg(&recording);
        (command, &[])
    });
}

/// The library in the program looks names up, too.
#[test]
fn mutated_programs_run_to_their_end() {
    let programs = [losing("mutated", &[]), losing("mutated-zlib", &["-gz=zlib"])];
    let sound = programs.map(|program| fs::read(program).expect("a program"));
    let mode = Permissions::from_mode(0o755);
    try_all(5, "programs", |random, input| {
        let mut elf = random.pick(&[&sound[0], &sound[1]]).clone();
        damage(&mut elf, Damage::Names, random);
        fs::write(input, &elf).expect("a program");
        fs::set_permissions(input, mode.clone()).expect("a mode");
        (preloaded(input, FEW), &[])
    });
}

/// Lets the command and the library name a program's code.
fn look_up(what: &str, program: &Path, addresses: &[u64], failures: &mut Failures) {
    let input = folder("named").join("input");
    let shown = run(report(&[program.to_owned()], "", addresses, &input), ALL_SPACE);
    failures.note(what, &shown, &[], Some(&input));
    let ran = run(preloaded(program, FEW), ALL_SPACE);
    failures.note(what, &ran, &[], None);
}

#[test]
fn odd_debug_files_hold_nothing_up() {
    let linked = losing("linked", &["-Wl,--build-id=none"]);
    let flags: [&[&str]; 2] = [
        &["--only-keep-debug", "program", "program.debug"],
        &["--strip-all", "--add-gnu-debuglink=program.debug", "program"],
    ];
    for flags in flags {
        let done = finish(Command::new("objcopy").args(flags).current_dir(folder("linked")));
        assert_eq!(done.status, 0, "{}", done.stderr);
    }
    let (split, packed) =
        (losing("odd-split", &["-gsplit-dwarf"]), losing("odd-packed", &["-gsplit-dwarf"]));
    let source = folder("sourced").join("leak.c");
    let _ = fs::remove_file(&source).or_else(|_| fs::remove_dir(&source));
    fs::copy(victims().join("leak.c"), &source).expect("a copy");
    let sourced = compile(&source.to_string_lossy(), "sourced/program", &[]);
    let mut failures = Failures::default();
    for (program, at) in [
        (linked, folder("linked").join("program.debug")),
        (split, file_of(&folder("odd-split"), "dwo")),
        (packed, folder("odd-packed").join("program.dwp")),
        (sourced, source),
    ] {
        let addresses = addresses(&fs::read(&program).expect("a program"));
        for kind in ODD {
            place(kind, &at);
            look_up(&format!("{kind} at {}", at.display()), &program, &addresses, &mut failures);
        }
    }
    failures.end();
}

#[test]
fn sections_that_claim_to_be_huge_take_no_memory() {
    let mut failures = Failures::default();
    let _ = fs::remove_dir_all(folder("huge"));
    for name in ["none", "zlib"] {
        let program = losing(&format!("sized-{name}"), &[&format!("-gz={name}")]);
        let elf = fs::read(&program).expect("a program");
        for section in sections(&elf).iter().filter(|section| is_read(section)) {
            let mut claiming = elf.clone();
            let mut size = elf.len() as u64;
            if word(&elf, section.header + 8) & 0x800 == 0 {
                // Its bytes are behind the file's, and none of them takes room.
                size = size.next_multiple_of(4096);
                overwrite(&mut claiming, section.header + 24, &size.to_le_bytes());
                overwrite(&mut claiming, section.header + 32, &HUGE.to_le_bytes());
                size += HUGE;
            } else {
                overwrite(&mut claiming, section.start + 8, &HUGE.to_le_bytes());
            }
            let path = folder("huge").join(format!("{name}{}", section.name));
            fs::write(&path, claiming).expect("a program");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a mode");
            let file = File::options().write(true).open(&path).expect("the program");
            file.set_len(size).expect("a length");
            drop(file);
            let what = format!("{name}{}", section.name);
            look_up(&what, &path, &addresses(&elf), &mut failures);
        }
    }
    failures.end();
}

#[test]
fn symbols_that_grow_are_shown_short() {
    // Each argument has the one before it twice.
    let doubling = |depth: usize| {
        let digits = &"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[..depth];
        let pairs: String = digits.chars().map(|digit| format!("S_IS{digit}_S{digit}_E")).collect();
        format!("_Z1f1AIiiE{pairs}")
    };
    let program = losing("growing", &["-g0"]);
    let mut failures = Failures::default();
    for (what, symbol) in [
        ("22 deep", doubling(22)),
        ("36 deep", doubling(36)),
        ("of pointers", format!("_Z1f{}i", "P".repeat(100_000))),
        ("of templates", format!("_Z1f{}i{}", "1AI".repeat(20_000), "E".repeat(20_000))),
        ("in Rust", "_RYFG_FGyyEvRYFF_EvRYFFEvERLB_B_B_ERLRjB_B_B_".to_owned()),
        ("plain", "x".repeat(120_000)),
    ] {
        let grown = folder("growing").join(what.replace(' ', "-"));
        let renames = format!("--redefine-sym=leak_direct={symbol}");
        let made = finish(Command::new("objcopy").arg(renames).arg(&program).arg(&grown));
        assert_eq!(made.status, 0, "{}", made.stderr);
        let addresses = addresses(&fs::read(&grown).expect("a program"));
        look_up(what, &grown, &addresses, &mut failures);
    }
    failures.end();
}
