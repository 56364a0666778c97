//! Parking threads: a signal holds a thread in its handler until it is let go. The handler notes
//! what only the thread itself knows, its registers, and touches nothing else of the program's.
//!
//! The signal is the one that libc keeps for setuid (33): libc lets no program block or take it.
//! What comes of it from libc meanwhile is passed on.

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::signal::{self, Action, SYNCHRONOUS};
use super::{errno, futex, process, thread};
use crate::arch::vector_parts_of;
use crate::sys::raw_syscall;
use crate::sys::thread_list::Asleep;

/// The signal's number.
pub const SIGNAL: u32 = 33;
/// General registers in a signal's context: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp
/// (asm/sigcontext.h's order).
pub const REGISTERS: usize = 16;
const RAX: usize = libc::REG_RAX as usize;
const RSP: usize = libc::REG_RSP as usize;
const RBP: usize = libc::REG_RBP as usize;
const RIP: usize = libc::REG_RIP as usize;

/// How far a thread that was asked has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ParkState {
    /// The signal is on its way.
    Asked = 0,
    /// It waits in the handler; its registers are noted.
    Parked = 1,
    /// It was in the middle of work of ours and goes on.
    Inside = 2,
    /// It was parked and has gone on.
    Left = 3,
}

/// A thread that is asked to park. Places are never freed: a late signal may still name one.
pub struct ParkedThread {
    /// The place that was made before this one.
    next: Option<&'static ParkedThread>,
    is_taken: AtomicBool,
    tid: AtomicU32,
    state: AtomicU32,
    /// Number, stack pointer and return address of the call that it sleeps in; the last is 0 if it
    /// does not.
    asleep: [AtomicUsize; 3],
    registers: [AtomicUsize; REGISTERS],
    /// Where it was interrupted.
    pc: AtomicUsize,
    /// Where the kernel keeps its vector registers meanwhile; 0: nowhere.
    vectors: AtomicUsize,
    /// Its alternate signal stack, which the kernel alone may know.
    alternate: [AtomicUsize; 2],
    descriptor: AtomicUsize,
}

impl ParkedThread {
    /// For a thread that sleeps in that call, if it does.
    pub fn take(tid: u32, asleep: Option<Asleep>) -> &'static Self {
        let free = |place: &&'static Self| {
            let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
            place.is_taken.compare_exchange(false, true, done, failed).is_ok()
        };
        let place = places().find(free).unwrap_or_else(Self::make);
        place.tid.store(tid, Ordering::Relaxed);
        let words = asleep.map_or([0; 3], |asleep| [asleep.number, asleep.sp, asleep.pc]);
        place.asleep.iter().zip(words).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
        let sets: [&[AtomicUsize]; 3] =
            [&place.registers, slice::from_ref(&place.vectors), &place.alternate];
        sets.into_iter().flatten().for_each(|word| word.store(0, Ordering::Relaxed));
        place.state.store(ParkState::Asked as u32, Ordering::Release);
        place
    }

    /// A new one, which is taken.
    fn make() -> &'static Self {
        let place = Box::leak(Box::new(Self {
            next: None,
            is_taken: AtomicBool::new(true),
            tid: AtomicU32::new(0),
            state: AtomicU32::new(ParkState::Asked as u32),
            asleep: [const { AtomicUsize::new(0) }; 3],
            registers: [const { AtomicUsize::new(0) }; REGISTERS],
            pc: AtomicUsize::new(0),
            vectors: AtomicUsize::new(0),
            alternate: [const { AtomicUsize::new(0) }; 2],
            descriptor: AtomicUsize::new(0),
        }));
        let mut newest = PLACES.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or a place, which is never freed.
            place.next = unsafe { newest.as_ref() };
            match PLACES.compare_exchange(newest, place, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return place,
                Err(now) => newest = now,
            }
        }
    }

    /// Gives it back: the thread knows nothing of it any more.
    pub fn give_back(&self) {
        self.is_taken.store(false, Ordering::Release);
    }

    /// Kernel id of the thread.
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// How far it has come.
    pub fn state(&self) -> ParkState {
        match self.state.load(Ordering::Acquire) {
            0 => ParkState::Asked,
            1 => ParkState::Parked,
            2 => ParkState::Inside,
            _ => ParkState::Left,
        }
    }

    /// Its stack pointer where it was interrupted.
    pub fn sp(&self) -> usize {
        self.registers.get(RSP).map_or(0, |sp| sp.load(Ordering::Relaxed))
    }

    /// Its frame pointer there.
    pub fn fp(&self) -> usize {
        self.registers.get(RBP).map_or(0, |fp| fp.load(Ordering::Relaxed))
    }

    /// Where it was interrupted.
    pub fn pc(&self) -> usize {
        self.pc.load(Ordering::Relaxed)
    }

    /// Its [`thread::pointer()`].
    pub fn descriptor(&self) -> usize {
        self.descriptor.load(Ordering::Relaxed)
    }

    /// Its general registers there.
    pub fn registers(&self) -> impl Iterator<Item = usize> + '_ {
        self.registers.iter().map(|register| register.load(Ordering::Relaxed))
    }

    /// The memory in which the kernel keeps its vector registers while it is parked: starts and
    /// ends. They may hold pointers: copies by vector instructions wait there.
    pub fn vectors(&self) -> impl Iterator<Item = (usize, usize)> {
        let state = Some(self.vectors.load(Ordering::Relaxed)).filter(|&state| state != 0);
        // SAFETY: its handler has noted where the kernel stored its state, and waits until the
        // threads go on.
        state.into_iter().flat_map(|state| unsafe { vector_parts_of(state) })
    }

    /// Its alternate signal stack: start and end; empty without one.
    pub fn alternate(&self) -> (usize, usize) {
        let [start, bytes] = &self.alternate;
        let start = start.load(Ordering::Relaxed);
        (start, start + bytes.load(Ordering::Relaxed))
    }

    fn set(&self, state: ParkState) {
        self.state.store(state as u32, Ordering::Release);
        NEWS.fetch_add(1, Ordering::Release);
        futex::wake(&raw const NEWS, ALL);
    }
}

