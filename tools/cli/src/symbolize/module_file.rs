//! A module's file: addresses in it -> functions, files and lines.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use addr2line::Loader;
use mallocop::model::recording::RecordedModule;
use mallocop::model::stack::Frame;
use mallocop::stack::debug_check;
use mallocop::stack::demangle::demangle;
use object::read::{Object as _, ObjectSymbol as _, ReadCache};

use super::debug_file;

/// A module's file, open.
pub(super) struct ModuleFile {
    /// What has its lines, where that can be read.
    debug: Option<Loader>,
    /// The module itself, if its debug information is elsewhere.
    own: Option<Loader>,
    /// Names alone, where no debug information can be read.
    symbols: Option<SymbolTable>,
}

/// The functions of a file by address.
struct SymbolTable(Vec<(u64, u64, String)>);

impl SymbolTable {
    fn read(path: &Path) -> Option<Self> {
        debug_check::has_sound_sections(path).then_some(())?;
        let cache = ReadCache::new(File::open(path).ok()?);
        let object = object::File::parse(&cache).ok()?;
        let functions = object
            .symbols()
            .chain(object.dynamic_symbols())
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition());
        let mut all: Vec<_> = functions
            .filter_map(|symbol| {
                let end = symbol.address().saturating_add(symbol.size());
                Some((symbol.address(), end, symbol.name().ok()?.to_owned()))
            })
            .collect();
        all.sort_unstable();
        Some(Self(all))
    }

    fn find(&self, address: u64) -> Option<&str> {
        let behind = self.0.partition_point(|&(start, ..)| start <= address);
        let (_, end, name) = self.0.get(behind.checked_sub(1)?)?;
        (address < *end).then_some(name.as_str())
    }
}

impl ModuleFile {
    /// Opens a module's file, and what has its debug information. `None` if neither is there: the
    /// file may be another one by now.
    pub(super) fn open(module: &RecordedModule, may_ask: bool) -> Option<Self> {
        let path = Path::new(&module.path);
        let is_it = module.build_id.is_empty() || debug_file::build_id(path) == module.build_id;
        let is_it = is_it && path.is_file();
        let is_sound = |path: &Path| debug_check::is_sound(path);
        let own = || if is_it && is_sound(path) { Loader::new(path).ok() } else { None };
        let debug = if is_it { debug_file::find(path) } else { None };
        let debug = debug.or_else(|| debug_file::fetch(&module.build_id, may_ask));
        let (debug, own) = match debug.filter(|debug| is_sound(debug)) {
            Some(debug) => {
                let common = debug_file::find_common(&debug);
                let common = common.filter(|common| debug_check::has_sound_sections(common));
                let loader = Loader::new_with_sup(&debug, common.as_deref()).ok();
                (loader, if debug == path { None } else { own() })
            }
            None => (own(), None),
        };
        let symbols = if debug.is_none() && is_it { SymbolTable::read(path) } else { None };
        (debug.is_some() || symbols.is_some()).then_some(Self { debug, own, symbols })
    }

    /// The frames at an address of the file, innermost first.
    pub(super) fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        // The reader counts one on: a recording may name any address.
        if let Some(debug) = self.debug.as_ref().filter(|_| address < u64::MAX)
            && let Ok(mut found) = debug.find_frames(address)
        {
            while let Ok(Some(frame)) = found.next() {
                let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
                let place = frame.location.as_ref();
                frames.push(Frame {
                    function: name.as_ref().map(|raw| demangle(raw)),
                    symbol: name.map(Cow::into_owned),
                    file: place.and_then(|place| place.file).map(str::to_owned),
                    line: place.and_then(|place| place.line).unwrap_or(0),
                    column: place.and_then(|place| place.column).unwrap_or(0),
                    ..Frame::default()
                });
            }
        }
        if frames.is_empty() {
            frames.push(Frame::default());
        }
        if let Some(outer) =
            frames.last_mut().filter(|outer| outer.function.is_none() || outer.line == 0)
            && let Some(symbol) = self.symbol(address)
        {
            outer.function = Some(demangle(symbol));
            outer.symbol = Some(symbol.to_owned());
        }
        frames
    }

    fn symbol(&self, address: u64) -> Option<&str> {
        let mut loaders = [&self.debug, &self.own].into_iter().flatten();
        let found = loaders
            .find_map(|loader| loader.find_symbol(address))
            .or_else(|| self.symbols.as_ref()?.find(address))?;
        Some(found.split('@').next().unwrap_or(found))
    }
}
