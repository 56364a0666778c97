// Planted: a double free through the global allocator, allocated and freed each at the bottom of 12
// calls, every second one inlined.
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

macro_rules! calls {
    ($($outer:ident, $inlined:ident => $next:ident;)*) => {$(
        #[inline(never)]
        fn $outer(block: &mut *mut u8) {
            $inlined(block);
            black_box(());
        }
        #[inline(always)]
        fn $inlined(block: &mut *mut u8) {
            $next(black_box(block));
            black_box(());
        }
    )*};
}

fn layout() -> Layout {
    Layout::from_size_align(1212, 8).unwrap()
}

#[inline(never)]
fn make_12(block: &mut *mut u8) {
    // SAFETY: the layout has a size.
    *block = unsafe { alloc(layout()) };
    black_box(());
}

#[inline(never)]
fn drop_12(block: &mut *mut u8) {
    // SAFETY: none the second time: that is what is planted.
    unsafe { dealloc(*block, layout()) };
    black_box(());
}

calls! {
    make_10, make_11 => make_12;
    make_8, make_9 => make_10;
    make_6, make_7 => make_8;
    make_4, make_5 => make_6;
    make_2, make_3 => make_4;
    make_0, make_1 => make_2;
    drop_10, drop_11 => drop_12;
    drop_8, drop_9 => drop_10;
    drop_6, drop_7 => drop_8;
    drop_4, drop_5 => drop_6;
    drop_2, drop_3 => drop_4;
    drop_0, drop_1 => drop_2;
}

fn main() {
    let mut block = std::ptr::null_mut();
    make_0(&mut block);
    drop_0(&mut block);
    if std::env::args().count() == 1 {
        drop_0(&mut block);
    }
    println!("stack_nested: end");
}
