//! Fuzz campaigns without a sanitizer: libFuzzer with C and with cargo-fuzz, AFL++. Each planted
//! error is found, saved, and found again from what was saved; what grows and is not lost is not
//! reported.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::{MALLOCOP, Ran, finish, is_ready, scratch, victims};

/// Word that an input starts with, kind of the artifact, what is said.
const ERRORS: [(&str, &str, &str); 3] = [
    ("LK", "leak-", "Direct leak of 33 byte(s) in 1 object(s) allocated from:"),
    ("OV", "crash-", "heap-buffer-overflow: memory clobbered past end of a"),
    ("DF", "crash-", "free(): double free detected:"),
];

/// Path of the library, as `mallocop library` prints it.
fn library() -> String {
    finish(Command::new(MALLOCOP).arg("library")).stdout.trim().to_owned()
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let path = scratch().join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder");
    path
}

/// The one file in a folder whose name starts so.
fn saved(folder: &Path, start: &str) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path());
    let is_it = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(start))
    };
    let found: Vec<_> = files.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{start}* in {}: {found:?}", folder.display());
    found.into_iter().next().expect("one")
}

/// clang's libFuzzer without its main's sanitizer: what -fsanitize=fuzzer links besides has hooks
/// of its own.
fn fuzz_c() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (object, program) = (scratch().join("fuzz_c.o"), scratch().join("fuzz_c"));
        let mut compile = Command::new("clang++");
        compile.current_dir(victims()).args(["-g", "-O1", "-fsanitize=fuzzer-no-link", "-c"]);
        let compiled = finish(compile.arg("fuzz_c.cpp").arg("-o").arg(&object));
        assert_eq!(compiled.status, 0, "{}", compiled.stderr);
        let archive =
            finish(Command::new("clang++").arg("-print-file-name=libclang_rt.fuzzer-x86_64.a"));
        let mut archive = archive.stdout.trim().to_owned();
        if !archive.starts_with('/') {
            let runtime = finish(Command::new("clang++").arg("-print-runtime-dir")).stdout;
            archive = format!("{}/libclang_rt.fuzzer-x86_64.a", runtime.trim());
        }
        let mut link = Command::new("clang++");
        let linked =
            finish(link.arg(&object).arg(archive).args(["-lpthread", "-lm", "-o"]).arg(&program));
        assert_eq!(linked.status, 0, "{}", linked.stderr);
        program
    })
}

/// What the errors wait for.
fn words() -> PathBuf {
    victims().join("fuzz_words.dict")
}

fn watched(program: &Path, defect: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DEFECT", defect);
    command.env("LD_PRELOAD", library()).env("MALLOCOP_OPTIONS", "quiet=1").env("NO_COLOR", "1");
    command
}

/// Fuzzes from an input that is one byte away from the planted one.
fn fuzz(program: &Path, word: &str, runs: &str) -> (Ran, PathBuf) {
    let (corpus, found) = (folder(&format!("corpus-{word}")), folder(&format!("found-{word}")));
    fs::write(corpus.join("seed"), &word[..1]).expect("a seed");
    let prefix = format!("-artifact_prefix={}/", found.display());
    let dictionary = format!("-dict={}", words().display());
    let mut command = watched(program, word);
    (finish(command.arg(corpus).args([runs, "-seed=1", &prefix, &dictionary])), found)
}

#[test]
fn libfuzzer_finds_what_a_c_target_does_wrong() {
    if !is_ready("libFuzzer", &["clang++"]) {
        return;
    }
    for (word, kind, text) in ERRORS {
        let (ran, found) = fuzz(fuzz_c(), word, "-runs=400000");
        assert!(ran.stderr.contains(text), "{word}: {}", ran.stderr);
        assert!(ran.stderr.contains("LLVMFuzzerTestOneInput"), "{word}: {}", ran.stderr);
        let token = ran.stderr.lines().find(|line| line.starts_with("DEDUP_TOKEN: "));
        assert!(token.is_some_and(|token| token.contains("--")), "{word}: {}", ran.stderr);
        let artifact = saved(&found, kind);
        assert!(fs::read(&artifact).expect("saved").starts_with(word.as_bytes()), "{word}");
        let again = finish(watched(fuzz_c(), word).arg(&artifact));
        assert!(again.stderr.contains(text) && again.status != 0, "{word}: {}", again.stderr);
    }
}