/// The place that was made last.
static PLACES: AtomicPtr<ParkedThread> = AtomicPtr::new(core::ptr::null_mut());

/// All places, taken or not.
fn places() -> impl Iterator<Item = &'static ParkedThread> {
    // SAFETY: null, or a place, which is never freed.
    let newest = unsafe { PLACES.load(Ordering::Acquire).as_ref() };
    core::iter::successors(newest, |place| place.next)
}

/// Threads to wake: whoever waits.
const ALL: u32 = i32::MAX as u32;

/// Odd while threads are to stay parked.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Counts what threads have told.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// What the signal did before, to pass on what is not ours.
static BEFORE: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// While this lives the signal is ours, and the calling thread, whom the others wait for, is not
/// interrupted: a handler of the program's could wait for one of them.
pub struct Parking {
    before: Action,
    mask: u64,
    /// Is a signal still on its way to somebody?
    unanswered: bool,
}

impl Parking {
    /// Takes the signal over. `None`: the kernel refuses. One at a time.
    pub fn open() -> Option<Self> {
        // Signals that come meanwhile wait: what they interrupt is what they would have without us.
        let ours = Action::handled_by(on_signal, libc::SA_RESTART | libc::SA_ONSTACK);
        let before = signal::set_action(SIGNAL as c_int, &ours)?;
        let is_ours = before.handler == ours.handler;
        if !is_ours && before.takes_info() {
            BEFORE.store(before.handler as *mut c_void, Ordering::Release);
        }
        let mask = signal::set_mask(!(SYNCHRONOUS | signal::LET_IN.load(Ordering::Relaxed)));
        ROUND.fetch_or(1, Ordering::AcqRel);
        Some(Self { before, mask, unanswered: is_ours })
    }

    /// Asks a thread to park. `false`: it cannot be asked, as it has ended.
    pub fn ask(&self, place: &ParkedThread) -> bool {
        place.state.store(ParkState::Asked as u32, Ordering::Release);
        // siginfo_t: signal, error, code, padding; pid, uid; value (asm-generic/siginfo.h).
        let mut info = [0u64; 16];
        let code = libc::SI_QUEUE as u32;
        let [first, second, ids, value, ..] = &mut info;
        *first = u64::from(SIGNAL);
        *second = u64::from(code);
        *ids = u64::from(process::id());
        *value = core::ptr::from_ref(place) as u64;
        let (process, thread) = (process::id() as usize, place.tid() as usize);
        let arguments = [process, thread, SIGNAL as usize, info.as_ptr() as usize];
        // SAFETY: rt_tgsigqueueinfo(2) reads the 128 bytes.
        unsafe { raw_syscall::call(libc::SYS_rt_tgsigqueueinfo, arguments) == 0 }
    }

