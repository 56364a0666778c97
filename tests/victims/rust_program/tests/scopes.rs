//! Scopes where a stack or a process is not what it was when they began.

use std::hint::black_box;

#[global_allocator]
static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();

#[inline(never)]
fn lose(bytes: usize) {
    (0..3).for_each(|by| std::mem::forget(black_box(vec![1u8; bytes + by])));
}

/// Forks, and says whether the child found `right`.
fn in_child(right: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child leaves at once; other threads' locks are of no concern to it but for
    // malloc's.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(!right()));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        status == 0
    }
}

#[test]
fn a_scope_goes_on_in_a_forked_child_and_in_its_parent() {
    let scope = mallocop::leak_scope();
    let kept = black_box(vec![1u8; 500]);
    assert!(in_child(|| {
        let inner = mallocop::leak_scope();
        lose(60);
        inner.check().is_err()
    }));
    assert!(in_child(|| {
        let inner = mallocop::leak_scope();
        drop(black_box(vec![1u8; 70]));
        inner.check().is_ok()
    }));
    drop(kept);
    assert!(scope.check().is_ok());
    let scope = mallocop::leak_scope();
    assert!(in_child(|| true));
    lose(80);
    assert!(scope.check().is_err());
}

/// The turn to check was a lock, which children had for ever that were forked while another thread
/// held it.
#[test]
fn children_forked_while_others_check_can_check() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let over = AtomicBool::new(false);
    let checks = || {
        while !over.load(Ordering::Relaxed) {
            let scope = mallocop::leak_scope();
            lose(40);
            assert!(scope.check().is_err());
        }
    };
    std::thread::scope(|threads| {
        (0..2).for_each(|_| {
            threads.spawn(checks);
        });
        let rights = (0..30).filter(|_| {
            in_child(|| {
                let inner = mallocop::leak_scope();
                lose(60);
                inner.check().is_err()
            })
        });
        let rights = rights.count();
        over.store(true, Ordering::Relaxed);
        assert_eq!(rights, 30);
    });
}

/// Calls `work` on a stack from the program's own memory.
fn on_a_stack_of_its_own(work: fn() -> bool) -> bool {
    static RESULT: std::sync::Mutex<(Option<fn() -> bool>, bool)> =
        std::sync::Mutex::new((None, false));
    extern "C" fn start() {
        let work = RESULT.lock().unwrap().0.take().unwrap();
        let result = work();
        RESULT.lock().unwrap().1 = result;
    }
    *RESULT.lock().unwrap() = (Some(work), false);
    let mut stack = vec![0u8; 256 << 10];
    // SAFETY: getcontext(3) and makecontext(3) as their pages have it; the stack outlives its use.
    unsafe {
        let (mut here, mut there): (libc::ucontext_t, libc::ucontext_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        assert_eq!(libc::getcontext(&raw mut there), 0);
        there.uc_stack.ss_sp = stack.as_mut_ptr().cast();
        there.uc_stack.ss_size = stack.len();
        there.uc_link = &raw mut here;
        libc::makecontext(&raw mut there, start, 0);
        assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
    }
    drop(stack);
    RESULT.lock().unwrap().1
}

#[test]
fn a_scope_on_a_stack_of_the_programs_own() {
    assert!(on_a_stack_of_its_own(|| {
        let scope = mallocop::leak_scope();
        drop(black_box(vec![1u8; 500]));
        scope.check().is_ok()
    }));
    assert!(on_a_stack_of_its_own(|| {
        let scope = mallocop::leak_scope();
        lose(90);
        scope.check().is_err()
    }));
}

/// What a coroutine's stack alone leads to is not lost.
#[test]
fn a_scope_around_one() {
    let scope = mallocop::leak_scope();
    assert!(on_a_stack_of_its_own(|| {
        let kept = black_box(vec![1u8; 600]);
        let inner = mallocop::leak_scope();
        drop(black_box(kept.clone()));
        inner.check().is_ok()
    }));
    assert!(scope.check().is_ok());
}
