use super::super::fresh_header;
use super::super::layout::{FIRST_EXTENT, LOG_START};
use super::*;

/// A file with one process, whose log has these entries: kind, complete, bytes.
fn file(entries: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; (FIRST_EXTENT as usize + 1) * EXTENT];
    bytes[..40].copy_from_slice(&fresh_header(MOST_EXTENTS));
    let start = FIRST_EXTENT as usize * EXTENT;
    let mut at = start + LOG_START;
    for (kind, complete, text) in entries {
        bytes[at..at + 4].copy_from_slice(&(text.len() as u32).to_ne_bytes());
        bytes[at + 4..at + 6].copy_from_slice(&kind.to_ne_bytes());
        bytes[at + 6..at + 8].copy_from_slice(&complete.to_ne_bytes());
        bytes[at + 8..at + 8 + text.len()].copy_from_slice(text);
        at += 8 + text.len().next_multiple_of(8);
    }
    let used = (at - start - LOG_START) as u32;
    bytes[start + 20..start + 24].copy_from_slice(&1u32.to_ne_bytes());
    bytes[start + 28..start + 32].copy_from_slice(&used.to_ne_bytes());
    bytes
}

/// Its writer was killed, or another thread has ended the process meanwhile: what comes behind it
/// is not lost.
#[test]
fn what_is_never_completed_is_passed_over() {
    let bytes = file(&[(3, 1, b"one"), (3, 0, b"never"), (4, 1, b"the reason")]);
    let reader = TreeReader::new(bytes.as_slice());
    let process = reader.process(FIRST_EXTENT).expect("a process");
    let read = |last| {
        let mut found = Vec::new();
        let end = reader.log(&process, 0, last, |entry, text| found.push((entry, text.to_vec())));
        (found, end)
    };
    let one = (LogEntry::Text, b"one".to_vec());
    assert_eq!(read(false), (vec![one.clone()], 16));
    let finding = (LogEntry::Finding, b"the reason".to_vec());
    assert_eq!(read(true), (vec![one, finding], process.log_used));
}

/// No part of a log is somebody else's extent.
#[test]
fn parts_of_a_log_are_its_processs_own() {
    let mut bytes = file(&[]);
    let start = FIRST_EXTENT as usize * EXTENT;
    bytes[start + 28..start + 32].copy_from_slice(&u32::MAX.to_ne_bytes());
    (0..LOG_PARTS).for_each(|part| {
        let at = start + 256 + part * 4;
        bytes[at..at + 4].copy_from_slice(&FIRST_EXTENT.to_ne_bytes());
    });
    let reader = TreeReader::new(bytes.as_slice());
    let process = reader.process(FIRST_EXTENT).expect("a process");
    let mut count = 0;
    let end = reader.log(&process, 0, true, |_, _| count += 1);
    assert!(count == 0 && (end as usize) < EXTENT, "{count} {end}");
}
