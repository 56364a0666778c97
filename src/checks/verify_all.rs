//! The look at everything, on demand and at exit: canaries of live blocks, blocks in the
//! quarantine, and what is in use by site.

use core::cell::{Cell, OnceCell};
use std::time::Instant;

use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::{self, BlockHeader};
use crate::checks::quarantine::Quarantined;
use crate::heap::size::PAGE;
use crate::model::finding::{Damage, Operation};
use crate::model::site::ProcessSite;
use crate::model::site::SiteTotals;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::guarded_slots::Slot;
use crate::shadow::lookup;
use crate::shadow::mapped_blocks::MappedBlock;
use crate::sys::fault_net::attempt;
use crate::sys::process;
use crate::sys::seccomp;
use crate::sys::stable_hash::StableMap;
use crate::sys::thread::ToolWork;
use crate::sys::thread_number;
use crate::sys::written_pages::WrittenPages;

/// So few blocks are looked at in a forked child without asking the kernel which pages it has
/// written to.
const FEW: u64 = 200;

/// Damaged blocks reported one by one; the rest belongs to the same few writes as a rule.
const MOST_REPORTED: usize = 8;

/// A look at all blocks: its limits, and how far it has come.
struct Sweep {
    operation: Operation,
    until: Option<Instant>,
    /// Blocks that are looked at at most.
    most: usize,
    /// In a forked child: of what it has inherited it answers for what it may have written to.
    written: OnceCell<Option<WrittenPages>>,
    /// Blocks that were looked at, and whether time was up.
    count: Cell<usize>,
    is_cut: Cell<bool>,
}

impl Sweep {
    /// Blocks between two looks at the clock.
    const OFTEN: usize = 1024;

    fn new(operation: Operation, until: Option<Instant>) -> Self {
        Self {
            operation,
            until,
            most: usize::MAX,
            written: OnceCell::new(),
            count: Cell::new(0),
            is_cut: Cell::new(false),
        }
    }

    /// The pages that a forked child may have written to. `None`: the kernel does not say.
    fn written(&self) -> Option<&WrittenPages> {
        let open = || if seccomp::is_installed() { None } else { WrittenPages::open() };
        self.written.get_or_init(open).as_ref()
    }

    /// Is time up? To be asked at each block.
    fn is_late(&self) -> bool {
        let count = self.count.get() + 1;
        self.count.set(count);
        let is_over = || self.until.is_some_and(|until| Instant::now() >= until);
        if count > self.most || count.is_multiple_of(Self::OFTEN) && is_over() {
            self.is_cut.set(true);
        }
        self.is_cut.get()
    }

    /// Is a damaged block of that thread's not this process's to judge?
    fn is_others(&self, thread: u16, user: usize, size: usize) -> bool {
        if self.operation != Operation::Exit || !thread_number::is_inherited(thread) {
            return false;
        }
        let Some(written) = self.written() else { return true };
        !written.has(user - layout::LEAD) && !written.has(user + size)
    }
}

impl CheckedHeap {
    /// Verifies every live block and every block in the quarantine. Returns the number of
    /// findings. The heap is to be frozen.
    pub fn check_all(&self, operation: Operation) -> usize {
        self.sweep(&Sweep::new(operation, None))
    }

    /// Verifies them at a process's end, until `until`. Was everything looked at?
    pub fn check_until(&self, until: Instant) -> bool {
        let sweep = Sweep::new(Operation::Exit, Some(until));
        self.sweep(&sweep);
        !sweep.is_cut.get()
    }

    /// Verifies them in a forked child that leaves, without a lock and without memory unless
    /// something is found: of what it may have written to, at most so many blocks. Not even the
    /// time is asked for, which would have its pages of code brought in.
    pub fn check_written(&self, most: usize) {
        let sweep = Sweep { most, ..Sweep::new(Operation::Exit, None) };
        // To look at a few blocks costs less than to ask the kernel for their pages.
        if self.is_checked() && (self.live_blocks() <= FEW || sweep.written().is_some()) {
            self.check_quarantine(&sweep);
            self.check_live(&sweep);
        }
    }

    fn sweep(&self, sweep: &Sweep) -> usize {
        if !self.is_checked() {
            return 0;
        }
        self.check_quarantine(sweep)
            + self.check_waiting_slots(sweep.operation)
            + self.check_emptied(sweep)
            + self.check_live(sweep)
    }

