//! What a process says at its end, or when it is asked to look for leaks: the verdict, or what is
//! in use.

use serde::{Deserialize, Serialize};

use crate::arena::HeapStats;
use crate::checks::SiteTotals;
use crate::leak::Leak;
use crate::leak::check::LeakCheckObstacle;
use crate::leak::stop::Reason;
use crate::stack::depot::SiteId;
use crate::stack::site_counts::SiteCounts;

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeakReport {
    /// What is lost: direct leaks first, then possible, then indirect ones, the largest of each
    /// first.
    pub leaks: Vec<Leak>,
    /// What is in use and is not known to be lost, the largest sites first.
    pub reachable: Vec<Reachable>,
    /// The rest.
    pub sum: LeakSummary,
}

/// Blocks of one site that can be reached, or of which that is not known.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reachable {
    /// Where they were allocated.
    pub site: SiteId,
    /// How many, how large.
    pub totals: SiteTotals,
    /// What the site has allocated in all.
    pub counts: SiteCounts,
}

/// What goes with the lists.
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
    /// Was looked for leaks?
    pub is_checked: bool,
    /// Why not, if it was to be.
    pub obstacle: Option<LeakCheckObstacle>,
    /// Threads that could not be looked at, by kernel id.
    pub missed: Vec<(u32, Reason)>,
    /// Is it not even known which threads there are?
    pub is_blind: bool,
    /// Pages that could not be read, in which pointers may be.
    pub unread_pages: u64,
    /// What is lost and not to be reported.
    pub suppressed: SiteTotals,
    /// What the process has allocated and freed.
    pub stats: HeapStats,
    /// On the rules that did not do what they say.
    pub notes: String,
    /// Blocks freed in signal handlers that were never released.
    pub lost_frees: u64,
    /// How often a stack was stored without its innermost frames.
    pub folded: u64,
}

impl LeakReport {
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
}
