//! The layering rule of ARCHITECTURE.md: a file uses only what stands above it in the list.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. What stands beside the layers as data may be used by all above `heap`.
const LAYERS: [&str; 14] = [
    "heap",
    "sys",
    "record",
    "own",
    "arena",
    "stack",
    "debug",
    "leak",
    "report",
    "runtime",
    "weak_symbols",
    "global",
    "testing",
    "program",
];
const DATA: [&str; 2] = ["finding", "options"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Macros of `runtime`, which the language puts beside the modules.
const MACROS: [&str; 5] =
    ["with_registers", "inner_entries", "for_each_sanitizer_symbol", "jump", "note_and_call"];

fn layer(module: &str) -> Option<usize> {
    let module = if MACROS.contains(&module) { "runtime" } else { module };
    let module = if module == "assert_max_allocations" { "testing" } else { module };
    LAYERS.iter().position(|&layer| layer == module)
}

/// The modules that a source names as `crate::MODULE`.
fn used(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| {
        line.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.get(..end).unwrap_or("")
        })
    })
}

#[test]
fn a_file_uses_only_what_stands_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut judged = 0;
    for file in &files {
        let inside = file.strip_prefix(&root).expect("inside src");
        let module = inside.iter().next().and_then(|part| part.to_str()).expect("a name");
        let module = module.trim_end_matches(".rs");
        let text = fs::read_to_string(file).expect("readable");
        for other in used(&text) {
            let allowed = match (layer(module), layer(other)) {
                (Some(this), Some(other)) => other <= this,
                (Some(this), None) => DATA.contains(&other) && this > 0,
                // Data speaks of sites and threads, and of nothing above them.
                (None, Some(other)) => DATA.contains(&module) && other <= 5,
                (None, None) => DATA.contains(&module),
            };
            assert!(allowed, "{} uses crate::{other}", inside.display());
            judged += 1;
        }
    }
    assert!(files.len() > 40 && judged > 60, "{} files, {judged} uses", files.len());
}

/// The core is `core::` only.
#[test]
fn the_heap_knows_nothing_of_std_or_libc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/heap");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() >= 10);
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for word in ["std::", "libc::", "alloc::", "println!", "format!", "crate::"] {
            assert!(!code.contains(word), "{} names {word}", file.display());
        }
    }
}

/// Who may call libc: sys, and the files that give the C and C++ symbols.
#[test]
fn only_sys_calls_libc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files.iter().filter(|file| !file.starts_with(root.join("sys"))) {
        let text = fs::read_to_string(file).expect("readable");
        assert!(!text.contains("libc::"), "{} calls libc", file.display());
    }
}

/// What makes an unsafe block sound is said where it stands, and comments fit on a screen.
#[test]
fn comments_stand_alone_and_fit() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "tools", "fuzz/src", "fuzz/fuzz_targets"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let mut bad = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let leans = ["SAFETY: as above", "SAFETY: as in ", "SAFETY: as for "]
                .iter()
                .any(|words| comment.contains(words));
            if leans || line.chars().count() > 100 {
                bad.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(files.len() > 200 && bad.is_empty(), "{}", bad.join("\n"));
}
