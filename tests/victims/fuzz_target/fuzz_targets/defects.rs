//! A fuzz target with three planted errors, one for each word that an input can start with, and
//! with a cache that grows. The variable `DEFECT` says which of the words counts.
#![no_main]

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();

static DEFECT: LazyLock<String> = LazyLock::new(|| std::env::var("DEFECT").unwrap_or_default());
static CACHE: Mutex<Vec<Box<[u8; 40]>>> = Mutex::new(Vec::new());

fuzz_target!(|data: &[u8]| {
    // As many targets do: more comes than goes, and nothing is lost.
    CACHE.lock().unwrap().push(Box::new([1; 40]));
    let layout = Layout::new::<[u8; 24]>();
    let word = match data {
        [b'L', b'K', ..] => "LK",
        [b'O', b'V', ..] => "OV",
        [b'D', b'F', ..] => "DF",
        _ => return,
    };
    if *DEFECT != word {
        return;
    }
    // SAFETY: it is not safe, on purpose.
    unsafe {
        match word {
            "LK" => lose(),
            "OV" => {
                let block = black_box(alloc(layout));
                block.add(24).write(1);
                dealloc(block, layout);
            }
            _ => {
                let block = black_box(alloc(layout));
                dealloc(block, layout);
                dealloc(black_box(block), layout);
            }
        }
    }
});

#[inline(never)]
fn lose() {
    std::mem::forget(black_box(vec![3u8; 33]));
}
