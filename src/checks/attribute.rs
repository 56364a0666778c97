//! Overwritten words: whose write was it? An overrun smashes what lies behind its block, so the
//! block whose canary fails is not always the one that was written past.

use crate::arena::size_class::Class;
use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::BlockHeader;
use crate::checks::trailing_word::fills_its_chunk;
use crate::heap::Corrupt;
use crate::model::finding::{Block, Damage, Defect, Finding, Location, Operation, Side};
use crate::model::site::ProcessSite;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::lookup;
use crate::stack::capture;
use crate::sys::thread_number;

/// Damaged blocks followed towards the first one.
const MOST_FOLLOWED: usize = 1 << 16;

/// Where a stretch of damage starts.
struct DamageOrigin {
    defect: Defect,
    user: usize,
    damage: Damage,
    followed: usize,
}

impl CheckedHeap {
    /// Reports the damage found at the block `user`, in the name of the block it started from.
    #[cold]
    pub(crate) fn blame(
        &self,
        user: usize,
        damage: Damage,
        operation: Operation,
        now: ProcessSite,
    ) {
        let origin = self.trace_back(user, damage);
        let now = if now == ProcessSite::NONE { self.operation_site(operation) } else { now };
        self.deliver(&Finding {
            block: Some(self.describe_taken(origin.user, user)),
            beside: self.reached(&origin),
            damage: Some(origin.damage),
            more_damaged: origin.followed,
            ..Finding::new(origin.defect, operation, origin.user, thread_number::number(), now)
        });
    }

    /// Reports a smashed chunk, in the name of the block beside it.
    #[cold]
    pub(crate) fn blame_corruption(
        &self,
        corrupt: Corrupt,
        operation: Operation,
        now: ProcessSite,
    ) {
        let in_front = lookup::at_or_before(corrupt.chunk);
        let behind = lookup::after(corrupt.chunk);
        for user in [in_front, behind].into_iter().flatten() {
            if let Some(damage) = self.damage_of(user) {
                return self.blame(user, damage, operation, now);
            }
        }
        let now = if now == ProcessSite::NONE { capture::full_site() } else { now };
        self.deliver(&Finding {
            place: Location::Heap,
            beside: [in_front, behind].map(|user| user.map(|user| self.describe(user))),
            ..Finding::new(
                Defect::HeapCorruption,
                operation,
                corrupt.chunk,
                thread_number::number(),
                now,
            )
        });
    }

    /// Damage to the canaries of a block that is not being changed right now.
    fn damage_of(&self, user: usize) -> Option<Damage> {
        if slots::head_of(user).is_some() {
            return None;
        }
        let state = block_table::word(user)?.state;
        if !self.is_checked() || !matches!(state, BlockState::Live(_) | BlockState::Quarantined) {
            return None;
        }
        if self.mapped().lock().get(user).is_some_and(|m| m.block.life != Block::at(user).life) {
            return None;
        }
        // SAFETY: the shadow says that a block is there, and its mapping is not sealed.
        match unsafe { self.canaries().verify(user) } {
            Err((_, damage)) => Some(damage),
            Ok(head) => match state {
                BlockState::Live(class) => self.damage_behind(user, head, class),
                // A block that waits does not say its class, nor whether anything was written
                // behind it.
                // SAFETY: the block is whole.
                _ if unsafe { fills_its_chunk(user, head.size) } => {
                    self.damage_behind(user, head, None)
                }
                _ => None,
            },
        }
    }

    /// Damage right behind the canary of a whole block: its word is looked at under the heap's
    /// lock, by which others change it.
    pub(crate) fn damage_behind(
        &self,
        user: usize,
        head: BlockHeader,
        class: Option<Class>,
    ) -> Option<Damage> {
        // SAFETY: the block is whole, with that head.
        if head.mapped || unsafe { self.canaries().holds_behind(user, head.size, class) } {
            return None;
        }
        let arena = self.arenas().get(block_table::owner(user)?)?;
        let _held = arena.lock();
        // SAFETY: the block is whole, with that head, and its heap's lock is held.
        unsafe { self.canaries().behind_damage(user, head.size, class) }
    }

    /// Follows damage from block to block to the lowest one that it can have come from.
    fn trace_back(&self, user: usize, damage: Damage) -> DamageOrigin {
        let mut origin = DamageOrigin { defect: defect_of(damage), user, damage, followed: 0 };
        while origin.damage.side == Side::Before && origin.followed < MOST_FOLLOWED {
            let Some(in_front) = lookup::at_or_before(origin.user - 1) else { break };
            let Some(damage) = self.damage_of(in_front) else { break };
            if damage.side == Side::Past && !self.starts_at_end(in_front, damage) {
                // Not written past the end of that block: an underrun came down to here.
                break;
            }
            let followed = origin.followed + 1;
            origin = DamageOrigin { defect: defect_of(damage), user: in_front, damage, followed };
        }
        origin
    }

    /// Is the first byte behind the block among the changed ones?
    fn starts_at_end(&self, user: usize, damage: Damage) -> bool {
        // SAFETY: the shadow says that a block is there; `damage_of` has just read it.
        let head = unsafe { self.canaries().read_head(user) };
        head.is_some_and(|head| damage.first.unsigned_abs() == head.size)
    }

    /// A block that is being freed is still the program's, as far as the reader is concerned.
    fn describe_taken(&self, user: usize, taken: usize) -> Block {
        let block = self.describe(user);
        if user == taken && block.free_thread.is_none() {
            return Block {
                life: crate::model::finding::Life::Live,
                free_site: ProcessSite::NONE,
                ..block
            };
        }
        block
    }

    /// The neighbours that the damage reaches: it fills the gap on that side.
    fn reached(&self, origin: &DamageOrigin) -> [Option<Block>; 2] {
        let DamageOrigin { user, damage, .. } = *origin;
        let in_front = damage.side == Side::Before && damage.first <= -6;
        let fills = damage.changed + 1 > (damage.last - damage.first).unsigned_abs();
        // Only right behind the canary: it may as well have been written in front of the block
        // there.
        let is_behind = damage.side == Side::Past && !damage.certain;
        let past =
            damage.side == Side::Past && fills && damage.changed >= crate::checks::layout::TAIL;
        // In room that the block's own chunk has left over it has reached nobody.
        // SAFETY: the shadow says that a block is there; its damage was just read.
        let head = unsafe { self.canaries().read_head(user) };
        let is_own = |head: BlockHeader| user.wrapping_add_signed(damage.first) >= head.end(user);
        let past = past && !head.is_some_and(is_own) || is_behind;
        [
            if in_front { self.neighbour_in_front(user) } else { None },
            if past || origin.followed > 0 { self.neighbour_behind(user) } else { None },
        ]
    }

    fn neighbour_in_front(&self, user: usize) -> Option<Block> {
        lookup::at_or_before(user - 1).map(|user| self.describe(user))
    }

    fn neighbour_behind(&self, user: usize) -> Option<Block> {
        lookup::after(user).map(|user| self.describe(user))
    }
}

const fn defect_of(damage: Damage) -> Defect {
    match damage.side {
        Side::Before => Defect::Underflow,
        Side::Past => Defect::Overflow,
        Side::AfterFree => Defect::WriteAfterFree,
    }
}