#[test]
fn a_target_whose_cache_grows_is_asked_again_and_again() {
    if !is_ready("libFuzzer", &["clang++"]) {
        return;
    }
    // Each input grows it; libFuzzer gives up after 1000 of them where that looks like a leak.
    let corpus = folder("growing");
    let ran =
        finish(watched(fuzz_c(), "").arg(corpus).args(["-runs=5000", "-seed=1", "-only_ascii=1"]));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("Done 5000 runs"), "{}", ran.stderr);
    for text in ["disabled leak detection", "ERROR", "to ignore leaks"] {
        assert!(!ran.stderr.contains(text), "{}", ran.stderr);
    }
}

/// They hear of each block from then on, also of those of threads that had their short way already.
#[test]
fn hooks_that_are_installed_while_threads_run_hear_of_all_blocks() {
    let program = harness::compile("hooks_late.c", "hooks_late", &["-pthread"]);
    for options in ["quiet=1", "quiet=1:checks=none", "quiet=1:malloc_context_size=0"] {
        let ran = finish(watched(&program, "").env("MALLOCOP_OPTIONS", options));
        let said = (ran.status, ran.stdout.as_str());
        assert_eq!(said, (0, "20000 allocated, all freed\n"), "{options}: {}", ran.stderr);
    }
}

/// The verdict on an input is the same alone and among others, in any order. Blocks of a fixed size
/// are guarded with some inputs, too.
#[test]
fn the_same_input_has_the_same_verdict() {
    if !is_ready("libFuzzer", &["clang++"]) {
        return;
    }
    ["RD", "RF"].into_iter().for_each(verdicts_are_the_same);
}

fn verdicts_are_the_same(word: &str) {
    let (inputs, program) = (folder(&format!("guarded_{word}")), fuzz_c());
    let all: Vec<PathBuf> = (1..=300).map(|at| inputs.join(format!("{at:03}"))).collect();
    for (length, path) in (1..).zip(&all) {
        fs::write(path, format!("{word}{}", "x".repeat(length))).expect("an input");
    }
    let found = |text: &str| text.contains(": read of 1 byte at ");
    let alone = all.iter().map(|path| found(&finish(watched(program, word).arg(path)).stderr));
    let alone: Vec<bool> = alone.collect();
    let count = alone.iter().filter(|found| **found).count();
    assert!((1..60).contains(&count), "{word}: {count} of 300 inputs");
    // Backwards, in one process.
    let mut campaign = watched(program, word);
    campaign.env("MALLOCOP_OPTIONS", "quiet=1:halt_on_error=0").args(all.iter().rev());
    let ran = finish(&mut campaign);
    for (path, told) in all.iter().zip(alone) {
        let (_, behind) =
            ran.stderr.split_once(&format!("Running: {}\n", path.display())).expect("it was run");
        let until = behind.split("Running: ").next().expect("a part");
        assert_eq!(found(until), told, "{}", path.display());
    }
}

#[test]
fn libfuzzer_limits_and_traces_allocations() {
    if !is_ready("libFuzzer", &["clang++"]) {
        return;
    }
    let input = folder("limit").join("input");
    fs::write(&input, "MB").expect("an input");
    let limit = finish(watched(fuzz_c(), "MB").arg(&input).arg("-malloc_limit_mb=100"));
    assert!(
        limit.stderr.contains("libFuzzer: out-of-memory (malloc(209715200))"),
        "{}",
        limit.stderr
    );
    assert!(limit.stderr.contains("LLVMFuzzerTestOneInput"), "{}", limit.stderr);
    assert_ne!(limit.status, 0);
    let trace = finish(watched(fuzz_c(), "MB").arg(&input).arg("-trace_malloc=2"));
    assert!(trace.stderr.contains("MALLOC["), "{}", trace.stderr);
    assert!(trace.stderr.contains("/fuzz_c.cpp:"), "{}", trace.stderr);
    assert!(trace.stderr.contains("FREE["), "{}", trace.stderr);
    assert!(!trace.stderr.contains("mallocop::"), "{}", trace.stderr);
}

/// cargo-fuzz on stable, with the crate in the target.
fn cargo_fuzz(words: &[&str], defect: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.arg("fuzz").args(words).current_dir(victims().join("fuzz_target"));
    for variable in ["CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUST_BACKTRACE"]
    {
        command.env_remove(variable);
    }
    command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1").env("DEFECT", defect);
    command.env("CARGO_TARGET_DIR", scratch().join("target"));
    command
}

const FUZZ: [&str; 4] = ["-s", "none", "--fuzz-dir", "."];

