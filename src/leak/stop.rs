//! Stopping the world: every other thread parks in a signal handler until it is let go. No ptrace,
//! no helper process; a thread that does not come in time is missed, and the verdict says so.

use crate::model::leak_report::NotStopped;
use crate::sys::glibc::thread_descriptor;
use std::time::{Duration, Instant};

use crate::sys::stop_signal::{ParkState, ParkedThread, Parking};
use crate::sys::thread_list;
use crate::sys::thread_list::SignalReach;
use crate::sys::{process, single_threaded};

/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest time for which a thread may have the signal blocked, as libc has while it starts or ends
/// one.
const BLOCKED_PATIENCE: Duration = Duration::from_millis(100);
/// Until a thread that was found inside our own work is asked again.
const PAUSE: Duration = Duration::from_micros(200);

/// The other threads, as far as they stand still.
#[derive(Default)]
pub struct Stopped {
    parking: Option<Parking>,
    places: Vec<&'static ParkedThread>,
    /// Threads that go on, by kernel id.
    pub missed: Vec<(u32, NotStopped)>,
    /// May there be more threads that nobody knows of?
    pub is_blind: bool,
}

impl Stopped {
    /// Do all other threads stand still?
    pub const fn is_complete(&self) -> bool {
        self.missed.is_empty() && !self.is_blind
    }

    /// The threads that do.
    pub fn parked(&self) -> impl Iterator<Item = &ParkedThread> {
        self.places.iter().copied().filter(|place| place.state() == ParkState::Parked)
    }

    /// Lets them go on.
    pub fn resume(&mut self) {
        if let Some(parking) = self.parking.take() {
            parking.close(core::mem::take(&mut self.places));
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.resume();
    }
}

/// Stops all threads but the calling one.
pub fn stop() -> Stopped {
    let mut stopped = Stopped::default();
    if single_threaded::is_single() {
        return stopped;
    }
    let me = thread_descriptor::current_tid();
    match thread_list::all() {
        Some(tids) if tids == [me] => return stopped,
        Some(_) => {}
        None => stopped.is_blind = true,
    }
    let parking = if stopped.is_blind { None } else { Parking::open() };
    let Some(parking) = parking else {
        stopped.is_blind = true;
        return stopped;
    };
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        ask_new(&mut stopped, &parking, me);
        // No more threads than stand still: nobody is left who could start another one.
        if settle(&mut stopped, &parking, started) && are_all_known(&stopped) {
            break;
        }
    }
    let late = stopped.places.iter().filter(|place| place.state() != ParkState::Parked);
    let late: Vec<_> =
        late.map(|place| place.tid()).filter(|&tid| is_missed_yet(&stopped, tid)).collect();
    stopped
        .missed
        .extend(late.into_iter().filter(|&tid| is_there(tid)).map(|tid| (tid, NotStopped::Late)));
    stopped.parking = Some(parking);
    stopped
}

fn is_missed_yet(stopped: &Stopped, tid: u32) -> bool {
    stopped.missed.iter().all(|&(missed, _)| missed != tid)
}

fn is_there(tid: u32) -> bool {
    thread_list::reach(tid, crate::sys::stop_signal::SIGNAL) != SignalReach::Gone
}

/// Asks threads that are not known yet. While threads end, the kernel's list may leave others out.
fn ask_new(stopped: &mut Stopped, parking: &Parking, me: u32) {
    let Some(tids) = thread_list::all() else {
        stopped.is_blind = true;
        return;
    };
    for tid in tids {
        let is_known = stopped.places.iter().any(|place| place.tid() == tid);
        if tid == me || is_known || !is_there(tid) {
            continue;
        }
        let place = ParkedThread::take(tid, thread_list::asleep(tid));
        if parking.ask(place) {
            stopped.places.push(place);
        } else {
            place.give_back();
        }
    }
}

/// Does the kernel count no more threads than the calling one, those that stand still, those that
/// were given up, and the first one if it has ended?
fn are_all_known(stopped: &Stopped) -> bool {
    let first_has_ended = !is_there(process::id());
    let known = 1 + stopped.parked().count() + stopped.missed.len() + usize::from(first_has_ended);
    thread_list::count().is_none_or(|count| count <= known)
}

/// Waits a moment for those who were asked, and asks again who was in the middle of our own work.
/// Is nobody left to wait for?
fn settle(stopped: &mut Stopped, parking: &Parking, started: Instant) -> bool {
    parking.wait(&stopped.places, Instant::now() + PAUSE);
    let mut settled = true;
    let mut blocked = Vec::new();
    for place in &stopped.places {
        match place.state() {
            ParkState::Parked => {}
            ParkState::Inside => {
                parking.ask(place);
                settled = false;
            }
            ParkState::Asked | ParkState::Left if !is_missed_yet(stopped, place.tid()) => {}
            ParkState::Asked | ParkState::Left => {
                match thread_list::reach(place.tid(), crate::sys::stop_signal::SIGNAL) {
                    SignalReach::Gone => {}
                    SignalReach::Blocked if started.elapsed() > BLOCKED_PATIENCE => {
                        blocked.push((place.tid(), NotStopped::Blocked));
                    }
                    SignalReach::Blocked | SignalReach::Open => settled = false,
                }
            }
        }
    }
    stopped.missed.extend(blocked);
    settled
}
