//! A program or loop that is ready to run.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::columns::Column;
use crate::loops::Loop;
use crate::measure::{self, Cost, Failure};
use crate::redis::Server;

/// What is run, again and again.
pub(crate) enum Job {
    /// A command from its start to its end.
    Invocation(Invocation),
    /// A server under load.
    Server(Server),
}

/// A command line.
pub(crate) struct Invocation {
    program: OsString,
    arguments: Vec<OsString>,
    /// Set in its environment.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

impl Invocation {
    /// A program with its arguments.
    pub(crate) fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, environment: Vec::new() }
    }

    /// This program with one of its hidden commands.
    pub(crate) fn of_ourselves(arguments: &[&str]) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        Ok(Self::new(program, arguments))
    }

    /// The command under a column.
    pub(crate) fn command(&self, column: &Column, folder: &Path) -> std::process::Command {
        let mut command = column.command(&self.program, folder, None);
        command.args(&self.arguments).envs(self.environment.iter().copied());
        command
    }
}

impl Job {
    /// A loop with this number of operations.
    pub(crate) fn of_loop(entry: &Loop, operations: u64) -> Result<Self, String> {
        Invocation::of_ourselves(&["loop", entry.name, &operations.to_string()])
            .map(Self::Invocation)
    }

    /// Runs it once.
    pub(crate) fn run(
        &self,
        column: &Column,
        folder: &Path,
        limit: Duration,
    ) -> Result<Cost, Failure> {
        match self {
            Self::Invocation(job) => measure::run(&mut job.command(column, folder), limit),
            Self::Server(server) => server.run(column, folder, limit),
        }
    }
}
