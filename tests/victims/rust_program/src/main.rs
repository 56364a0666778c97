//! What a Rust program can do wrong with its allocator, by the first argument; without one, what it
//! can do right.

use std::alloc::{GlobalAlloc, Layout, dealloc, realloc};
use std::hint::black_box;

#[global_allocator]
static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();

const LAYOUT: Layout = Layout::new::<[u64; 3]>();

/// A block that the compiler cannot do without.
fn block() -> *mut u8 {
    // SAFETY: the layout is not empty.
    black_box(unsafe { std::alloc::alloc(LAYOUT) })
}

const fn layout(size: usize, align: usize) -> Layout {
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(_) => Layout::new::<u8>(),
    }
}

#[inline(never)]
fn lose(bytes: usize) {
    std::mem::forget(black_box(vec![7u8; bytes]));
}

/// Threads, large blocks, every alignment, nothing at all, and libc's malloc beside.
fn do_right() {
    let lists: Vec<Vec<usize>> = (0..1000).map(|number| vec![number; number % 50]).collect();
    let work = |by: usize| move || (0..1000).map(|number| vec![number; by]).count();
    let threads: Vec<_> = (1..5).map(|by| std::thread::spawn(work(by))).collect();
    let counted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let mut large = vec![1u8; 3 << 20];
    large.extend_from_slice(&[2; 5 << 20]);
    // SAFETY: each block goes back with its own layout; C's with C's call.
    unsafe {
        for power in 0..22 {
            let align = 1 << power;
            let old = layout(100, align);
            let first = black_box(std::alloc::alloc_zeroed(old));
            assert!((0..100).all(|at| first.add(at).read() == 0));
            let second = black_box(realloc(first, old, 5000));
            assert!(second.addr().is_multiple_of(align));
            dealloc(second, layout(5000, align));
        }
        let (one, other) = (ALLOC.alloc(layout(0, 64)), ALLOC.alloc(layout(0, 64)));
        assert!(one != other && one.addr().is_multiple_of(64));
        ALLOC.dealloc(one, layout(0, 64));
        ALLOC.dealloc(other, layout(0, 64));
        assert!(ALLOC.alloc(layout(isize::MAX as usize - 64, 1)).is_null());
        let cs = libc::malloc(100);
        libc::free(libc::realloc(cs, 200_000));
    }
    println!("{} {counted} {}", lists.len(), large.len());
}

fn main() {
    // SAFETY: it is not safe, on purpose.
    unsafe {
        match std::env::args().nth(1).as_deref() {
            Some("leak") => {
                lose(77);
                lose(3 << 20);
            }
            Some("size") => dealloc(block(), layout(32, 8)),
            Some("align") => dealloc(block(), layout(24, 4)),
            Some("realloc") => drop(black_box(realloc(block(), layout(25, 8), 64))),
            Some("overflow") => {
                let block = block();
                block.add(24).write(1);
                dealloc(block, LAYOUT);
            }
            Some("read_one") => {
                let bytes = black_box(vec![7u8; 13]);
                black_box(bytes.as_ptr().add(13).read_volatile());
            }
            Some("read_freed") => {
                let block = block();
                dealloc(block, LAYOUT);
                black_box(block.read_volatile());
            }
            Some("twice") => {
                let block = block();
                dealloc(block, LAYOUT);
                dealloc(black_box(block), LAYOUT);
            }
            Some("to_c") => libc::free(block().cast()),
            Some("from_c") => dealloc(libc::malloc(24).cast(), LAYOUT),
            Some("exit") => {
                let kept = black_box(Box::new([1u8; 99]));
                println!("{}", kept.len());
                std::process::exit(0);
            }
            _ => do_right(),
        }
    }
}
