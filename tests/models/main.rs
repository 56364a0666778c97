//! The lock-free parts under loom: every order in which threads can come (up to a number of
//! preemptions), and every value that an atomic read may see. The files are the crate's own; what
//! they know as `crate::sys::atomic` and the like is here.

mod concurrent_map_model;
mod deferred_model;
mod free_list_model;
mod lock_model;
mod once_pointer_model;
mod remote_free_model;

mod sys {
    /// Loom's in place of the machine's.
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{
            AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering,
        };
    }
}

/// Runs a model over all orders with up to `preemptions` preemptions.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}
