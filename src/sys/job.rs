//! A closure that is called through assembly, which takes a function and a pointer.

/// A closure and, once it has run, its result.
pub(super) struct Job<F, T> {
    work: Option<F>,
    pub(super) result: Option<T>,
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    pub(super) const fn new(work: F) -> Self {
        Self { work: Some(work), result: None }
    }

    /// The function that runs a job of this type, given its address.
    pub(super) fn runner(&self) -> extern "C" fn(*mut u8) {
        run::<F, T>
    }
}

extern "C" fn run<F: FnOnce() -> T, T>(job: *mut u8) {
    // SAFETY: `runner` gives this function out for a job of this type, and its callers pass the
    // address of that one, which outlives the call.
    let job = unsafe { &mut *job.cast::<Job<F, T>>() };
    job.result = job.work.take().map(|work| work());
}
