//! The sites whose blocks are guarded, by the options `guard_sites` and `guard_modules`: one of
//! their functions, one of their modules.

use parking_lot::Mutex;

use crate::leak::suppress::NameList;
use crate::model::site::ProcessSite;
use crate::model::stack::Frame;
use crate::options::{self, Name};
use crate::runtime::{HEAP, reporter};
use crate::sys::stable_hash::StableMap;
use crate::sys::thread::ToolWork;
use crate::sys::{alt_stack, errno};
use crate::text::stacks;

/// The patterns, and what they say of the sites so far.
struct Filter {
    sites: Option<NameList>,
    modules: Option<NameList>,
    known: StableMap<ProcessSite, bool>,
}

static FILTER: Mutex<Option<Filter>> = Mutex::new(None);

/// Reads the patterns. Until then no block is guarded, if there are some.
pub(super) fn begin() {
    let list = |name| options::text(name).map(|text| NameList::new(&text));
    let (sites, modules) = (list(Name::GuardSites), list(Name::GuardModules));
    if sites.is_some() || modules.is_some() {
        *FILTER.lock() = Some(Filter { sites, modules, known: StableMap::default() });
        HEAP.filter_guards(is_wanted);
    }
}

/// Are blocks of the site to be guarded? Not while another thread asks: it may wait for this one.
fn is_wanted(site: ProcessSite) -> bool {
    let _work = ToolWork::begin();
    let Some(mut filter) = FILTER.try_lock() else { return false };
    let Some(Filter { sites, modules, known }) = filter.as_mut() else { return false };
    if let Some(&is_wanted) = known.get(&site) {
        return is_wanted;
    }
    let is_wanted =
        errno::preserve(|| alt_stack::run(|| fits(sites.as_ref(), modules.as_ref(), site)));
    known.insert(site, is_wanted.unwrap_or(false));
    is_wanted.unwrap_or(false)
}

fn fits(sites: Option<&NameList>, modules: Option<&NameList>, site: ProcessSite) -> bool {
    let frames = reporter::with_renderer(|with| stacks::named_frames(site, with));
    let frames = frames.unwrap_or_default();
    let has_name = |frame: &Frame, list: &NameList| {
        let names = [frame.function.as_deref(), frame.symbol.as_deref()];
        // Of a C++ function without its arguments, too.
        let short = frame.function.as_deref().and_then(|name| name.split('(').next());
        names.into_iter().flatten().chain(short).any(|name| list.matches(name))
    };
    let has_module = |frame: &Frame, list: &NameList| {
        let path = frame.module.as_ref().map(|(path, _)| path.as_str());
        let name = path.and_then(|path| path.rsplit('/').next());
        path.into_iter().chain(name).any(|name| list.matches(name))
    };
    sites.is_none_or(|list| frames.iter().any(|frame| has_name(frame, list)))
        && modules.is_none_or(|list| frames.iter().any(|frame| has_module(frame, list)))
}

/// In a forked child: another thread may have been asking. Then nothing is guarded any more.
pub(super) fn renew_after_fork() {
    if FILTER.is_locked() {
        HEAP.filter_guards(|_| false);
    }
}
