//! `cargo mallocop`: the programs that cargo builds, run under mallocop; cargo itself, compilers
//! and build scripts are not.
//!
//! By cargo's own way for that: a runner (`CARGO_TARGET_<TRIPLE>_RUNNER`), which nextest takes,
//! too.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use mallocop::options::{self, TABLE, Type};

const HELP: &str = "\
Run what cargo builds under mallocop: the tests, benchmarks or program itself, not cargo, compilers
and build scripts

Usage: cargo mallocop [--OPTION=VALUE]... test|run|bench|nextest [what cargo takes]

  cargo mallocop test                         every test binary, leaks and heap errors make it fail
  cargo mallocop test -p parser -- --nocapture
  cargo mallocop --halt-on-error=0 run --release -- input.txt
  cargo mallocop nextest run                  every test in a process of its own

The options are those of `mallocop run` (see `mallocop options`). Exit status: cargo's; 2 wrong
usage.
";

/// What of cargo's runs a program.
const RUNNING: [&str; 6] = ["test", "t", "run", "r", "bench", "nextest"];

/// The command line, taken apart.
struct Request {
    /// Options, in the form of `MALLOCOP_OPTIONS`.
    options: String,
    /// For cargo, its subcommand first.
    arguments: Vec<OsString>,
}

/// Runs it with this process's arguments.
pub(crate) fn run() -> ExitCode {
    let mut words = env::args_os().skip(1).peekable();
    // So cargo calls its subcommands.
    words.next_if(|word| word == "mallocop");
    let request = match parse(words) {
        Ok(Some(request)) => request,
        Ok(None) => {
            let _ = std::io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => return fail(2, &why),
    };
    match command(&request) {
        Ok(mut command) => fail(127, &format!("cannot run cargo: {}", command.exec())),
        Err(why) => fail(125, &why),
    }
}

fn fail(status: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "cargo mallocop: error: {why}");
    ExitCode::from(status)
}

/// `None`: only help is wanted.
fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Option<Request>, String> {
    let mut list = env::var("MALLOCOP_OPTIONS").unwrap_or_default();
    loop {
        let Some(word) = words.next() else { return Ok(None) };
        let text = word.to_string_lossy().into_owned();
        if text == "--help" || text == "-h" || text == "help" {
            return Ok(None);
        }
        if let Some(flag) = text.strip_prefix("--") {
            list.push(':');
            list.push_str(&option(flag)?);
            continue;
        }
        if !RUNNING.contains(&text.as_str()) {
            return Err(format!(
                "`{text}` runs no program: it is test, run, bench or nextest (--help)"
            ));
        }
        let options = list.trim_matches(':').to_owned();
        return Ok(Some(Request { options, arguments: [word].into_iter().chain(words).collect() }));
    }
}

/// A flag as an option of the list.
fn option(flag: &str) -> Result<String, String> {
    let (name, value) =
        flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let name = name.replace('-', "_");
    let entry = TABLE.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| format!("unknown option --{flag} (see `mallocop options`)"))?;
    let value = match (value, entry.kind) {
        (Some(value), _) => value,
        (None, Type::Flag) => "1",
        (None, kind) => return Err(format!("--{flag} wants a value: {kind}")),
    };
    if entry.parse(value).is_none() {
        return Err(format!("invalid value `{value}` for --{flag}: expected {}", entry.kind));
    }
    let value =
        options::quote(value).ok_or_else(|| format!("--{flag} has both kinds of quotes"))?;
    Ok(format!("{name}={value}"))
}

/// cargo with us as the runner of what it builds.
fn command(request: &Request) -> Result<Command, String> {
    let mallocop = find_mallocop()?;
    let path = mallocop.to_str().ok_or("the path of mallocop is not UTF-8")?;
    if path.contains(char::is_whitespace) {
        return Err(format!("{path} has blanks, at which cargo would take it apart"));
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(&request.arguments);
    for triple in triples(&request.arguments)? {
        let variable = triple.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{variable}_RUNNER"), format!("{path} run --"));
    }
    if !request.options.is_empty() {
        cargo.env("MALLOCOP_OPTIONS", &request.options);
    }
    Ok(cargo)
}

/// `mallocop`, beside this program.
fn find_mallocop() -> Result<PathBuf, String> {
    let me = env::current_exe().map_err(|why| format!("cannot find myself: {why}"))?;
    let beside = me.with_file_name("mallocop");
    if beside.is_file() { Ok(beside) } else { Err(format!("{} is not there", beside.display())) }
}

/// The targets that may be built for: this machine, and what `--target` names.
fn triples(arguments: &[OsString]) -> Result<Vec<String>, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|why| format!("cannot run rustc: {why}"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let mut triples = vec![host.ok_or("rustc does not say which machine this is")?.to_owned()];
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next().filter(|word| word != "--") {
        let named = match word.strip_prefix("--target") {
            Some("") => words.next().map(std::borrow::Cow::into_owned),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        triples.extend(named);
    }
    Ok(triples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_come_first_and_the_rest_is_cargos() {
        let request = parse(words("--quiet --exitcode=7 test --lib -- --nocapture").into_iter());
        let request = request.expect("right").expect("a request");
        assert!(request.options.ends_with("quiet=1:exitcode=7"), "{}", request.options);
        assert_eq!(request.arguments, words("test --lib -- --nocapture"));
        for wrong in
            ["--exitcode test", "--exitcode=x test", "--none=1 test", "build", "--quiet=2 test"]
        {
            assert!(parse(words(wrong).into_iter()).is_err(), "{wrong}");
        }
        assert!(parse(words("--help").into_iter()).expect("right").is_none());
    }

    #[test]
    fn targets_are_those_that_are_built_for() {
        let found =
            triples(&words("test --target one --target=two -- --target three")).expect("rustc");
        assert_eq!(found[1..], ["one", "two"]);
    }
}