    /// Looks for late writes to freed mapped blocks.
    fn check_emptied(&self, sweep: &Sweep) -> usize {
        let waiting: Vec<MappedBlock> = {
            let _work = ToolWork::begin();
            self.mapped().lock().all().filter(|mapped| mapped.is_emptied).copied().collect()
        };
        let is_own = |mapped: &&MappedBlock| {
            let MappedBlock { block, .. } = **mapped;
            !block.free_thread.is_some_and(|thread| {
                sweep.operation == Operation::Exit && thread_number::is_inherited(thread)
            })
        };
        // Frozen, none of them goes away.
        waiting
            .iter()
            .filter(is_own)
            .filter(|_| !sweep.is_late())
            .filter(|mapped| self.verify_emptied(mapped, sweep.operation))
            .count()
    }

    fn check_quarantine(&self, sweep: &Sweep) -> usize {
        let mut damaged = Vec::new();
        self.arenas().for_each(|arena| {
            let waiting = arena
                .local()
                .iter()
                .filter(|waiting| !sweep.is_late() && !self.is_untouched(*waiting));
            let waiting = waiting
                .filter(|waiting| !sweep.is_others(waiting.thread, waiting.user, waiting.size));
            damaged.extend(waiting.filter(|waiting| self.is_steadily_touched(*waiting)));
        });
        damaged.iter().filter(|&&waiting| !self.verify_waiting(waiting, sweep.operation)).count()
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

    fn check_live(&self, sweep: &Sweep) -> usize {
        let mut damaged: Vec<(usize, Damage, Option<BlockHeader>)> = Vec::new();
        let mut guarded = Vec::new();
        let mut look = |user: usize| {
            if slots::head_of(user).is_some() {
                guarded.extend(slots::slot_about(user));
            } else if !sweep.is_late()
                && let Some((head, damage)) = self.steady_damage(user)
                && !head.is_some_and(|head| sweep.is_others(head.thread, user, head.size))
            {
                damaged.push((user, damage, head));
            }
        };
        match sweep.written.get().and_then(Option::as_ref) {
            Some(written) => self.for_each_in_written(written, &mut look),
            // Where memory has gone away the rest of its MiB is passed over.
            None => lookup::for_each_leaf(|leaf| {
                let is_over = |user| {
                    look(user);
                    sweep.is_cut.get()
                };
                let _ = sweep.is_cut.get() || attempt(|| leaf.any_live(is_over)).is_none();
            }),
        }
        damaged.sort_unstable_by_key(|&(user, ..)| user);
        damaged.dedup_by_key(|&mut (user, ..)| user);
        let mut found = self.check_guarded(&guarded, sweep);
        let mut last = None;
        for &(user, damage, _) in &damaged {
            let in_front = lookup::at_or_before(user - 1);
            let continues = last.is_some() && in_front == last;
            last = Some(user);
            if !continues && found < MOST_REPORTED {
                found += 1;
                self.blame(user, damage, sweep.operation, ProcessSite::NONE);
            }
        }
        if sweep.operation == Operation::Exit {
            // A program that goes on, as after a failed exec, is not told of them again.
            for (user, _, head) in damaged.iter().filter(|(user, ..)| self.is_live(*user)) {
                let Some(head) = head else { continue };
                // SAFETY: the block is live and its head is whole; what is written is its canaries'
                // alone, which nobody else writes.
                unsafe { self.canaries().mend(*user, *head) };
            }
        }
        found
    }

    /// Verifies live blocks in guarded slots. How many are damaged?
    fn check_guarded(&self, slots: &[Slot], sweep: &Sweep) -> usize {
        let is_own = |slot: &&Slot| {
            self.describe_slot(**slot).is_none_or(|block| {
                let (thread, size) = (block.thread.unwrap_or(0), block.size.unwrap_or(0));
                !sweep.is_others(thread, block.user, size)
            })
        };
        let is_damaged =
            |slot: &&Slot| self.verify_guarded(**slot, sweep.operation, ProcessSite::NONE);
        slots.iter().filter(is_own).filter(is_damaged).count()
    }

    /// Calls `each` with every live block of which a part lies in a page that was written to.
    fn for_each_in_written(&self, written: &WrittenPages, each: &mut impl FnMut(usize)) {
        lookup::for_each_leaf(|leaf| {
            written.for_each(leaf.base(), |page| {
                // The one that reaches into the page comes first.
                let before = lookup::at_or_before(page).unwrap_or(page);
                let blocks = core::iter::successors(Some(before), |&user| lookup::after(user));
                let blocks = blocks.take_while(|&user| user < page + PAGE + layout::LEAD);
                blocks.filter(|&user| self.is_live(user)).for_each(&mut *each);
            });
        });
    }

    fn is_live(&self, user: usize) -> bool {
        block_table::state(user).is_some_and(BlockState::is_live)
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
