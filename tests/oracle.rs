//! Every stack, every frame, equal to what libgcc's unwinder says: in programs that nobody here
//! wrote, and in small ones whose stacks are hard to walk. The library is built with the comparison
//! inside; the first difference ends a program by SIGABRT with both stacks on standard error.

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::{Ran, compile, finish, is_ready, scratch};

/// The library that compares.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = scratch().join("target");
        let profile = format!("library-{}", env!("MALLOCOP_LIBRARY_PROFILE"));
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "mallocop-preload", "--profile", &profile])
            .args(["--features", "oracle", "--target-dir"])
            .arg(&target)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .status()
            .expect("cargo");
        assert!(status.success(), "the library that compares does not build");
        target.join(profile).join("libmallocop.so")
    })
}

fn compared(command: &mut Command) -> Ran {
    let ran = finish(
        command.env("LD_PRELOAD", library()).env("MALLOCOP_OPTIONS", "detect_leaks=0:quiet=1"),
    );
    if ran.stderr.contains("stacks differ") {
        let start = ran.stderr.find("oracle: stacks differ").unwrap_or(0);
        let text = ran.stderr.get(start..).unwrap_or("");
        panic!("{command:?}\n{}", text.get(..text.len().min(8000)).unwrap_or(text));
    }
    assert_eq!(ran.status, 0, "{command:?}\n{}", ran.stderr);
    assert!(!ran.has_report(), "{command:?}\n{}", ran.stderr);
    ran
}

/// Numbers of stacks and of those without an end, over all processes that ran.
fn counts(ran: &Ran) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in ran.stderr.lines().filter_map(|line| line.split("oracle: ").nth(1)) {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let [stacks, _frames, _by_rule, _guesses, lost] = numbers[..] {
            sum = (sum.0 + stacks, sum.1 + lost);
        }
    }
    sum
}

/// Runs it; at least so many stacks must have been compared.
fn check(command: &mut Command, least: u64) -> Ran {
    let ran = compared(command);
    let (stacks, lost) = counts(&ran);
    assert!(stacks >= least, "{command:?}: only {stacks} stacks\n{}", ran.stderr);
    // libgcc has no more of these either, but there are few places without unwind information.
    assert!(lost * 1000 <= stacks, "{command:?}: {lost} of {stacks} stacks have no end");
    ran
}

fn victim(name: &str, flags: &[&str]) -> Command {
    let output = format!("oracle_{name}").replace('.', "_");
    let mut all = vec!["-O2", "-fomit-frame-pointer"];
    all.extend(flags);
    Command::new(compile(name, &output, &all))
}

const PYTHON_WORK: &str = r#"
import bz2, concurrent.futures, copy, ctypes, decimal, json, lzma, pickle, re, sqlite3, ssl
def work(n):
    data = {str(i): [i, i * 2.5, "x" * (i % 50)] for i in range(n)}
    assert json.loads(json.dumps(data)) == copy.deepcopy(data) == pickle.loads(pickle.dumps(data))
    return len(re.findall("x{3,}", json.dumps(data)))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(work, range(130))))
base = sqlite3.connect(":memory:")
base.execute("create table t(a, b)")
base.executemany("insert into t values (?, ?)", ((i, str(i)) for i in range(2000)))
print(base.execute("select count(*), max(b) from t").fetchone(), decimal.Decimal(2).sqrt())
print(len(lzma.compress(b"abc" * 10000)), len(bz2.compress(b"abc" * 10000)))
"#;

#[test]
fn python_with_its_modules_and_threads() {
    if is_ready("python", &["python3"]) {
        let mut python = Command::new("python3");
        python.args(["-c", PYTHON_WORK]).env("PYTHONMALLOC", "malloc");
        check(&mut python, 1_000_000);
    }
}

#[test]
fn compilers() {
    let source = scratch().join("oracle.cpp");
    let text = "#include <iostream>\n#include <map>\n#include <string>\nint main() {\n\
        std::map<std::string, int> m{{\"a\", 1}}; std::cout << m[\"a\"] << std::endl; }\n";
    std::fs::write(&source, text).expect("a scratch file");
    let mut compiler = Command::new("g++");
    compiler.args(["-O1", "-c", "-o", "/dev/null"]).arg(&source);
    check(&mut compiler, 400_000);
    // cc1, too: a file of many functions.
    let source = scratch().join("oracle.c");
    let function = |n: u32| {
        format!(
            "int f{n}(int *p, int n) {{ int r = {n}; for (int k = 0; k < n; k++) \
             r += p[k % {}] * (r >> {}); return r; }}\n",
            n % 17 + 1,
            n % 5 + 1
        )
    };
    std::fs::write(&source, (0..200).map(function).collect::<String>()).expect("a scratch file");
    let mut compiler = Command::new("gcc");
    compiler.args(["-O1", "-c", "-o", "/dev/null"]).arg(&source);
    check(&mut compiler, 300_000);
}

#[test]
fn exceptions_in_threads() {
    check(&mut victim("stack_exceptions.cpp", &[]), 300_000);
}

#[test]
fn handlers_on_alternative_stacks() {
    let ran = check(&mut victim("stack_signals.c", &[]), 100_000);
    assert!(ran.stdout.contains("handled often"), "{}", ran.stdout);
}

/// A resolver that the loader calls when a symbol is bound allocates: under it is the loader's
/// trampoline, whose frame goes by rbx, and a function of the loader's has put that away.
#[test]
fn allocations_while_a_symbol_is_bound() {
    let library = compile("stack_lazy_lib.c", "libstack_lazy.so", &["-O2", "-shared", "-fPIC"]);
    let folder = library.parent().expect("a folder").display().to_string();
    let flags =
        ["-Wl,-z,lazy", &format!("-L{folder}"), "-lstack_lazy", &format!("-Wl,-rpath,{folder}")];
    let ran = check(&mut victim("stack_lazy.c", &flags), 2000);
    assert_eq!((counts(&ran).1, ran.stdout.trim()), (0, "42"), "{}", ran.stderr);
}

#[test]
fn coroutines() {
    check(&mut victim("stack_coroutines.c", &[]), 500_000);
}

#[test]
fn ten_thousand_calls_deep() {
    check(&mut victim("stack_recursion.c", &[]), 40_000);
}

#[test]
fn frames_of_all_shapes() {
    check(&mut victim("stack_shapes.c", &[]), 1_000_000);
}

#[test]
fn two_libraries_at_one_address() {
    let library = |frame: u32| {
        let size = format!("-DFRAME={frame}");
        compile("stack_reload_lib.S", &format!("reload_{frame}.so"), &["-shared", &size])
    };
    let mut reload = victim("stack_reload.c", &[]);
    let ran = check(reload.args([library(24), library(104)]), 4_000);
    assert!(ran.stdout.contains("mostly at the same address"), "{}", ran.stdout);
}

/// Code made at run time has no unwind information: libgcc stops there, and so do we, or guess.
#[test]
fn code_made_at_run_time() {
    if is_ready("node", &["node"]) {
        let work = "const m = new Map(); for (let i = 0; i < 3000; i++) m.set('k' + i, {i});\
            console.log(JSON.stringify([...m.keys()]).length);";
        let (stacks, _) = counts(&compared(Command::new("node").args(["-e", work])));
        assert!(stacks > 100_000, "only {stacks} stacks");
    }
}
