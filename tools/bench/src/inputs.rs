//! Inputs that are the same at every run. They are written piece by piece: the kernel counts the
//! largest size of the process that starts a program as the program's, too.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::random::Random;

/// A source of that many functions, preprocessed, as large.i.
pub(crate) fn write_source(folder: &Path, functions: u64) -> io::Result<()> {
    let mut source = BufWriter::new(File::create(folder.join("large.c"))?);
    writeln!(source, "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>")?;
    for i in 0..functions {
        let length = i % 17 + 1;
        writeln!(
            source,
            "struct s{i} {{ int a, b[{length}]; }};\n\
             int f{i}(struct s{i} *p, int n) {{ int r = {i}; for (int k = 0; k < n; k++) \
             r += p->b[k % {length}] * p->a + (r >> {}); return r; }}",
            i % 5 + 1
        )?;
    }
    source.into_inner()?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-E", "large.c", "-o", "large.i"]).current_dir(folder);
    succeeds(&mut gcc)
}

/// A repository with that many commits to ten files, by git's own import format.
pub(crate) fn write_repository(folder: &Path, commits: u64) -> io::Result<()> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    succeeds(&mut git(&["init", "-q", "-b", "main"]))?;
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    if let Some(stdin) = import.stdin.take() {
        let mut stream = BufWriter::new(stdin);
        for commit in 0..commits {
            write_commit(&mut stream, commit)?;
        }
        stream.into_inner()?;
    }
    if import.wait()?.success() { Ok(()) } else { Err(io::Error::other("git fast-import failed")) }
}

fn write_commit(stream: &mut impl Write, commit: u64) -> io::Result<()> {
    let text: String = (0..40)
        .map(|line| {
            let version = if line % 7 == commit % 7 { commit } else { 0 };
            format!("line {line} of version {version}\n")
        })
        .collect();
    write!(
        stream,
        "commit refs/heads/main\ncommitter a <a@b.c> {} +0000\ndata 5\nnext\n\
         M 644 inline file{}\ndata {}\n{text}\n",
        1_700_000_000 + commit,
        commit % 10,
        text.len()
    )
}

/// That many commands for redis, in its own protocol, as requests.
pub(crate) fn write_requests(folder: &Path, requests: u64) -> io::Result<()> {
    let mut stream = BufWriter::new(File::create(folder.join("requests"))?);
    let mut random = Random::new(9);
    let filling = "v".repeat(1024);
    for _ in 0..requests {
        let key = random.below(40_000);
        let value = &filling[..random.by_magnitude(3, 10)];
        let field = random.below(40).to_string();
        match random.below(16) {
            0..=4 => write_request(&mut stream, &["SET", &format!("key:{key}"), value])?,
            5..=7 => write_request(&mut stream, &["GET", &format!("key:{key}")])?,
            8 => write_request(&mut stream, &["DEL", &format!("key:{key}")])?,
            9 => write_request(&mut stream, &["INCR", &format!("counter:{key}")])?,
            10 | 11 => {
                write_request(
                    &mut stream,
                    &["HSET", &format!("hash:{}", key / 20), &field, value],
                )?;
            }
            12 => write_request(&mut stream, &["LPUSH", &format!("list:{}", key / 50), value])?,
            13 => write_request(&mut stream, &["RPOP", &format!("list:{}", key / 50)])?,
            14 => write_request(&mut stream, &["SADD", &format!("set:{}", key / 20), &field])?,
            _ => write_request(&mut stream, &["ZADD", &format!("z:{}", key / 40), &field, value])?,
        }
    }
    stream.into_inner()?;
    Ok(())
}

fn write_request(stream: &mut impl Write, words: &[&str]) -> io::Result<()> {
    write!(stream, "*{}\r\n", words.len())?;
    words.iter().try_for_each(|word| write!(stream, "${}\r\n{word}\r\n", word.len()))
}

fn succeeds(command: &mut Command) -> io::Result<()> {
    if command.status()?.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} failed", command.get_program().to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_counts_and_lengths() {
        let mut stream = Vec::new();
        write_request(&mut stream, &["SET", "key:1", "vv"]).unwrap();
        assert_eq!(stream, b"*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$2\r\nvv\r\n");
    }
}
