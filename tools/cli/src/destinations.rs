//! Where else than to the terminal a report goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mallocop::model::recording::Recording;
use mallocop_views::json;

use crate::failure::Failure;
use crate::recording_file;
use crate::symbolize::Symbols;

/// Where else than to the terminal a report goes, and by what it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations {
    /// File that keeps the recording.
    pub(crate) output: Option<PathBuf>,
    /// File for the report as JSON; `-` is standard output.
    pub(crate) json: Option<PathBuf>,
    /// May debuginfod be asked for what is not on this machine?
    pub(crate) debuginfod: bool,
}

impl Destinations {
    /// Is all that is known to be kept, not only what the text shows?
    pub(crate) const fn want_all(&self) -> bool {
        self.output.is_some() || self.json.is_some()
    }

    /// Writes what is wanted there.
    pub(crate) fn write(&self, recording: &Recording, symbols: &Symbols) -> Result<(), Failure> {
        if let Some(path) = &self.output {
            recording_file::save(recording, path)?;
        }
        let Some(path) = &self.json else { return Ok(()) };
        symbols.prepare(recording, recording.sites());
        let text = symbols.with_renderer(recording, |with| json::write(recording, with));
        let text = text.map_err(std::io::Error::from);
        let write = |text: String| match path == Path::new("-") {
            true => writeln!(std::io::stdout(), "{text}"),
            false => std::fs::write(path, text + "\n"),
        };
        text.and_then(write).map_err(Failure::step(format!("write {}", path.display())))
    }
}
