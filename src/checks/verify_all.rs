//! The look at everything, on demand and at exit: canaries of live blocks, blocks in the
//! quarantine, and what is in use by site.

use crate::checks::heap::CheckedHeap;
use crate::checks::layout::BlockHeader;
use crate::checks::quarantine::Quarantined;
use crate::model::finding::{Damage, Operation};
use crate::model::site::ProcessSite;
use crate::model::site::SiteTotals;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::lookup;
use crate::shadow::mapped_blocks::MappedBlock;
use crate::sys::process;
use crate::sys::stable_hash::StableMap;
use crate::sys::thread::ToolWork;
use crate::sys::thread_number;

/// Damaged blocks reported one by one; the rest belongs to the same few writes as a rule.
const MOST_REPORTED: usize = 8;

impl CheckedHeap {
    /// Verifies every live block and every block in the quarantine. Returns the number of
    /// findings. The heap is to be frozen.
    pub fn check_all(&self, operation: Operation) -> usize {
        if !self.is_checked() {
            return 0;
        }
        self.check_quarantine(operation)
            + self.check_emptied(operation)
            + self.check_live(operation)
    }

    /// Looks for late writes to freed mapped blocks.
    fn check_emptied(&self, operation: Operation) -> usize {
        let waiting: Vec<MappedBlock> = {
            let _work = ToolWork::begin();
            self.mapped().lock().all().filter(|mapped| mapped.is_emptied).copied().collect()
        };
        let is_own = |mapped: &&MappedBlock| {
            !mapped.block.free_thread.is_some_and(|thread| is_the_parents(thread, operation))
        };
        // Frozen, none of them goes away.
        waiting
            .iter()
            .filter(is_own)
            .filter(|mapped| self.verify_emptied(mapped, operation))
            .count()
    }

    fn check_quarantine(&self, operation: Operation) -> usize {
        let mut damaged = Vec::new();
        self.arenas().for_each(|arena| {
            let waiting = arena.local().iter().filter(|w| !is_the_parents(w.thread, operation));
            damaged.extend(waiting.filter(|waiting| self.is_steadily_touched(*waiting)));
        });
        damaged.iter().filter(|&&waiting| !self.verify_waiting(waiting, operation)).count()
    }

    /// Is the poison of a block damaged twice while it waits? Its owner may be evicting it.
    fn is_steadily_touched(&self, waiting: Quarantined) -> bool {
        (0..2).all(|_| {
            let waits = || {
                block_table::word(waiting.user)
                    .is_some_and(|word| word.state == BlockState::Quarantined)
            };
            let touched = waits() && !self.is_untouched(waiting) && waits();
            if touched {
                process::give_way();
            }
            touched
        })
    }

    fn check_live(&self, operation: Operation) -> usize {
        let mut damaged: Vec<(usize, Damage)> = Vec::new();
        lookup::for_each_live(|user, _| {
            if let Some((head, damage)) = self.steady_damage(user)
                && !head.is_some_and(|head| is_the_parents(head.thread, operation))
            {
                damaged.push((user, damage));
            }
        });
        damaged.sort_unstable_by_key(|&(user, _)| user);
        let mut found = 0;
        let mut last = None;
        for (user, damage) in damaged {
            let in_front = lookup::at_or_before(user - 1);
            let continues = last.is_some() && in_front == last;
            last = Some(user);
            if !continues && found < MOST_REPORTED {
                found += 1;
                self.blame(user, damage, operation, ProcessSite::NONE);
            }
        }
        found
    }

    /// Damage to a live block that is there twice while the block's word stays the same: other
    /// threads may be at work.
    fn steady_damage(&self, user: usize) -> Option<(Option<BlockHeader>, Damage)> {
        let class = match block_table::state(user) {
            Some(BlockState::Live(class)) => class,
            _ => return None,
        };
        // SAFETY: the shadow said live, and while exiting no block's memory goes away.
        let is_whole = unsafe { self.canaries().whole(user) }.is_some_and(|word| {
            // SAFETY: the block is whole, with that size.
            !word.is_mapped() && unsafe { self.canaries().holds_behind(user, word.size(), class) }
        });
        if is_whole {
            return None;
        }
        let before = block_table::word(user);
        let mut found = None;
        for _ in 0..2 {
            // SAFETY: the shadow said live, and while exiting no block's memory goes away.
            found = match unsafe { self.canaries().verify(user) } {
                Ok(head) => {
                    self.damage_behind(user, head, class).map(|damage| (Some(head), damage))
                }
                Err(damaged) => Some(damaged),
            };
            if found.is_none() || block_table::word(user) != before {
                return None;
            }
            process::give_way();
        }
        found
    }

    /// Unfreed blocks by allocation site, the largest first.
    pub fn in_use_by_site(&self) -> Vec<(ProcessSite, SiteTotals)> {
        let mut sites: StableMap<ProcessSite, SiteTotals> = StableMap::default();
        lookup::for_each_live(|user, site| {
            let totals = sites.entry(site).or_default();
            totals.blocks += 1;
            totals.bytes += self.size_of(user) as u64;
        });
        let mut sites: Vec<_> = sites.into_iter().collect();
        sites.sort_unstable_by_key(|&(site, totals)| {
            (u64::MAX - totals.bytes, u64::MAX - totals.blocks, site)
        });
        sites
    }
}

/// What a child inherited over fork is its parent's to report at exit; who asks is told of all.
fn is_the_parents(thread: u16, operation: Operation) -> bool {
    operation == Operation::Exit && thread_number::is_inherited(thread)
}
