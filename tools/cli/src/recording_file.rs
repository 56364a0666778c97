//! Recordings on disk.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use mallocop::model::recording::{FORMAT, Recording, VERSION};
use serde::Deserialize;

use crate::failure::Failure;

/// Writes it to a file, whole or not at all.
pub(crate) fn save(recording: &Recording, path: &Path) -> Result<(), Failure> {
    let step = || Failure::step(format!("write {}", path.display()));
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(step())?;
    let mut out = BufWriter::new(file.as_file_mut());
    serde_json::to_writer(&mut out, recording).map_err(std::io::Error::from).map_err(step())?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(step())?;
    drop(out);
    file.persist(path).map_err(|error| error.error).map_err(step())?;
    Ok(())
}

/// Reads one that [`save`] has written. An error says why it cannot be used.
pub(crate) fn load(path: &Path) -> Result<Recording, Failure> {
    let bytes = std::fs::read(path).map_err(Failure::step(format!("read {}", path.display())))?;
    read(&bytes).map_err(|why| Failure::Recording(path.to_owned(), why))
}

/// A recording from its bytes.
fn read(bytes: &[u8]) -> Result<Recording, String> {
    /// What comes first, whatever version the rest is of.
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    if head.format != FORMAT {
        return Err(format!("it is a {}", head.format));
    }
    if head.version != VERSION {
        return Err(format!(
            "it is of version {}, this command knows version {VERSION}",
            head.version
        ));
    }
    serde_json::from_slice(bytes).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use mallocop::model::leak_report::Reachable;
    use mallocop::model::recording::{
        ProcessEnd, RecordedFrame, RecordedModule, RecordedProcess, RecordedStack,
    };
    use mallocop::model::site::StackEnd;

    use super::*;

    fn frame(module: u32, address: u64) -> RecordedFrame {
        RecordedFrame { module: Some(module), address, exact: false, guessed: false }
    }

    fn recording(path: &str) -> Recording {
        let mut recording = Recording::new();
        let module =
            recording.module(RecordedModule { path: path.to_owned(), build_id: "ab".to_owned() });
        let frames = vec![recording.frame(frame(module, 16)), recording.frame(frame(module, 32))];
        let site = recording.site(RecordedStack { frames, ending: StackEnd::Whole });
        recording.processes.push(RecordedProcess {
            serial: 1,
            pid: 7,
            parent_pid: 1,
            program: path.to_owned(),
            is_fork: false,
            is_root: true,
            end: ProcessEnd::Killed,
            signal: None,
            fault: None,
            findings: Vec::new(),
            leak_reports: Vec::new(),
            in_use: vec![Reachable { site, ..Reachable::default() }],
            allocations: 1,
            lost: 0,
        });
        recording
    }

    #[test]
    fn what_is_saved_is_loaded_and_absorbed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recording");
        save(&recording("one"), &path).expect("written");
        let loaded = load(&path).expect("read");
        assert_eq!(loaded.stacks, recording("one").stacks);
        let mut all = Recording::new();
        all.absorb(loaded);
        all.absorb(recording("two"));
        all.absorb(recording("one"));
        assert_eq!((all.modules.len(), all.frames.len(), all.stacks.len()), (2, 4, 2));
        let sites: Vec<u32> =
            all.processes.iter().map(|process| process.in_use[0].site.0).collect();
        assert_eq!(sites, [1, 2, 1]);
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let bytes = serde_json::to_vec(&recording("one")).expect("json");
        assert!(read(&bytes).is_ok());
        (0..bytes.len()).for_each(|len| assert!(read(&bytes[..len]).is_err(), "{len}"));
        assert!(read(b"{\"format\":\"mallocop-recording\",\"version\":99}").is_err());
        assert!(read(b"{\"format\":\"other\",\"version\":1}").is_err());
        assert!(read(b"[]").is_err());
    }
}