#[test]
fn cargo_fuzz_on_stable_finds_saves_repeats_and_minimizes() {
    if !is_ready("cargo-fuzz", &["cargo-fuzz", "c++"]) {
        return;
    }
    // The first build compiles 44 packages: on a busy machine that is longer than a run may take.
    let built = cargo_fuzz(&["build"], "").args(FUZZ).output().expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for (word, kind, text) in ERRORS {
        let (corpus, found) =
            (folder(&format!("rust-{word}")), folder(&format!("rust-found-{word}")));
        fs::write(corpus.join("seed"), format!("{}?", &word[..1])).expect("a seed");
        let (corpus, prefix) =
            (corpus.display().to_string(), format!("-artifact_prefix={}/", found.display()));
        let dictionary = format!("-dict={}", words().display());
        let words = [
            &["run"][..],
            &FUZZ,
            &["defects", &corpus, "--", "-runs=60000", "-seed=2", &prefix, &dictionary],
        ];
        let ran = finish(&mut cargo_fuzz(&words.concat(), word));
        assert!(ran.stderr.contains(text), "{word}: {}", ran.stderr);
        let artifact = saved(&found, kind).display().to_string();
        let words = [&["run"][..], &FUZZ, &["defects", &artifact]];
        let again = finish(&mut cargo_fuzz(&words.concat(), word));
        assert!(again.stderr.contains(text) && again.status != 0, "{word}: {}", again.stderr);
        // As large as inputs mostly are that a fuzzer has found.
        let large = found.join("large");
        fs::write(&large, format!("{word} and much behind it")).expect("an input");
        let large = large.display().to_string();
        let words = [&["tmin"][..], &FUZZ, &["--runs", "400", "defects", &large]];
        let small = finish(&mut cargo_fuzz(&words.concat(), word));
        assert_eq!(small.status, 0, "{word}: {}", small.stderr);
        assert!(small.stderr.contains("minimized-from-"), "{word}: {}", small.stderr);
    }
    let _ = fs::remove_dir_all(victims().join("fuzz_target/artifacts"));
    let _ = fs::remove_dir_all(victims().join("fuzz_target/corpus"));
    let program = scratch().join("target/x86_64-unknown-linux-gnu/release/defects");
    for function in ["site_of_call", "allocate_hooked", "free_hooked", "evict_oldest"] {
        let symbol = format!("__sanitizer_mallocop_{function}");
        let ran =
            finish(Command::new("objdump").arg(format!("--disassemble={symbol}")).arg(&program));
        assert!(ran.stdout.contains(&format!("<{symbol}>:")), "{symbol} is not there");
        assert!(!ran.stdout.contains("__sanitizer_cov"), "{symbol} is part of the coverage");
    }
}

/// The target for AFL++.
fn afl_target(name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let program = scratch().join(name);
    let mut compile = Command::new("afl-clang-fast");
    compile.current_dir(victims()).env("AFL_QUIET", "1").args(["-g", "-O1", "-I../../include"]);
    let ran = finish(compile.args(flags).arg(source).arg("-o").arg(&program));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    program
}

/// Fuzzes for some seconds, from inputs that are one byte away from the planted ones. What was
/// saved.
fn fuzz_by_afl(program: &Path, name: &str, variables: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let (inputs, found) = (folder(&format!("{name}-in")), scratch().join(format!("{name}-out")));
    let _ = fs::remove_dir_all(&found);
    for word in ["O?", "D?", "L?"] {
        fs::write(inputs.join(&word[..1]), word).expect("an input");
    }
    let mut command = Command::new("afl-fuzz");
    command
        .arg("-x")
        .arg(words())
        .args(["-V", "12", "-t", "1000", "-i"])
        .arg(inputs)
        .arg("-o")
        .arg(&found)
        .arg("--")
        .arg(program);
    command.env("AFL_PRELOAD", library()).env_remove("MALLOCOP_OPTIONS");
    command.envs(variables.iter().copied());
    for variable in [
        "AFL_NO_UI",
        "AFL_NO_AFFINITY",
        "AFL_SKIP_CPUFREQ",
        "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES",
        "AFL_IGNORE_SEED_PROBLEMS",
    ] {
        command.env(variable, "1");
    }
    let ran = finish(&mut command);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let crashes = fs::read_dir(found.join("default/crashes")).expect("crashes").flatten();
    let inputs = crashes.filter(|file| file.file_name().to_string_lossy().starts_with("id:"));
    inputs.map(|file| fs::read(file.path()).expect("an input")).collect()
}

fn starts(all: &[Vec<u8>], word: &str) -> bool {
    all.iter().any(|input| input.starts_with(word.as_bytes()))
}

