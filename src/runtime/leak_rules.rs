//! The rules for leaks that are not to be reported: the user's file's and the program's own.

use std::path::Path;

use crate::leak::suppress::{self, Suppression, Suppressions};
use crate::options::{self, Name};
use crate::runtime::report_sink;

use crate::abi::lsan_user_hooks;

/// All of them; `any_lost`: they will be needed. What cannot be read or is malformed is said, and
/// the others count.
pub(super) fn read(any_lost: bool) -> Suppressions {
    let mut rules = Vec::new();
    if let Some(path) = options::text(Name::Suppressions) {
        match suppress::read_file(Path::new(&*path)) {
            Ok(text) => add(&mut rules, &text, &path),
            Err(why) => report_sink::emit(&format!("mallocop: suppressions: {path}: {why}\n")),
        }
    }
    if any_lost && let Some((text, name)) = lsan_user_hooks::default_suppressions() {
        add(&mut rules, &text.to_string_lossy(), &name.to_string_lossy());
    }
    Suppressions::new(rules)
}

fn add(rules: &mut Vec<Suppression>, text: &str, name: &str) {
    match suppress::read(text, name) {
        Ok(more) => rules.extend(more),
        Err(why) => report_sink::emit(&format!("mallocop: suppressions: {why}\n")),
    }
}
