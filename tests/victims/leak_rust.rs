//! leak_rust keep|lose: a vector that is forgotten, and two shared values that hold each other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};

#[allow(dead_code, reason = "is only there to be owned")]
struct Node {
    other: RefCell<Option<Rc<Node>>>,
    text: RefCell<Vec<u8>>,
}

thread_local! {
    // What has a destructor is dropped before the end.
    static MINE: Cell<*const Node> = const { Cell::new(std::ptr::null()) };
}

static KEPT: OnceLock<Mutex<HashMap<u32, &'static mut [u8]>>> = OnceLock::new();

#[inline(never)]
fn forget(keep: bool) {
    let bytes: &'static mut [u8] = Box::leak(vec![1; 1237].into_boxed_slice());
    let map = KEPT.get_or_init(Default::default);
    if keep {
        map.lock().expect("no panic").insert(1, bytes);
    }
}

#[inline(never)]
fn hold_each_other(keep: bool) {
    let node = Rc::new(Node { other: RefCell::new(None), text: RefCell::new(vec![2; 77]) });
    *node.other.borrow_mut() = Some(Rc::clone(&node));
    if keep {
        MINE.with(|mine| std::hint::black_box(mine).set(Rc::into_raw(node)));
    }
}

#[inline(never)]
fn scrub() {
    std::hint::black_box([0u8; 16384]);
}

fn main() {
    let keep = std::env::args().nth(1).as_deref() == Some("keep");
    forget(keep);
    hold_each_other(keep);
    scrub();
    std::thread::spawn(move || std::hint::black_box(vec![3u8; 99]).len()).join().expect("no panic");
    println!("leak_rust: end");
}
