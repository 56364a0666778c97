//! Parking threads: a signal holds a thread in its handler until it is let go. The handler notes what only the
//! thread itself knows, its registers, and touches nothing else of the program's.
//!
//! The signal is the one that libc keeps for setuid (33): libc lets no program block or take it. What
//! comes of it from libc meanwhile is passed on.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::tasks::Asleep;
use super::{errno, futex, kernel, process, thread};

/// The signal's number.
pub const SIGNAL: u32 = 33;
/// General registers in a signal's context: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp
/// (asm/sigcontext.h's order).
pub const REGISTERS: usize = 16;
const RAX: usize = libc::REG_RAX as usize;
const RSP: usize = libc::REG_RSP as usize;
const RIP: usize = libc::REG_RIP as usize;

/// How far a thread that was asked has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// The signal is on its way.
    Asked = 0,
    /// It waits in the handler; its registers are noted.
    Parked = 1,
    /// It was in the middle of work of ours and goes on.
    Inside = 2,
    /// It was parked and has gone on.
    Left = 3,
}

/// A thread that is asked to park.
pub struct Place {
    /// Its kernel id.
    pub tid: u32,
    state: AtomicU32,
    asleep: Option<Asleep>,
    registers: [AtomicUsize; REGISTERS],
    /// Its alternate signal stack, which the kernel alone may know.
    alternate: [AtomicUsize; 2],
    descriptor: AtomicUsize,
}

impl Place {
    /// For a thread that sleeps in that call, if it does.
    pub fn new(tid: u32, asleep: Option<Asleep>) -> Box<Self> {
        Box::new(Self {
            tid,
            state: AtomicU32::new(State::Asked as u32),
            asleep,
            registers: [const { AtomicUsize::new(0) }; REGISTERS],
            alternate: [const { AtomicUsize::new(0) }; 2],
            descriptor: AtomicUsize::new(0),
        })
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Asked,
            1 => State::Parked,
            2 => State::Inside,
            _ => State::Left,
        }
    }

    /// Its stack pointer where it was interrupted.
    pub fn sp(&self) -> usize {
        self.registers.get(RSP).map_or(0, |sp| sp.load(Ordering::Relaxed))
    }

    /// Its [`thread::pointer()`].
    pub fn descriptor(&self) -> usize {
        self.descriptor.load(Ordering::Relaxed)
    }

    /// Its general registers there.
    pub fn registers(&self) -> impl Iterator<Item = usize> + '_ {
        self.registers.iter().map(|register| register.load(Ordering::Relaxed))
    }

    /// Its alternate signal stack: start and end; empty without one.
    pub fn alternate(&self) -> (usize, usize) {
        let [start, bytes] = &self.alternate;
        let start = start.load(Ordering::Relaxed);
        (start, start + bytes.load(Ordering::Relaxed))
    }

    fn set(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
        NEWS.fetch_add(1, Ordering::Release);
        futex::wake(&raw const NEWS, ALL);
    }
}

/// Threads to wake: whoever waits.
const ALL: u32 = i32::MAX as u32;

/// Odd while threads are to stay parked.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Counts what threads have told.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// What the signal did before, to pass on what is not ours.
static BEFORE: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// The kernel's `struct sigaction`, of which libc's own would not take this signal.
#[repr(C)]
#[derive(Clone, Copy)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

const RESTORER: u64 = 0x0400_0000;

/// While this lives the signal is ours, and the calling thread, whom the others wait for, is not interrupted: a
/// handler of the program's could wait for one of them.
pub struct Parking {
    before: Action,
    mask: u64,
    /// Is a signal still on its way to somebody?
    unanswered: bool,
}

