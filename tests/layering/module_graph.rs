//! Which file of a crate uses which: read from the sources, by their modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::visit::{self, Visit};
use syn::{Item, UseTree};

type Segments = Vec<String>;

/// The files of a crate as modules (`checks::heap`; the root is empty), and who uses whom.
pub(crate) struct ModuleGraph {
    uses: BTreeMap<String, BTreeSet<String>>,
}

/// What a file's paths say.
#[derive(Default)]
struct Paths {
    /// Each with the names of the inline modules that it stands in.
    all: Vec<(usize, Segments)>,
    /// What is given out under another name: the name, and the path to it.
    given_out: Vec<(String, Segments)>,
    /// Macros that the language puts into the crate's root.
    macros: Vec<String>,
    depth: usize,
}

impl Paths {
    fn flatten(&mut self, tree: &UseTree, mut path: Segments, is_given_out: bool) {
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.flatten(&inner.tree, path, is_given_out);
            }
            UseTree::Group(group) => {
                for item in &group.items {
                    self.flatten(item, path.clone(), is_given_out);
                }
            }
            UseTree::Name(name) => self.note(path, &name.ident.to_string(), None, is_given_out),
            UseTree::Rename(renamed) => {
                let new = renamed.rename.to_string();
                self.note(path, &renamed.ident.to_string(), Some(new), is_given_out);
            }
            UseTree::Glob(_) => self.all.push((self.depth, path)),
        }
    }

    fn note(&mut self, mut path: Segments, name: &str, new: Option<String>, is_given_out: bool) {
        if name != "self" {
            path.push(name.to_owned());
        }
        let known = new.or_else(|| path.last().cloned()).unwrap_or_default();
        match is_given_out && self.depth == 0 {
            true => self.given_out.push((known, path)),
            false => self.all.push((self.depth, path)),
        }
    }

    /// Paths in a macro's body, which nobody parses: `crate::a::b` and `$crate::a::b`.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Segments = Vec::new();
        for token in tokens {
            match &token {
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Punct(colon) if colon.as_char() == ':' => continue,
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                _ => {}
            }
            if !matches!(token, TokenTree::Ident(_)) {
                self.end_path(&mut path);
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Segments) {
        let path = std::mem::take(path);
        if let Some(at) = path.iter().position(|name| name == "crate") {
            self.all.push((self.depth, path.get(at..).unwrap_or(&[]).to_vec()));
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text.replace(' ', "") == "#[cfg(test)]"
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let is_exported = item.attrs.iter().any(|known| known.path().is_ident("macro_export"));
        if let (Some(name), true) = (&item.ident, is_exported) {
            self.macros.push(name.to_string());
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_given_out = !matches!(item.vis, syn::Visibility::Inherited);
        self.flatten(&item.tree, Vec::new(), is_given_out);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.all.push((self.depth, segments.collect()));
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }
}

/// From a module and a path in it to the path from the crate's root; `None`: it leads out of the
/// crate, or to a name of the file's own.
fn absolute(
    module: &[String],
    depth: usize,
    path: &[String],
    modules: &BTreeSet<Segments>,
) -> Option<Segments> {
    let (first, rest) = path.split_first()?;
    let mut base: Segments = module.to_vec();
    match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => {}
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            if ups <= depth {
                return None;
            }
            base.truncate(base.len().checked_sub(ups - depth)?);
            base.extend_from_slice(path.get(ups..)?);
            return Some(base);
        }
        child => {
            base.push(child.to_owned());
            if depth != 0 || !modules.contains(&base) {
                return None;
            }
        }
    }
    base.extend_from_slice(rest);
    Some(base)
}

fn read_files(folder: &Path, module: &[String], found: &mut Vec<(Segments, String)>) {
    let entries = fs::read_dir(folder).expect("a folder of sources").flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let mut inner = module.to_vec();
        if path.is_dir() {
            inner.push(name);
            read_files(&path, &inner, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !name.ends_with("tests") {
            if !["lib", "mod"].contains(&name.as_str()) {
                inner.push(name);
            }
            found.push((inner, fs::read_to_string(&path).expect("readable")));
        }
    }
}

impl ModuleGraph {
    /// Of a crate, by its folder of sources from the workspace's root.
    pub(crate) fn read(folder: &str) -> Self {
        let mut files = Vec::new();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        read_files(&root, &[], &mut files);
        Self::of_files(&files)
    }

    /// Of a crate given as modules and their texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let split = |module: &str| module.split("::").map(str::to_owned).collect();
        let files: Vec<_> =
            files.iter().map(|&(module, text)| (split(module), text.to_owned())).collect();
        Self::of_files(&files)
    }

    fn of_files(files: &[(Segments, String)]) -> Self {
        let modules: BTreeSet<Segments> = files.iter().map(|(module, _)| module.clone()).collect();
        let mut all: BTreeMap<Segments, Paths> = BTreeMap::new();
        let mut given_out: BTreeMap<Segments, Segments> = BTreeMap::new();
        for (module, text) in files {
            let file = syn::parse_file(text).unwrap_or_else(|why| panic!("{module:?}: {why}"));
            let mut paths = Paths::default();
            paths.visit_file(&file);
            for (name, path) in &paths.given_out {
                let mut known = module.clone();
                known.push(name.clone());
                if let Some(target) = absolute(module, 0, path, &modules) {
                    given_out.insert(known, target);
                }
            }
            for name in &paths.macros {
                let target = [module.as_slice(), std::slice::from_ref(name)].concat();
                given_out.insert(vec![name.clone()], target);
            }
            all.insert(module.clone(), paths);
        }
        let file_of = |mut path: Segments| {
            // What a folder gives out lies where it is defined.
            for _ in 0..8 {
                let prefix =
                    (1..=path.len()).find_map(|end| Some((end, given_out.get(path.get(..end)?)?)));
                let Some((end, target)) = prefix else { break };
                path = [target.as_slice(), path.get(end..).unwrap_or(&[])].concat();
            }
            (0..=path.len()).rev().map(|end| path[..end].to_vec()).find(|at| modules.contains(at))
        };
        let name = |module: &Segments| module.join("::");
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, paths) in &all {
            let used = uses.entry(name(module)).or_default();
            let targets = paths
                .all
                .iter()
                .filter_map(|(depth, path)| absolute(module, *depth, path, &modules))
                .filter_map(file_of)
                .filter(|target| target != module);
            used.extend(targets.map(|target| name(&target)));
        }
        Self { uses }
    }

    /// Who uses whom.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.uses
            .iter()
            .flat_map(|(user, used)| used.iter().map(|used| (user.as_str(), used.as_str())))
    }

    /// All from which a way leads back to themselves, those of one circle together.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.uses.keys().map(|user| (user.as_str(), self.reach(user))).collect();
        let mut circles: Vec<Vec<String>> = Vec::new();
        for (&user, reached) in reach.iter().filter(|(user, reached)| reached.contains(*user)) {
            let is_mutual =
                |other: &&str| reach.get(*other).is_some_and(|others| others.contains(user));
            let circle: Vec<String> =
                reached.iter().copied().filter(is_mutual).map(str::to_owned).collect();
            if !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }

    fn reach<'a>(&'a self, from: &str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> =
            self.uses.get(from).into_iter().flatten().map(String::as_str).collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(self.uses.get(module).into_iter().flatten().map(String::as_str));
            }
        }
        reached
    }
}
