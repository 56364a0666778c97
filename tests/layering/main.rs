//! The layering rule of ARCHITECTURE.md: a file uses only what lies below it, and no two files use
//! each other, however long the way round is.

mod module_graph;
mod source_rules;

use module_graph::ModuleGraph;

/// The library, from the bottom up.
const LIBRARY: [&str; 18] = [
    "arch", "model", "text", "options", "heap", "sys", "trace", "own", "arena", "stack", "shadow",
    "checks", "leak", "runtime", "abi", "global", "testing", "program",
];
/// The command, from the bottom up.
const COMMAND: [&str; 11] = [
    "status",
    "failure",
    "recording_file",
    "symbolize",
    "printer",
    "destinations",
    "session",
    "commands",
    "arguments",
    "cargo_command",
    "main",
];

fn breaches(graph: &ModuleGraph, layers: &[&str]) -> Vec<String> {
    let layer = |module: &str| {
        let top = module.split("::").next().unwrap_or("");
        layers.iter().position(|&known| known == top)
    };
    let mut breaches = Vec::new();
    for (user, used) in graph.uses() {
        // The root declares all modules and gives their types out.
        if user.is_empty() {
            continue;
        }
        match (layer(user), layer(used)) {
            (Some(upper), Some(lower)) if lower <= upper => {}
            (Some(_), Some(_)) => breaches.push(format!("{user} uses {used}, which lies above it")),
            _ => breaches.push(format!("{user} or {used} has no layer")),
        }
    }
    breaches
}

#[test]
fn a_file_uses_only_what_lies_below_it() {
    for (folder, layers) in [("src", &LIBRARY[..]), ("tools/cli/src", &COMMAND)] {
        let graph = ModuleGraph::read(folder);
        let breaches = breaches(&graph, layers);
        assert!(breaches.is_empty(), "{folder}:\n{}", breaches.join("\n"));
    }
}

#[test]
fn no_files_use_each_other() {
    let folders =
        ["src", "tools/cli/src", "tools/views/src", "tools/preload/src", "tools/bench/src"];
    for folder in folders {
        let circles = ModuleGraph::read(folder).circles();
        assert!(circles.is_empty(), "{folder}: {circles:#?}");
    }
}

/// The graph is not empty because its reader understands nothing.
#[test]
fn the_graph_has_the_uses_that_are_there() {
    let graph = ModuleGraph::read("src");
    let has = |user: &str, used: &str| graph.uses().any(|edge| edge == (user, used));
    assert!(has("checks::heap", "shadow::block_table"), "by a use");
    assert!(has("leak::check", "model::leak_report"), "by several names in one use");
    assert!(has("runtime::exit", "runtime::heap"), "by a name that its folder gives out");
    assert!(has("own", "own::heap"), "by a path from a folder's file");
    assert!(graph.uses().count() > 500, "{}", graph.uses().count());
}

#[test]
fn circles_are_found() {
    let graph = ModuleGraph::of(&[
        ("a", "use crate::b::{Deep, c::Other}; fn f() {}"),
        ("b", "pub struct Deep;"),
        ("b::c", "pub struct Other; fn g() { crate::a::f() }"),
        ("d", "#[cfg(test)] mod tests { use crate::e; }"),
        ("e", "use crate::d;"),
    ]);
    assert_eq!(graph.circles(), [["a", "b::c"]]);
}
