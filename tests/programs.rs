//! Programs that nobody here wrote: no report, the same output and status as without us, and proof
//! that the checker was there. Locally what is not installed is skipped with a line; in CI (`CI` is
//! set) everything is there, and the number of programs is asserted.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{MALLOCOP, Ran, finish, is_ready, scratch};

const BARE: &[&str] = &["--malloc-context-size=0", "--max-sites=3"];
const FULL: &[&str] = &["--malloc-context-size=256", "--max-sites=3"];

const PYTHON_WORK: &str = r#"
import json, re, subprocess, threading
data = {str(i): [i, i * 2.5, "x" * (i % 50)] for i in range(3000)}
text = json.dumps(data)
assert json.loads(text) == data
found = re.findall(r"x{3,}", text)
results = []
def work(n):
    results.append(sum(len(str(i)) for i in range(n)))
threads = [threading.Thread(target=work, args=(5000 + i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
child = subprocess.run(["echo", "from a child"], capture_output=True, text=True)
print(len(text), len(found), sorted(results), child.stdout.strip())
"#;

const PERL_WORK: &str = r#"
my %h; for my $i (1..20000) { $h{"key$i"} = [$i, "v" x ($i % 40)]; }
my $n = grep { /7$/ } keys %h; my $s = join ",", sort { $a <=> $b } map { $_->[0] } values %h;
print "$n ", length($s), "\n"; print scalar(split /,/, $s), "\n";
"#;

const SQL_WORK: &str = "create table t(a integer, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<300000)
insert into t select x, 'row ' || x from c;
create index i on t(b); select count(*), sum(a), max(b) from t; delete from t where a % 3 = 0;
select count(*) from t;";

const NODE_WORK: &str = "const m = new Map(); for (let i = 0; i < 200000; i++) m.set('k' + i, {i});
let s = 0; for (const v of m.values()) s += v.i;
console.log(s, JSON.stringify([...m.keys()]).length);
require('fs').readFile('/etc/passwd', () => console.log('read'));
setTimeout(() => console.log('later'), 20);";

const JAVA_SOURCE: &str = "import java.util.*;
public class Small { public static void main(String[] a) throws Exception {
  Map<Integer,String> m = new HashMap<>(); for (int i = 0; i < 100000; i++) m.put(i, \"v\" + i);
  Thread t = new Thread(() -> System.out.println(m.size())); t.start(); t.join();
  System.out.println(m.values().stream().mapToInt(String::length).sum()); } }";

const C_SOURCE: &str = "#include <stdio.h>\nint main(void) { puts(\"built\"); return 0; }\n";
const CPP_SOURCE: &str = "#include <iostream>\n#include <map>\n#include <string>\n\
    int main() { std::map<std::string, int> m{{\"a\", 1}}; std::cout << m[\"a\"] << std::endl; }\n";

/// A program, or several in a row, that are run with and without us.
struct Case {
    name: &'static str,
    /// What has to be installed.
    needs: &'static [&'static str],
    /// Makes the folder in which it runs ready, without us.
    prepare: fn(&Path),
    commands: Vec<Vec<String>>,
    environment: &'static [(&'static str, &'static str)],
    /// With full stacks as well?
    with_stacks: bool,
    /// Does one of them lose blocks, as docs/leaks.md shows? Not a single one may be reported of
    /// the others.
    leaks: bool,
    /// Is it a process in a sandbox that does, from which the command hears nothing?
    is_sandboxed: bool,
}

impl Case {
    fn new(name: &'static str, needs: &'static [&'static str], commands: &[&[&str]]) -> Self {
        let owned = |words: &&[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let commands = commands.iter().map(owned).collect();
        Self {
            name,
            needs,
            prepare: |_| {},
            commands,
            environment: &[],
            with_stacks: false,
            leaks: false,
            is_sandboxed: false,
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            with_stacks: true,
            ..Case::new("python", &["python3"], &[&["python3", "-c", PYTHON_WORK]])
        },
        Case {
            environment: &[("PYTHONMALLOC", "malloc")],
            with_stacks: true,
            ..Case::new("python-malloc", &["python3"], &[&["python3", "-c", PYTHON_WORK]])
        },
        Case { leaks: true, ..Case::new("perl", &["perl"], &[&["perl", "-e", PERL_WORK]]) },
        Case {
            prepare: prepare_git,
            with_stacks: true,
            ..Case::new(
                "git",
                &["git"],
                &[
                    &["git", "log", "--stat"],
                    &["git", "status", "--short"],
                    &["git", "gc", "--quiet"],
                    &["git", "fsck", "--full"],
                ],
            )
        },
        Case {
            prepare: prepare_sources,
            with_stacks: true,
            leaks: true,
            ..Case::new(
                "gcc",
                &["gcc", "g++"],
                &[
                    &["gcc", "-O2", "-o", "c-program", "program.c"],
                    &["./c-program"],
                    &["g++", "-O1", "-o", "cpp-program", "program.cpp"],
                    &["./cpp-program"],
                ],
            )
        },
        Case::new("sqlite3", &["sqlite3"], &[&["sqlite3", ":memory:", SQL_WORK]]),
        Case {
            leaks: true,
            ..Case::new(
                "bash",
                &["bash"],
                &[
                    &[
                        "bash",
                        "-c",
                        "for i in {1..300}; do echo line $i; done | sort -r | uniq | wc -l",
                    ],
                    &[
                        "bash",
                        "-c",
                        "ls /usr/bin | grep -v x | head -50 | tr a-z A-Z | md5sum; (exit 3)",
                    ],
                ],
            )
        },
        Case {
            prepare: prepare_tree,
            ..Case::new(
                "tar-xz",
                &["tar", "xz"],
                &[
                    &["tar", "--sort=name", "--mtime=@0", "-cJf", "a.tar.xz", "files"],
                    &["tar", "-tf", "a.tar.xz"],
                    &["xz", "-dkc", "a.tar.xz"],
                ],
            )
        },
        Case::new("node", &["node"], &[&["node", "-e", NODE_WORK]]),
        Case {
            prepare: |folder| write(folder, "Small.java", JAVA_SOURCE),
            leaks: true,
            ..Case::new(
                "java",
                &["javac", "java"],
                &[&["javac", "Small.java"], &["java", "-cp", ".", "Small"]],
            )
        },
        Case {
            prepare: prepare_crate,
            leaks: true,
            environment: &[("CARGO_TARGET_DIR", "built")],
            ..Case::new(
                "cargo",
                &["cargo"],
                &[&["cargo", "build", "--offline", "--quiet"], &["./built/debug/small"]],
            )
        },
        Case {
            leaks: true,
            is_sandboxed: true,
            environment: &[("MANWIDTH", "80"), ("MANPAGER", "cat")],
            ..Case::new("man", &["man"], &[&["man", "man"]])
        },
    ]
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a writable folder");
}

fn prepare_git(folder: &Path) {
    for round in 0..12 {
        write(folder, &format!("file{}", round % 5), &"a line\n".repeat(round * 30));
        let script =
            "git init -q . && git add -A && git -c user.name=a -c user.email=a@b.c commit -qm next";
        let status = Command::new("sh")
            .args(["-c", script])
            .env("GIT_AUTHOR_DATE", "2024-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2024-01-01T00:00:00Z")
            .current_dir(folder)
            .status();
        assert!(status.expect("git").success());
    }
    write(folder, "untracked", "x");
}

fn prepare_sources(folder: &Path) {
    write(folder, "program.c", C_SOURCE);
    write(folder, "program.cpp", CPP_SOURCE);
}

fn prepare_tree(folder: &Path) {
    for file in 0..200 {
        write(folder, &format!("files/{file}"), &format!("{file} ").repeat(file * 20));
    }
}

fn prepare_crate(folder: &Path) {
    write(folder, "Cargo.toml", "[package]\nname = \"small\"\nedition = \"2021\"\n[workspace]\n");
    write(
        folder,
        "src/main.rs",
        "fn main() { println!(\"{}\", [1, 2, 3].iter().sum::<i32>()); }\n",
    );
}

/// A fresh folder, made ready.
fn folder_for(case: &Case, run: &str) -> PathBuf {
    let folder = scratch().join(case.name).join(run);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    (case.prepare)(&folder);
    folder
}

fn run_all(case: &Case, run: &str, flags: Option<&[&str]>) -> Vec<Ran> {
    let folder = folder_for(case, run);
    let run_one = |words: &Vec<String>| {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = match flags {
            Some(flags) => harness::watched(flags, program),
            None => Command::new(program),
        };
        command.args(arguments).current_dir(&folder).envs(case.environment.iter().copied());
        // What cargo has set for this test is no business of a cargo under test.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_") && !case.environment.iter().any(|(set, _)| *set == name) {
                command.env_remove(&name);
            }
        }
        finish(&mut command)
    };
    case.commands.iter().map(run_one).collect()
}

fn check(case: &Case) {
    let alone = run_all(case, "alone", None);
    let runs: &[(&str, &[&str])] =
        if case.with_stacks { &[("bare", BARE), ("full", FULL)] } else { &[("bare", BARE)] };
    for (run, flags) in runs {
        let started = Instant::now();
        let watched = run_all(case, run, Some(flags));
        for ((alone, ran), words) in alone.iter().zip(&watched).zip(&case.commands) {
            let what = format!("{} {run}: {:?}", case.name, words.get(..2));
            let loses = case.leaks && ran.stderr.contains("ERROR: mallocop: detected memory leaks");
            assert!(loses || !ran.has_report(), "{what} is reported:\n{}", ran.stderr);
            assert!(ran.has_only_leaks(), "{what} is reported:\n{}", ran.stderr);
            let gives_23 = loses && !case.is_sandboxed && alone.status == 0;
            let status = if gives_23 { 23 } else { alone.status };
            assert_eq!(ran.status, status, "{what}:\n{}", ran.stderr);
            assert!(ran.stdout == alone.stdout, "{what} prints something else:\n{}", ran.stdout);
            assert!(ran.allocations() > 0, "{what}: the checker was not there:\n{}", ran.stderr);
        }
        println!("ran: {} {run} in {:.1?}", case.name, started.elapsed());
    }
}

#[test]
fn programs_run_as_without_us() {
    let mut ran = 0;
    for case in cases().iter().filter(|case| is_ready(case.name, case.needs)) {
        check(case);
        ran += 1;
    }
    println!("{ran} programs ran");
    if std::env::var_os("CI").is_some() {
        assert_eq!(ran, 12);
    }
    assert!(ran > 0);
}

/// redis-server under load from redis-benchmark, ended by its own SHUTDOWN.
#[test]
fn redis_serves_a_benchmark() {
    if !is_ready("redis", &["redis-server", "redis-benchmark", "redis-cli"]) {
        return;
    }
    let port = "17379";
    let mut server = Command::new(MALLOCOP);
    server
        .arg("run")
        .args(BARE)
        .args(["--", "redis-server", "--port", port, "--save", "", "--appendonly", "no"])
        .current_dir(scratch());
    let server = std::thread::spawn(move || finish(&mut server));
    let client = |program: &str, arguments: &[&str]| {
        finish(Command::new(program).args(["-h", "127.0.0.1", "-p", port]).args(arguments))
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while client("redis-cli", &["ping"]).stdout.trim() != "PONG" {
        assert!(Instant::now() < deadline, "the server does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let load =
        client("redis-benchmark", &["-n", "20000", "-q", "-t", "set,get,lpush,lrange_100,mset"]);
    assert_eq!(load.status, 0, "{}", load.stderr);
    assert!(load.stdout.contains("requests per second"), "{}", load.stdout);
    client("redis-cli", &["shutdown", "nosave"]);
    let ran = server.join().expect("the server's thread");
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.allocations() > 10_000, "the checker was not there:\n{}", ran.stderr);
}
