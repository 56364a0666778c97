//! The programs, with inputs that are the same at every run.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use crate::inputs;
use crate::job::{Invocation, Job};
use crate::libraries;
use crate::redis::Server;
use crate::scripts;

/// A program and what it works on.
pub(crate) struct Program {
    /// Its name for `--only` and in the CSV file.
    pub(crate) name: &'static str,
    /// Its name in the tables.
    pub(crate) title: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// Makes its input, of this size, in a fresh folder.
    pub(crate) prepare: fn(&Path, u64) -> Result<Job, String>,
    /// Size of a full run's input.
    pub(crate) size: u64,
    /// Size of a quick run's input.
    pub(crate) quick: u64,
}

/// All of them. The sizes give 0.5 to 1.5 s under glibc's malloc.
pub(crate) const TABLE: [Program; 8] = [
    Program {
        name: "python3",
        title: "python3",
        about: "JSON, copies and syntax trees, with Python's own pools over malloc",
        prepare: |_, rounds| python(rounds, &[]),
        size: 4,
        quick: 1,
    },
    Program {
        name: "python3-malloc",
        title: "python3, PYTHONMALLOC=malloc",
        about: "the same without Python's pools",
        prepare: |_, rounds| python(rounds, &[("PYTHONMALLOC", "malloc")]),
        size: 4,
        quick: 1,
    },
    Program {
        name: "perl",
        title: "perl",
        about: "hashes, sorting, joining and splitting",
        prepare: perl,
        size: 3,
        quick: 1,
    },
    Program {
        name: "git",
        title: "git log -p",
        about: "the differences of many small commits",
        prepare: git,
        size: 20_000,
        quick: 5000,
    },
    Program {
        name: "sqlite3",
        title: "sqlite3",
        about: "a table in memory filled, indexed, changed and grouped",
        prepare: sqlite,
        size: 400_000,
        quick: 100_000,
    },
    Program {
        name: "cc1",
        title: "gcc's cc1 -O1",
        about: "a preprocessed file of many functions",
        prepare: cc1,
        size: 400,
        quick: 100,
    },
    Program {
        name: "node",
        title: "node",
        about: "JSON, regular expressions, maps and buffers",
        prepare: node,
        size: 8,
        quick: 2,
    },
    Program {
        name: "redis",
        title: "redis-server",
        about: "the server's CPU and memory for a fixed stream of requests",
        prepare: redis,
        size: 500_000,
        quick: 120_000,
    },
];

/// python3 may be a script that looks for an interpreter: the one that it finds is what runs.
fn python(rounds: u64, environment: &[(&'static str, &'static str)]) -> Result<Job, String> {
    let ask = ["-c", "import sys; print(sys.executable)"];
    let python = libraries::output("python3", &ask).ok_or("python3 is not there")?;
    let mut job = Invocation::new(python, ["-c", scripts::PYTHON, &rounds.to_string()]);
    job.environment = vec![("PYTHONHASHSEED", "0")];
    job.environment.extend(environment);
    Ok(Job::Invocation(job))
}

fn perl(_: &Path, rounds: u64) -> Result<Job, String> {
    let mut job = Invocation::new(present("perl")?, ["-e", scripts::PERL, &rounds.to_string()]);
    job.environment = vec![("PERL_HASH_SEED", "0"), ("PERL_PERTURB_KEYS", "0")];
    Ok(Job::Invocation(job))
}

fn git(folder: &Path, commits: u64) -> Result<Job, String> {
    let git = present("git")?;
    inputs::write_repository(folder, commits).map_err(|error| error.to_string())?;
    let mut job = Invocation::new(git, ["log", "-p", "--stat"]);
    job.environment = vec![("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_PAGER", "cat")];
    Ok(Job::Invocation(job))
}

fn sqlite(_: &Path, rows: u64) -> Result<Job, String> {
    let sql = scripts::SQL.replace("ROWS", &rows.to_string());
    Ok(Job::Invocation(Invocation::new(present("sqlite3")?, [":memory:", &sql])))
}

/// The compiler proper, without the driver that starts it.
fn cc1(folder: &Path, functions: u64) -> Result<Job, String> {
    let cc1 = libraries::output("gcc", &["-print-prog-name=cc1"])
        .filter(|path| path.starts_with('/'))
        .ok_or("gcc's cc1 is not there")?;
    inputs::write_source(folder, functions).map_err(|error| error.to_string())?;
    let arguments = ["-quiet", "-fpreprocessed", "large.i", "-O1", "-o", "/dev/null"];
    Ok(Job::Invocation(Invocation::new(cc1, arguments)))
}

fn node(_: &Path, rounds: u64) -> Result<Job, String> {
    let arguments = ["-e", scripts::NODE, &rounds.to_string()];
    Ok(Job::Invocation(Invocation::new(present("node")?, arguments)))
}

fn redis(folder: &Path, requests: u64) -> Result<Job, String> {
    let (server, client) = (present("redis-server")?, present("redis-cli")?);
    inputs::write_requests(folder, requests).map_err(|error| error.to_string())?;
    Ok(Job::Server(Server { server, client, requests: folder.join("requests") }))
}

fn present(program: &str) -> Result<OsString, String> {
    let found = libraries::in_path(program).ok_or_else(|| format!("{program} is not there"))?;
    // A relative folder in PATH would mean another place from the run's own folder.
    let here = env::current_dir().map_err(|error| error.to_string())?;
    Ok(here.join(found).into())
}
