//! Places in modules -> functions, files and lines, from the files on disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use addr2line::Loader;
use indicatif::{ProgressBar, ProgressStyle};
use mallocop::model::finding_report::FindingReport;
use mallocop::stack::debug_check;
use mallocop::stack::demangle::demangle;
use mallocop::stack::depot::SiteId;
use mallocop::stack::symbolize;
use mallocop::text::names;
use mallocop::text::names::Names;
use object::read::{Object as _, ObjectSymbol as _, ReadCache};

use crate::debug_file;
use crate::recording::{Ending, Frame, Module, Recording};
use crate::sources::Sources;

/// From when on it is shown how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// The names that have been looked up so far, by frame.
#[derive(Default)]
pub(crate) struct Symbols {
    /// May debuginfod be asked?
    may_ask: bool,
    known: HashMap<u32, Vec<symbolize::Frame>>,
    sources: Sources,
    files: HashMap<u32, Option<ModuleFile>>,
}

/// A module's file, open.
struct ModuleFile {
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
    fn open(module: &Module, may_ask: bool) -> Option<Self> {
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
    fn frames(&self, address: u64) -> Vec<symbolize::Frame> {
        let mut frames = Vec::new();
        // The reader counts one on: a recording may name any address.
        if let Some(debug) = self.debug.as_ref().filter(|_| address < u64::MAX)
            && let Ok(mut found) = debug.find_frames(address)
        {
            while let Ok(Some(frame)) = found.next() {
                let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
                let place = frame.location.as_ref();
                frames.push(symbolize::Frame {
                    function: name.as_ref().map(|raw| demangle(raw)),
                    symbol: name.map(Cow::into_owned),
                    file: place.and_then(|place| place.file).map(str::to_owned),
                    line: place.and_then(|place| place.line).unwrap_or(0),
                    column: place.and_then(|place| place.column).unwrap_or(0),
                    ..symbolize::Frame::default()
                });
            }
        }
        if frames.is_empty() {
            frames.push(symbolize::Frame::default());
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

/// Where a frame is looked up: in front of a return address.
fn place_of(frame: &Frame) -> u64 {
    frame.address.wrapping_sub(u64::from(!frame.exact))
}

impl Symbols {
    /// Nothing is known. `may_ask`: debuginfod, too.
    pub(crate) fn new(may_ask: bool) -> Self {
        Self { may_ask, ..Self::default() }
    }

    /// Looks up the frames of all these sites at once, modules beside each other.
    pub(crate) fn prepare(&mut self, recording: &Recording, sites: impl Iterator<Item = SiteId>) {
        let mut wanted: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut count = 0;
        let mut seen = vec![false; recording.frames.len()];
        for &number in
            sites.filter_map(|site| recording.stack(site)).flat_map(|stack| &stack.frames)
        {
            let Some(is_seen) = seen.get_mut(number as usize).filter(|is_seen| !**is_seen) else {
                continue;
            };
            *is_seen = true;
            let module = recording.frames.get(number as usize).and_then(|frame| frame.module);
            if let Some(module) = module.filter(|_| !self.known.contains_key(&number)) {
                wanted.entry(module).or_default().push(number);
                count += 1;
            }
        }
        let mut work: Vec<Work> = Vec::new();
        let may_ask = self.may_ask;
        for (module, frames) in wanted {
            work.push((module, frames, self.files.remove(&module).flatten()));
        }
        if work.is_empty() {
            return;
        }
        // The largest is looked at first: what is left over at the end is small.
        work.sort_unstable_by_key(|(_, frames, _)| frames.len());
        let (work, done, progress) =
            (Mutex::new(work), Mutex::new(Vec::new()), Progress::new(count));
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let look = || {
                while let Some((module, frames, file)) = lock(&work).pop() {
                    let found = look_up(recording, (module, frames, file), may_ask, &progress);
                    lock(&done).push(found);
                }
            };
            for _ in 1..workers.min(lock(&work).len()) {
                // Where there is no thread to be had, this one does it all.
                let _ = thread::Builder::new().spawn_scoped(scope, look);
            }
            look();
        });
        progress.finish();
        for (module, file, frames) in
            done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            self.files.insert(module, file);
            self.known.extend(frames);
        }
    }

    fn frames(&mut self, recording: &Recording, number: u32) -> Vec<symbolize::Frame> {
        let Some(frame) = recording.frames.get(number as usize) else { return Vec::new() };
        let mut frames = match self.known.get(&number) {
            Some(frames) => frames.clone(),
            None => vec![symbolize::Frame::default()],
        };
        let path = frame.module.and_then(|module| recording.modules.get(module as usize));
        for named in &mut frames {
            named.module = path.map(|module| (module.path.clone(), frame.address as usize));
            (named.pc, named.is_guessed) = (frame.address as usize, frame.guessed);
        }
        frames
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A module, those of its frames that are wanted, and its file if that is open.
type Work = (u32, Vec<u32>, Option<ModuleFile>);
/// The module, its file, and the frames with what they stand for.
type Found = (u32, Option<ModuleFile>, Vec<(u32, Vec<symbolize::Frame>)>);

fn look_up(
    recording: &Recording,
    (module, frames, file): Work,
    may_ask: bool,
    progress: &Progress,
) -> Found {
    let open = || ModuleFile::open(recording.modules.get(module as usize)?, may_ask);
    let file = file.or_else(open);
    let named = frames.into_iter().filter_map(|number| {
        let frame = recording.frames.get(number as usize)?;
        progress.advance();
        Some((number, file.as_ref()?.frames(place_of(frame))))
    });
    let named = named.collect();
    (module, file, named)
}

/// How far it is, where that takes its time and somebody watches.
struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    fn new(count: u64) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_length(count);
        let style = ProgressStyle::with_template("mallocop: looking up names {bar:30} {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, started: Instant::now() }
    }

    fn advance(&self) {
        self.bar.inc(1);
        if self.bar.is_hidden() && self.started.elapsed() > PATIENCE {
            // Draws nothing unless standard error is a terminal.
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The sites that a finding speaks of.
pub(crate) fn told_sites(report: &FindingReport) -> Vec<SiteId> {
    let finding = &report.finding;
    let blocks = finding.block.iter().chain(finding.beside.iter().flatten());
    let mut sites = vec![finding.site];
    blocks.for_each(|block| sites.extend([block.site, block.free_site]));
    sites
}

/// A recording with its names.
pub(crate) struct Named<'a> {
    pub(crate) recording: &'a Recording,
    pub(crate) symbols: &'a mut Symbols,
}

impl Names for Named<'_> {
    fn source_line(&mut self, frame: &symbolize::Frame) -> Option<String> {
        let file = frame.file.as_deref().filter(|_| frame.line != 0)?;
        self.symbols.sources.line(file, frame.line)
    }

    fn stack(&mut self, site: SiteId) -> names::Stack {
        let Some(stack) = self.recording.stack(site) else { return names::Stack::default() };
        let mut frames = Vec::new();
        for &number in &stack.frames {
            frames.extend(self.symbols.frames(self.recording, number));
        }
        let ending = match stack.ending {
            Ending::Whole => names::Ending::Whole,
            Ending::Cut => names::Ending::Cut,
            Ending::Lost => {
                let module = frames.last().and_then(|frame| frame.module.as_ref());
                let name = module.map_or("", |(path, _)| path.rsplit('/').next().unwrap_or(path));
                names::Ending::Lost(name.to_owned())
            }
        };
        names::Stack { frames, ending }
    }
}