impl Parking {
    /// Takes the signal over. `None`: the kernel refuses. One at a time.
    pub fn open() -> Option<Self> {
        let ours = Action {
            handler: on_signal as *const () as usize,
            flags: (libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK) as u64 | RESTORER,
            restorer: restore as *const () as usize,
            // All others wait, so that what they interrupt is what they would have without us.
            mask: u64::MAX,
        };
        let mut before = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
        if !set_action(&ours, Some(&mut before)) {
            return None;
        }
        let is_ours = before.handler == ours.handler;
        if !is_ours && before.handler > libc::SIG_IGN && before.flags & libc::SA_SIGINFO as u64 != 0
        {
            BEFORE.store(before.handler as *mut c_void, Ordering::Release);
        }
        let mask = set_mask(!SYNCHRONOUS);
        ROUND.fetch_or(1, Ordering::AcqRel);
        Some(Self { before, mask, unanswered: is_ours })
    }

    /// Asks a thread to park. `false`: it cannot be asked, as it has ended.
    pub fn ask(&self, place: &Place) -> bool {
        place.state.store(State::Asked as u32, Ordering::Release);
        // siginfo_t: signal, error, code, padding; pid, uid; value (asm-generic/siginfo.h).
        let mut info = [0u64; 16];
        let code = libc::SI_QUEUE as u32;
        let [first, second, ids, value, ..] = &mut info;
        *first = u64::from(SIGNAL);
        *second = u64::from(code);
        *ids = u64::from(process::id());
        *value = core::ptr::from_ref(place) as u64;
        let (process, thread) = (process::id() as usize, place.tid as usize);
        let arguments = [process, thread, SIGNAL as usize, info.as_ptr() as usize];
        // SAFETY: rt_tgsigqueueinfo(2) reads the 128 bytes.
        unsafe { kernel::call(libc::SYS_rt_tgsigqueueinfo, arguments) == 0 }
    }

    /// Waits until none of the threads is still asked, or `until`.
    pub fn wait(&self, places: &[Box<Place>], until: Instant) {
        wait_while(places, State::Asked, until);
    }

    /// Lets the threads go on, and gives the signal back if none is on its way any more. A place whose thread has
    /// not come by then stays for ever.
    pub fn close(mut self, places: Vec<Box<Place>>) {
        ROUND.fetch_add(1, Ordering::AcqRel);
        futex::wake(&raw const ROUND, ALL);
        wait_while(&places, State::Parked, Instant::now() + Duration::from_millis(100));
        for place in places {
            if matches!(place.state(), State::Asked | State::Parked) {
                self.unanswered = true;
                Box::leak(place);
            }
        }
        if !self.unanswered {
            set_action(&self.before, None);
        }
        set_mask(self.mask);
    }
}

/// Waits until none of the threads is in that state any more, or `until`.
fn wait_while(places: &[Box<Place>], state: State, until: Instant) {
    loop {
        let news = NEWS.load(Ordering::Acquire);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || places.iter().all(|place| place.state() != state) {
            return;
        }
        futex::wait(&raw const NEWS, news, Some(left));
    }
}

fn set_action(new: &Action, old: Option<&mut Action>) -> bool {
    let old = old.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    let new = core::ptr::from_ref(new);
    // SAFETY: rt_sigaction(2) with the kernel's own structure and an 8-byte set.
    unsafe {
        let arguments = [SIGNAL as usize, new as usize, old as usize, 8];
        kernel::call(libc::SYS_rt_sigaction, arguments) == 0
    }
}

/// Signals that an instruction of the thread's own raises: SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV.
const SYNCHRONOUS: u64 = bit(libc::SIGILL)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGBUS)
    | bit(libc::SIGFPE)
    | bit(libc::SIGSEGV);

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Sets which signals the calling thread has blocked, the ones that libc keeps among them; returns what it was.
fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    let (new, old) = (core::ptr::from_ref(&mask) as usize, &raw mut before as usize);
    // SAFETY: rt_sigprocmask(2) with 8-byte sets.
    unsafe {
        kernel::call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, new, old, 8]);
    }
    before
}

#[unsafe(naked)]
extern "C" fn restore() {
    naked_asm!("mov rax, {call}", "syscall", call = const libc::SYS_rt_sigreturn)
}

