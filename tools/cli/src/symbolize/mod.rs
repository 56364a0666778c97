//! Frames of a recording -> functions, files and lines, from the files on disk.

pub(crate) mod debug_file;
mod module_file;
mod progress;
mod source_cache;

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use dashmap::DashMap;
use mallocop::model::recording::{RecordedFrame, Recording};
use mallocop::model::site::{RecordingSite, StackEnd};
use mallocop::model::stack::{DataSymbol, Ending, Frame, Module, Stack};
use mallocop::options;
use mallocop::stack::modules;
use mallocop::text::style::Renderer;
use mallocop::text::symbolizer::Symbolizer;
use module_file::ModuleFile;
use progress::Progress;
use source_cache::SourceCache;

/// What has been looked up so far: caches that the threads of [`Symbols::prepare`] share.
#[derive(Default)]
pub(crate) struct Symbols {
    /// May debuginfod be asked?
    may_ask: bool,
    /// Names, by the number of the frame in the recording.
    names: DashMap<u32, Vec<Frame>>,
    /// The modules' files, by the number of the module. One thread at a time reads a file.
    files: DashMap<u32, Option<Mutex<ModuleFile>>>,
    sources: SourceCache,
}

/// A module, and those of its frames that are wanted.
type Work = (u32, Vec<u32>);

impl Symbols {
    /// Nothing is known. `may_ask`: debuginfod, too.
    pub(crate) fn new(may_ask: bool) -> Self {
        Self { may_ask, ..Self::default() }
    }

    /// Looks up the frames of all these sites at once, modules beside each other.
    pub(crate) fn prepare(
        &self,
        recording: &Recording,
        sites: impl IntoIterator<Item = RecordingSite>,
    ) {
        let (work, count) = self.unknown(recording, sites);
        if work.is_empty() {
            return;
        }
        let workers = thread::available_parallelism().map_or(1, usize::from).min(work.len());
        let (work, progress) = (Mutex::new(work), Progress::new(count));
        let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let look = || {
            while let Some(work) = next() {
                self.look_up(recording, &work, &progress);
            }
        };
        thread::scope(|scope| {
            for _ in 1..workers {
                // Where there is no thread to be had, this one does it all.
                let _ = thread::Builder::new().spawn_scoped(scope, look);
            }
            look();
        });
        progress.finish();
    }

    /// What is not known of these stacks, by module, the largest last, and the number of frames.
    fn unknown(
        &self,
        recording: &Recording,
        sites: impl IntoIterator<Item = RecordingSite>,
    ) -> (Vec<Work>, u64) {
        let mut wanted: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut count = 0;
        let mut seen = vec![false; recording.frames.len()];
        let stacks = sites.into_iter().filter_map(|site| recording.stack(site));
        for &number in stacks.flat_map(|stack| &stack.frames) {
            let Some(is_seen) = seen.get_mut(number as usize).filter(|is_seen| !**is_seen) else {
                continue;
            };
            *is_seen = true;
            let module = recording.frames.get(number as usize).and_then(|frame| frame.module);
            if let Some(module) = module.filter(|_| !self.names.contains_key(&number)) {
                wanted.entry(module).or_default().push(number);
                count += 1;
            }
        }
        let mut work: Vec<Work> = wanted.into_iter().collect();
        // The largest is looked at first: what is left over at the end is small.
        work.sort_unstable_by_key(|(_, frames)| frames.len());
        (work, count)
    }

    fn look_up(&self, recording: &Recording, (module, frames): &Work, progress: &Progress) {
        if !self.files.contains_key(module) {
            let known = recording.modules.get(*module as usize);
            let file = known.and_then(|known| ModuleFile::open(known, self.may_ask));
            self.files.insert(*module, file.map(Mutex::new));
        }
        let Some(entry) = self.files.get(module) else { return };
        let Some(file) = entry.as_ref() else { return };
        let file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for &number in frames {
            if let Some(frame) = recording.frames.get(number as usize) {
                self.names.insert(number, file.frames(address_of(frame)));
                progress.advance();
            }
        }
    }

    /// The lines of a frame, innermost first.
    fn frames(&self, recording: &Recording, number: u32) -> Vec<Frame> {
        let Some(frame) = recording.frames.get(number as usize) else { return Vec::new() };
        let mut frames =
            self.names.get(&number).map_or_else(|| vec![Frame::default()], |known| known.clone());
        let path = frame.module.and_then(|module| recording.modules.get(module as usize));
        for named in &mut frames {
            named.module = path.map(|module| (module.path.clone(), frame.address as usize));
            (named.pc, named.is_guessed) = (frame.address as usize, frame.guessed);
        }
        frames
    }

    /// Runs `f` with the names of a recording and the options of rendering.
    pub(crate) fn with_renderer<T>(
        &self,
        recording: &Recording,
        f: impl FnOnce(&mut Renderer<'_, RecordingSite>) -> T,
    ) -> T {
        let style = options::style(std::env::current_dir().unwrap_or_default());
        let symbolizer = &mut RecordingSymbolizer { recording, symbols: self };
        f(&mut Renderer { symbolizer, style: &style })
    }
}

/// Where a frame is looked up: in front of a return address.
fn address_of(frame: &RecordedFrame) -> u64 {
    frame.address.wrapping_sub(u64::from(!frame.exact))
}

/// A recording with its names.
struct RecordingSymbolizer<'a> {
    recording: &'a Recording,
    symbols: &'a Symbols,
}

impl Symbolizer<RecordingSite> for RecordingSymbolizer<'_> {
    fn stack(&mut self, site: RecordingSite) -> Stack {
        let Some(stack) = self.recording.stack(site) else { return Stack::default() };
        let mut frames = Vec::new();
        for &number in &stack.frames {
            frames.extend(self.symbols.frames(self.recording, number));
        }
        let ending = match stack.ending {
            StackEnd::Whole => Ending::Whole,
            StackEnd::Cut => Ending::Cut,
            StackEnd::Lost => {
                let module = frames.last().and_then(|frame| frame.module.as_ref());
                let name = module.map_or("", |(path, _)| path.rsplit('/').next().unwrap_or(path));
                Ending::Lost(name.to_owned())
            }
        };
        Stack { frames, ending }
    }

    fn source_line(&mut self, frame: &Frame) -> Option<String> {
        let file = frame.file.as_deref().filter(|_| frame.line != 0)?;
        self.symbols.sources.line(file, frame.line)
    }

    fn data_symbol(&mut self, module: &Module, address: usize) -> Option<DataSymbol> {
        modules::symbol_at(module, address)
    }
}