#[test]
fn afl_saves_heap_errors_as_crashes() {
    if !is_ready("AFL++", &["afl-fuzz", "afl-clang-fast"]) {
        return;
    }
    let found = fuzz_by_afl(&afl_target("afl_forks", "fuzz_afl.c", &[]), "afl_forks", &[]);
    assert!(starts(&found, "OV") && starts(&found, "DF"), "{found:?}");
    // Leaks are nobody's business without the macro.
    assert!(!starts(&found, "LK"), "{found:?}");
}

/// In fork mode each input is a process, whose end is looked at.
#[test]
fn afl_saves_leaks_in_fork_mode_where_that_is_asked_for() {
    if !is_ready("AFL++", &["afl-fuzz", "afl-clang-fast"]) {
        return;
    }
    let target = afl_target("afl_forks_leaks", "fuzz_afl.c", &[]);
    let found = fuzz_by_afl(&target, "afl_forks_leaks", &[("MALLOCOP_OPTIONS", "detect_leaks=1")]);
    for word in ["OV", "DF", "LK"] {
        assert!(starts(&found, word), "{word}: {found:?}");
    }
}

#[test]
fn afl_saves_leaks_in_persistent_mode() {
    if !is_ready("AFL++", &["afl-fuzz", "afl-clang-fast"]) {
        return;
    }
    let target = afl_target("afl_persistent", "fuzz_afl.c", &["-DPERSISTENT"]);
    let found = fuzz_by_afl(&target, "afl_persistent", &[]);
    for word in ["OV", "DF", "LK"] {
        assert!(starts(&found, word), "{word}: {found:?}");
    }
}

#[test]
fn the_example_in_the_documentation_finds_its_leak() {
    if !is_ready("AFL++", &["afl-fuzz", "afl-clang-fast"]) {
        return;
    }
    let text = fs::read_to_string(victims().join("../../docs/fuzzing.md")).expect("the document");
    let example = text.split("```c\n").nth(1).and_then(|rest| rest.split("```").next());
    let source = scratch().join("documented.c");
    fs::write(&source, example.expect("the example")).expect("a file");
    let target = afl_target("afl_documented", &source.display().to_string(), &[]);
    assert!(starts(&fuzz_by_afl(&target, "afl_documented", &[]), "LK"));
}

#[test]
fn memory_is_limited_as_by_libdislocator() {
    let program = harness::compile("refused.c", "limited", &[]);
    let run = |variables: &[(&str, &str)]| {
        let mut command = watched(&program, "");
        finish(command.envs(variables.iter().copied()))
    };
    assert_eq!(run(&[("AFL_LD_LIMIT_MB", "1")]).status, 0);
    let none = run(&[("AFL_LD_LIMIT_MB", "0")]);
    assert_eq!(none.status, 0, "0 sets no limit: {}", none.stderr);
    let large = harness::compile("limited.c", "limited_large", &[]);
    let mut command = watched(&large, "");
    let refused = finish(command.env("AFL_LD_LIMIT_MB", "1"));
    assert_eq!((refused.status, refused.stdout.as_str()), (0, "refused\n"), "{}", refused.stderr);
    let mut command = watched(&large, "");
    let ended = finish(command.env("AFL_LD_LIMIT_MB", "1").env("AFL_LD_HARD_FAIL", "1"));
    assert_eq!(ended.status, 134, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("more memory is wanted than AFL_LD_LIMIT_MB allows"),
        "{}",
        ended.stderr
    );
}

/// A test's program of the root package, built already where the whole workspace is tested.
fn own_test(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let root = victims().join("../..");
    cargo.args(["test", "--package", "mallocop", "--no-run", "--test", name]).current_dir(&root);
    let ran = finish(cargo.env_remove("RUSTFLAGS"));
    let path = ran.stderr.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let (path, _) = path.unwrap_or_else(|| panic!("{}", ran.stderr));
    root.join(path)
}

/// The bodies of the project's own targets: what is linked to the crate runs under the library,
/// too.
#[test]
fn the_projects_own_targets_run_under_it() {
    let some = ["arena_ops", "options", "record_ops", "recording", "suppressions"];
    for (name, bodies) in [("fuzz_checked", &[][..]), ("fuzz_bare", &[]), ("fuzz_scripts", &some)] {
        let mut command = Command::new(MALLOCOP);
        command.args(["run", "--quiet", "--"]).arg(own_test(name)).args(bodies);
        let ran = finish(command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1"));
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{name}: {}", ran.stdout);
        assert!(ran.stdout.contains("test result: ok. "), "{name}: {}", ran.stdout);
    }
}