/// Runs on a thread that is asked to park, or for libc.
///
/// # Safety
/// The kernel calls it, as a handler with SA_SIGINFO.
unsafe extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    errno::preserve(|| {
        // SAFETY: the kernel gives both. The signal is libc's own, which libc sends without a value: what this
        // process has queued with one is from `ask`, whose place stays until the thread has answered.
        let place = unsafe {
            let info_ref = &*info;
            let own =
                info_ref.si_code == libc::SI_QUEUE && info_ref.si_pid() == process::id() as i32;
            own.then(|| info_ref.si_value().sival_ptr as *const Place).and_then(|at| at.as_ref())
        };
        match place {
            // SAFETY: the kernel's context for a handler with SA_SIGINFO.
            Some(place) => park(place, unsafe { &mut *context.cast::<libc::ucontext_t>() }),
            None => pass_on(signal, info, context),
        }
    });
}

fn park(place: &Place, context: &mut libc::ucontext_t) {
    let round = ROUND.load(Ordering::Acquire);
    if round & 1 == 0 {
        return place.set(State::Left);
    }
    if !thread::is_outside() {
        return place.set(State::Inside);
    }
    let words = &mut context.uc_mcontext.gregs;
    for (to, from) in place.registers.iter().zip(words.iter()) {
        to.store(*from as usize, Ordering::Relaxed);
    }
    let alternate = context.uc_stack;
    if alternate.ss_flags & libc::SS_DISABLE == 0 {
        let [start, bytes] = &place.alternate;
        start.store(alternate.ss_sp as usize, Ordering::Relaxed);
        bytes.store(alternate.ss_size, Ordering::Relaxed);
    }
    place.descriptor.store(thread::pointer(), Ordering::Relaxed);
    place.set(State::Parked);
    while ROUND.load(Ordering::Acquire) == round {
        futex::wait(&raw const ROUND, round, None);
    }
    // A call that the signal has ended early is begun again, as it would have gone on without us. Other
    // signals that came meanwhile come before that, as if they had come in front of the call.
    if let Some(asleep) = place.asleep
        && let [rax, rsp, rip] = [RAX, RSP, RIP].map(|at| words.get(at).copied().unwrap_or(0))
        && rax == -i64::from(libc::EINTR)
        && (rsp as usize, rip as usize) == (asleep.sp, asleep.pc)
    {
        if let Some(word) = words.get_mut(RAX) {
            *word = asleep.number as i64;
        }
        if let Some(word) = words.get_mut(RIP) {
            // The length of `syscall`.
            *word -= 2;
        }
    }
    place.set(State::Left);
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
    use super::super::tasks;
    use super::*;

    /// A thread in poll(2), which a signal would end: it parks, tells its registers, and the call goes on.
    #[test]
    fn a_sleeping_thread_parks_and_sleeps_on() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let mut ends = [0; 2];
            // SAFETY: pipe(2) fills both, and poll(2) gets one descriptor.
            unsafe {
                assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
                sender.send((thread::current_tid(), ends[1])).expect("a receiver");
                let mut wanted = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
                (libc::poll(&raw mut wanted, 1, 20_000), wanted.revents)
            }
        });
        let (tid, end) = receiver.recv().expect("a sender");
        let until = Instant::now() + Duration::from_secs(10);
        let asleep = loop {
            match tasks::asleep(tid) {
                Some(asleep) if asleep.number == libc::SYS_poll as usize => break asleep,
                _ => assert!(Instant::now() < until, "it never sleeps"),
            }
        };
        for _ in 0..3 {
            let parking = Parking::open().expect("the signal");
            let places = vec![Place::new(tid, Some(asleep))];
            assert!(parking.ask(&places[0]));
            parking.wait(&places, until);
            assert_eq!(places[0].state(), State::Parked);
            assert_eq!(places[0].sp(), asleep.sp);
            assert!(places[0].registers().any(|register| register == asleep.sp));
            parking.close(places);
        }
        // SAFETY: writes a byte into the pipe.
        assert_eq!(unsafe { libc::write(end, b"x".as_ptr().cast(), 1) }, 1);
        assert_eq!(sleeper.join().expect("no panic"), (1, libc::POLLIN));
    }
}
