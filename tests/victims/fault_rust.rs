//! Planted: a reference outlives its box, by unsafe code.

struct Node {
    next: *const Node,
    value: u64,
}

#[inline(never)]
fn release(node: *mut Node) {
    // SAFETY: it was a box.
    drop(unsafe { Box::from_raw(node) });
}

#[inline(never)]
fn follow(node: *const Node) -> u64 {
    // SAFETY: wrong, where it was released.
    unsafe { (*std::ptr::read_volatile(&raw const (*node).next)).value }
}

fn main() {
    println!("fault_rust: start");
    let node = Box::into_raw(Box::new(Node { next: std::ptr::null(), value: 0 }));
    // SAFETY: just made.
    unsafe { (*node).next = node };
    let value = if cfg!(FIXED) {
        let value = follow(node);
        release(node);
        value
    } else {
        release(node);
        follow(node)
    };
    println!("fault_rust: end");
    std::process::exit(value as i32);
}
