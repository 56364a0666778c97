//! Reports of leaks, read.

use super::Ran;

/// What is reported as leaked: kind, bytes, objects.
pub(crate) fn leaks(ran: &Ran) -> Vec<(String, u64, u64)> {
    let parse = |line: &str| {
        let (kind, rest) = line.split_once(" leak of ")?;
        let (bytes, rest) = rest.split_once(" byte(s) in ")?;
        let objects = rest.strip_suffix(" object(s) allocated from:")?;
        Some((kind.to_owned(), bytes.parse().ok()?, objects.parse().ok()?))
    };
    ran.stderr.lines().filter_map(parse).collect()
}

/// A direct leak.
pub(crate) fn direct(bytes: u64, objects: u64) -> (String, u64, u64) {
    ("Direct".to_owned(), bytes, objects)
}

/// One program loses exactly these, says so in LeakSanitizer's words, gives 23, and ends its
/// output.
pub(crate) fn loses(ran: &Ran, expected: &[(String, u64, u64)], end: &str) {
    assert_eq!(leaks(ran), expected, "{}", ran.stderr);
    let sum: (u64, u64) =
        expected.iter().fold((0, 0), |sum, leak| (sum.0 + leak.1, sum.1 + leak.2));
    let summary =
        format!("SUMMARY: mallocop: {} byte(s) leaked in {} allocation(s).", sum.0, sum.1);
    assert_eq!(ran.stderr.matches(&summary).count(), 1, "{summary}\n{}", ran.stderr);
    assert!(ran.stderr.contains("==ERROR: mallocop: detected memory leaks\n"), "{}", ran.stderr);
    assert!(ran.has_only_leaks(), "{}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.ends_with(end)), (23, true), "{}{}", ran.stdout, ran.stderr);
}

/// One loses nothing, and says so.
pub(crate) fn keeps(ran: &Ran, end: &str) {
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.ends_with(end)), (0, true), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("mallocop: no leaks: "), "{}", ran.stderr);
}
