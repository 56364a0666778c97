//! Fifty tests side by side; every second one loses blocks, in one of several ways. And tests of
//! the other helpers.

use std::hint::black_box;
use std::sync::Mutex;
use std::thread;

#[global_allocator]
static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();

#[inline(never)]
fn work(number: usize) -> usize {
    let lists: Vec<Vec<usize>> = (0..200).map(|by| vec![number; by % 40 + 1]).collect();
    let texts: Vec<String> = (0..200).map(|by| format!("{number} {by}")).collect();
    println!("{} {}", lists.len(), texts.len());
    let in_thread = thread::spawn(move || (0..100).map(|by| vec![by; 9]).count());
    lists.len() + texts.len() + in_thread.join().unwrap()
}

/// Three blocks, so that no test hangs on a word that is left over somewhere.
#[inline(never)]
fn lose(number: usize) {
    for by in 0..3 {
        let forget = move || std::mem::forget(black_box(vec![1u8; 10 * number + by]));
        match number % 3 {
            0 => forget(),
            1 => thread::spawn(forget).join().unwrap(),
            _ => thread::spawn(move || thread::spawn(forget).join().unwrap()).join().unwrap(),
        }
    }
}

macro_rules! tests {
    ($($name:ident $number:literal)*) => {$(
        #[mallocop::test]
        fn $name() {
            assert_eq!(work($number), 500);
            if $number % 2 == 1 {
                lose($number);
            }
            assert_eq!(work($number), 500);
        }
    )*};
}

tests! {
    t00 0 t01 1 t02 2 t03 3 t04 4 t05 5 t06 6 t07 7 t08 8 t09 9
    t10 10 t11 11 t12 12 t13 13 t14 14 t15 15 t16 16 t17 17 t18 18 t19 19
    t20 20 t21 21 t22 22 t23 23 t24 24 t25 25 t26 26 t27 27 t28 28 t29 29
    t30 30 t31 31 t32 32 t33 33 t34 34 t35 35 t36 36 t37 37 t38 38 t39 39
    t40 40 t41 41 t42 42 t43 43 t44 44 t45 45 t46 46 t47 47 t48 48 t49 49
}

static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[mallocop::test]
fn kept_is_right() {
    KEPT.lock().unwrap().push("here".repeat(50));
}

#[mallocop::test(strict)]
fn kept_is_wrong_if_strict() {
    KEPT.lock().unwrap().push("there".repeat(50));
}

#[mallocop::test(strict)]
fn strict_and_right() -> Result<(), String> {
    println!("{}", work(3));
    Ok(())
}

#[mallocop::test]
#[should_panic(expected = "at most 1 are allowed")]
fn too_many_allocations() {
    mallocop::assert_max_allocations!(1, black_box((vec![1u8], vec![2u8])));
}

#[mallocop::test]
fn few_allocations() {
    let both = mallocop::assert_max_allocations!(2, black_box((vec![1u8], vec![2u8])));
    mallocop::assert_no_allocations!(black_box(both.0.len()));
    assert!(mallocop::stats().live_bytes > 0);
}

#[inline(never)]
fn forget(text: &str) {
    std::mem::forget(String::from(text));
}

/// One block, whose address unoptimised code copies from frame to frame.
#[test]
fn a_scope_sees_what_a_call_has_lost() {
    let scope = mallocop::leak_scope();
    forget("lost in a call, and left on the stack below");
    let lost = scope.check().unwrap_err().to_string();
    assert!(lost.contains("forget"), "{lost}");
}

#[mallocop::test]
#[should_panic(expected = "memory was lost")]
fn a_test_that_forgets_one_block_fails() {
    forget("lost by the test's only call");
}

#[test]
fn scopes_nest_and_tell() {
    let outer = mallocop::leak_scope();
    let inner = mallocop::leak_scope();
    lose(9);
    let text = inner.check().unwrap_err().to_string();
    assert!(text.contains("lose"), "{text}");
    assert!(outer.check().is_err());
}
