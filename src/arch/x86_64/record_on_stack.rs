//! The kernel's record of a signal as it lies on a stack (Linux, `rt_sigframe`): return address,
//! `ucontext`, `siginfo`, and behind these the vector registers at a multiple of 64.

/// Bytes of return address, `ucontext` and `siginfo`.
const HEAD: usize = 8 + 304 + 128;
/// Where the `siginfo` is, from the `ucontext` on.
const INFORMATION: usize = 304;
/// Where the `ucontext` has the interrupted rsp, and where it points to the vector registers.
const SP: usize = 40 + 8 * 15;
const VECTORS: usize = 40 + 8 * 23;
/// Bytes below rsp that a function may use (System V ABI, AMD64 supplement, 3.2.2).
const RED_ZONE: usize = 128;
/// In the vector registers' state: a mark and, behind it, the bytes of all of it.
const SOFTWARE: usize = 464;
const MARK: u32 = 0x4650_5853;
const LEGACY: usize = 512;

/// A record.
#[derive(Debug)]
pub struct RecordOnStack {
    sp: usize,
    context: *mut u8,
}

impl RecordOnStack {
    /// # Safety
    /// The kernel has entered a handler with that stack pointer and that `ucontext`.
    pub const unsafe fn new(sp: usize, context: *mut u8) -> Self {
        Self { sp, context }
    }

    fn word(&self, at: usize) -> usize {
        // SAFETY: a word of the kernel's record, by `new`'s caller.
        unsafe { self.context.add(at).cast::<usize>().read() }
    }

    /// The `siginfo`.
    pub fn information(&self) -> *const u8 {
        self.context.wrapping_add(INFORMATION)
    }

    /// The stack pointer where the thread was interrupted.
    pub fn interrupted_sp(&self) -> usize {
        self.word(SP)
    }

    /// Copies the record to a stack, below what is in use above and at `sp`. Returns the handler's
    /// stack pointer there.
    ///
    /// # Safety
    /// Nothing lives below `sp` and its red zone.
    pub unsafe fn move_below(&self, sp: usize) -> usize {
        let state = self.word(VECTORS);
        let bytes = if state == 0 { 0 } else { state_bytes(state) };
        let new_state = (sp - RED_ZONE - bytes) & !63;
        let new_sp = ((new_state - HEAD) & !15) - 8;
        // SAFETY: the record is there, by `new`'s caller; below `sp` nothing lives.
        unsafe {
            core::ptr::copy_nonoverlapping(state as *const u8, new_state as *mut u8, bytes);
            core::ptr::copy_nonoverlapping(self.sp as *const u8, new_sp as *mut u8, HEAD);
            let context = new_sp + (self.context as usize - self.sp);
            if state != 0 {
                ((context + VECTORS) as *mut usize).write(new_state);
            }
        }
        new_sp
    }
}

fn state_bytes(state: usize) -> usize {
    // SAFETY: the kernel's state of the vector registers has 512 bytes at least.
    let [mark, bytes] = unsafe { ((state + SOFTWARE) as *const [u32; 2]).read_unaligned() };
    if mark == MARK { bytes as usize } else { LEGACY }
}
