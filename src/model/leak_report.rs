//! What a process says at its end, or when it is asked to look for leaks: the verdict, or what is
//! in use.

use serde::{Deserialize, Serialize};

use super::site::{HeapStats, ProcessSite, SiteCounts, SiteTotals};

/// How a block is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Loss {
    /// No pointer leads to it.
    Direct,
    /// Only pointers in lost blocks do.
    Indirect,
    /// It may be lost: only doubtful pointers lead to it, or not all threads could be looked at.
    Possible,
}

/// Blocks of one site that are lost in one way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leak<S = ProcessSite> {
    /// Where they were allocated.
    pub site: S,
    /// How they are lost.
    pub loss: Loss,
    /// How many, how large.
    pub totals: SiteTotals,
    /// Address and bytes of each, if that is asked for.
    pub objects: Vec<(usize, usize)>,
}

impl<S> Leak<S> {
    /// Translates the leak's site.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> Leak<T> {
        let Self { site: old, loss, totals, objects } = self;
        Leak { site: site(old), loss, totals, objects }
    }
}

/// Blocks of one site that can be reached, or of which that is not known.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reachable<S = ProcessSite> {
    /// Where they were allocated.
    pub site: S,
    /// How many, how large.
    pub totals: SiteTotals,
    /// Totals of the site's allocations.
    pub counts: SiteCounts,
}

impl<S> Reachable<S> {
    /// Translates the site.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> Reachable<T> {
        Reachable { site: site(self.site), totals: self.totals, counts: self.counts }
    }
}

/// The result of a leak check.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What is lost: direct leaks first, then possible, then indirect ones, the largest of each
    /// first.
    pub leaks: Vec<Leak>,
    /// Reachable blocks in use, the largest sites first.
    pub reachable: Vec<(ProcessSite, SiteTotals)>,
    /// Suppressed leaks.
    pub suppressed: SiteTotals,
}

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeakCheckObstacle {
    /// The kernel does not say what is mapped.
    NoMappings,
    /// There is no memory for the marks.
    NoMemory,
    /// Its parent's blocks cannot be told from its own.
    Inherited,
    /// The program wants none.
    TurnedOff,
    /// The program has installed a filter that may refuse what is needed, or end it for that.
    Filter,
    /// A look at memory has faulted.
    Fault,
}

/// Why blocks were not guarded, from some time on or from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardObstacle {
    /// A limit on address space leaves no room for slots.
    AddressLimit,
    /// Slots would count against a limit on data.
    DataLimit,
    /// The program has installed a filter that may refuse system calls, or end it for them.
    Filter,
    /// The kernel has no way to make pages fault, or not the one that was asked for.
    NoBackend,
    /// It has refused time and again, as it does in locked memory.
    Refused,
}

/// Why a thread was not stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStopped {
    /// It has the signal blocked.
    Blocked,
    /// It did not come in time.
    Late,
}

/// A verdict with all that goes with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeakReport<S = ProcessSite> {
    /// What is lost: direct leaks first, then possible, then indirect ones, the largest of each
    /// first.
    pub leaks: Vec<Leak<S>>,
    /// Blocks in use that are not known to be lost, the largest sites first.
    pub reachable: Vec<Reachable<S>>,
    /// The rest.
    pub sum: LeakSummary,
}

impl<S> Default for LeakReport<S> {
    fn default() -> Self {
        Self { leaks: Vec::new(), reachable: Vec::new(), sum: LeakSummary::default() }
    }
}

/// Totals beside the lists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeakSummary {
    /// The process.
    pub pid: u32,
    /// Is this the end, or was it asked for on the way?
    pub is_final: bool,
    /// Does the program define malloc itself, so that its blocks are not seen?
    pub has_own_malloc: bool,
    /// Is something to be said even if nothing is lost?
    pub speaks: bool,
    /// Were leaks looked for?
    pub is_checked: bool,
    /// Why not, if they were to be.
    pub obstacle: Option<LeakCheckObstacle>,
    /// Threads that could not be looked at, by kernel id.
    pub missed: Vec<(u32, NotStopped)>,
    /// Is it not even known which threads there are?
    pub is_blind: bool,
    /// Pages that could not be read, in which pointers may be.
    pub unread_pages: u64,
    /// Suppressed leaks.
    pub suppressed: SiteTotals,
    /// The process's allocations and frees.
    #[serde(alias = "ledger")]
    pub stats: HeapStats,
    /// On the rules that did not do what they say.
    pub notes: String,
    /// Blocks freed in signal handlers that were never released.
    pub lost_frees: u64,
    /// How often a stack was stored without its innermost frames.
    pub folded: u64,
    /// Looks at memory that a fault has ended.
    #[serde(default)]
    pub lost_looks: u64,
    /// Blocks that `guard=all` was to guard and did not.
    #[serde(default)]
    pub unguarded: u64,
    /// Why blocks were not guarded, if they were to be.
    #[serde(default)]
    pub guard_obstacle: Option<GuardObstacle>,
}

impl<S> LeakReport<S> {
    /// Is something lost beyond doubt?
    pub const fn is_error(&self) -> bool {
        !self.leaks.is_empty() && self.is_certain()
    }

    /// Was everything looked at?
    pub const fn is_certain(&self) -> bool {
        self.sum.missed.is_empty() && !self.sum.is_blind
    }

    /// Blocks and bytes that can be reached.
    pub fn reachable(&self) -> SiteTotals {
        let mut sum = SiteTotals::default();
        self.reachable.iter().for_each(|reachable| sum.add(reachable.totals));
        sum
    }

    /// Translates the report's sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> LeakReport<T> {
        LeakReport {
            leaks: self.leaks.into_iter().map(|leak| leak.map_sites(site)).collect(),
            reachable: self.reachable.into_iter().map(|known| known.map_sites(site)).collect(),
            sum: self.sum,
        }
    }
}
