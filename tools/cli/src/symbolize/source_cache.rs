//! Source files, kept while many stacks ask for their lines.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

/// Bytes of all files that are kept, and of one that is looked at.
const MOST: usize = 64 << 20;
const MOST_OF_ONE: u64 = 16 << 20;

/// A file, with where its lines start.
struct Source {
    text: String,
    starts: Vec<usize>,
}

/// The files that have been asked for.
#[derive(Default)]
pub(crate) struct SourceCache {
    files: DashMap<String, Option<Source>>,
    bytes: AtomicUsize,
}

impl SourceCache {
    /// A line of a file, from 1; `None`: it is not there.
    pub(crate) fn line(&self, path: &str, line: u32) -> Option<String> {
        if !self.files.contains_key(path) {
            if self.bytes.load(Ordering::Relaxed) > MOST {
                self.files.clear();
                self.bytes.store(0, Ordering::Relaxed);
            }
            let source = open(path);
            let bytes = source.as_ref().map_or(0, |source| source.text.len());
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.files.insert(path.to_owned(), source);
        }
        let entry = self.files.get(path)?;
        let source = entry.as_ref()?;
        let start = *source.starts.get((line as usize).checked_sub(1)?)?;
        source.text.get(start..)?.lines().next().map(str::to_owned)
    }
}

fn open(path: &str) -> Option<Source> {
    fs::metadata(path).ok().filter(|facts| facts.is_file() && facts.len() <= MOST_OF_ONE)?;
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
    let starts = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Some(Source { text, starts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "one\r\ntwo\n\nfour").expect("written");
        let path = file.path().to_str().expect("a path");
        let sources = SourceCache::default();
        let lines: Vec<_> = (0..6).map(|line| sources.line(path, line)).collect();
        let expected = [None, Some("one"), Some("two"), Some(""), Some("four"), None];
        assert_eq!(lines, expected.map(|line| line.map(str::to_owned)));
        assert_eq!(sources.line("/nowhere", 1), None);
    }
}
