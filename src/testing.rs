//! What tests can ask: do they leak, how much do they allocate? All of it is about the calling
//! thread, and about the threads that it starts, so that tests run side by side as always.
//!
//! ```
//! # #[global_allocator] static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();
//! let scope = mallocop::leak_scope();
//! let numbers = vec![1, 2, 3];
//! mallocop::assert_no_allocations!(numbers.iter().sum::<i32>());
//! mallocop::assert_max_allocations!(1, numbers.clone());
//! drop(numbers);
//! scope.end(); // would panic if anything were lost
//! ```

use core::fmt;
use core::marker::PhantomData;

pub use crate::abi::test_scope::Statistics;

use crate::abi::shared_heap::{self, EndScope};
use crate::global;
use crate::runtime::init;
use crate::sys::{stack_clear, thread};

/// What the process has allocated, all threads and, where the library is preloaded, all languages
/// together. All zero where nobody counts.
pub fn stats() -> Statistics {
    let mut numbers = Statistics::default();
    match global::shared() {
        // SAFETY: there is room for the numbers.
        Some(heap) => unsafe { (heap.statistics)(&raw mut numbers) },
        None if init::ready().is_some() => numbers = crate::abi::test_scope::statistics(),
        None => {}
    }
    numbers
}

/// A piece of a program that must not leak. See [`leak_scope`].
#[must_use = "a scope that ends at once has nothing in it"]
pub struct LeakScope {
    token: u32,
    is_strict: bool,
    is_over: bool,
    // It belongs to the thread that began it.
    not_send: PhantomData<*const ()>,
}

/// Begins a scope: what the calling thread allocates until its end, and the threads that it starts
/// meanwhile, must not be lost by then. What other threads do does not matter, and scopes nest.
///
/// # Panics
/// If nobody counts, since [`crate::Mallocop`] is not the program's global allocator and
/// libmallocop.so is not preloaded; or if there were 16,000 scopes and threads before.
pub fn leak_scope() -> LeakScope {
    let token = match global::shared() {
        Some(heap) => (heap.begin_scope)(),
        None => shared_heap::begin_scope(),
    };
    assert!(
        token != 0,
        "mallocop is not this program's global allocator and not preloaded, or there were too \
         many scopes"
    );
    LeakScope { token, is_strict: false, is_over: false, not_send: PhantomData }
}

/// What was lost in a scope, as text with stacks.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaked(String);

impl fmt::Display for Leaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Leaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Leaked {}

impl LeakScope {
    /// What is still there at the end must not be even if it can be reached. What Rust's standard
    /// library keeps is not counted.
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Ends it and says what was lost. A pointer that stands in the caller's own frame keeps its
    /// block, also one that the compiler has only copied there.
    ///
    /// # Errors
    /// If something was.
    #[inline(always)]
    pub fn check(mut self) -> Result<(), Leaked> {
        // Leftovers of earlier calls would lie between the frames of the leak check.
        crate::arch::wipe_below(stack_clear::room());
        self.finish()
    }

    /// Ends it.
    ///
    /// # Panics
    /// If something was lost.
    #[track_caller]
    #[inline(always)]
    pub fn end(self) {
        if let Err(leaked) = self.check() {
            fail(&leaked);
        }
    }

    #[inline(never)]
    fn finish(&mut self) -> Result<(), Leaked> {
        extern "C" fn take(text: usize, first: *const u8, len: usize) {
            // SAFETY: the address of `text` below, and what was written for it.
            unsafe {
                let bytes = core::slice::from_raw_parts(first, len);
                (*(text as *mut String)).push_str(&String::from_utf8_lossy(bytes));
            }
        }
        self.is_over = true;
        let mut text = String::new();
        let place = &raw mut text as usize;
        let end: EndScope = match global::shared() {
            Some(heap) => heap.end_scope,
            None => shared_heap::end_scope,
        };
        // SAFETY: the scope is the calling thread's, since this cannot be sent; `take` gets what it
        // wants.
        unsafe { end(self.token, self.is_strict, place, take) };
        if text.is_empty() { Ok(()) } else { Err(Leaked(text)) }
    }
}

#[track_caller]
#[allow(clippy::panic, reason = "that is what a test's assertion does")]
fn fail(leaked: &Leaked) -> ! {
    panic!("memory was lost:\n\n{leaked}")
}

impl Drop for LeakScope {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        crate::arch::wipe_below(stack_clear::room());
        if let Err(leaked) = self.finish()
            && !std::thread::panicking()
        {
            fail(&leaked);
        }
    }
}

/// Runs a test's body in a scope: what `#[mallocop::test]` does.
///
/// # Panics
/// As the body does, and if it loses memory.
#[doc(hidden)]
#[track_caller]
pub fn run<T>(body: fn() -> T, is_strict: bool) -> T {
    let mut scope = leak_scope();
    scope.is_strict = is_strict;
    let result = call(body);
    scope.end();
    result
}

/// The body's frames are gone when the scope ends.
#[inline(never)]
fn call<T>(body: fn() -> T) -> T {
    body()
}

/// Counts what the calling thread asks Rust's global allocator for. See
/// [`crate::assert_max_allocations!`].
#[doc(hidden)]
pub struct Requests(u32);

impl Requests {
    /// Begins to count.
    ///
    /// # Panics
    /// If [`crate::Mallocop`] is not the program's global allocator: nobody would count.
    pub fn begin() -> Self {
        assert!(global::is_used(), "mallocop::Mallocop is not this program's global allocator");
        Self(thread::requests())
    }

    /// Those so far.
    pub fn count(&self) -> u32 {
        thread::requests().wrapping_sub(self.0)
    }
}

/// Evaluates an expression, which must not ask for memory more than so many times: allocations and
/// resizes of the calling thread, by Rust's global allocator. Gives its value.
///
/// # Panics
/// If it does, or if [`Mallocop`](crate::Mallocop) is not the program's global allocator.
#[macro_export]
macro_rules! assert_max_allocations {
    ($most:expr, $body:expr $(,)?) => {{
        let most: u32 = $most;
        let requests = $crate::testing::Requests::begin();
        let value = $body;
        let count = requests.count();
        assert!(
            count <= most,
            "{count} allocations, at most {most} are allowed: {}",
            stringify!($body)
        );
        value
    }};
}

/// Evaluates an expression, which must not ask for memory. See [`assert_max_allocations!`].
#[macro_export]
macro_rules! assert_no_allocations {
    ($body:expr $(,)?) => {
        $crate::assert_max_allocations!(0, $body)
    };
}
