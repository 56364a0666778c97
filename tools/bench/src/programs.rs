//! The programs, with inputs that are the same at every run.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program and what it works on.
pub(crate) struct Program {
    /// Name in the table.
    pub(crate) name: &'static str,
    /// Makes its input in a fresh folder.
    pub(crate) prepare: fn(&Path) -> Result<(), String>,
    /// Its command line.
    pub(crate) command: &'static [&'static str],
    /// Set in its environment.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

const PYTHON: &str = "import json, re, copy, ast
for n in range(2):
    data = {str(i): [i, i * 2.5, 'x' * (i % 50), {'k': i}] for i in range(2500)}
    text = json.dumps(data); assert json.loads(text) == data
    copy.deepcopy(data); re.findall(r'x{3,}', text)
    ast.parse('\\n'.join('a%d = [i * %d for i in range(%d)]' % (i, i, i) for i in range(300)))";

const PERL: &str = "for my $round (1..2) { my %h;
for my $i (1..30000) { $h{\"key$i\"} = [$i, 'v' x ($i % 40), {n => $i}]; }
my $s = join ',', sort { $a <=> $b } map { $_->[0] } values %h; my @p = split /,/, $s; }";

const SQL: &str = "create table t(a integer, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<100000)
insert into t select x, 'row ' || x from c; create index i on t(b);
select count(*), sum(a), max(b) from t; delete from t where a % 3 = 0;
select b, count(*) from t group by substr(b, 1, 6);";

/// All of them.
pub(crate) fn all() -> Vec<Program> {
    let ready: fn(&Path) -> Result<(), String> = |_| Ok(());
    let none: &[(&str, &str)] = &[];
    vec![
        Program {
            name: "python3",
            prepare: ready,
            command: &["python3", "-c", PYTHON],
            environment: none,
        },
        Program {
            name: "python3, PYTHONMALLOC=malloc",
            prepare: ready,
            command: &["python3", "-c", PYTHON],
            environment: &[("PYTHONMALLOC", "malloc")],
        },
        Program { name: "perl", prepare: ready, command: &["perl", "-e", PERL], environment: none },
        Program {
            name: "git log -p",
            prepare: write_repository,
            command: &["git", "log", "-p", "--stat"],
            environment: &[("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_PAGER", "cat")],
        },
        Program {
            name: "sqlite3",
            prepare: ready,
            command: &["sqlite3", ":memory:", SQL],
            environment: none,
        },
        Program {
            name: "gcc -O1 -c",
            prepare: write_source,
            command: &["gcc", "-O1", "-c", "large.c"],
            environment: none,
        },
    ]
}

/// 700 functions for the compiler.
fn write_source(folder: &Path) -> Result<(), String> {
    let mut source = String::new();
    for i in 0..700 {
        let _ = writeln!(
            source,
            "struct s{i} {{ int a, b[{}]; }};\nint f{i}(struct s{i} *p, int n) {{ int r = {i}; \
             for (int k = 0; k < n; k++) r += p->b[k % {}] * p->a + (r >> {}); return r; }}",
            i % 17 + 1,
            i % 17 + 1,
            i % 5 + 1
        );
    }
    fs::write(folder.join("large.c"), source).map_err(|error| error.to_string())
}

/// 1500 commits to ten files, by git's own import format.
fn write_repository(folder: &Path) -> Result<(), String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let failed = |error: std::io::Error| format!("git: {error}");
    git(&["init", "-q", "-b", "main"]).status().map_err(failed)?;
    let mut stream = String::new();
    for commit in 0..1500 {
        let mut text = String::new();
        for line in 0..40 {
            let _ = writeln!(
                text,
                "line {line} of version {}",
                if line % 7 == commit % 7 { commit } else { 0 }
            );
        }
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter a <a@b.c> {} +0000\ndata 5\nnext\n\
             M 644 inline file{}\ndata {}\n{text}\n",
            1_700_000_000 + commit,
            commit % 10,
            text.len()
        );
    }
    let mut import =
        git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = import.stdin.take() {
        stdin.write_all(stream.as_bytes()).map_err(failed)?;
    }
    import.wait().map_err(failed)?;
    Ok(())
}
