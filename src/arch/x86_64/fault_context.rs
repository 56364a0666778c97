//! The registers of a thread as a signal has found them: the kernel's record of them, which it
//! takes them from again when the handler returns (`ucontext_t`, asm/ucontext.h; `sigcontext`,
//! asm/sigcontext.h).

use super::registers::{SIGNAL_FP, SIGNAL_PC, SIGNAL_SP};
use super::vector_registers::{mask_of, parts_of as vector_parts_of};

/// Words of the general registers, in the kernel's order: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax,
/// rcx, rsp.
pub const GENERAL: usize = 16;
/// Where they begin.
const FIRST: usize = 40;
/// Where the processor's error code and the number of its exception are.
const ERROR: usize = FIRST + 8 * 19;
const EXCEPTION: usize = FIRST + 8 * 20;
/// Where rax is.
const RAX: usize = FIRST + 8 * 13;
/// Where the stack for handlers begins that the thread had, and the state of the vector registers.
const HANDLER_STACK: usize = 16;
const VECTORS: usize = FIRST + 8 * 23;
/// Where the signals are that the thread blocks, a bit each.
const MASK: usize = 296;

/// In a page fault's error code: it was a write; it was to fetch an instruction (Intel's manual,
/// volume 3, 4.7).
const BY_WRITE: usize = 1 << 1;
const BY_FETCH: usize = 1 << 4;
const PAGE_FAULT: usize = 14;

/// How memory was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It was read.
    Read,
    /// It was written, or read and written.
    Write,
    /// An instruction was to be fetched.
    Jump,
}

/// The kernel's record.
#[derive(Debug)]
pub struct FaultContext(*mut u8);

impl FaultContext {
    /// # Safety
    /// `record` is what the kernel has given to a handler with SA_SIGINFO that has not returned.
    pub const unsafe fn new(record: *mut core::ffi::c_void) -> Self {
        Self(record.cast())
    }

    fn word(&self, at: usize) -> usize {
        // SAFETY: a word of the kernel's record, by `new`'s caller.
        unsafe { self.0.add(at).cast::<usize>().read() }
    }

    fn set(&mut self, at: usize, word: usize) {
        // SAFETY: a word of the kernel's record, by `new`'s caller.
        unsafe { self.0.add(at).cast::<usize>().write(word) };
    }

    /// The general registers.
    pub fn general(&self) -> [usize; GENERAL] {
        core::array::from_fn(|at| self.word(FIRST + 8 * at))
    }

    /// All that may be a pointer of the program's: the general and the vector registers, and the
    /// start of the stack for handlers, which the kernel alone may know.
    pub fn words(&self) -> impl Iterator<Item = usize> + '_ {
        let state = Some(self.word(VECTORS)).filter(|&state| state != 0);
        // SAFETY: the kernel has stored the state there, and its handler has not returned.
        let parts = state.into_iter().flat_map(|state| unsafe { vector_parts_of(state) });
        let words = parts.flat_map(|(start, end)| (start..end).step_by(8));
        // SAFETY: a word of the state, all parts of which are multiples of 8 bytes.
        let words = words.map(|at| unsafe { (at as *const usize).read_unaligned() });
        self.general().into_iter().chain([self.word(HANDLER_STACK)]).chain(words)
    }

    /// The value of a mask register. `None` if it is not known.
    pub fn mask_register(&self, number: u8) -> Option<u64> {
        let state = Some(self.word(VECTORS)).filter(|&state| state != 0)?;
        // SAFETY: the kernel has stored the state there, and its handler has not returned.
        unsafe { mask_of(state, number) }
    }

    /// rip.
    pub fn pc(&self) -> usize {
        self.word(SIGNAL_PC)
    }

    /// rsp.
    pub fn sp(&self) -> usize {
        self.word(SIGNAL_SP)
    }

    /// rbp.
    pub fn fp(&self) -> usize {
        self.word(SIGNAL_FP)
    }

    /// Number of the exception that the thread's last fault was (Intel's manual, volume 3, 6.3.1).
    pub fn exception(&self) -> usize {
        self.word(EXCEPTION)
    }

    /// How a page fault came about. `None`: it was another exception.
    pub fn page_fault(&self) -> Option<Touch> {
        let error = self.word(ERROR);
        (self.word(EXCEPTION) == PAGE_FAULT).then_some(match error {
            _ if error & BY_FETCH != 0 => Touch::Jump,
            _ if error & BY_WRITE != 0 => Touch::Write,
            _ => Touch::Read,
        })
    }

    /// The thread goes on there, with that stack pointer and 1 in rax.
    pub fn go_on_at(&mut self, pc: usize, sp: usize) {
        self.set(SIGNAL_PC, pc);
        self.set(SIGNAL_SP, sp);
        self.set(RAX, 1);
    }

    /// The thread goes on that many bytes in front of where it was.
    pub fn step_back(&mut self, bytes: usize) {
        self.set(SIGNAL_PC, self.pc() - bytes);
    }

    /// Sets rax.
    pub fn set_result(&mut self, rax: usize) {
        self.set(RAX, rax);
    }

    /// The thread blocks these signals, too, when it goes on.
    pub fn block(&mut self, signals: u64) {
        self.set(MASK, self.word(MASK) | signals as usize);
    }

    /// The signals that the thread blocked.
    pub fn mask(&self) -> u64 {
        self.word(MASK) as u64
    }
}
