//! What there is against guarded blocks in this process, so that a report can say so.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::model::leak_report::GuardObstacle;
use crate::shadow::guarded_slots;
use crate::sys::seccomp;

const ALL: [GuardObstacle; 5] = [
    GuardObstacle::AddressLimit,
    GuardObstacle::DataLimit,
    GuardObstacle::Filter,
    GuardObstacle::NoBackend,
    GuardObstacle::Refused,
];

/// The obstacle that was met, as its place in [`ALL`] plus one; 0: none was.
static MET: AtomicU8 = AtomicU8::new(0);

/// Notes an obstacle.
pub(super) fn note(obstacle: GuardObstacle) {
    let place = ALL.iter().position(|&one| one == obstacle).map_or(0, |place| place + 1);
    MET.store(place as u8, Ordering::Relaxed);
}

/// Why blocks were not guarded from some time on, if they were to be.
pub(super) fn met() -> Option<GuardObstacle> {
    let met = usize::from(MET.load(Ordering::Relaxed));
    let noted = met.checked_sub(1).and_then(|place| ALL.get(place).copied());
    // The filter came when slots were there: there are no more since then.
    let is_filtered = guarded_slots::spans() != 0 && seccomp::is_installed();
    noted.or(is_filtered.then_some(GuardObstacle::Filter))
}
