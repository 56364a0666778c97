//! Rules for sources: what may be named where, and how long files, functions and lines are.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::LIBRARY;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// All sources of these folders, with their texts.
fn texts(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in folders {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a source file");
        (file, text)
    };
    files.into_iter().map(read).collect()
}

const ALL: [&str; 5] = ["src", "tests", "tools", "fuzz/src", "fuzz/fuzz_targets"];

/// The core is `core::` only.
#[test]
fn the_heap_knows_nothing_of_std_or_libc() {
    let files = texts(&["src/heap"]);
    assert!(files.len() >= 10);
    for (file, text) in files {
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for word in ["std::", "libc::", "alloc::", "println!", "format!", "crate::"] {
            assert!(!code.contains(word), "{} names {word}", file.display());
        }
    }
}

/// Who may call libc: sys, and the files that give the C and C++ symbols.
#[test]
fn only_sys_calls_libc() {
    for (file, text) in texts(&["src"]).iter().filter(|(file, _)| !file.starts_with(sys())) {
        let calls = text.match_indices("libc::").any(|(at, _)| {
            !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
        });
        assert!(!calls, "{} calls libc", file.display());
    }
}

fn sys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sys")
}

/// Another machine is a folder beside `arch/x86_64`, and one in the preloaded library.
#[test]
fn assembly_is_in_arch() {
    let arch = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/arch");
    for (file, text) in texts(&["src"]).iter().filter(|(file, _)| !file.starts_with(&arch)) {
        for word in ["asm!", "core::arch::x86_64", "unsafe(naked)"] {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
    }
}

/// The model and its text have nothing that could be unsafe, and ask nobody.
#[test]
fn the_model_and_its_text_are_pure() {
    for (file, text) in texts(&["src/model", "src/text"]) {
        for word in ["unsafe", "libc::", "std::fs", "std::env", "options::", "static "] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let names = code.filter(|line| !line.contains('"')).any(|line| {
                line.trim_start().starts_with(word) || line.contains(&format!(" {word}"))
            });
            assert!(!names, "{} names {word}", file.display());
        }
    }
}

/// What makes an unsafe block sound is said where it stands.
#[test]
fn safety_comments_stand_alone() {
    let mut bad = Vec::new();
    for (file, text) in texts(&ALL) {
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").unwrap_or("");
            let leans = ["SAFETY: as above", "SAFETY: as in ", "SAFETY: as for "];
            if leans.iter().any(|words| comment.contains(words)) {
                bad.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Longest file, longest function, widest line.
const MOST_LINES: usize = 400;
const LONGEST_FUNCTION: usize = 60;
const MOST_COLUMNS: usize = 100;

#[test]
fn files_are_short() {
    let files = texts(&ALL);
    let long = files.iter().filter(|(_, text)| text.lines().count() > MOST_LINES);
    let long: Vec<String> =
        long.map(|(file, text)| format!("{} {}", text.lines().count(), file.display())).collect();
    assert!(files.len() > 200 && long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn lines_are_narrow() {
    let mut wide = Vec::new();
    for (file, text) in texts(&ALL) {
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > MOST_COLUMNS {
                wide.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

/// Functions by name and lines, the body's braces among them.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn note(&mut self, name: &syn::Ident, whole: proc_macro2::Span) {
        self.0.push((name.to_string(), whole.end().line - whole.start().line + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.sig.ident, item.sig.span().join(item.block.span()).expect("one file"));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.sig.ident, item.sig.span().join(item.block.span()).expect("one file"));
        visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for (file, text) in texts(&ALL) {
        let mut functions = Functions::default();
        functions.visit_file(&syn::parse_file(&text).expect("a source file"));
        for (name, lines) in functions.0 {
            if lines > LONGEST_FUNCTION && !TABLES.contains(&name.as_str()) {
                long.push(format!("{lines} {name} in {}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Functions that are a table: command lines, and the programs of tests/programs.rs.
const TABLES: [&str; 2] = ["command", "cases"];

/// The full map of tools/map.sh is made of these lines.
#[test]
fn every_file_says_what_it_is() {
    let tools = ["tools/cli/src", "tools/views/src", "tools/preload/src", "tools/bench/src"];
    let files = [texts(&["src", "fuzz/src"]), texts(&tools)].concat();
    let is_part = |file: &Path| {
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        name.ends_with("tests")
    };
    for (file, text) in files.iter().filter(|(file, _)| !is_part(file)) {
        assert!(text.starts_with("//! "), "{} has no head", file.display());
    }
}

/// Paths in ARCHITECTURE.md lead somewhere.
#[test]
fn the_map_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map");
    assert!(text.len() <= 12 << 10, "{} bytes: it is a map", text.len());
    let mut paths = 0;
    let prose: String = text.split("```").step_by(2).collect();
    for word in prose.split('`').skip(1).step_by(2).filter(|word| word.contains('/')) {
        let places = ["", "src", "src/runtime", "tools/cli/src", "tools"];
        let is_there = |place: &&str| {
            let path = root.join(place).join(word);
            path.exists() || path.with_extension("rs").exists()
        };
        assert!(places.iter().any(is_there), "{word} is not there");
        paths += 1;
    }
    assert!(paths > 30, "{paths}");
}

/// Files and types that the pages name exist.
#[test]
fn the_pages_name_what_is_there() {
    let files = texts(&ALL);
    let (mut paths, mut types) = (0, 0);
    for page in ["internals", "format", "performance"] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{page}.md"));
        let text = fs::read_to_string(page).expect("a page");
        let prose: String = text.split("```").step_by(2).collect();
        for word in prose.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                let is_there = files.iter().any(|(file, _)| file.ends_with(word));
                assert!(is_there, "{word} is not there");
                paths += 1;
            }
            let (module, name) = word.rsplit_once("::").unwrap_or(("", word));
            if LIBRARY.contains(&module.split("::").next().unwrap_or(""))
                && name.starts_with(char::is_uppercase)
            {
                let kinds = ["struct", "enum", "trait"].map(|kind| format!("pub {kind} {name}"));
                let has = |text: &str| kinds.iter().any(|kind| text.contains(kind.as_str()));
                assert!(files.iter().any(|(_, text)| has(text)), "{word} is not there");
                types += 1;
            }
        }
    }
    assert!(paths > 20 && types > 5, "{paths} files, {types} types");
}