    /// Waits until none of the threads is still asked, or `until`.
    pub fn wait(&self, places: &[&'static ParkedThread], until: Instant) {
        wait_while(places, ParkState::Asked, until);
    }

    /// Lets the threads go on, and gives the signal back if none is on its way any more. A place
    /// whose thread has not come by then stays for ever.
    pub fn close(mut self, places: Vec<&'static ParkedThread>) {
        ROUND.fetch_add(1, Ordering::AcqRel);
        futex::wake(&raw const ROUND, ALL);
        wait_while(&places, ParkState::Parked, Instant::now() + Duration::from_millis(100));
        for place in places {
            if matches!(place.state(), ParkState::Asked | ParkState::Parked) {
                self.unanswered = true;
            } else {
                place.give_back();
            }
        }
        if !self.unanswered {
            signal::set_action(SIGNAL as c_int, &self.before);
        }
        signal::set_mask(self.mask);
    }
}

/// Waits until none of the threads is in that state any more, or `until`.
fn wait_while(places: &[&'static ParkedThread], state: ParkState, until: Instant) {
    loop {
        let news = NEWS.load(Ordering::Acquire);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || places.iter().all(|place| place.state() != state) {
            return;
        }
        futex::wait(&raw const NEWS, news, Some(left));
    }
}

/// Runs on a thread that is asked to park, or for libc.
///
/// # Safety
/// The kernel calls it, as a handler with SA_SIGINFO.
unsafe extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    errno::preserve(|| {
        // SAFETY: the kernel gives it to a handler with SA_SIGINFO.
        let (code, pid, value) = unsafe {
            let info = &*info;
            (info.si_code, info.si_pid(), info.si_value().sival_ptr as *const ParkedThread)
        };
        // Anybody may queue the signal with any value: only an address of ours is one.
        let is_own = code == libc::SI_QUEUE && pid == process::id() as i32;
        let place = if is_own { places().find(|&place| core::ptr::eq(place, value)) } else { None };
        match place {
            // SAFETY: the kernel's context for a handler with SA_SIGINFO.
            Some(place) => park(place, unsafe { &mut *context.cast::<libc::ucontext_t>() }),
            None => pass_on(signal, info, context),
        }
    });
}

fn park(place: &ParkedThread, context: &mut libc::ucontext_t) {
    let round = ROUND.load(Ordering::Acquire);
    if round & 1 == 0 {
        return place.set(ParkState::Left);
    }
    if !thread::is_outside() {
        return place.set(ParkState::Inside);
    }
    let words = &mut context.uc_mcontext.gregs;
    for (to, from) in place.registers.iter().zip(words.iter()) {
        to.store(*from as usize, Ordering::Relaxed);
    }
    let pc = words.get(RIP).map_or(0, |pc| *pc as usize);
    place.pc.store(pc, Ordering::Relaxed);
    place.vectors.store(context.uc_mcontext.fpregs as usize, Ordering::Relaxed);
    let alternate = context.uc_stack;
    if alternate.ss_flags & libc::SS_DISABLE == 0 {
        let [start, bytes] = &place.alternate;
        start.store(alternate.ss_sp as usize, Ordering::Relaxed);
        bytes.store(alternate.ss_size, Ordering::Relaxed);
    }
    place.descriptor.store(thread::pointer(), Ordering::Relaxed);
    place.set(ParkState::Parked);
    while ROUND.load(Ordering::Acquire) == round {
        futex::wait(&raw const ROUND, round, None);
    }
    // A call that the signal has ended early is begun again, as it would have gone on without us.
    // Other signals that came meanwhile come before that, as if they had come in front of the call.
    let [number, sp, pc] =
        [0, 1, 2].map(|at| place.asleep.get(at).map_or(0, |word| word.load(Ordering::Relaxed)));
    if pc != 0
        && let [rax, rsp, rip] = [RAX, RSP, RIP].map(|at| words.get(at).copied().unwrap_or(0))
        && rax == -i64::from(libc::EINTR)
        && (rsp as usize, rip as usize) == (sp, pc)
    {
        if let Some(word) = words.get_mut(RAX) {
            *word = number as i64;
        }
        if let Some(word) = words.get_mut(RIP) {
            // The length of `syscall`.
            *word -= 2;
        }
    }
    place.set(ParkState::Left);
}

fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.load(Ordering::Acquire);
    if !before.is_null() {
        // SAFETY: the handler that was set for this signal, of the form that SA_SIGINFO says.
        unsafe {
            let handler = core::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void),
            >(before);
            handler(signal, info, context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread_list;

    /// A thread in poll(2), which a signal would end: it parks, tells its registers, and the call
    /// goes on.
    #[test]
    fn a_sleeping_thread_parks_and_sleeps_on() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let mut ends = [0; 2];
            // SAFETY: pipe(2) fills both, and poll(2) gets one descriptor.
            unsafe {
                assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
                sender
                    .send((crate::sys::glibc::thread_descriptor::current_tid(), ends[1]))
                    .expect("a receiver");
                let mut wanted = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
                (libc::poll(&raw mut wanted, 1, 20_000), wanted.revents)
            }
        });
        let (tid, end) = receiver.recv().expect("a sender");
        let until = Instant::now() + Duration::from_secs(10);
        let asleep = loop {
            match thread_list::asleep(tid) {
                Some(asleep) if asleep.number == libc::SYS_poll as usize => break asleep,
                _ => assert!(Instant::now() < until, "it never sleeps"),
            }
        };
        for _ in 0..3 {
            let parking = Parking::open().expect("the signal");
            let places = vec![ParkedThread::take(tid, Some(asleep))];
            assert!(parking.ask(places[0]));
            parking.wait(&places, until);
            assert_eq!(places[0].state(), ParkState::Parked);
            assert_eq!(places[0].sp(), asleep.sp);
            assert!(places[0].registers().any(|register| register == asleep.sp));
            parking.close(places);
        }
        // SAFETY: writes a byte into the pipe.
        assert_eq!(unsafe { libc::write(end, b"x".as_ptr().cast(), 1) }, 1);
        assert_eq!(sleeper.join().expect("no panic"), (1, libc::POLLIN));
    }
}
