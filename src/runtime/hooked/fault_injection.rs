//! Requests that are refused although there is memory, by the option `fail`.

use crate::runtime::leak_rules;
use crate::sys::thread_number;
use crate::text::style::Renderer;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::arch::Caller;
use crate::leak::suppress::{self, Suppression};
use crate::model::finding::{Defect, Finding, Operation};
use crate::model::leak_report::Loss;
use crate::model::site::ProcessSite;
use crate::options::{self, Name, Plan};
use crate::runtime::{HEAP, reporter};
use crate::stack::capture;
use crate::sys::stable_hash::{StableMap, StableSet};
use crate::sys::thread::ToolWork;
use crate::sys::{alt_stack, errno, output, process};

/// A plan that goes by numbers alone.
#[derive(Clone, Copy)]
enum Numbers {
    Nth(u64),
    Every(u64),
    Chance(u64, u64),
    AtLeast(usize),
}

/// A plan that goes by stacks, with what is known of those that came.
enum Stacks {
    Survey(StableSet<ProcessSite>),
    Site(Vec<Suppression>, StableMap<ProcessSite, bool>),
}

static NUMBERS: OnceLock<Numbers> = OnceLock::new();
static STACKS: Mutex<Option<Stacks>> = Mutex::new(None);
static IS_ON: AtomicBool = AtomicBool::new(false);
/// Requests so far.
static REQUESTS: AtomicU64 = AtomicU64::new(0);
/// Most bytes that may be in use; 0: no limit.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Does the process end where a request is refused for that limit?
static ENDS: AtomicBool = AtomicBool::new(false);

/// Reads what is to be refused. Requests count from here on.
pub(in crate::runtime) fn begin() {
    let text = options::text(Name::Fail);
    let plan = text.as_deref().and_then(Plan::parse);
    let numbers = match plan {
        Some(Plan::Nth(number)) => Some(Numbers::Nth(number)),
        Some(Plan::Every(number)) => Some(Numbers::Every(number)),
        Some(Plan::Chance(chance, seed)) => Some(Numbers::Chance(chance, seed)),
        Some(Plan::AtLeast(size)) => Some(Numbers::AtLeast(size)),
        _ => None,
    };
    *STACKS.lock() = match plan {
        Some(Plan::Survey) => Some(Stacks::Survey(StableSet::default())),
        Some(Plan::Site(pattern)) => {
            let rules = suppress::read(&format!("leak:{pattern}"), "fail");
            Some(Stacks::Site(rules.unwrap_or_default(), StableMap::default()))
        }
        _ => None,
    };
    let limit = process::environment(c"AFL_LD_LIMIT_MB")
        .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
    if plan.is_none() && limit.is_none() {
        return;
    }
    LIMIT.store(limit.unwrap_or(0) << 20, Ordering::Relaxed);
    ENDS.store(process::environment(c"AFL_LD_HARD_FAIL").is_some(), Ordering::Relaxed);
    if let Some(numbers) = numbers {
        let _ = NUMBERS.set(numbers);
    }
    IS_ON.store(true, Ordering::Release);
    super::switch::begin();
}

/// May requests be refused?
pub fn is_planned() -> bool {
    IS_ON.load(Ordering::Acquire)
}

/// Is a request of so many bytes to be refused? It is said where it is.
///
/// # Safety
/// As [`super::allocate`] asks.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_refuses"))]
pub(crate) unsafe fn refuses(size: usize, caller: Caller) -> bool {
    if !IS_ON.load(Ordering::Acquire) {
        return false;
    }
    let ordinal = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    if is_over_limit(size) {
        return true;
    }
    let site = || {
        // SAFETY: the caller of this function promises the same.
        unsafe { capture::site(caller) }
    };
    let refuses = match NUMBERS.get() {
        Some(numbers) => numbers.refuse(ordinal, size),
        None => errno::preserve(|| judge_stack(ordinal, size, site())),
    };
    if refuses {
        let site = site();
        alt_stack::run(|| tell(Defect::Refused { ordinal, size }, site));
    }
    refuses
}

fn is_over_limit(size: usize) -> bool {
    let limit = LIMIT.load(Ordering::Relaxed);
    if limit == 0 || HEAP.totals().0.live.saturating_add(size as u64) <= limit {
        return false;
    }
    if ENDS.load(Ordering::Relaxed) {
        output::write_stderr(b"mallocop: more memory is wanted than AFL_LD_LIMIT_MB allows\n");
        process::abort();
    }
    true
}

impl Numbers {
    fn refuse(self, ordinal: u64, size: usize) -> bool {
        match self {
            Self::Nth(number) => ordinal == number,
            Self::Every(number) => ordinal.is_multiple_of(number),
            Self::Chance(chance, seed) => draw(seed, ordinal) < chance,
            Self::AtLeast(least) => size >= least,
        }
    }
}

fn judge_stack(ordinal: u64, size: usize, site: ProcessSite) -> bool {
    let _work = ToolWork::begin();
    match STACKS.lock().as_mut() {
        None => false,
        Some(Stacks::Survey(known)) => {
            if known.insert(site) {
                alt_stack::run(|| tell(Defect::Surveyed { ordinal, size }, site));
            }
            false
        }
        Some(Stacks::Site(rules, known)) => *known
            .entry(site)
            .or_insert_with(|| alt_stack::run(|| fits(rules, site)).unwrap_or(false)),
    }
}

/// The draw for a request, below 2^32: the same for the same seed (splitmix64).
const fn draw(seed: u64, ordinal: u64) -> u64 {
    let mut mixed = seed.wrapping_add(ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 32
}

fn fits(rules: &[Suppression], site: ProcessSite) -> bool {
    let matches = |with: &mut Renderer<'_, ProcessSite>| {
        leak_rules::with_names(site, with, |stack| {
            rules.iter().any(|rule| rule.matches(stack, Loss::Direct))
        })
    };
    reporter::with_renderer(matches).unwrap_or(false)
}

fn tell(defect: Defect, site: ProcessSite) {
    reporter::on_finding(&Finding::new(
        defect,
        Operation::Allocate,
        0,
        thread_number::number(),
        site,
    ));
}

/// The process ends: a survey says how many requests there were.
pub(in crate::runtime) fn end() {
    if IS_ON.load(Ordering::Acquire) && matches!(*STACKS.lock(), Some(Stacks::Survey(_))) {
        let ordinal = REQUESTS.load(Ordering::Relaxed);
        tell(Defect::Surveyed { ordinal, size: 0 }, ProcessSite::NONE);
    }
}

/// In a forked child: another thread may have been at it.
pub(in crate::runtime) fn renew_after_fork() {
    if STACKS.is_locked() {
        IS_ON.store(false, Ordering::Release);
    }
}
