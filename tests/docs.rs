//! The commands of README.md and docs/ run as they are printed.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{MALLOCOP, finish, is_ready, scratch, victims};

/// Commands that other tests, or the gate itself, run.
const ELSEWHERE: [(&str, &str); 15] = [
    ("cargo run -- demo", ".ci/run"),
    ("cargo run -- run -- python3 -c 'print(1)'", ".ci/run"),
    ("cargo test --workspace", ".ci/run"),
    ("cargo install --path tools/cli", "takes minutes; the build itself is .ci/run's"),
    ("cargo mallocop test", "tests/cargo_mallocop.rs"),
    ("cargo +stable fuzz run -s none my_target", "tests/fuzzing.rs"),
    ("cargo +stable fuzz tmin -s none my_target", "tests/fuzzing.rs"),
    ("cargo +stable fuzz build -s none my_target", "tests/fuzzing.rs"),
    ("LD_PRELOAD=$(mallocop library) fuzz/target", "tests/fuzzing.rs"),
    ("clang++ -g -O1 -fsanitize=fuzzer-no-link", "tests/fuzzing.rs"),
    ("clang++ target.o", "tests/fuzzing.rs"),
    ("LD_PRELOAD=$(mallocop library) ./target corpus", "tests/fuzzing.rs"),
    ("AFL_PRELOAD=$(mallocop library) afl-fuzz", "tests/fuzzing.rs"),
    ("afl-clang-fast -g -O1 -I include target.c", "tests/fuzzing.rs"),
    ("mallocop sweep --every --max 1000", "tests/refused.rs"),
];
/// Commands that do not end with 0, and how they end.
const STATUSES: [(&str, i32); 4] = [
    ("mallocop demo overflow", 134),
    ("mallocop run -- python3 -X tracemalloc", 23),
    ("mallocop run -- python3 -c 'exec", 23),
    ("USE_ZEND_ALLOC=0 mallocop run -- php", 255),
];
/// Commands whose programs lose blocks by themselves, in some versions.
const MAY_LEAK: [&str; 4] =
    ["mallocop run -- make", "mallocop run -- rsync", "mallocop run -- python3", "PYTHONMALLOC"];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).expect("pages").flatten();
    pages.extend(docs.map(|entry| entry.path()).filter(|path| path.extension().is_some()));
    pages
}

/// The commands of a page, without what is said of them behind them.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page");
    let blocks = text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    lines.map(|line| line.split("  # ").next().unwrap_or(line).trim().to_owned()).collect()
}

/// A folder with what the pages speak of.
fn prepare() -> PathBuf {
    let folder = scratch().join("folder");
    for name in ["A", "B", "bin"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    for name in ["A/one", "A/two", "known.supp"] {
        fs::write(folder.join(name), "# nothing\n").expect("a file");
    }
    let program = folder.join("your-program.c");
    fs::copy(victims().join("careful.c"), program).expect("the program");
    let wild = fs::read_to_string(victims().join("../../docs/wild.md")).expect("a page");
    let script = wild.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    fs::write(folder.join("tls.py"), script.expect("a script")).expect("a script");
    let rules = "all test:\n\t./your-program\n";
    fs::write(folder.join("Makefile"), rules).expect("a Makefile");
    let link = folder.join("bin/mallocop");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(MALLOCOP, link).expect("a link");
    folder
}

#[test]
fn every_command_that_is_printed_runs() {
    let folder = prepare();
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", folder.join("bin").display());
    let shell = |command: &str| {
        let mut shell = Command::new("bash");
        finish(shell.args(["-c", command]).current_dir(&folder).env("PATH", &path))
    };
    assert_eq!(shell("cc -g -o your-program your-program.c").status, 0);
    let (mut ran, mut elsewhere) = (0, 0);
    for page in pages() {
        for command in commands(&page) {
            if ELSEWHERE.iter().any(|(known, _)| command.starts_with(known)) {
                elsewhere += 1;
                continue;
            }
            let tool =
                ["gdb", "rsync", "php", "tls.py"].into_iter().find(|tool| command.contains(tool));
            let needed = tool.map(|tool| if tool == "tls.py" { "openssl" } else { tool });
            if needed.is_some_and(|needed| !is_ready(needed, &[needed])) {
                continue;
            }
            let ended = shell(&command);
            let expected = STATUSES.iter().find(|(known, _)| command.starts_with(known));
            let expected = expected.map_or(0, |&(_, status)| status);
            let may_leak = MAY_LEAK.iter().any(|known| command.starts_with(known));
            assert!(
                ended.status == expected || may_leak && ended.status == 23,
                "{}: `{command}` ended with {}:\n{}{}",
                page.display(),
                ended.status,
                ended.stdout,
                ended.stderr
            );
            ran += 1;
        }
    }
    assert!(ran >= 20 && elsewhere >= ELSEWHERE.len(), "{ran} ran, {elsewhere} elsewhere");
}

/// Links between the pages lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or(link);
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let target = page.parent().expect("a folder").join(file);
            assert!(target.exists(), "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(&pages()[0]).expect("the README");
    assert!(readme.lines().count() <= 120);
}
